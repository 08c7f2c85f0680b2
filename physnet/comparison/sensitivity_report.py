"""What rules bear, in plain text and in a picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .changes import UNITS, Value
from .figure import appearance, plain_axes, save
from .report import interval
from .sensitivity import Bearing, Sensitivity
from .store import Outcome

_WIDTH = 116
_NAME = 20
_DECADES = 1.3  # of positive values, from which on an axis is logarithmic


def report(sensitivity: Sensitivity, bearing: Bearing) -> str:
    """Return a row for each rule and value: accuracy, and its change since the first value."""
    share = f"{100 * sensitivity.confidence:g} %"
    about = f"change since the first value, {share} of a rule's"
    lines = [f"{'rule':<{_NAME}}{sensitivity.of:>20}{'test accuracy / %':>20}{'seeds':>7}{about:>49}"]
    for name in sensitivity.names:
        for value in sensitivity.values:
            found = bearing.outcomes.get((name, value))
            if not found:
                continue
            change = bearing.changes.get((name, value))
            cells = f"{value!s:>20}{_spread(found):>20}{len(found):>7}{interval(change) if change else '':>49}"
            lines.append(f"{name:<{_NAME}}{cells}")
    for text in (f"{bearing.physics} physics; {unit(sensitivity.of)}", *bearing.notes):
        lines += textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_long_words=False)
    return "\n".join(lines)


def write_figure(sensitivity: Sensitivity, bearing: Bearing, path: Path) -> Path:
    """Draw accuracy against what was changed: mean and standard deviation over seeds, a line a rule.

    Args:
        sensitivity: What was trained.
        bearing: What it came to.
        path: The PNG file; its folder is made if missing.

    Returns:
        `path`.

    Raises:
        SessionError: It can't be written to.
    """
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    title = textwrap.shorten(sensitivity.first.title or sensitivity.first.source, 80, placeholder="...")
    what = f"{len(sensitivity.seeds)} seeds; physics: {bearing.physics}"
    figure.suptitle(f"{title}\n{what}".replace("$", r"\$"), fontsize=11)
    axes = figure.subplots()
    places = _places(axes, sensitivity.values)
    look = appearance(list(sensitivity.names))
    for name in sensitivity.names:
        drawn = [value for value in sensitivity.values if _tested(bearing.outcomes.get((name, value), {}))]
        points = [_tested(bearing.outcomes[name, value]) for value in drawn]
        means = [float(np.mean(found)) for found in points]
        spread = [float(np.std(found, ddof=1)) if len(found) > 1 else 0.0 for found in points]
        colour, marker = look[name]
        positions = [places[value] for value in drawn]
        axes.errorbar(positions, means, yerr=spread, color=colour, marker=marker, markersize=5, capsize=3, label=name)
    axes.set_xlabel(unit(sensitivity.of))
    axes.set_ylabel("test accuracy / %")
    axes.set_title("mean and standard deviation over seeds", fontsize=8, loc="left", color="0.35")
    axes.legend(fontsize=8, frameon=False)
    plain_axes(axes)
    save(figure, path)
    return path


def unit(of: str) -> str:
    """Return what the values of a setting are, for an axis."""
    return UNITS.get(of, of)


def _places(axes: Axes, values: tuple[Value, ...]) -> Mapping[Value, float]:
    """Return where each value stands on the axis: numbers at their place, words side by side."""
    numbers = [value for value in values if not isinstance(value, str)]
    if len(numbers) < len(values):
        axes.set_xticks(range(len(values)), [str(value) for value in values])
        return {value: float(place) for place, value in enumerate(values)}
    positive = [value for value in numbers if value > 0]
    if min(numbers) >= 0 and positive and math.log10(max(positive) / min(positive)) > _DECADES:
        # Linear below the smallest, so that 0 has a place.
        axes.set_xscale("symlog", linthresh=min(positive))
    axes.set_xticks(numbers, [f"{value:g}" for value in numbers])
    axes.minorticks_off()
    return {value: float(value) for value in numbers}


def _tested(found: Mapping[int, Outcome]) -> list[float]:
    return [100 * one.test_accuracy for one in found.values() if math.isfinite(one.test_accuracy)]


def _spread(found: Mapping[int, Outcome]) -> str:
    values = np.array(_tested(found))
    if not len(values):
        return "none"
    return f"{values.mean():.2f}" + (f" ± {values.std(ddof=1):4.2f}" if len(values) > 1 else "       ")
