"""Fewer points than were recorded, with no extreme lost: a million steps become a band and a mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_POINTS = 6000
"""Points of all curves of a chart together."""
_MOST = 400
"""Points of one curve."""
_LARGEST = 1e250
"""What has diverged beyond this is left out: sums and differences of it are no numbers any more."""
_GAP = 8
"""Distance of neighbours, in usual distances, from which the line between them is left out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A curve as it is drawn.

    Args:
        x: Mean position of each bin, or the values themselves; increasing.
        mean: Mean of each bin; NaN, here and in the others, breaks the line.
        low, high: Extremes of each bin.
        binned: Whether a point stands for several values.
    """

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    binned: bool


def decimate(x: NDArray[Any], y: NDArray[Any], *, curves: int = 1) -> Curve:
    """Return at most about 400 points of a curve, fewer where many share a chart.

    Args:
        x: Positions, shape `(n,)`.
        y: Values, shape `(n,)`; what is not finite, or above 1e250, is left out.
        curves: Curves that share the chart.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    bins = max(min(_MOST, _POINTS // max(curves, 1)), 20)
    finite = np.isfinite(x) & (np.abs(y) < _LARGEST)  # NaN is not
    order = np.argsort(x[finite], kind="stable")
    x, y = x[finite][order], y[finite][order]
    binned = len(x) > bins
    if binned:
        starts = np.linspace(0, len(x), bins, endpoint=False).astype(np.int64)
        count = np.diff(np.r_[starts, len(x)])
        low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
        x, y = np.add.reduceat(x, starts) / count, np.add.reduceat(y, starts) / count
    else:
        low = high = y
    distance = np.diff(x)
    gaps = np.flatnonzero(distance > _GAP * np.median(distance)) + 1 if len(distance) else np.zeros(0, np.int64)
    x, y, low, high = (np.insert(values, gaps, np.nan) for values in (x, y, low, high))
    return Curve(x=x, mean=y, low=low, high=high, binned=binned)
