"""Charts as inline SVG: no script, no style attribute, nothing to load, a title for those who hear the page.

Every chart is a `figure` with a caption, and the same numbers as a table below it. Colours are attributes, which the
style sheet replaces where it counts; text has the colour of the page.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, fitted, number, with_unit
from .decimate import Curve, decimate
from .markup import Markup, element, folded, join, table
from .style import COLOURS

_ROWS = 24
"""Most rows of the table below a chart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A curve to draw.

    Args:
        name: What the legend calls it.
        x, y: Its values.
        colour: Number of its colour; None for that of the text.
        points: Whether each value is marked.
    """

    name: str
    x: NDArray[Any]
    y: NDArray[Any]
    colour: int | None = None
    points: bool = False


def lines(
    title: str,
    curves: Sequence[Line],
    *,
    x: str,
    y: str,
    unit: str = "1",
    note: str = "",
    log: bool = False,
    include: Iterable[float] = (),
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Return a chart of curves.

    Args:
        title: The caption.
        curves: What to draw.
        x: Label of the x axis.
        y: Name of what is drawn.
        unit: Its unit.
        note: Small print below the caption.
        log: Whether the y axis is logarithmic.
        include: Values that the y axis must show.
        marks: Values of y at which a dashed line is drawn, and what they are.
    """
    drawn = [decimate(curve.x, curve.y, curves=len(curves)) for curve in curves]
    across = fitted((c.x for c in drawn), start=LEFT, stop=WIDTH - RIGHT, pad=0.01)
    up = fitted(
        itertools.chain.from_iterable((c.low, c.high) for c in drawn),
        start=HEIGHT - BOTTOM,
        stop=TOP,
        log=log,
        include=[*include, *(value for value, _ in marks)],
    )
    parts = [_frame(across, up, x=with_unit(x, "1", across.exponent), y=with_unit(y, unit, up.exponent))]
    for curve, line in zip(drawn, curves, strict=True):
        if curve.binned:
            parts.append(_band(curve, across, up, line.colour))
    for value, name in marks:
        parts.append(_mark(value, name, across, up))
    for curve, line in zip(drawn, curves, strict=True):
        parts.append(_curve(curve, line, across, up))
    if any(curve.binned for curve in drawn):
        note = f"{note}{'; ' if note else ''}line: mean, band: extremes of neighbouring values"
    numbers = _numbers(drawn, curves, caption=f"{title}: numbers", x=x, unit=unit)
    return _figure(title, note, parts, legend=curves if len(curves) > 1 else (), numbers=numbers)


def bars(
    title: str,
    edges: NDArray[Any],
    heights: NDArray[Any],
    *,
    x: str,
    y: str,
    unit: str = "1",
    note: str = "",
    colour: int = 0,
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Return a histogram: `heights` between neighbouring `edges`; many bins are put together.

    Args:
        title: The caption.
        edges: Edges of the bins, shape `(n + 1,)`.
        heights: One a bin, shape `(n,)`.
        x: Name of what the edges are.
        y: Name of what the heights are.
        unit: Unit of the edges.
        note: Small print below the caption.
        colour: Number of the colour.
        marks: Values of x at which a dashed line is drawn, and what they are.
    """
    edges, heights = np.asarray(edges, dtype=np.float64), np.asarray(heights, dtype=np.float64)
    if (every := -(-len(heights) // 256)) > 1:
        starts = np.arange(0, len(heights), every)
        edges, heights = edges[np.r_[starts, len(heights)]], np.add.reduceat(heights, starts)
    across = fitted([edges], start=LEFT, stop=WIDTH - RIGHT, pad=0.01, include=[value for value, _ in marks])
    up = Axis(low=0.0, high=float(heights.max(initial=0.0)) * 1.05 or 1.0, start=HEIGHT - BOTTOM, stop=TOP)
    places, tops, floor = across(edges), up(heights), up.at(0.0)
    outline = f"M{places[0]:.1f},{floor:.1f}" + "".join(
        f"V{top:.1f}H{right:.1f}" for top, right in zip(tops, places[1:], strict=True)
    )
    parts = [
        _frame(across, up, x=with_unit(x, unit, across.exponent), y=with_unit(y, "1", up.exponent)),
        element("path", d=f"{outline}V{floor:.1f}Z", fill=COLOURS[colour], fill_opacity="0.75", class_=f"f{colour}"),
    ]
    for value, name in marks:
        place = across.at(value)
        parts.append(element("path", d=f"M{place:.1f},{TOP}V{floor:.1f}", **_DASHED))
        end = "end" if place > WIDTH / 2 else "start"
        shift = -4 if place > WIDTH / 2 else 4
        parts.append(_label(place + shift, TOP + 10, name, anchor=end))
    rows = _few(len(heights))
    numbers = table(
        (f"from / {unit}", f"to / {unit}", y),
        ((number(edges[n]), number(edges[n + 1]), number(heights[n])) for n in rows),
        caption=f"{title}: {'every bin' if len(rows) == len(heights) else f'{len(rows)} of {len(heights)} bins'}",
        numeric=(0, 1, 2),
    )
    return _figure(title, note, parts, numbers=numbers)


def shares(title: str, parts: Sequence[tuple[str, float, str]], *, note: str = "") -> Markup:
    """Return one bar divided into parts.

    Args:
        title: The caption.
        parts: Name, size and the text that says how large.
        note: Small print below the caption.
    """
    total = sum(size for _, size, _ in parts) or 1.0
    drawn, place = [], 0.0
    for index, (name, size, said) in enumerate(parts):
        width = 480 * size / total
        shape = element("title", f"{name}: {said}")
        n = index % len(COLOURS)
        drawn.append(
            element(
                "rect",
                shape,
                x=f"{place:.1f}",
                y=0,
                width=f"{max(width - 1, 0.2):.1f}",
                height=26,
                fill=COLOURS[n],
                class_=f"f{n}",
            )
        )
        place += width
    picture = element("svg", *drawn, viewBox="0 0 480 26", role="img", aria_label=title)
    rows = (
        (join(_key(index % len(COLOURS)), name), said, f"{100 * size / total:.1f} %")
        for index, (name, size, said) in enumerate(parts)
    )
    small = element("small", note) if note else None
    return element(
        "figure",
        element("figcaption", title, small),
        picture,
        table(("part", "time", "share"), rows, caption=f"{title}: numbers", numeric=(1, 2)),
    )


def _figure(
    title: str, note: str, parts: Sequence[Markup], *, legend: Sequence[Line] = (), numbers: Markup | None = None
) -> Markup:
    picture = element(
        "svg",
        element("title", title),
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        font_size="11.5",
        aria_label=title,
    )
    keys = element("ul", *(element("li", join(_key(c.colour), c.name)) for c in legend), class_="legend")
    return element(
        "figure",
        element("figcaption", title, element("small", note) if note else None),
        keys if legend else None,
        picture,
        folded("numbers", numbers) if numbers is not None else None,
    )


def _key(colour: int | None) -> Markup:
    return element(
        "svg",
        element("line", x1=0, y1=5, x2=22, y2=5, stroke_width=3 if colour is not None else 2, **_stroke(colour)),
        viewBox="0 0 22 10",
        width=22,
        height=10,
        class_="own key",
        aria_hidden="true",
    )


def _stroke(colour: int | None) -> dict[str, str]:
    return {"stroke": "currentColor"} if colour is None else {"stroke": COLOURS[colour], "class_": f"s{colour}"}


_DASHED = {"stroke": "#5a626c", "class_": "soft-line", "stroke_dasharray": "5 4", "fill": "none"}


def _frame(across: Axis, up: Axis, *, x: str, y: str) -> Markup:
    bottom = HEIGHT - BOTTOM
    parts = [_label(2, 12, y), _label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, x, anchor="middle")]
    for value, said in up.ticks:
        place = up.at(value)
        parts.append(
            element("path", d=f"M{LEFT},{place:.1f}H{WIDTH - RIGHT}", stroke="#d9dde2", class_="grid", fill="none")
        )
        parts.append(_label(LEFT - 6, place + 4, said, anchor="end"))
    for value, said in across.ticks:
        place = across.at(value)
        parts.append(element("path", d=f"M{place:.1f},{bottom}v4", stroke="currentColor", fill="none"))
        # the last number must not leave the drawing
        anchor = "end" if place > WIDTH - RIGHT - 12 and len(said) > 4 else "middle"
        parts.append(_label(place, bottom + 16, said, anchor=anchor))
    parts.append(element("path", d=f"M{LEFT},{bottom}H{WIDTH - RIGHT}", stroke="currentColor", fill="none"))
    return join(*parts)


def _label(x: float, y: float, said: str, *, anchor: str = "start") -> Markup:
    return element("text", said, x=f"{x:.1f}", y=f"{y:.1f}", fill="currentColor", text_anchor=anchor)


def _mark(value: float, name: str, across: Axis, up: Axis) -> Markup:
    place = up.at(value)
    return join(
        element("path", d=f"M{across.start},{place:.1f}H{across.stop}", **_DASHED),
        _label(across.stop, place - 4, name, anchor="end"),
    )


def _curve(curve: Curve, line: Line, across: Axis, up: Axis) -> Markup:
    xs, ys = across(curve.x), up(curve.mean)
    pieces, pen = [], "M"
    for a, b in zip(xs.tolist(), ys.tolist(), strict=True):
        if a != a or b != b:
            pen = "M"
            continue
        # A point with no neighbour shows as a dot: its line has round ends.
        pieces.append(f"{pen}{a:.1f},{b:.1f}" + ("h0" if pen == "M" else ""))
        pen = "L"
    path = element(
        "path",
        d="".join(pieces),
        fill="none",
        stroke_width="1.8",
        stroke_linecap="round",
        stroke_linejoin="round",
        **_stroke(line.colour),
    )
    if not line.points or len(xs) > 80:
        return path
    fill = (
        {"fill": "currentColor"} if line.colour is None else {"fill": COLOURS[line.colour], "class_": f"f{line.colour}"}
    )
    dots = (
        element(
            "circle",
            element("title", f"{line.name}: {number(y)} at {number(x)}"),
            cx=f"{a:.1f}",
            cy=f"{b:.1f}",
            r="3",
            **fill,
        )
        for a, b, x, y in zip(xs, ys, curve.x, curve.mean, strict=True)
        if a == a and b == b
    )
    return join(path, *dots)


def _band(curve: Curve, across: Axis, up: Axis, colour: int | None) -> Markup:
    xs, lows, highs = across(curve.x), up(curve.low), up(curve.high)
    sound = np.isfinite(xs) & np.isfinite(lows) & np.isfinite(highs)
    runs = np.split(np.arange(len(xs)), np.flatnonzero(np.diff(sound.astype(int))) + 1)
    outline = ""
    for run in runs:
        if not len(run) or not sound[run[0]]:
            continue
        there = "L".join(f"{xs[n]:.1f},{highs[n]:.1f}" for n in run)
        back = "L".join(f"{xs[n]:.1f},{lows[n]:.1f}" for n in run[::-1])
        outline += f"M{there}L{back}Z"
    fill = {"fill": "currentColor"} if colour is None else {"fill": COLOURS[colour], "class_": f"f{colour}"}
    return element("path", d=outline, fill_opacity="0.2", **fill)


def _numbers(drawn: Sequence[Curve], curves: Sequence[Line], *, caption: str, x: str, unit: str) -> Markup:
    """The curves as a table: a few rows of each, and its extremes."""
    rows: list[tuple[str, ...]] = []
    for curve, line in zip(drawn, curves, strict=True):
        sound = np.flatnonzero(np.isfinite(curve.mean))
        for n in sound[_few(len(sound), max(4, _ROWS // len(curves)))]:
            extremes = (number(curve.low[n]), number(curve.high[n])) if curve.binned else ("", "")
            rows.append((line.name, number(curve.x[n], 6), number(curve.mean[n]), *extremes))
        if len(rows) > 200:
            break
    value = "value" if unit in ("1", "") else f"value / {unit}"
    head: tuple[str, ...] = ("curve", x, value, "least", "greatest")
    if not any(curve.binned for curve in drawn):
        head, rows = head[:3], [row[:3] for row in rows]
    return table(head, rows, caption=caption, numeric=range(1, len(head)))


def _few(count: int, most: int = _ROWS) -> NDArray[np.int64]:
    """Numbers of at most `most` rows, evenly spread, with the first and the last."""
    return (
        np.unique(np.linspace(0, max(count - 1, 0), min(count, most)).astype(np.int64))
        if count
        else np.zeros(0, np.int64)
    )
