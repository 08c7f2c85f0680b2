"""What a feed remembers of a run, in bounded memory however long it goes on."""

from __future__ import annotations

import math
from collections import deque

from .protocol import POINTS, Curve

_WINDOW = 15.0  # seconds that a rate is taken over
_PACE = 0.25  # seconds between two of its marks


class History:
    """A curve: when it is full, neighbours are averaged, and each point stands for twice as many values.

    Args:
        most: Points that are never exceeded, an even number.
    """

    def __init__(self, most: int = POINTS) -> None:
        self._most = most
        self._points: list[float] = []
        self._stride = 1
        self._sum, self._count = 0.0, 0
        self._latest = math.nan

    def add(self, value: float) -> None:
        """Add a value; one that is not finite is left out."""
        if not math.isfinite(value):
            return
        self._latest = value
        self._sum += value
        self._count += 1
        if self._count < self._stride:
            return
        if len(self._points) == self._most:
            self._points = [_short((a + b) / 2) for a, b in zip(self._points[::2], self._points[1::2], strict=True)]
            self._stride *= 2
            return  # what was gathered is now half a point
        self._points.append(_short(self._sum / self._count))
        self._sum, self._count = 0.0, 0

    def curve(self) -> Curve:
        """Return it as it is now."""
        if math.isnan(self._latest):
            return Curve()
        points = [*self._points, _short(self._sum / self._count)] if self._count else self._points
        return Curve(latest=self._latest, points=tuple(points[: self._most]))


class Rate:
    """How much a counter grew a second, over the last seconds."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def due(self, now: float) -> bool:
        """Whether it is time for another mark."""
        return not self._marks or now - self._marks[-1][0] >= _PACE

    def mark(self, now: float, count: int) -> None:
        """Note where the counter stands."""
        self._marks.append((now, count))
        # The last mark outside the window is kept: on a slow bench it may be the only one there is.
        while len(self._marks) > 1 and self._marks[1][0] <= now - _WINDOW:
            self._marks.popleft()

    def clear(self) -> None:
        """Forget what was: nothing was measured in between."""
        self._marks.clear()

    def per_second(self, now: float, count: int) -> float | None:
        """Return the rate; None where too little time has passed."""
        if not self._marks or now - self._marks[0][0] < _PACE:
            return None
        return (count - self._marks[0][1]) / (now - self._marks[0][0])


def _short(value: float) -> float:
    """Round to six digits: more than a screen can show, and half the bytes."""
    return float(f"{value:.6g}")
