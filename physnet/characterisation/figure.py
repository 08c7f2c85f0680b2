"""A characterisation as one picture. Nothing is drawn that the file does not hold."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from ..errors import SessionError
from .quantities import CONFIDENCE, Characterisation

_BLUE, _RED, _GREY = "#33638d", "#b5382c", "0.55"
_SHARES = {
    "mixing": "mixing, halves",
    "mixing_pairs": "mixing, pairs",
    "odd_part": "odd part",
    "even_part": "even part",
    "shape_change": "pattern over scale",
    "memory": "memory",
    "relative_noise": "noise",
    "drift": "drift / 1000 passes",
    "wander": "wander / 1000 passes",
}


def write_figure(found: Characterisation, path: Path) -> Path:
    """Draw signal and noise, rank, scaling, mixing and drift, and what they mean.

    Args:
        found: What was measured.
        path: The PNG file.

    Returns:
        `path`.

    Raises:
        SessionError: It can't be written.
    """
    text = "\n".join(
        textwrap.fill(_plain(sentence).replace("+-", "±"), 185, initial_indent="•  ", subsequent_indent="    ")
        for sentence in found.sentences
    )
    lines = text.count("\n") + 1
    below = 0.35 + 0.175 * lines
    height = 8.1 + below
    figure = Figure(figsize=(13, height))
    figure.suptitle(
        f"{_plain(found.name)} ({found.kind.upper()}): {found.count.passes} passes, {found.created[:16]}",
        fontsize=13,
        y=1 - 0.2 / height,
        va="top",
    )
    grid = figure.subplots(
        2,
        3,
        gridspec_kw={
            "left": 0.075,
            "right": 0.985,
            "top": 1 - 0.85 / height,
            "bottom": (below + 1.15) / height,
            "hspace": 0.42,
            "wspace": 0.32,
        },
    )
    for axes, draw in zip(grid.flat, (_channels, _spectrum, _scaling, _shares, _drift, _memory), strict=True):
        draw(axes, found)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    figure.text(0.03, below / height - 0.1 / height, text, va="top", fontsize=9, linespacing=1.25)
    try:
        FigureCanvasAgg(figure).print_figure(path, dpi=120)
    except OSError as error:
        raise SessionError(f"figure {path} can't be written: {error}. Choose another folder.") from error
    return path


def _channels(axes: Axes, found: Characterisation) -> None:
    signal, noise = found.traces["signal_per_channel"], found.traces["noise_per_channel"]
    channel = np.arange(len(signal.values))
    style = {"marker": "o", "markersize": 3, "linestyle": "none" if len(channel) <= 64 else "-", "linewidth": 0.8}
    if len(channel) > 150:
        style["marker"] = ""
    axes.plot(channel, np.where(signal.values > 0, signal.values, np.nan), color=_BLUE, label="signal", **style)  # type: ignore[arg-type]
    quiet = not found["noise"].resolved
    if not quiet:
        axes.plot(channel, noise.values, color=_RED, label="noise", **style)  # type: ignore[arg-type]
    else:
        axes.axhline(found["noise"].floor, color=_GREY, linestyle="--", label="rounding; no noise above it")
    _decades(axes)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("response channel")
    axes.set_ylabel(_label("standard deviation", signal.unit))
    ratio = found["snr"]
    said = f"signal to noise {ratio}" if ratio.resolved else "noise not resolved"
    _title(axes, said)
    _legend(axes)


def _spectrum(axes: Axes, found: Characterisation) -> None:
    values, threshold = found.traces["eigenvalues"].values, found.traces["eigenvalue_threshold"].values
    number = np.arange(1, len(values) + 1)
    axes.plot(number, np.where(values > 0, values, np.nan), color=_BLUE, marker="o", markersize=3, linewidth=0.8)
    axes.plot(number, np.where(threshold > 0, threshold, np.nan), color=_GREY, linestyle="--", label="to be exceeded")
    rank = found["rank"]
    least = "≥ " if "at least" in rank.about else ""
    axes.axvline(rank.value + 0.5, color=_RED, linewidth=1, label=f"rank {least}{rank.value:.0f}")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("direction of response space")
    axes.set_ylabel(f"signal power / {'noise' if found['noise'].resolved else 'rounding'} power")
    _title(axes, f"rank {least}{rank.value:.0f}; participation ratio {found['participation_ratio']}")
    _legend(axes)


def _scaling(axes: Axes, found: Characterisation) -> None:
    degree = found["degree"]
    axes.set_xlabel("scale of the drive a")
    axes.set_ylabel("response f(a x) / f(x)")
    if "ratio" not in found.traces:
        _empty(axes, degree.about)
        return
    scale, ratio = found.traces["scale"].values, found.traces["ratio"].values
    noise = found.traces["ratio_noise"].values
    axes.plot(scale, np.where(ratio > 0, ratio, np.nan).T, color=_BLUE, alpha=0.25, linewidth=0.8)
    median = np.nanmedian(ratio, axis=0)
    axes.errorbar(
        scale,
        np.where(median > 0, median, np.nan),
        noise,
        fmt="o",
        color=_BLUE,
        markersize=4,
        label="median, noise of one drive",
    )
    if degree.resolved:
        law = scale**degree.value
        law *= np.exp(np.mean(np.log(median / law))) if np.all(median > 0) else 1.0
        axes.plot(scale, law, color=_RED, linestyle="--", label=f"power law, p = {degree}".replace("+-", "±"))
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = [0.2, 0.3, 0.5, 0.7, 1.0]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    ticks = [
        tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0) if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]
    ]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.set_minor_formatter(NullFormatter())
    bend = found["degree_change"]
    change = f"bends by {bend.value:+.2g}" if bend.resolved else f"bends by < {bend.floor:.2g}"
    _title(axes, f"degree {degree}; {change}" if degree.resolved else f"degree {degree}")
    _legend(axes)


def _shares(axes: Axes, found: Characterisation) -> None:
    names = [name for name in _SHARES if not math.isnan(found[name].value)]
    place = np.arange(len(names))
    low = 1e-5
    for x, name in zip(place, names, strict=True):
        one = found[name]
        if one.resolved and one.value > low:
            error = 0.0 if math.isnan(one.error) else min(one.error, 0.9 * one.value)
            axes.bar(x, one.value - low, bottom=low, color=_BLUE, width=0.62)
            axes.errorbar(x, one.value, error, color="black", capsize=3, linewidth=1)
        else:
            top = max(one.floor, 3 * low)
            axes.plot([x - 0.31, x + 0.31], [top, top], color=_GREY, linewidth=2)
            axes.annotate(
                "",
                (x, top / 2.5),
                (x, top),
                arrowprops={"arrowstyle": "->", "color": _GREY, "shrinkA": 0, "shrinkB": 0},
            )
    axes.set_yscale("log")
    axes.set_ylim(low, 3)
    axes.set_xticks(
        place, [_SHARES[name] for name in names], rotation=40, ha="right", fontsize=8, rotation_mode="anchor"
    )
    axes.set_ylabel("share of the response")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    _title(axes, f"bars: claimed; arrows: upper limit ({100 * CONFIDENCE:.1f} %)")


def _drift(axes: Axes, found: Characterisation) -> None:
    number = 0
    while f"sentinel{number}_place" in found.traces:
        place, size = (found.traces[f"sentinel{number}_{what}"].values for what in ("place", "size"))
        colour = (_BLUE, _RED, "#3c8f5a")[number % 3]
        axes.plot(place, 100 * (size - 1), "o", markersize=2.5, color=colour, alpha=0.7, label=f"sentinel {number + 1}")
        number += 1
    axes.axhline(0, color=_GREY, linewidth=0.8)
    if found["gain_drift"].resolved:
        x = np.array([0, sum(found.plan.values())])
        axes.plot(
            x, 100 * found["gain_drift"].value / 1000 * (x - x.mean()), color="black", linewidth=1.2, label="gain"
        )
    axes.set_xlabel("place in the session / passes")
    axes.set_ylabel("change along the mean response / %")
    _title(axes, f"drift {_percent(found, 'drift')}, wander {_percent(found, 'wander')} in 1000 passes")
    _roomy(
        axes,
        max(
            (100 * float(np.abs(found.traces[f"sentinel{n}_size"].values - 1).max()) for n in range(number)), default=0
        ),
    )
    if number:
        axes.legend(fontsize=8, frameon=False, loc="upper center", ncols=4, columnspacing=1, handletextpad=0.2)


def _memory(axes: Axes, found: Characterisation) -> None:
    memory = found["memory"]
    axes.set_xlabel("replicate")
    axes.set_ylabel("trace of the row before / %")
    if "memory_trace" not in found.traces:
        _empty(axes, memory.about)
        return
    for number, trace_K in enumerate(found.traces["memory_trace"].values):
        colour = (_BLUE, _RED)[number % 2]
        axes.plot(np.arange(len(trace_K)), 100 * trace_K, "o", markersize=4, color=colour, label=f"probe {number + 1}")
        axes.axhline(100 * float(trace_K.mean()), color=colour, linewidth=0.8, linestyle="--")
    axes.axhline(0, color=_GREY, linewidth=0.8)
    _roomy(axes, 100 * float(np.abs(found.traces["memory_trace"].values).max()))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _title(axes, f"memory of the row before: {_percent(found, 'memory')}")
    axes.legend(fontsize=8, frameon=False, loc="upper center", ncols=2)


def _percent(found: Characterisation, name: str) -> str:
    one = found[name]
    if math.isnan(one.value):
        return "not measured"
    return f"{100 * one.value:.3g} %" if one.resolved else f"< {max(100 * one.floor, 1e-3):.2g} %"


def _roomy(axes: Axes, largest: float) -> None:
    """Leave room for the legend above the points; rounding of a noiseless simulation is no picture of its own."""
    low, high = axes.get_ylim()
    if largest < 1e-3:
        low, high = -1e-3, 1e-3
    axes.set_ylim(low, high + 0.18 * (high - low))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text.replace("+-", "±"), fontsize=10, loc="left")


def _decades(axes: Axes) -> None:
    """A logarithmic axis that shows a decade at least, so that it has numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    middle = math.sqrt(low * high)
    axes.set_ylim(min(low / 1.5, middle / 12), max(high * 1.5, middle * 12))


def _empty(axes: Axes, why: str) -> None:
    axes.text(0.5, 0.5, textwrap.fill(_plain(why), 40), ha="center", va="center", transform=axes.transAxes, color=_GREY)
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(axes: Axes) -> None:
    axes.legend(fontsize=8, frameon=False, loc="best")


def _label(name: str, unit: str) -> str:
    return f"{name} / {_plain(unit)}"


def _plain(text: str) -> str:
    return text.replace("$", r"\$")
