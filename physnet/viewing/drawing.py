"""Draws a panel on a pair of axes, and moves what moves in it.

Colours: diverging about zero for what has a sign, perceptually uniform for what has none, cyclic for phases; marks by
shape and by colours that colour-blind people tell apart.

Axis letters: F frames; Y, X pixels; T points of a curve; K marks.

Source:
    M. Okabe, K. Ito, Color Universal Design, 2008 (colours of lines and marks).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from .picture import Axis, Curve, Field, Image, Panel, Points
from .units import label, largest, prefix

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
SIGNED, SIZES, PHASES = "RdBu_r", "viridis", "twilight"
_CLASSES = ("#f4f4f4", "#5a5a5a", "#cfe3ef", "#efe3c4", "#d9c9e0")
_MARKS: dict[str, dict[str, Any]] = {
    "source": {"marker": "^", "color": "#D55E00", "size": 42},
    "receiver": {"marker": "o", "color": "#009E73", "size": 26},
    "nonlinear": {"marker": "*", "color": "#CC79A7", "size": 60},
    "element": {"marker": "s", "color": "#0072B2", "size": 22},
    "wall": {"marker": ".", "color": "0.35", "size": 14},
    "node": {"marker": "o", "color": "#0072B2", "size": 60},
}
_SHARE = 0.998  # of the values that a scale covers: the few cells beside a source would hide everything else
_NUMBERED = 5  # an axis without unit that is longer than that has whole numbers
_SLIGHTLY, _FAR = 1.25, 2.0  # times that scale: what exceeds it by less is within it; by more, on one of the root
Move = Callable[[int], None]
Beside = Callable[..., None]


class Drawer:
    """Draws panels of one set of frames with the same scales everywhere.

    Args:
        figure: Where colour bars go.
        along: What frames run along, for cursors; None where nothing moves.
        at_F: Its values.
    """

    def __init__(self, figure: Figure, along: Axis | None = None, at_F: Any = ()) -> None:
        self._figure, self._along, self._at_F = figure, along, np.asarray(at_F, np.float64)

    @classmethod
    def of(cls, figure: Figure, field: Field, *, still: bool = False) -> Drawer:
        """Return what draws a field; a `still` picture has no cursors."""
        return cls(figure, field.along, () if still else field.at_F)

    def draw(self, axes: Axes, panel: Panel, *, frame: int = -1, bar: bool = True, legend: bool = True) -> Move:
        """Draw a panel as it is in a frame, and return what shows it in another one.

        Args:
            axes: Where.
            panel: What.
            frame: Which frame is shown first.
            bar: Whether there is a colour bar.
            legend: Whether there is a legend.
        """
        (fx, x_unit), (fy, y_unit) = _scales(panel)
        moves: list[Move] = []
        handles: list[Any] = []

        def beside(drawn: ScalarMappable, **options: Any) -> None:
            if bar:
                self._bar(axes, panel, drawn, **options)

        for image in panel.images:
            moves.append(self._image(axes, image, frame, fx, fy, beside, handles))
        moves += [self._curve(axes, curve, n, frame, fx, fy) for n, curve in enumerate(panel.curves)]
        moves += [self._points(axes, points, frame, fx, fy, beside) for points in panel.points]
        if panel.span is not None:
            axes.axvspan(fx * panel.span[0], fx * panel.span[1], color="0.88", zorder=0, label="detected")
        if panel.cursor and len(self._at_F):
            line = axes.axvline(fx * float(self._at_F[frame]), color="black", linewidth=1)
            moves.append(lambda f: line.set_xdata([fx * float(self._at_F[f])] * 2))
        _frame_axes(axes, panel, label(panel.x, x_unit), label(panel.y, y_unit))
        if panel.seen is not None:
            axes.set_xlim(fx * panel.seen[0], fx * panel.seen[1])
        _limit(axes, panel, fy)
        if legend:
            scaled = bool(panel.images) or any(points.values is not None for points in panel.points)
            write_legend(axes, handles, below=scaled or panel.plain or panel.alike)

        def move_all(f: int) -> None:
            for move in moves:
                move(f)

        return move_all

    def _bar(self, axes: Axes, panel: Panel, drawn: ScalarMappable, **options: Any) -> None:
        """Draw a colour bar, as tall as the picture even where its sides have a fixed proportion."""
        if panel.alike and not axes.child_axes:
            self._figure.colorbar(drawn, cax=axes.inset_axes((1.03, 0, 0.045, 1)), **options)
        else:
            self._figure.colorbar(drawn, ax=axes, pad=0.02, **options)

    def _image(
        self, axes: Axes, image: Image, frame: int, fx: float, fy: float, beside: Beside, handles: list[Any]
    ) -> Move:
        left, right, bottom, top = image.extent
        values, moving = image.values, image.values.ndim == 3
        common: dict[str, Any] = {"origin": "lower", "interpolation": "nearest", "aspect": "auto"}
        common["extent"] = (fx * left, fx * right, fy * bottom, fy * top)
        first = values[frame] if moving else values
        if image.names:
            colours = ListedColormap(_CLASSES[: len(image.names)])
            drawn = axes.imshow(first, cmap=colours, vmin=-0.5, vmax=len(image.names) - 0.5, **common)
            present = np.unique(values[np.isfinite(values)]).astype(int)
            handles += [Patch(facecolor=_CLASSES[n], edgecolor="0.4", label=image.names[n]) for n in present]
        else:
            factor, unit = prefix(image.quantity.unit, top_of(values))
            norm, colours, extend = scale_of(values * factor, image)
            drawn = axes.imshow(first * factor, cmap=colours, norm=norm, **common)
            beside(drawn, extend=extend, label=label(image.quantity, unit))

        def move(f: int) -> None:
            if moving:
                drawn.set_data(values[f] * (1.0 if image.names else factor))

        return move

    def _curve(self, axes: Axes, curve: Curve, number: int, frame: int, fx: float, fy: float) -> Move:
        moving = curve.y_T.ndim == 2
        style: dict[str, Any] = {"color": COLOURS[number % len(COLOURS)], "linewidth": 1.3}
        if curve.faint:
            style = {"color": "0.6", "linewidth": 0.8, "zorder": 1}
        if curve.dots:
            style |= {"linestyle": "none", "marker": "o", "markersize": 4}
        style |= {"label": curve.label} if curve.label else {}
        (line,) = axes.plot(fx * curve.x_T, fy * (curve.y_T[frame] if moving else curve.y_T), **style)
        return lambda f: line.set_ydata(fy * curve.y_T[f]) if moving else None

    def _points(self, axes: Axes, points: Points, frame: int, fx: float, fy: float, beside: Beside) -> Move:
        mark = _MARKS[points.kind]
        size = mark["size"] * (1.0 if len(points.x_K) <= 40 else 0.55)
        style: dict[str, Any] = {"marker": mark["marker"], "s": size, "zorder": 3}
        edge: dict[str, Any] = {} if mark["marker"] == "." else {"edgecolors": "white", "linewidths": 0.6}
        x_K, y_K = fx * points.x_K, fy * points.y_K
        if points.values is None:
            axes.scatter(x_K, y_K, color=mark["color"], label=points.label, **style, **edge)
            return lambda f: None
        style["s"] = 70 if len(points.x_K) <= 300 else 12
        values, moving = points.values, points.values.ndim == 2
        factor, unit = prefix(points.quantity.unit, top_of(values))
        norm, colours, extend = scale_of(values * factor, points)
        first = factor * (values[frame] if moving else values)
        drawn = axes.scatter(x_K, y_K, c=first, cmap=colours, norm=norm, edgecolors="0.25", linewidths=0.6, **style)
        beside(drawn, extend=extend, label=label(points.quantity, unit))
        return lambda f: drawn.set_array(factor * values[f]) if moving else None


def scale_of(values: Any, drawn: Image | Points) -> tuple[Normalize, Any, str]:
    """Return the scale of values, its colours, and whether some lie beyond its ends."""
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    most = float(finite.max(initial=0.0))
    colours = colormaps[PHASES if drawn.cyclic else SIGNED if drawn.signed else SIZES].with_extremes(bad="0.55")
    if drawn.cyclic:
        return Normalize(0, 2 * np.pi), colours, "neither"
    share = _SHARE if isinstance(drawn, Image) else 1.0
    if drawn.signed:
        size = np.abs(finite)
        limit = float(np.quantile(size, share)) if size.size else 0.0
        most = float(size.max(initial=0.0))
        limit = (limit if most > _SLIGHTLY * limit else most) or 1.0
        return Normalize(-limit, limit), colours, "both" if most > limit else "neither"
    limit = (float(np.quantile(finite, share)) if finite.size else 0.0) or most or 1.0
    above = most > limit * (1 + 1e-9)
    decades = drawn.decades if isinstance(drawn, Image) else 0.0
    if decades:
        low = limit * 10**-decades
        below = bool(finite.size) and float(finite.min()) < low
        return LogNorm(low, limit), colours, "both" if above and below else "max" if above else "min"
    low = float(finite.min()) if finite.size else 0.0
    # What lies far from zero, such as a speed of sound, would be one colour on a scale from there.
    if low > 0.5 * limit:
        return Normalize(low, max(most, low * (1 + 1e-9))), colours, "neither"
    # A focus would leave everything else in the dark, or be cut off: by the square root both are seen.
    if low >= 0 and most > _FAR * limit:
        return PowerNorm(0.5, 0.0, most), colours, "neither"
    return Normalize(min(low, 0.0), max(limit, most)), colours, "neither"


def mappable(values: Any, drawn: Image | Points) -> tuple[ScalarMappable, str]:
    """Return a scale by itself, for a colour bar that several pictures share."""
    norm, colours, extend = scale_of(values, drawn)
    return ScalarMappable(norm, colours), extend


def _scales(panel: Panel) -> tuple[tuple[float, str], tuple[float, str]]:
    """Return factor and unit of both axes."""
    across = [largest(curve.x_T) for curve in panel.curves] + [largest(mark.x_K) for mark in panel.points]
    up = [largest(curve.y_T) for curve in panel.curves] + [largest(mark.y_K) for mark in panel.points]
    for image in panel.images:
        across.append(largest(image.extent[:2]))
        up.append(largest(image.extent[2:]))
    x = prefix(panel.x.unit, max(across, default=0.0) if panel.seen is None else largest(panel.seen))
    y = prefix(panel.y.unit, max(up, default=0.0))
    return (
        (x, x) if panel.alike and panel.x.unit == panel.y.unit and x[0] >= y[0] else ((y, y) if panel.alike else (x, y))
    )


def top_of(values: Any) -> float:
    """Return the size that a scale of these values should reach."""
    size = np.abs(np.asarray(values, np.float64))
    size = size[np.isfinite(size)]
    return float(np.quantile(size, _SHARE)) or float(size.max()) if size.size else 0.0


def _limit(axes: Axes, panel: Panel, fy: float) -> None:
    """Fix the vertical range of what moves: axes that jump would hide what happens."""
    moving = [curve for curve in panel.curves if curve.y_T.ndim == 2]
    if not moving:
        return
    values = np.concatenate([curve.y_T.ravel() for curve in panel.curves])
    values = values[np.isfinite(values)]
    if panel.log:
        top = float(values.max(initial=1e-300))
        axes.set_ylim(fy * top * 1e-5, fy * top * 2)
        return
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    room = 0.05 * (high - low or 1.0)
    axes.set_ylim(fy * (low - (room if low < 0 else 0.0)), fy * (high + room))


def _frame_axes(axes: Axes, panel: Panel, x: str, y: str) -> None:
    axes.set_title(panel.title, fontsize=10, loc="left")
    if panel.alike:
        axes.set_aspect("equal")
    if panel.log:
        axes.set_yscale("log")
    if panel.plain:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        return
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    for side, (low, high), quantity in ((axes.xaxis, axes.get_xlim(), panel.x), (axes.yaxis, axes.get_ylim(), panel.y)):
        if quantity.unit == "1" and abs(high - low) > _NUMBERED and not panel.log:
            side.set_major_locator(MaxNLocator(integer=True))  # numbers of channels, nodes, ports
    if not panel.images:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.margins(x=0.03 if panel.compact else 0)
        low, high = axes.get_xlim()
        if not panel.compact and 0 < low < 0.05 * high:  # the first step of what begins at zero
            axes.set_xlim(left=0.0)


def write_legend(axes: Axes, handles: list[Any], *, below: bool) -> None:
    """Write a legend of what has a label, and of further handles, below axes or to their right."""
    found, _ = axes.get_legend_handles_labels()
    found = [*handles, *found]
    if not found:
        return
    style: dict[str, Any] = {"fontsize": 8, "frameon": False, "handles": found, "borderaxespad": 0.0}
    if below:  # where marks would be hidden otherwise
        scale = axes.get_figure(root=True).dpi_scale_trans  # type: ignore[union-attr]
        under = axes.transAxes + ScaledTranslation(0, -(40 if axes.get_xlabel() else 8) / 72, scale)
        style |= {"bbox_to_anchor": (0, 0), "bbox_transform": under}
        axes.legend(loc="upper left", ncols=2, columnspacing=1.5, **style)
    else:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), **style)


def proportion(panel: Panel) -> float | None:
    """Return the height of a panel whose axes are alike over its width; None for any other panel."""
    if not panel.alike:
        return None
    boxes = [image.extent for image in panel.images]
    for mark in panel.points:
        x, y = mark.x_K, mark.y_K
        boxes.append((float(x.min()), float(x.max()), float(y.min()), float(y.max())))
    for curve in panel.curves:
        y = curve.y_T
        boxes.append((float(curve.x_T.min()), float(curve.x_T.max()), float(y.min()), float(y.max())))
    left, right, bottom, top = (np.asarray(side) for side in zip(*boxes, strict=True))
    width, height = float(right.max() - left.min()), float(top.max() - bottom.min())
    return min(max(height / width if width > 0 else 1.0, 0.3), 1.6)
