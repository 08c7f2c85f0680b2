"""A sequence of sweeps that an analyser was told to take, one for each trigger or one after the other.

Axis letters: E elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .sweep_points import SweepPoints

Pattern = NDArray[np.uint8]


@dataclass(eq=False)
class SweepSequence:
    """Which pattern was latched when each sweep began, and when it is over.

    Args:
        points: What a sweep does.
        count: Sweeps to take.
        duration: Time of a sweep in s.
        first: Number of its first sweep: noise is keyed by it.
    """

    points: SweepPoints
    count: int
    duration: float
    first: int = 0
    missed: int = 0
    """Triggers that came while it swept."""
    _patterns: list[Pattern] = field(default_factory=list)
    _ends: list[float] = field(default_factory=list)

    @property
    def started(self) -> int:
        """Sweeps that began."""
        return len(self._patterns)

    def completed(self, now: float) -> int:
        """Sweeps that are over at a time of the clock, in s."""
        done = self.started - (self.due(now) is not None)
        return min(done, self.count)

    def over(self, now: float) -> bool:
        """Whether all sweeps are over."""
        return self.completed(now) == self.count

    @property
    def waiting(self) -> bool:
        """Whether sweeps are left to begin."""
        return self.started < self.count

    def trigger(self, pattern: Pattern, now: float) -> None:
        """Begin a sweep; a trigger that comes while one goes on, or after the last one, is lost."""
        if self.due(now) is not None:
            self.missed += 1
        elif self.waiting:
            self._begin(pattern, now)

    def run_on(self, latched: Callable[[], Pattern], now: float) -> None:
        """Take sweeps without triggers, one after the other, as many as have begun by now."""
        while self.waiting and self.due(now) is None:
            self._begin(latched(), self._ends[-1] if self._ends else now)

    def due(self, now: float) -> float | None:
        """Time in s until the sweep that goes on is over; None when there is none."""
        return self._ends[-1] - now if self._ends and self._ends[-1] > now else None

    def patterns(self, first: int, last: int) -> Pattern:
        """Return what was latched for sweeps from `first` up to, but without, `last`, shape `(sweeps, elements)`."""
        return np.stack(self._patterns[first:last])

    def _begin(self, pattern: Pattern, start: float) -> None:
        self._patterns.append(np.array(pattern, np.uint8))
        self._ends.append(start + self.duration)
