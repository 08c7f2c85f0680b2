"""Where a run stands: everything that must be put back for it to go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .errors import SessionError
from .passes import Purpose
from .records import PassCount, Tensors

REPEATED = "repeated"
"""Passes of steps that were lost and done again, beside those by purpose."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """The weights with the best validation accuracy so far.

    Args:
        accuracy: Their validation accuracy, 0 to 1.
        epoch: The epoch they come from, from 0.
        tensors: All of them.
    """

    accuracy: float
    epoch: int
    tensors: Tensors


_COUNTERS = (
    "steps",
    "epochs",
    "without_gain",
    "passes_per_sample",
    "placed_per_step",
    "stop_reason",
    "seconds",
    "epoch_seconds",
    "layer",
    "layer_epochs",
)


def no_passes() -> dict[str, int]:
    """Return the counts of a run that has presented nothing."""
    return {purpose.name.lower(): 0 for purpose in Purpose}


def charge(passes: dict[str, int], purpose: Purpose, count: PassCount) -> None:
    """Add rows presented to counts by purpose: those that a port placed among others as what they are.

    Args:
        passes: By name of the purpose; changed in place.
        purpose: What the others were presented for.
        count: What was presented.
    """
    for name, rows in ((purpose.name.lower(), count.asked), ("dark", count.dark), ("reference", count.reference)):
        if rows:
            passes[name] = passes.get(name, 0) + rows


@dataclass(kw_only=True)
class Standing:
    """The counters of a run. Its weights belong to layers and rules, its memories to systems.

    Args:
        steps: Steps done.
        epochs: Epochs done.
        passes: Rows presented, by purpose.
        best: The weights to keep.
        without_gain: Validations since the last better one.
        passes_per_sample: What the last step took; None before there was one.
        placed_per_step: Rows that ports placed among those.
        stop_reason: Why the run is to end; empty while it is not.
        seconds: Duration of what came before this process, in s.
        epoch_seconds: The same of the present epoch.
        layer: The layer that learns, in the greedy schedule.
        layer_epochs: Epochs that it has learnt for.
    """

    steps: int = 0
    epochs: int = 0
    passes: dict[str, int] = field(default_factory=no_passes)
    best: Kept | None = None
    without_gain: int = 0
    passes_per_sample: float | None = None
    placed_per_step: int = 0
    stop_reason: str = ""
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    layer: int = 0
    layer_epochs: int = 0

    def state(self) -> dict[str, Any]:
        """Return the counters as plain values."""
        state: dict[str, Any] = {name: getattr(self, name) for name in _COUNTERS}
        state["passes"] = dict(self.passes)
        state["best"] = {"accuracy": self.best.accuracy, "epoch": self.best.epoch} if self.best else None
        return state

    def arrays(self, present: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        """Return the best weights as `best/<tensor>`; none where they are the present ones."""
        if self.best is None or all(np.array_equal(self.best.tensors[name], present[name]) for name in present):
            return {}
        return {f"best/{name}": np.asarray(value) for name, value in self.best.tensors.items()}

    @classmethod
    def restored(cls, state: Mapping[str, Any], arrays: Tensors, present: Tensors) -> Standing:
        """Take back what `state` and `arrays` returned.

        Args:
            state: From `state`.
            arrays: Those that `arrays` returned, perhaps among others.
            present: The weights that were present then.

        Raises:
            SessionError: Something is missing.
        """
        values = dict(state)
        try:
            best = values.pop("best")
            if best is not None:
                kept = {name.removeprefix("best/"): array for name, array in arrays.items() if name.startswith("best/")}
                best = Kept(accuracy=float(best["accuracy"]), epoch=int(best["epoch"]), tensors=kept or dict(present))
            passes = no_passes() | {str(name): int(count) for name, count in values.pop("passes").items()}
            return cls(best=best, passes=passes, **values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SessionError(
                f"a checkpoint must hold where the run stood, and it can't be read ({error}). Use an older one."
            ) from error
