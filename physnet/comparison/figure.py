"""A comparison of rules in a picture: validation accuracy against training passes, and test accuracies in pairs."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ..errors import SessionError
from .rules import Findings, RuleComparison
from .store import Outcome

_DPI = 130
_BASELINE = "0.45"
_DASHES = ("--", ":", "-.")
# Of matplotlib's ten, all but the grey of the baselines: with ten markers, the first ninety rules differ.
_COLOURS = tuple(to_hex(colormaps["tab10"](number)) for number in range(10) if number != 7)
_MARKERS = "osD^vPX*<>"


def write_figure(comparison: RuleComparison, findings: Findings, path: Path) -> Path:
    """Draw a comparison.

    Args:
        comparison: The comparison.
        findings: What it found.
        path: The PNG file; its folder is made if missing.

    Returns:
        `path`.

    Raises:
        SessionError: It can't be written to.
    """
    names = [*findings.rules, *findings.baselines]
    figure = Figure(figsize=(11, max(4.2, 1.8 + 0.36 * len(names))), layout="constrained")
    title = textwrap.shorten(comparison.first.title or comparison.first.source or "rules", 90, placeholder="...")
    ranking = findings.ranking
    verdict = f"{ranking.outcome}{f': {ranking.leader}' if ranking.outcome == 'best' else ''}"
    what = f"{len(findings.rules)} rules, {len(comparison.seeds)} seeds; physics: {findings.physics}; {verdict}"
    figure.suptitle(f"{title}\n{what}".replace("$", r"\$"), fontsize=11)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    look = appearance(list(findings.rules))
    _curves(left, findings, look)
    _accuracies(right, findings, names, look)
    save(figure, path)
    return path


def appearance(names: list[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each rule, in their order: told apart in print and by the colour-blind, too."""
    return {
        name: (_COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]) for number, name in enumerate(names)
    }


def save(figure: Figure, path: Path) -> None:
    """Write a figure.

    Raises:
        SessionError: It can't be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        FigureCanvasAgg(figure).print_figure(path, dpi=_DPI)
    except OSError as error:
        raise SessionError(f"the figure can't be written to {path}: {error}. Choose another folder.") from error


def plain_axes(axes: Axes, grid: str = "both") -> None:
    """Take away what says nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, alpha=0.25, linewidth=0.6)  # type: ignore[arg-type]


def _curves(axes: Axes, findings: Findings, look: Mapping[str, tuple[str, str]]) -> None:
    """Draw a thin line a seed and a thick one for the mean of those that have come that far."""
    strength = 0.45 if len(findings.rules) <= 5 else 0.2
    for name, found in findings.rules.items():
        colour, marker = look[name]
        for one in found.values():
            axes.plot(*_columns(one), color=colour, linewidth=0.6, alpha=strength)
        passes, means = _mean_curve(found)
        axes.plot(passes, means, color=colour, linewidth=1.8, marker=marker, markersize=4, label=name)
    shown = [name for name, found in findings.baselines.items() if any(one.curve for one in found.values())]
    for name, dashes in zip(shown, itertools.cycle(_DASHES), strict=False):
        passes, means = _mean_curve(findings.baselines[name])
        label = f"{name.replace('_', ' ')} (baseline)"
        axes.plot(passes, means, color=_BASELINE, linewidth=1.4, linestyle=dashes, label=label)
    if findings.target == findings.target:
        axes.axhline(100 * findings.target, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_xlim(left=0)
    axes.set_xlabel("training passes")
    axes.set_ylabel("validation accuracy / %")
    legend = "thin: seeds; thick: mean; grey: baselines; dotted across: target"
    axes.set_title(legend, fontsize=8, loc="left", color="0.35")
    if any(found for found in findings.rules.values()):
        axes.legend(fontsize=8, frameon=False, loc="best", ncols=1 + (len(findings.rules) > 5))
    plain_axes(axes)


def _accuracies(axes: Axes, findings: Findings, names: list[str], look: Mapping[str, tuple[str, str]]) -> None:
    """Draw a point a seed; a thin line joins the points of one seed."""
    together = {**findings.rules, **findings.baselines}
    seeds = sorted({seed for found in together.values() for seed in found})
    for number, seed in enumerate(seeds):
        offset = 0.0 if len(seeds) == 1 else 0.36 * (number / (len(seeds) - 1) - 0.5)
        points = [
            (100 * together[name][seed].test_accuracy, row + offset, name)
            for row, name in enumerate(names)
            if seed in together[name]
        ]
        axes.plot([x for x, _, _ in points], [y for _, y, _ in points], color="0.85", linewidth=0.6, zorder=1)
        for x, y, name in points:
            colour, marker = look.get(name, (_BASELINE, "o"))
            axes.plot(x, y, marker, color=colour, markersize=4.5, zorder=2)
    for row, name in enumerate(names):
        mean = float(np.mean([100 * one.test_accuracy for one in together[name].values()]))
        axes.plot([mean] * 2, [row - 0.3, row + 0.3], color="black", linewidth=1.6, zorder=3)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=9)
    axes.set_ylim(len(names) - 0.5, -0.5)
    if findings.rules and findings.baselines:
        axes.axhline(len(findings.rules) - 0.5, color="0.8", linewidth=0.8)
    axes.set_xlabel("test accuracy / %")
    axes.set_title(
        "points: seeds, joined where paired; bar: mean; grey: baselines", fontsize=8, loc="left", color="0.35"
    )
    plain_axes(axes, "x")


def _columns(one: Outcome) -> tuple[list[int], list[float]]:
    return [passes for passes, _ in one.curve], [100 * accuracy for _, accuracy in one.curve]


def _mean_curve(found: Mapping[int, Outcome]) -> tuple[list[int], list[float]]:
    """Return the mean over seeds at each number of passes that all of them were validated at."""
    curves = [dict(one.curve) for one in found.values() if one.curve]
    if not curves:
        return [], []
    passes = sorted(set(curves[0]).intersection(*curves[1:]))
    return passes, [100 * sum(curve[at] for curve in curves) / len(curves) for at in passes]
