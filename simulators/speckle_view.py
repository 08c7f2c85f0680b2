"""What a scattering medium looks like: the modulator's pattern, and the speckle that grows as its elements are lit.

The medium has no inside in this model, and light no time. Frames add up the light of the first element, the first two,
and so on: the last one has them all, and is what the camera takes. Elements and pixels have no place either: they are
drawn line by line on a square.

Axis letters: D elements; P pixels; F frames.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from physnet.viewing.picture import Axis, Curve, Field, Floats, Geometry, Image, Panel

_MOST_FRAMES = 65
_PLACE = Axis(name="")
_LIT = Axis(name="elements lit")
_MOST_LINES = 200  # of the matrix's picture, each way


def geometry_of(matrix_PD: NDArray[np.complexfloating]) -> Geometry:
    """Return the transfer matrix."""
    part_PD = matrix_PD[:_MOST_LINES, :_MOST_LINES]
    pixels, drives = part_PD.shape
    extent = (-0.5, drives - 0.5, -0.5, pixels - 0.5)
    size = Image(values=np.abs(part_PD), extent=extent, quantity=Axis(name="|T|"))
    phase = Image(
        values=np.mod(np.angle(part_PD), 2 * math.pi),
        extent=extent,
        quantity=Axis(name="phase", unit="rad"),
        cyclic=True,
    )
    x, y = Axis(name="element of the modulator"), Axis(name="pixel of the camera")
    rest = (
        ""
        if part_PD.shape == matrix_PD.shape
        else f", {pixels} x {drives} of {matrix_PD.shape[0]} x {matrix_PD.shape[1]}"
    )
    return Geometry(
        panels=(
            Panel(title=f"transfer matrix, modulus{rest}", images=(size,), x=x, y=y),
            Panel(title="its phase", images=(phase,), x=x, y=y),
        )
    )


def field_of(
    drive_D: Floats,
    lit_D: NDArray[np.complexfloating],
    matrix_PD: NDArray[np.complexfloating],
    *,
    is_phase: bool,
    frames: int,
    pixels: int,
) -> tuple[Field, NDArray[np.complex128]]:
    """Return the speckle, and the whole field on the camera's pixels.

    Args:
        drive_D: One row.
        lit_D: The field behind the elements.
        matrix_PD: From there to the camera.
        is_phase: Whether the drive is a phase.
        frames: Most frames.
        pixels: Most pixels of a picture.
    """
    drives, count = len(drive_D), len(matrix_PD)
    stop_F = np.unique(np.linspace(1, drives, max(2, min(frames, _MOST_FRAMES, drives))).round().astype(int))
    field_P = np.zeros(count, np.complex128)
    shown, begin, light, mean, contrast = min(count, pixels), 0, [], [], []
    for stop in stop_F:
        field_P = field_P + matrix_PD[:, begin:stop] @ lit_D[begin:stop]
        begin = stop
        intensity_P = np.square(np.abs(field_P))
        light.append(_square(intensity_P[:shown]))
        mean.append(float(intensity_P.mean()))
        contrast.append(float(intensity_P.std()) / (mean[-1] or 1.0))
    pattern = np.stack([_square(np.where(np.arange(drives) < stop, drive_D, np.nan)) for stop in stop_F])
    name, unit = ("phase", "rad") if is_phase else ("amplitude", "1")
    drive = Image(
        values=pattern, extent=_extent(pattern[0]), quantity=Axis(name=name, unit=unit),
        signed=not is_phase and bool(drive_D.min() < 0), cyclic=is_phase,
    )  # fmt: skip
    speckle = Image(values=np.stack(light), extent=_extent(light[0]), quantity=Axis(name="intensity"))
    rest = "" if shown == count else f", {shown} of {count} pixels"
    lit_F = stop_F.astype(np.float64)
    curves = (
        Curve(x_T=lit_F, y_T=np.array(mean), label="mean intensity"),
        Curve(x_T=lit_F, y_T=np.array(contrast), label="contrast: deviation over mean"),
        Curve(x_T=lit_F[[0, -1]], y_T=np.ones(2), label="contrast of a Gaussian field", faint=True),
    )
    return Field(
        panels=(
            Panel(title="modulator (grey: not lit yet)", x=_PLACE, y=_PLACE, images=(drive,), alike=True, plain=True),
            Panel(title=f"on the camera{rest}", x=_PLACE, y=_PLACE, images=(speckle,), alike=True, plain=True),
            Panel(
                title="all pixels", x=_LIT, y=Axis(name="intensity, contrast"), curves=curves, cursor=True,
            ),
        ),
        along=_LIT,
        at_F=lit_F,
        note="Light of the first elements is added up; elements and pixels are drawn line by line.",
    ), field_P  # fmt: skip


def _square(values: Floats) -> NDArray[np.float64]:
    side = math.isqrt(len(values) - 1) + 1
    lines = -(-len(values) // side)
    filled = np.full(lines * side, np.nan)
    filled[: len(values)] = values
    return filled.reshape(lines, side)


def _extent(values: Floats) -> tuple[float, float, float, float]:
    return 0.0, float(values.shape[1]), 0.0, float(values.shape[0])
