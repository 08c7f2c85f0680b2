"""Curves in characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDE = 20.0  # highest over lowest value from which a scale is logarithmic
_ASCII = "_.-=+*#@"
# Bits of a braille cell, by row and column (Unicode chapter 21.1, block U+2800).
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def is_logarithmic(curves: Sequence[Sequence[float]]) -> bool:
    """Whether curves span so much that only a logarithmic scale shows more than their beginning."""
    every = [value for points in curves for value in points]
    return bool(every) and min(every) > 0 and max(every) > _WIDE * min(every)


def sparkline(points: Sequence[float], width: int, *, logarithmic: bool = False, ascii_only: bool = False) -> str:
    """Draw a curve in one line, between its own lowest and highest value.

    Args:
        points: Its values, finite.
        width: Characters; a curve of fewer points is shorter.
        logarithmic: Draw the logarithm; all values are > 0.
        ascii_only: For terminals that know no other characters.
    """
    if not points or width < 1:
        return ""
    levels = _ASCII if ascii_only else _BLOCKS
    values = _averaged(points, min(width, len(points)))
    if logarithmic:
        values = np.log(values)
    low, span = values.min(), float(np.ptp(values))
    if span <= 0:
        return levels[0] * len(values)
    return "".join(levels[int(level)] for level in np.rint((values - low) / span * (len(levels) - 1)))


def chart(
    curves: Sequence[tuple[Sequence[float], str]],
    *,
    width: int,
    height: int,
    percent: bool = False,
    logarithmic: bool = False,
) -> list[Text]:
    """Draw curves into one frame of braille dots, with the ends of the scale at its left.

    Args:
        curves: Values, finite, and rich style of each; later ones lie above.
        width: Characters of a line.
        height: Lines, at least 2.
        percent: Write the scale in percent.
        logarithmic: Draw the logarithm; all values are > 0.
    """
    every = [value for points, _ in curves for value in points]
    if not every:
        return [Text("no curve yet".center(width), "dim"), *(Text(" " * width) for _ in range(height - 1))]
    low, high = min(every), max(every)
    names = [f"{100 * end:.4g} %" if percent else f"{end:.3g}" for end in (high, low)]
    margin = max(map(len, names)) + 1
    cells = max(1, width - margin - 1)
    dots, styles = np.zeros((height, cells), int), np.full((height, cells), "", object)
    for points, style in curves:
        if points:
            _draw(dots, styles, _rows(points, 2 * cells, 4 * height, low, high, logarithmic), style)
    lines = []
    for row in range(height):
        label = names[0] if row == 0 else names[1] if row == height - 1 else ""
        line = Text(f"{label:>{margin - 1}} ", "dim").append("│", "dim")
        for bits, style in zip(dots[row], styles[row], strict=True):
            line.append(chr(0x2800 + int(bits)) if bits else " ", style)
        lines.append(line)
    return lines


def _rows(
    points: Sequence[float], columns: int, rows: int, low: float, high: float, logarithmic: bool
) -> NDArray[np.int64]:
    """Return the dot row of each dot column, the highest value in row 0."""
    values = _averaged(points, columns)
    if logarithmic:
        values, low, high = np.log(values), math.log(low), math.log(high)
    if len(values) < columns:
        values = np.interp(np.linspace(0, len(values) - 1, columns), np.arange(len(values)), values)
    share = (values - low) / (high - low) if high > low else np.full(columns, 0.5)
    return np.rint((1 - share) * (rows - 1)).astype(np.int64)


def _draw(dots: NDArray[np.int64], styles: NDArray[np.object_], rows: NDArray[np.int64], style: str) -> None:
    """Join the dots: a jump between two columns is filled."""
    before = rows[0]
    for column, row in enumerate(rows):
        first, last = (before + 1, row) if row > before else (row, before - 1 if row < before else row)
        for each in range(first, last + 1):
            dots[each // 4, column // 2] |= _DOTS[each % 4, column % 2]
            styles[each // 4, column // 2] = style
        before = row


def _averaged(points: Sequence[float], most: int) -> NDArray[np.float64]:
    """Return at most so many values, neighbours averaged."""
    values = np.asarray(points, np.float64)
    if len(values) <= most:
        return values
    edges = np.linspace(0, len(values), most + 1).astype(int)
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)
