"""What a simulator hands over to be drawn: numbers with units, and no graphics.

Axis letters: F frames; Y, X pixels of an image; T points of a curve; K marks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ResponseError

Floats = NDArray[np.floating[Any]]
Mark = Literal["source", "receiver", "nonlinear", "element", "wall", "node"]
MOST_NUMBERS = 1 << 24
"""Numbers of all frames of a field together, at most: 128 MiB in double precision."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A quantity and its SI unit, `"1"` where it has none."""

    name: str
    unit: str = "1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """A quantity over two axes; the first row is the lowest.

    Args:
        values: Shape `(Y, X)`, or `(F, Y, X)` where it moves. NaN where there is nothing.
        extent: Left, right, bottom and top edge, in the units of the panel's axes.
        quantity: What the values are. With `names` they are numbers of these.
        signed: Whether the values swing about zero.
        decades: Powers of ten below the largest value that are shown, on a logarithmic scale; 0 for a linear one.
        names: Of classes, instead of a scale.
        cyclic: Whether the values are phases in rad.
    """

    values: Floats
    extent: tuple[float, float, float, float]
    quantity: Axis
    signed: bool = False
    decades: float = 0.0
    names: tuple[str, ...] = ()
    cyclic: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Marks at places.

    Args:
        x_K: In the unit of the panel.
        y_K: Likewise.
        label: For the legend.
        kind: What they stand for.
        values: A number for each, shape `(K,)`, or `(F, K)` where it moves; None for plain marks.
        quantity: What the values are.
        signed: Whether they swing about zero.
        cyclic: Whether they are phases in rad.
    """

    x_K: Floats
    y_K: Floats
    label: str
    kind: Mark = "node"
    values: Floats | None = None
    quantity: Axis = Axis(name="")
    signed: bool = False
    cyclic: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """A line.

    Args:
        x_T: In the unit of the panel.
        y_T: Shape `(T,)`, or `(F, T)` where it moves.
        label: For the legend; empty for none.
        faint: Whether it is a guide for the eye rather than a result.
        dots: Whether the points themselves are marked, and not joined.
    """

    x_T: Floats
    y_T: Floats
    label: str = ""
    faint: bool = False
    dots: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """One pair of axes.

    Args:
        title: What is shown.
        x: Horizontal axis.
        y: Vertical axis.
        images: Drawn first, in turn.
        curves: Lines.
        points: Marks.
        alike: Whether a metre is as long along both axes.
        cursor: Whether `x` is what a movie runs along: a line then shows where it is.
        span: Stretch of `x` that the detector takes, as first and last value; None for none.
        seen: Stretch of `x` that is drawn, as first and last value; None for all of it.
        plain: Whether the axes are only places on a drawing, without ticks.
        log: Whether `y` is logarithmic.
    """

    title: str
    x: Axis
    y: Axis
    images: tuple[Image, ...] = ()
    curves: tuple[Curve, ...] = ()
    points: tuple[Points, ...] = ()
    alike: bool = False
    cursor: bool = False
    span: tuple[float, float] | None = None
    seen: tuple[float, float] | None = None
    plain: bool = False
    log: bool = False

    @property
    def compact(self) -> bool:
        """Whether it does not gain from being wide: a drawing to scale, or a few dots."""
        return self.alike or self.plain or any(curve.dots for curve in self.curves)

    @property
    def flat(self) -> bool:
        """Whether what moves fills a plane, so that it takes several pictures to show it."""
        moving = any(image.values.ndim == 3 for image in self.images)
        return moving or any(mark.values is not None and mark.values.ndim == 2 for mark in self.points)

    @property
    def moves(self) -> bool:
        """Whether anything in it differs from frame to frame."""
        return (
            any(image.values.ndim == 3 for image in self.images)
            or any(curve.y_T.ndim == 2 for curve in self.curves)
            or any(mark.values is not None and mark.values.ndim == 2 for mark in self.points)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Geometry:
    """Where things are, or what stands before and behind what."""

    panels: tuple[Panel, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Field:
    """What happens inside for one drive.

    Args:
        panels: Those that move, and others beside them.
        along: What the frames run along: a time, a distance, a frequency.
        at_F: Its value at each frame.
        readout: The response that follows from the numbers shown, for comparison with what `measure` gives; None where
            the panels do not reach a detector.
        note: What else must be said, in a line.

    Raises:
        ResponseError: The panels don't agree on the number of frames, or hold too many numbers.
    """

    panels: tuple[Panel, ...]
    along: Axis
    at_F: Floats
    readout: NDArray[Any] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        total = 0
        for panel in self.panels:
            values = [image.values for image in panel.images if image.values.ndim == 3]
            values += [curve.y_T for curve in panel.curves if curve.y_T.ndim == 2]
            values += [mark.values for mark in panel.points if mark.values is not None and mark.values.ndim == 2]
            for one in values:
                total += one.size
                if len(one) != len(self.at_F):
                    raise ResponseError(
                        f"{panel.title} must have a frame for each of the {len(self.at_F)} values of "
                        f"{self.along.name}, got {len(one)}."
                    )
        if total > MOST_NUMBERS:
            raise ResponseError(f"a field must hold at most {MOST_NUMBERS} numbers, got {total}. Show fewer frames.")
