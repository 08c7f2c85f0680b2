"""Figures of geometry and field.

Axis letters: F frames; Y, X pixels; T points of a curve.
"""

from __future__ import annotations

import dataclasses
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import SessionError
from .drawing import Drawer, mappable, proportion, top_of
from .picture import Field, Geometry, Image, Panel
from .units import label, prefix

SNAPSHOTS = 6
_DPI = 110


def write_geometry(geometry: Geometry, path: Path, *, title: str) -> Path:
    """Draw where things are.

    Raises:
        SessionError: The file can't be written.
    """
    heights = [6.2 * (proportion(panel) or 0.75) + 1.2 for panel in geometry.panels]
    figure = Figure(figsize=(7.4 * len(geometry.panels), max(heights)), layout="constrained")
    figure.suptitle(plain(title), fontsize=12)
    grid = figure.subplots(1, len(geometry.panels), squeeze=False)
    drawer = Drawer(figure)
    for axes, panel in zip(grid[0], geometry.panels, strict=True):
        drawer.draw(axes, panel)
    return save(figure, path)


def write_field(field: Field, path: Path, *, title: str) -> Path:
    """Draw a field without a movie: snapshots of what moves in a plane, maps of curves that move, and the rest.

    Raises:
        SessionError: The file can't be written.
    """
    rows = [_rows(panel, field) for panel in field.panels]
    heights = [height for height, _, _ in rows]
    figure = Figure(figsize=(12, sum(heights) + 0.7), layout="constrained")
    figure.suptitle(plain(title) + (f"\n{plain(textwrap.fill(field.note, 140))}" if field.note else ""), fontsize=11)
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)
    for part, panel, (_, columns, frames) in zip(parts[:, 0], field.panels, rows, strict=True):
        drawer = Drawer.of(part, field)
        if not frames:
            drawer.draw(part.subplots(), mapped(panel, field), frame=len(field.at_F) - 1)
            continue
        lines = -(-len(frames) // columns)
        grid = np.atleast_1d(part.subplots(lines, columns, sharex=True, sharey=True)).ravel()
        for number, (axes, frame) in enumerate(zip(grid, frames, strict=False)):
            drawer.draw(axes, panel, frame=frame, bar=False, legend=False)
            axes.set_title(at(field, frame), fontsize=9, loc="left")
            if number % columns:
                axes.set_ylabel("")
            if number < columns * (lines - 1):
                axes.set_xlabel("")
        for axes in grid[len(frames) :]:
            axes.set_visible(False)
        part.suptitle(plain(panel.title), fontsize=10, x=0.01, ha="left")
        _shared_bar(part, grid, panel)
    return save(figure, path)


def mapped(panel: Panel, field: Field) -> Panel:
    """Return a panel of a single curve that moves as a map: what the curve is over, and the frames."""
    moving = [curve for curve in panel.curves if curve.y_T.ndim == 2]
    if len(moving) != 1 or panel.images or len(moving[0].x_T) < 2 or len(field.at_F) < 2:
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
    largest = float(np.abs(field.at_F).max(initial=0.0))
    factor, unit = prefix(field.along.unit, largest)
    value = f"{factor * float(field.at_F[frame]):.4g}"
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


def _rows(panel: Panel, field: Field) -> tuple[float, int, list[int]]:
    """Return height in inches, columns, and the frames shown; none for a panel that is drawn once."""
    flat = any(image.values.ndim == 3 for image in panel.images)
    flat = flat or any(mark.values is not None and mark.values.ndim == 2 for mark in panel.points)
    if not flat:
        return 3.6 if panel.moves else 2.9, 1, []
    count = min(SNAPSHOTS, len(field.at_F))
    # Not the very first frame, in which there often is nothing yet.
    frames = [round(float(f)) for f in np.linspace(0, len(field.at_F) - 1, count + (count < len(field.at_F)))][-count:]
    columns = min(3, count)
    height = 10.2 / columns * (proportion(panel) or 0.75) + 0.5
    return height * -(-count // columns) + 0.7, columns, frames


def _shared_bar(part: Any, grid: Any, panel: Panel) -> None:
    drawn = next((image for image in panel.images if image.values.ndim == 3), None)
    found = drawn or next((m for m in panel.points if m.values is not None and m.values.ndim == 2), None)
    if found is None or found.values is None:
        return
    factor, unit = prefix(found.quantity.unit, top_of(found.values))
    scale, extend = mappable(found.values * factor, found)
    part.colorbar(scale, ax=list(grid), extend=extend, label=label(found.quantity, unit), pad=0.01)
