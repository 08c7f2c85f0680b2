"""What the readers of table files have in common."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """What was read from a file.

    Args:
        x: Samples, float32, shape `(n, features)`, finite.
        names: A name per feature.
        shape: Shape of one sample in the file.
        label: Integers or text, shape `(n,)`; None when not asked for.
        group: Integers or text, shape `(n,)`; None when not asked for.
    """

    x: NDArray[np.float32]
    names: tuple[str, ...]
    shape: tuple[int, ...]
    label: NDArray[Any] | None
    group: NDArray[Any] | None


def nearest(name: str, choices: Collection[str]) -> str:
    """Return the way out for a name that isn't among the choices: the most similar one, or a list of them."""
    similar = difflib.get_close_matches(name, choices, n=1)
    return f"Did you mean {similar[0]!r}?" if similar else f"There is {listing(choices)}."


def listing(names: Collection[str]) -> str:
    """Return names for a message, cut short where there are many."""
    shown = ", ".join(repr(name) for name in list(names)[:12])
    return f"{shown} and {len(names) - 12} more" if len(names) > 12 else shown or "nothing"


def check_names(features: Sequence[str] | None, label: str | None, group: str | None) -> None:
    """Check that a choice of columns makes sense, whatever the file holds.

    Raises:
        DataError: No feature is named, one is named twice, or the label or group is among them.
    """
    if features is None:
        return
    if isinstance(features, str) or not features:
        raise DataError(
            f"features must be a list of at least one name, got {features!r}. Leave it out for the default, "
            "or put one name in a list."
        )
    twice = [name for name in features if list(features).count(name) > 1]
    if twice:
        raise DataError(f"features must name each column once, got {twice[0]!r} more than once. Name it once.")
    for what, name in (("label", label), ("group", group)):
        if name in features:
            raise DataError(
                f"features must not hold the {what}, got {name!r} among them. A network would read the "
                "answer: leave it out."
            )
