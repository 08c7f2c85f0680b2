"""A figure of what a system answers: one drive and its response, a few drives beside each other, and their noise.

Axis letters: N rows; D drive channels; R response channels; K repetitions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..contracts import SystemSpec
from .drawing import COLOURS, SIGNED, SIZES
from .figures import plain, save
from .picture import Axis
from .units import label, largest, prefix

_BARS = 130  # channels, up to which each has a mark
_ROUNDING = 64.0  # in units of the last digit, below which repetitions differ by rounding only


def write_response(
    spec: SystemSpec,
    drive_ND: NDArray[Any],
    response_NR: NDArray[Any],
    repeat_KR: NDArray[Any],
    path: Path,
    *,
    title: str,
) -> Path:
    """Draw what was measured.

    Args:
        spec: The system.
        drive_ND: Rows, the first one shown.
        response_NR: Their responses.
        repeat_KR: Responses of the first row, again and again.
        path: The PNG file.
        title: Above it.

    Raises:
        SessionError: The file can't be written.
    """
    figure = Figure(figsize=(13, 7.6), layout="constrained")
    figure.suptitle(plain(title), fontsize=12)
    grid = figure.subplots(2, 3)
    factor, unit = prefix(spec.response.unit, largest(response_NR))
    quantity = label(Axis(name="response"), plain(unit))
    if spec.response.complex:
        quantity = label(Axis(name="|response|"), plain(unit))
    answers_NR, repeats_KR = factor * response_NR, factor * repeat_KR
    _drive(grid[0, 0], spec, drive_ND[0])
    _answer(grid[0, 1], answers_NR[0], repeats_KR, quantity)
    _rows(figure, grid[0, 2], answers_NR, quantity, signed=not spec.response.complex and bool(answers_NR.min() < 0))
    _noise(grid[1, 0], repeats_KR, spec, plain(unit))
    _spread(grid[1, 1], answers_NR, quantity, plain(unit))
    _alike(figure, grid[1, 2], answers_NR)
    for axes in (grid[0, 0], grid[0, 1], grid[1, 0], grid[1, 1]):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
    return save(figure, path)


def _drive(axes: Axes, spec: SystemSpec, drive_D: NDArray[Any]) -> None:
    value = np.asarray(drive_D).ravel()
    size = np.abs(value) if np.iscomplexobj(value) else value.astype(np.float64)
    factor, unit = prefix(spec.drive.unit, largest(size))
    _plot(axes, factor * size, COLOURS[1])
    name = "|drive|" if np.iscomplexobj(value) else "drive"
    axes.set_xlabel("drive channel")
    axes.set_ylabel(label(Axis(name=name), plain(unit)))
    axes.set_title(f"what goes in: {len(size)} channels", fontsize=10, loc="left")


def _answer(axes: Axes, answer_R: NDArray[Any], repeat_KR: NDArray[Any], quantity: str) -> None:
    value_R = np.abs(answer_R) if np.iscomplexobj(answer_R) else answer_R
    repeats_KR = np.abs(repeat_KR) if np.iscomplexobj(repeat_KR) else repeat_KR
    low_R, high_R = repeats_KR.min(0), repeats_KR.max(0)
    varies = bool(np.any(high_R > low_R))
    axes.vlines(np.arange(len(value_R)), low_R, high_R, color="0.6", linewidth=2.5)
    _plot(axes, value_R, COLOURS[0])
    axes.set_xlabel("response channel")
    axes.set_ylabel(quantity)
    said = " (grey: least to largest of repetitions)" if varies else f": {len(value_R)} channels"
    axes.set_title(f"what comes back{said}", fontsize=10, loc="left")


def _rows(figure: Figure, axes: Axes, answer_NR: NDArray[Any], quantity: str, *, signed: bool) -> None:
    value_NR = np.abs(answer_NR) if np.iscomplexobj(answer_NR) else answer_NR
    top = largest(value_NR) or 1.0
    drawn = axes.imshow(
        value_NR, aspect="auto", interpolation="nearest", cmap=SIGNED if signed else SIZES,
        vmin=-top if signed else min(0.0, float(value_NR.min())), vmax=top,
    )  # fmt: skip
    figure.colorbar(drawn, ax=axes, label=quantity, pad=0.02)
    axes.set_xlabel("response channel")
    axes.set_ylabel("drive")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_yticks(range(len(value_NR)), ["shown", *(f"{n}" for n in range(2, len(value_NR) + 1))])
    axes.set_title("a few drives beside each other", fontsize=10, loc="left")


def _noise(axes: Axes, repeat_KR: NDArray[Any], spec: SystemSpec, unit: str) -> None:
    spread_R = repeat_KR.std(0, ddof=1)
    rms = float(np.sqrt(np.mean(np.abs(repeat_KR) ** 2))) or 1.0
    share = float(np.sqrt(np.mean(np.abs(spread_R) ** 2))) / rms
    axes.set_xlabel("response channel")
    axes.set_ylabel(label(Axis(name="standard deviation"), unit))
    digits = np.finfo(np.dtype(spec.response.dtype)).eps if np.dtype(spec.response.dtype).kind in "fc" else 0.0
    said = f"{len(repeat_KR)} passes of one drive: "
    if share <= _ROUNDING * digits:
        axes.set_xlim(-0.5, len(spread_R) - 0.5)
        axes.set_yticks([0])
        axes.text(0.5, 0.5, "repetitions agree", ha="center", transform=axes.transAxes, color="0.35")
        said += "no noise"
    else:
        _plot(axes, np.abs(spread_R), COLOURS[3])
        axes.set_ylim(bottom=0)
        said += f"noise {100 * share:.2g} % of the RMS"
    axes.set_title(said, fontsize=10, loc="left")


def _spread(axes: Axes, answer_NR: NDArray[Any], quantity: str, unit: str) -> None:
    if np.iscomplexobj(answer_NR):
        axes.plot(answer_NR.real.ravel(), answer_NR.imag.ravel(), ".", color="0.7", markersize=3, label="all drives")
        axes.plot(answer_NR[0].real, answer_NR[0].imag, ".", color=COLOURS[0], markersize=5, label="shown")
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xlabel(label(Axis(name="real part"), unit))
        axes.set_ylabel(label(Axis(name="imaginary part"), unit))
        axes.set_title("responses in the complex plane", fontsize=10, loc="left")
    else:
        edges = np.histogram_bin_edges(answer_NR.ravel().astype(np.float64), bins=32).tolist()
        axes.hist(answer_NR.ravel(), edges, color="0.8", label="all drives")
        axes.hist(answer_NR[0], edges, histtype="step", color=COLOURS[0], linewidth=1.5, label="shown")
        axes.set_xlabel(quantity)
        axes.set_ylabel("channels")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title("how often a value occurs", fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False)


def _alike(figure: Figure, axes: Axes, answer_NR: NDArray[Any]) -> None:
    """Correlation of the responses of each two drives, without what all drives have in common."""
    change_NR = answer_NR - answer_NR.mean(0)
    size_N = np.linalg.norm(change_NR, axis=1)
    size_N = np.where(size_N > 0, size_N, 1.0)
    alike_NN = np.real(change_NR @ change_NR.conj().T) / np.outer(size_N, size_N)
    drawn = axes.imshow(alike_NN, cmap=SIGNED, vmin=-1, vmax=1)
    figure.colorbar(drawn, ax=axes, label="correlation", pad=0.02)
    names = ["shown", *(f"{n}" for n in range(2, len(answer_NR) + 1))]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("drive")
    axes.set_ylabel("drive")
    axes.set_title("how alike responses are, less their mean", fontsize=10, loc="left")


def _plot(axes: Axes, value: NDArray[Any], colour: str) -> None:
    channel = np.arange(len(value))
    if len(value) <= _BARS:
        axes.plot(channel, value, "o", markersize=4, color=colour)
        axes.vlines(channel, np.minimum(value, 0), np.maximum(value, 0), color=colour, linewidth=0.7, alpha=0.6)
    else:
        axes.plot(channel, value, color=colour, linewidth=0.9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
