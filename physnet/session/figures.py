"""A run in pictures. Nothing is drawn that the session does not hold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..errors import SessionError
from ..printable import printable
from .reader import Run

_MANY = 150  # steps from which single ones hide the course
_DPI = 130


def write_figures(run: Run, folder: Path) -> list[Path]:
    """Draw the learning curve, the confusion matrix and what the physics answered, as far as they were recorded.

    Args:
        run: The run.
        folder: Where the PNG files go; made if missing.

    Returns:
        The files written: any of `learning.png`, `confusion.png`, `responses.png`.

    Raises:
        SessionError: The folder can't be written to.
    """
    figures = {"learning.png": _learning(run), "confusion.png": _confusion(run), "responses.png": _responses(run)}
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            if figure is not None:
                FigureCanvasAgg(figure).print_figure(folder / name, dpi=_DPI)
                written.append(folder / name)
    except OSError as error:
        raise SessionError(f"figures can't be written to {folder}: {error}. Choose another folder.") from error
    return written


def _title(run: Run, what: str) -> str:
    ending = "" if run.status == "done" else f", {run.status} before its end"
    return f"{run.title}\n{what}; physics: {run.kinds}{ending}"


def _colours(run: Run) -> list[Any]:
    return [mpl.colormaps["viridis"](x) for x in np.linspace(0.0, 0.8, len(run.layers))]


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(_text(title), fontsize=11)
    return figure


def _label(name: str, unit: str) -> str:
    return _text(name.replace("_", " ") + ("" if unit in ("1", "") else f" / {unit}"))


def _text(text: str) -> str:
    """Return text from a session as matplotlib takes it: no formula, and nothing that no font has."""
    return printable(text).replace("$", r"\$")


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)


def _learning(run: Run) -> Figure | None:
    latest = _latest(run.steps)
    steps, epochs = run.steps["step"][latest], run.epochs
    validated = np.isfinite(epochs["validation_accuracy"])
    names = [name for name in run.metrics if len(steps) and np.isfinite(run.steps[name]).any()]
    panels = len(names) + int(validated.any())
    if panels == 0:
        return None
    figure = _figure(8, 1.1 + 2.2 * panels, _title(run, "Learning curve"))
    grid = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    colours = _colours(run)
    window = max(len(steps) // 50, 5) if len(steps) > _MANY else 1
    for axes, name in zip(grid, names, strict=False):
        values = run.steps[name][latest]
        for layer, colour in enumerate(colours):
            if window > 1:
                axes.plot(steps, values[:, layer], color=colour, alpha=0.15, linewidth=0.6)
            smooth = _smooth(values[:, layer], window)
            offset = (len(steps) - len(smooth)) // 2
            middle = steps[offset : offset + len(smooth)]
            axes.plot(middle, smooth, color=colour, linewidth=1.5, label=_text(run.layers[layer]))
        axes.set_ylabel(_label(name, run.metrics[name]))
        _plain(axes)
    if window > 1:
        grid[0].set_title(f"thin: each step; thick: mean of {window} steps", fontsize=8, loc="left", color="0.35")
    if validated.any():
        axes, x = grid[-1], epochs["step"][validated]
        for layer, colour in enumerate(colours):
            values = 100 * epochs["layer_accuracy"][validated, layer]
            if np.isfinite(values).any():
                axes.plot(
                    x, values, color=colour, marker="o", markersize=3, linewidth=1, label=_text(run.layers[layer])
                )
        accuracy = 100 * epochs["validation_accuracy"][validated]
        axes.plot(x, accuracy, color="black", marker="s", markersize=4, linewidth=1.5, label="network")
        axes.set_ylabel("validation\naccuracy / %")
        _plain(axes)
    grid[-1].set_xlabel("step")
    figure.align_ylabels(grid)
    lines = {label: line for axes in grid for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        lines.values(), lines, loc="outside lower center", ncols=min(len(lines), 7), frameon=False, fontsize=9
    )
    return figure


def _latest(steps: Any) -> NDArray[np.int64]:
    """Rows of the last attempt of each step."""
    last = {int(step): row for row, step in enumerate(steps["step"])}
    return np.asarray(sorted(last.values()), dtype=np.int64)


def _smooth(values: NDArray[Any], window: int) -> NDArray[Any]:
    return values if window == 1 else np.convolve(values, np.ones(window) / window, mode="valid")


def _confusion(run: Run) -> Figure | None:
    if run.result is None or math.isnan(run.result.test_accuracy) or not run.result.confusion.size:
        return None
    counts, classes = run.result.confusion, len(run.classes)
    if counts.min() < 0 or counts.sum() == 0:
        return None
    size = 2.8 + 0.3 * classes
    what = f"Test accuracy {100 * run.result.test_accuracy:.2f} % of {counts.sum()} samples"
    figure = _figure(size + 1.2, size + 0.4, _title(run, what))
    axes = figure.subplots()
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for true, predicted in np.argwhere(counts > 0):
        axes.text(
            predicted,
            true,
            str(counts[true, predicted]),
            ha="center",
            va="center",
            fontsize=8 if classes <= 12 else 6,
            color="white" if share[true, predicted] > 55 else "black",
        )
    longest = max(map(len, run.classes))
    names = [_text(name) for name in run.classes]
    axes.set_xticks(range(classes), names, rotation=90 if longest > 2 else 0, fontsize=9)
    axes.set_yticks(range(classes), names, fontsize=9)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.9", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    figure.colorbar(image, ax=axes, label="share of the true class / %", shrink=0.9)
    return figure


def _responses(run: Run) -> Figure | None:
    if not run.responses:
        return None
    rows = len(run.responses)
    note = f" ({rows} of {len(run.layers)} layers recorded)" if rows < len(run.layers) else ""
    figure = _figure(9.5, 1.0 + 2.3 * rows, _title(run, f"Responses to the standardisation sample{note}"))
    grid = figure.subplots(rows, 2, squeeze=False, width_ratios=(1, 1.5))
    colours = _colours(run)
    for (left, right), statistics in zip(grid, run.responses, strict=True):
        colour = colours[statistics.layer]
        system = run.layer_systems[statistics.layer]
        left.stairs(statistics.histogram, statistics.edges, fill=True, color=colour, alpha=0.8)
        left.set_ylabel("count")
        left.set_xlabel(_label("response", statistics.unit))
        left.set_title(_text(f"{run.layers[statistics.layer]}: {system} ({run.kind(system)})"), fontsize=9, loc="left")
        mean, deviation = statistics.mean, statistics.deviation
        channel = np.arange(len(mean))
        if len(mean) <= 64:
            right.errorbar(channel, mean, deviation, fmt="o", markersize=3, linewidth=1, color=colour)
            right.plot(channel, statistics.minimum, "_", channel, statistics.maximum, "_", color="0.6", markersize=5)
        else:
            right.fill_between(channel, statistics.minimum, statistics.maximum, color="0.9", linewidth=0)
            right.fill_between(channel, mean - deviation, mean + deviation, color=colour, alpha=0.35, linewidth=0)
            right.plot(channel, mean, color=colour, linewidth=1)
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.set_xlabel("response channel")
        right.set_ylabel(_label("response", statistics.unit))
        counts = f"{statistics.rows} rows, {statistics.clipped_rows} clipped; {statistics.dead_channels} dead channels"
        right.set_title(f"mean, ±1 standard deviation, extremes; {counts}", fontsize=9, loc="left")
        for axes in (left, right):
            _plain(axes)
    return figure
