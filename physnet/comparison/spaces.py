"""Where options of a rule are looked for.

Known rules have a table here. A rule of somebody else may declare its own as `space`, a mapping of the same kind, on
its class. What has neither is read from the annotations of its options.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .. import registry
from ..errors import InputError


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers between two limits, both included.

    Args:
        low: Lower limit; above 0 where `log`.
        high: Upper limit.
        log: Whether each decade is as likely as the next.
        whole: Whether they are whole numbers.

    Raises:
        InputError: The limits are no range.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"a range must have low < high, both finite, got {self.low} and {self.high}.")
        if self.log and not self.low > 0:
            raise InputError(f"a logarithmic range must have low > 0, got {self.low}.")

    def holds(self, value: Any) -> bool:
        """Whether a value lies in it."""
        kinds = (int,) if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values.

    Args:
        values: At least two.

    Raises:
        InputError: There are fewer.
    """

    values: tuple[str | int | float | bool, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2:
            raise InputError(f"a choice must be between at least 2 values, got {len(self.values)}.")

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return value in self.values


Space = Mapping[str, Range | Choice]
"""Where each option is looked for; options that are left out keep their values."""

_RATE = Range(low=1e-4, high=3e-2, log=True)
_HEAD = Range(low=1e-3, high=1e-1, log=True)
_STEPS = Range(low=1, high=10, log=True, whole=True)
_DECAY = Choice(values=("constant", "cosine"))
_FEEDBACK: Space = {"learning_rate": _RATE, "decay": _DECAY, "head_learning_rate": _HEAD}

_SIZE = Range(low=1e-2, high=1.0, log=True)
_DIRECTIONS: Space = {
    "learning_rate": Range(low=1e-4, high=1.0, log=True),
    "inside_learning_rate": Range(low=1e-4, high=1.0, log=True),
    "after_learning_rate": _RATE,
    "decay": _DECAY,
    "size": _SIZE,
    "inside_size": Range(low=1e-3, high=5e-2, log=True),
}

SPACES: Mapping[str, Space] = {
    "augmented_dfa": {
        "before_learning_rate": _RATE,
        "learning_rate": _RATE,
        "decay": _DECAY,
        "surrogate": Choice(values=("one", "tanh", "cos", "relu")),
    },
    "cafo": {"ridge": Range(low=1e-5, high=1.0, log=True), "readout": Choice(values=("sum", "last"))},
    "ccl": {**_FEEDBACK, "feedback_learning_rate": _RATE},
    "dfa": _FEEDBACK,
    "drtp": _FEEDBACK,
    "ff": {
        "learning_rate": _RATE,
        "decay": _DECAY,
        "inner_steps": _STEPS,
        "alpha": Range(low=0.5, high=16.0, log=True),
        "loss": Choice(values=("threshold", "symmetric")),
    },
    "ffzero": {**_DIRECTIONS, "loss": Choice(values=("hinge", "cross_entropy"))},
    "mono_forward": {
        "learning_rate": _RATE,
        "decay": _DECAY,
        "inner_steps": _STEPS,
        "weight_decay": Range(low=1e-5, high=1.0, log=True),
    },
    "noprop": {
        "learning_rate": _RATE,
        "decay": _DECAY,
        "inner_steps": _STEPS,
        "loss": Choice(values=("cross_entropy", "snr_mse")),
        "scale": Range(low=0.5, high=16.0, log=True),
        "start": Choice(values=("noise", "zero")),
        "inference": Choice(values=("mean", "sampled")),
    },
    "node_perturbation": {
        "before_learning_rate": _RATE,
        "learning_rate": _RATE,
        "decay": _DECAY,
        "size": _SIZE,
    },
    "pepita": {**_FEEDBACK, "scale": Range(low=0.05, high=5.0, log=True)},
    "phyll": {
        "learning_rate": _RATE,
        "decay": _DECAY,
        "inner_steps": _STEPS,
        "theta": Range(low=1.0, high=32.0, log=True),
    },
    "prototype": {
        "learning_rate": _RATE,
        "decay": _DECAY,
        "inner_steps": _STEPS,
        "temperature": Range(low=0.02, high=1.0, log=True),
        "prototypes": Choice(values=("simplex", "learned")),
    },
    "scff": {
        **_FEEDBACK,
        "inner_steps": _STEPS,
        "theta_positive": Range(low=0.5, high=16.0, log=True),
        "theta_negative": Range(low=0.5, high=16.0, log=True),
    },
    "spsa": {**_DIRECTIONS, "logit_learning_rate": Range(low=1.0, high=300.0, log=True)},
    "tpsgd": {
        "learning_rate": _RATE,
        "decay": _DECAY,
        "inner_steps": _STEPS,
        "loss": Choice(values=("l2", "l1")),
        "amplitude": Range(low=0.1, high=1.0, log=True),
    },
}
"""Spaces of the rules that come with physnet, by registered name."""


def space_of(name: str, *, fixed: frozenset[str] = frozenset()) -> Space:
    """Return where the options of a rule are looked for.

    Args:
        name: Registered name of the rule.
        fixed: Options that are not to be changed.

    Raises:
        InputError: Nothing is left to look for, or what the rule declares is no space.
        ExperimentError: There is no such rule.
    """
    factory = registry.find("rules", name)
    declared = getattr(factory, "space", None)
    if declared is not None:
        if not isinstance(declared, Mapping) or not all(isinstance(one, Range | Choice) for one in declared.values()):
            raise InputError(
                f"the space of rule {name!r} must be a mapping of its options to Range and Choice of "
                f"physnet.comparison.spaces, got {declared!r}."
            )
        found: Space = declared
    else:
        found = SPACES[name] if name in SPACES else from_annotations(factory)
    left = {option: one for option, one in found.items() if option not in fixed}
    if not left:
        raise InputError(
            f"rule {name!r} has no option to tune. Declare `space` on its class, or fix fewer with --set rules."
        )
    return left


def from_annotations(factory: registry.Factory) -> Space:
    """Read a space from a rule's options: a decade each way of a number above 0, and every choice of words."""
    made_by = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    hints = typing.get_type_hints(made_by, include_extras=True)
    found: dict[str, Range | Choice] = {}
    for name, parameter in inspect.signature(factory).parameters.items():
        hint, default = hints.get(name), parameter.default
        kind = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
        if typing.get_origin(kind) is Literal and len(typing.get_args(kind)) > 1:
            found[name] = Choice(values=typing.get_args(kind))
        elif kind is float and isinstance(default, float) and default > 0 and _is_positive(hint):
            found[name] = Range(low=default / 10, high=default * 10, log=True)
    return found


def _is_positive(hint: Any) -> bool:
    """Whether an annotation asks for a number above 0, and names no upper limit."""
    limits = [part for extra in typing.get_args(hint)[1:] for part in getattr(extra, "metadata", [])]
    return any(getattr(one, "gt", None) == 0 for one in limits) and not any(
        hasattr(one, "lt") or hasattr(one, "le") for one in limits
    )
