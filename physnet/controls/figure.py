"""The network and its controls in a picture: paired accuracies, and differences against the margin."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import SessionError
from .kinds import NETWORK
from .study import Findings, Study

_DPI = 130
_COLOURS = {"helps": "#1b7837", "hurts": "#b2182b"}
_NETWORK, _CONTROL = "black", "#3b6ea5"


def write_figure(study: Study, findings: Findings, path: Path) -> Path:
    """Draw a study.

    Args:
        study: The study.
        findings: What it found.
        path: The PNG file; its folder is made if missing.

    Returns:
        `path`.

    Raises:
        SessionError: It can't be written to.
    """
    names = list(findings.trainings)
    figure = Figure(figsize=(10.5, 1.9 + 0.42 * len(names)), layout="constrained")
    title = textwrap.shorten(study.run.title, 90, placeholder="...")
    verdict = findings.verdict
    what = f"Controls, {study.repeats} seeds; physics: {findings.kinds}; verdict: {verdict.outcome}"
    figure.suptitle(f"{title}\n{what}".replace("$", r"\$"), fontsize=11)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    _accuracies(left, findings, names)
    _differences(right, study, findings, names)
    left.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=9)
    left.set_ylim(len(names) - 0.5, -0.5)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        FigureCanvasAgg(figure).print_figure(path, dpi=_DPI)
    except OSError as error:
        raise SessionError(f"the figure can't be written to {path}: {error}. Choose another folder.") from error
    return path


def _accuracies(axes: Axes, findings: Findings, names: list[str]) -> None:
    """Draw a point a seed; a thin line joins the points of one seed."""
    seeds = sorted({one.seed for found in findings.trainings.values() for one in found})
    for number, seed in enumerate(seeds):
        offset = 0.0 if len(seeds) == 1 else 0.36 * (number / (len(seeds) - 1) - 0.5)
        points = [
            (100 * one.test_accuracy, row + offset, name)
            for row, name in enumerate(names)
            for one in findings.trainings[name]
            if one.seed == seed
        ]
        axes.plot([x for x, _, _ in points], [y for _, y, _ in points], color="0.8", linewidth=0.6, zorder=1)
        for x, y, name in points:
            axes.plot(x, y, "o", color=_NETWORK if name == NETWORK else _CONTROL, markersize=4, zorder=2)
    for row, name in enumerate(names):
        mean = sum(one.test_accuracy for one in findings.trainings[name]) / len(findings.trainings[name])
        axes.plot([100 * mean] * 2, [row - 0.32, row + 0.32], color="#d95f02", linewidth=2, zorder=3)
    axes.set_xlabel("test accuracy / %")
    axes.set_title("points: seeds, joined where paired; bar: mean", fontsize=8, loc="left", color="0.35")
    _plain(axes)


def _differences(axes: Axes, study: Study, findings: Findings, names: list[str]) -> None:
    margin, share = 100 * study.settings.margin, 100 * study.settings.confidence
    axes.axvspan(-margin, margin, color="0.88", linewidth=0, zorder=0)
    axes.axvline(0, color="0.5", linewidth=0.8, zorder=1)
    for one in findings.verdict.comparisons:
        row = names.index(one.control)
        colour = _COLOURS["helps"] if one.low > study.settings.margin else "0.25"
        if one.high_of_all < -study.settings.margin:
            colour = _COLOURS["hurts"]
        if not math.isnan(one.low):
            axes.plot([100 * one.low, 100 * one.high], [row, row], color=colour, linewidth=2, solid_capstyle="butt")
        axes.plot(100 * one.difference, row, "D", color=colour, markersize=5)
    axes.set_xlabel("network - control / points of test accuracy")
    note = f"{share:g} % intervals (corrected resampled t); grey: declared margin of ±{margin:g}"
    axes.set_title(note, fontsize=8, loc="left", color="0.35")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25, linewidth=0.6)
