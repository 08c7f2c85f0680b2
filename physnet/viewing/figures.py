"""Figures of geometry and field.

Axis letters: F frames; Y, X pixels; T points of a curve.
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import SessionError
from .drawing import Drawer, mappable, proportion, top_of, write_legend
from .picture import Field, Geometry, Image, Panel
from .units import label, prefix

SNAPSHOTS = 6
_DPI = 110


def write_geometry(geometry: Geometry, path: Path, *, title: str) -> Path:
    """Draw where things are.

    Raises:
        SessionError: The file can't be written.
    """
    count = len(geometry.panels)
    columns = count if count < 3 else 2
    lines = -(-count // columns)
    width = 7.4 if count < 3 else 6.2
    height = max((width - 1.2) * (proportion(panel) or 0.75) + 1.2 for panel in geometry.panels)
    figure = Figure(figsize=(width * columns, height * lines), layout="constrained")
    figure.suptitle(plain(title), fontsize=12)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    drawer = Drawer(figure)
    for axes, panel in zip(grid, geometry.panels, strict=False):
        drawer.draw(axes, panel)
    for axes in grid[count:]:
        axes.set_visible(False)
    return save(figure, path)


def write_field(field: Field, path: Path, *, title: str) -> Path:
    """Draw a field without a movie: snapshots of what moves in a plane, maps of curves that move, and the rest.

    Raises:
        SessionError: The file can't be written.
    """
    rows = _rows(field)
    heights = [_height(row, field) for row in rows]
    figure = Figure(figsize=(12, sum(heights) + 0.7), layout="constrained")
    figure.suptitle(plain(title) + (f"\n{plain(textwrap.fill(field.note, 140))}" if field.note else ""), fontsize=11)
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)
    for part, row in zip(parts[:, 0], rows, strict=True):
        if row[0].flat:
            _snapshots(part, row[0], field)
            continue
        drawer = Drawer.of(part, field, still=True)
        for axes, panel in zip(part.subplots(1, len(row), squeeze=False)[0], row, strict=True):
            drawer.draw(axes, mapped(panel, field), frame=len(field.at_F) - 1)
    return save(figure, path)


def mapped(panel: Panel, field: Field) -> Panel:
    """Return a panel of a single curve that moves as a map: what the curve is over, and the frames."""
    moving = [curve for curve in panel.curves if curve.y_T.ndim == 2]
    if len(moving) != 1 or moving[0].dots or panel.images or len(moving[0].x_T) < 2 or len(field.at_F) < 2:
        return panel
    (curve,) = moving
    x_T, at_F = curve.x_T, field.at_F
    half_x, half_at = (x_T[-1] - x_T[0]) / (len(x_T) - 1) / 2, (at_F[-1] - at_F[0]) / (len(at_F) - 1) / 2
    values = np.asarray(curve.y_T, np.float64)
    signed = bool(np.nanmin(values) < 0)
    extent = (x_T[0] - half_x, x_T[-1] + half_x, at_F[0] - half_at, at_F[-1] + half_at)
    image = Image(
        values=values,
        extent=(float(extent[0]), float(extent[1]), float(extent[2]), float(extent[3])),
        quantity=panel.y,
        signed=signed,
        decades=4.0 if panel.log and not signed else 0.0,
    )
    return dataclasses.replace(panel, y=field.along, images=(image,), curves=(), span=None, cursor=False, log=False)


def at(field: Field, frame: int) -> str:
    """Return what a frame shows, in words: `time 1.25 ms`."""
    size_F = np.abs(np.asarray(field.at_F, np.float64))
    # Frames may follow the beginning closely and end far from it: such a last one has a unit of its own.
    usual = float(size_F[size_F <= 100 * (float(np.median(size_F)) or float(size_F.max()))].max(initial=0.0))
    own, alone = float(field.at_F[frame]), float(size_F[frame]) > usual
    factor, unit = prefix(field.along.unit, abs(own) if alone else usual)
    steps = np.diff(np.unique(factor * np.asarray(field.at_F, np.float64)))
    # As many decimals as tell two frames apart.
    decimals = max(0, -math.floor(math.log10(float(np.median(steps)) * (1 + 1e-9)))) if steps.size else 0
    value = f"{factor * own:.4g}" if alone else f"{factor * own:.{min(decimals, 9)}f}"
    return f"{field.along.name} {value}" + ("" if unit in ("", "1") else f" {unit}")


def plain(text: str) -> str:
    """Return text without what matplotlib would take for mathematics."""
    return text.replace("$", r"\$")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure.

    Raises:
        SessionError: It can't be written.
    """
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # places depend on sizes that a first drawing finds out
    try:
        canvas.print_figure(path, dpi=_DPI)
    except OSError as error:
        raise SessionError(f"figure {path} can't be written: {error}. Choose another folder with -o.") from error
    return path


def _rows(field: Field) -> list[list[Panel]]:
    """Return which panels stand beside each other: small ones, up to three."""
    rows: list[list[Panel]] = []
    for panel in field.panels:
        last = rows[-1] if rows else []
        if panel.compact and not panel.flat and last and last[0].compact and not last[0].flat and len(last) < 3:
            last.append(panel)
        else:
            rows.append([panel])
    return rows


def _height(row: list[Panel], field: Field) -> float:
    """Return the height of a row in inches."""
    if row[0].flat:
        columns, count = min(3, len(field.at_F)), _count(field)
        lines = -(-count // columns)
        return (10.2 / columns * (proportion(row[0]) or 0.75) + 0.5) * lines + 0.7
    if row[0].compact:
        return min(4.6, 10.2 / max(len(row), 2) * max(proportion(panel) or 0.7 for panel in row)) + 0.6
    return 3.6 if row[0].moves else 2.9


def _count(field: Field) -> int:
    """Return how many frames of a panel are drawn: half as many where there are several panels."""
    several = sum(panel.flat for panel in field.panels) > 1
    return min(SNAPSHOTS // 2 if several else SNAPSHOTS, len(field.at_F))


def _snapshots(part: Any, panel: Panel, field: Field) -> None:
    """Draw a few frames of a panel beside each other."""
    count = _count(field)
    # Not the very first frame, in which there often is nothing yet.
    places = np.linspace(0, len(field.at_F) - 1, count + (count < len(field.at_F)))
    frames = [round(float(place)) for place in places][-count:]
    columns = min(3, count)
    lines = -(-count // columns)
    drawer = Drawer.of(part, field, still=True)
    grid = part.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for number, (axes, frame) in enumerate(zip(grid, frames, strict=False)):
        drawer.draw(axes, panel, frame=frame, bar=False, legend=False)
        axes.set_title(at(field, frame), fontsize=9, loc="left")
        if number % columns:
            axes.set_ylabel("")
        if number < columns * (lines - 1):
            axes.set_xlabel("")
    for axes in grid[count:]:
        axes.set_visible(False)
    if any(points.values is None for points in panel.points) or any(curve.label for curve in panel.curves):
        write_legend(grid[columns * (lines - 1)], [], below=True)
    part.suptitle(plain(panel.title), fontsize=10, x=0.01, ha="left")
    _shared_bar(part, grid, panel)


def _shared_bar(part: Any, grid: Any, panel: Panel) -> None:
    drawn = next((image for image in panel.images if image.values.ndim == 3), None)
    found = drawn or next((m for m in panel.points if m.values is not None and m.values.ndim == 2), None)
    if found is None or found.values is None:
        return
    factor, unit = prefix(found.quantity.unit, top_of(found.values))
    scale, extend = mappable(found.values * factor, found)
    part.colorbar(scale, ax=list(grid), extend=extend, label=label(found.quantity, unit), pad=0.01)
