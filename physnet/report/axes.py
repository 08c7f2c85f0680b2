"""Axes of a chart: where values lie, which numbers stand at them, how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 480, 250
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 24, 36
_LEAST = 1e-250
"""Logarithmic axes need not reach lower, and values that are nearer to each other need not be told apart."""
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a chart.

    Args:
        low, high: Range of values; logarithms to base 10 where `log`.
        start, stop: Where `low` and `high` lie, in units of the drawing.
        log: Whether the axis is logarithmic.
    """

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where values lie; what a logarithmic axis can't show becomes NaN."""
        if self.log:
            values = np.log10(np.where(values > 0, values, np.nan))
        span = (self.high - self.low) or 1.0
        return self.start + (values - self.low) / span * (self.stop - self.start)

    def at(self, value: float) -> float:
        """Return where a value lies."""
        return float(self(np.array([value], dtype=np.float64))[0])

    @property
    def exponent(self) -> int:
        """Power of ten that is taken out of the numbers at the axis, because they would be too long."""
        largest = max(abs(self.low), abs(self.high))
        if self.log or largest == 0 or 1e-2 <= largest < 1e5:
            return 0
        return 3 * math.floor(math.log10(largest) / 3)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Values that get a number, and the number."""
        if self.log:
            low, high = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
            every = max(1, math.ceil((high - low + 1) / 6))
            return [(10.0**n, f"10{str(n).translate(_SUPERSCRIPT)}") for n in range(low, high + 1, every)]
        rough = (self.high - self.low) / 5
        if not rough > _LEAST:  # the power of ten below it may be no number any more
            return [(self.low, number(self.low))]
        power = 10.0 ** math.floor(math.log10(rough))
        spacing = next(f * power for f in (1, 2, 5, 10) if f * power >= rough * 0.999)
        first, last = math.ceil(self.low / spacing - 1e-9), math.floor(self.high / spacing + 1e-9)
        scale = 10.0**self.exponent
        digits = max(0, -math.floor(math.log10(spacing / scale) + 1e-9))
        return [(n * spacing, f"{n * spacing / scale + 0.0:.{digits}f}") for n in range(first, last + 1)]


def fitted(
    values: Iterable[NDArray[np.float64]],
    *,
    start: float,
    stop: float,
    log: bool = False,
    pad: float = 0.04,
    include: Iterable[float] = (),
) -> Axis:
    """Return an axis that shows all values.

    Args:
        values: What is shown; what is not finite is left out.
        start: Where the axis begins.
        stop: Where it ends.
        log: Whether it is logarithmic.
        pad: Share of the range that is left free at either end.
        include: Values that must be on it.
    """
    ends = [np.asarray(list(include), dtype=np.float64), *values]
    if log:
        ends = [np.log10(part[part > _LEAST]) for part in ends]
    finite = [part[np.isfinite(part)] for part in ends]
    finite = [part for part in finite if len(part)]
    low = min((float(part.min()) for part in finite), default=0.0)
    high = max((float(part.max()) for part in finite), default=1.0)
    margin = pad * (high - low) if high > low else 0.5 if log else 0.05 * abs(low) or 0.5
    return Axis(low=low - margin, high=high + margin, start=start, stop=stop, log=log)


def number(value: float, digits: int = 4) -> str:
    """Return a number for people, `-` when it is not known."""
    if not math.isfinite(value):
        return "-"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f")
    if 1e4 <= abs(value) < 1e15:
        return number(round(value))
    return f"{value:.{digits}g}"


def with_unit(name: str, unit: str, exponent: int = 0) -> str:
    """Return the label of an axis, as `response / 10⁻³ V`."""
    if unit in ("1", ""):
        return f"{name} / 10{str(exponent).translate(_SUPERSCRIPT)}" if exponent else name
    factor = f"10{str(exponent).translate(_SUPERSCRIPT)} " if exponent else ""
    return f"{name} / {factor}{unit}"
