"""Where the time of a run went."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .reader import Run

_COLUMNS = {
    "measuring": "system_seconds",
    "digital": "digital_seconds",
    "log": "log_seconds",
    "idle": "idle_seconds",
}


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Where the time of a run went, in s. NaN where the run did not record it.

    Args:
        total: The whole run; of a run that left no result, the steps that it recorded and what lay between them.
        steps: Training steps alone.
        measuring: Inside the systems during training: driving, settling, reading.
        digital: Digital maps and weight updates during training.
        log: Writing the session.
        idle: Paused.
        rest: What these leave of the total: standardisation, validation, test, start and end. Below 0 where measuring
            and digital work overlapped.
    """

    total: float
    steps: float
    measuring: float
    digital: float
    log: float
    idle: float
    rest: float

    @property
    def parts(self) -> dict[str, float]:
        """The parts that were recorded, by name; `rest` where it is more than nothing."""
        values = {name: float(getattr(self, name)) for name in (*_COLUMNS, "rest")}
        return {name: value for name, value in values.items() if value > 0 or (name != "rest" and value == 0)}


def timings(run: Run) -> Timings:
    """Return where the time of a run went.

    Args:
        run: The run. One that was stopped tells about the steps that it recorded.
    """
    steps = _sum(run, "seconds")
    known = {part: _sum(run, column) for part, column in _COLUMNS.items()}
    between = sum(known[part] for part in ("log", "idle") if math.isfinite(known[part]))
    whole = run.result.seconds if run.result is not None else math.nan
    total = whole if whole >= 0 else steps + between
    rest = total - sum(value for value in known.values() if math.isfinite(value))
    return Timings(total=total, steps=steps, rest=rest, **known)


def _sum(run: Run, column: str) -> float:
    values = run.steps.get(column)
    if values is None or (len(values) and not np.isfinite(values).any()):
        return math.nan
    return float(np.nansum(values))
