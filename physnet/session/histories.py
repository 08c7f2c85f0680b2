"""What of a run's rows counts: a run that was killed and resumed has done some steps more than once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .migrate import ABSENT
from .table import Column, Rows, blank, empty

Values = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """The rows of a run that led to its present state.

    Args:
        steps, epochs, attempts, sentinels: By column, in order.
        superseded_steps: Rows of steps that were lost.
        superseded_passes: Their passes.
    """

    steps: Values
    epochs: Values
    attempts: Values
    sentinels: Values
    superseded_steps: int
    superseded_passes: int


def current(tables: Mapping[str, Rows], columns: Mapping[str, Sequence[Column]]) -> History:
    """Leave out what was lost: rows from the step on at which a later attempt began.

    Args:
        tables: The sound rows of each table, of any schema.
        columns: Columns of every table of the present schema. What an older one lacks is filled: NaN, and
            0 in `ABSENT`.
    """
    values = {name: _filled(tables.get(name), columns[name]) for name in columns}
    steps = values["steps"]
    began = _began(values["attempts"], steps)
    # a step belongs to an attempt that began at or before it; what was kept after an epoch or at a look, after it
    kept_steps = _kept(steps["step"] + 1, steps["attempt"], began)
    kept = {name: _kept(values[name]["step"], values[name]["attempt"], began) for name in ("epochs", "sentinels")}
    return History(
        steps=_chosen(steps, kept_steps),
        epochs=_chosen(values["epochs"], kept["epochs"]),
        attempts=values["attempts"],
        sentinels=_chosen(values["sentinels"], kept["sentinels"]),
        superseded_steps=int(np.count_nonzero(~kept_steps)),
        superseded_passes=int(steps["passes"][~kept_steps].sum()),
    )


def _began(attempts: Values, steps: Values) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return numbers of attempts, and the step each began at; where its row was lost, its first step that is left."""
    number, which = np.unique(steps["attempt"], return_inverse=True)
    first = np.full(len(number), np.iinfo(np.int64).max)
    np.minimum.at(first, which, steps["step"])
    lost = (number > 0) & ~np.isin(number, attempts["attempt"])
    return np.append(attempts["attempt"], number[lost]), np.append(attempts["step"], first[lost])


def _kept(done: NDArray[Any], attempt: NDArray[Any], began: tuple[NDArray[Any], NDArray[Any]]) -> NDArray[np.bool_]:
    """Tell which rows, each written when `done` steps were done, no later attempt took back."""
    order = np.argsort(began[0], kind="stable")
    # what the attempts from each one on left of the steps before them
    least = np.append(np.minimum.accumulate(began[1][order][::-1])[::-1], np.iinfo(np.int64).max)
    later = np.searchsorted(began[0][order], attempt, side="right")
    kept: NDArray[np.bool_] = done <= least[later]
    return kept


def _chosen(values: Values, rows: NDArray[np.bool_]) -> Values:
    return {name: array[rows] for name, array in values.items()}


def _filled(rows: Rows | None, columns: Sequence[Column]) -> Values:
    if rows is None:
        return empty(columns).values
    count = len(rows.places)
    missing = blank(columns, count)
    return {
        column.name: rows.values.get(
            column.name, np.zeros(count, np.int64) if column.name in ABSENT else missing[column.name]
        )
        for column in columns
    }
