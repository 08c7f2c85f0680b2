"""What a multimode fibre looks like: pixels on its ends, its modes, and the light on a cross-section along it.

Frames follow the beats of the modes from the beginning, which takes them a few millimetres far; the last one is the
end of the fibre, with the amplitudes that the detector takes.

Axis letters: F frames; M modes; T samples of a pulse; P points of a cross-section; R responses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch

from physnet.viewing.picture import Axis, Curve, Field, Geometry, Image, Panel

from .fibre_line import Line, rates
from .fibre_modes import Modes
from .fibre_optics import Pixels
from .fibre_profile import Complexes, Floats
from .fibre_torch import TorchPropagator

_MOST_FRAMES, _PER_BEAT = 61, 4
_SIDE = 96  # points along a picture of a mode
_SHOWN = 3  # modes of the geometry
_X, _Y, _DISTANCE = Axis(name="x", unit="m"), Axis(name="y", unit="m"), Axis(name="distance", unit="m")
_DENSITY = Axis(name="share of the power per area", unit="1/m2")


@dataclass(frozen=True, kw_only=True)
class FibreView:
    """Looks at a row on its way.

    Args:
        modes: Of the fibre.
        line: Its steps.
        beat: The shortest beat length, m.
        attenuation: Of the power, 1/m.
        pixels: Of the modulator.
        camera: Of the camera; None for another detector.
        width: Side of the cross-section that is shown, m.
        propagator: What takes the steps; None for a linear fibre.
    """

    modes: Modes
    line: Line
    beat: float
    attenuation: float
    pixels: Pixels
    camera: Pixels | None
    width: float
    propagator: TorchPropagator | None

    def geometry(self) -> Geometry:
        """Return the core, the pixels on both ends, and a few modes."""
        radius = self.modes.fibre.radius
        turn = np.linspace(0, 2 * math.pi, 181)
        curves = [Curve(x_T=radius * np.cos(turn), y_T=radius * np.sin(turn), label="core")]
        for pixels, name in ((self.camera, "camera"), (self.pixels, "modulator")):
            if pixels is not None:
                x_T, y_T = _mesh(pixels)
                curves.append(Curve(x_T=x_T, y_T=y_T, label=f"pixels of the {name}"))
        panels = [Panel(title="ends of the fibre", x=_X, y=_Y, curves=tuple(curves), alike=True)]
        place_P, extent = self._square(_SIDE)
        field_PM = self.modes.field(*place_P)
        for mode in np.unique(np.linspace(0, len(self.modes) - 1, _SHOWN).round().astype(int)):
            values = field_PM[:, mode].reshape(_SIDE, _SIDE)
            image = Image(values=values, extent=extent, quantity=Axis(name="mode", unit="1/m"), signed=True)
            title = f"{self.modes.labels[mode]}, {mode + 1} of {len(self.modes)}"
            panels.append(Panel(title=title, x=_X, y=_Y, images=(image,), curves=(curves[0],), alike=True))
        return Geometry(panels=tuple(panels))

    def field(
        self, launched_M: torch.Tensor, end_M2T: torch.Tensor, response_R: Floats, *, frames: int, pixels: int
    ) -> Field:
        """Return the light on cross-sections, and what the modes carry.

        Args:
            launched_M: Amplitudes at the beginning, complex.
            end_M2T: Those at the end, as they are detected.
            response_R: What the detector makes of them.
            frames: Most frames.
            pixels: Most points of a cross-section.
        """
        length = self.line.step * self.line.steps * self.line.sections
        pulse = self.line.pulse
        energy = 1.0 if pulse is None else float((np.abs(pulse.field()) ** 2).sum())
        end_MT = end_M2T.double().cpu().numpy()
        last = (length, end_MT[:, 0] + 1j * end_MT[:, 1])
        place_P, extent = self._square(math.isqrt(pixels))
        field_PM = self.modes.field(*place_P)
        at_F, light, power = [], [], []
        for place, amplitude_MT in chain(self._way(launched_M, max(2, min(frames, _MOST_FRAMES)), length), [last]):
            # Modes are real: the light of all instants is a quadratic form of them, whatever their number.
            gram_MM = (amplitude_MT @ amplitude_MT.conj().T).real / energy
            at_F.append(place)
            light.append(((field_PM @ gram_MM) * field_PM).sum(1))
            power.append(np.diagonal(gram_MM).copy())
        shape = (len(at_F), math.isqrt(len(place_P[0])), -1)
        image = Image(values=np.stack(light).reshape(shape), extent=extent, quantity=_DENSITY)
        turn, radius = np.linspace(0, 2 * math.pi, 181), self.modes.fibre.radius
        core = Curve(x_T=radius * np.cos(turn), y_T=radius * np.sin(turn), label="core", faint=True)
        carried = Curve(x_T=np.arange(1.0, len(self.modes) + 1), y_T=np.stack(power), dots=True)
        panels = [
            Panel(title="light on a cross-section", x=_X, y=_Y, images=(image,), curves=(core,), alike=True),
            Panel(
                title="what each mode carries", x=Axis(name="mode, in order of propagation constant"),
                y=Axis(name="share of the power"), curves=(carried,),
            ),
        ]  # fmt: skip
        if self.camera is not None:
            panels.append(_read(response_R, self.camera))
        note = (
            f"Frames follow the first {1e3 * at_F[-2]:.3g} mm; the last one is the end of the fibre, at {length:.4g} m."
        )
        return Field(
            panels=tuple(panels), along=_DISTANCE, at_F=np.asarray(at_F), readout=response_R,
            note=note if at_F[-2] < 0.9 * length else "",
        )  # fmt: skip

    def _way(self, launched_M: torch.Tensor, frames: int, length: float) -> Iterator[tuple[float, Complexes]]:
        """Yield places before the end, and amplitudes there in time."""
        stride = min(self.beat / _PER_BEAT, length / (frames - 1))
        if self.propagator is None:
            yield from self._linear(launched_M, [k * stride for k in range(frames - 1) if k * stride < length])
            return
        steps, every = self.line.steps * self.line.sections, max(1, round(stride / self.line.step))
        stops = [stop for stop in range(0, every * (frames - 1), every) if stop < steps]
        both_M2 = torch.stack((launched_M.real, launched_M.imag), dim=1)
        for stop, amplitude_M2T in self.propagator.stations(both_M2, stops):
            real_MT, imag_MT = amplitude_M2T.double().cpu().numpy().swapaxes(0, 1)
            yield stop * self.line.step, real_MT + 1j * imag_MT

    def _linear(self, launched_M: torch.Tensor, places: list[float]) -> Iterator[tuple[float, Complexes]]:
        pulse, section = self.line.pulse, self.line.step * self.line.steps
        rate_MT = rates(self.modes, attenuation=self.attenuation, pulse=pulse)
        begun_T = np.ones(1) if pulse is None else pulse.field()
        begun_MT = np.fft.fft(launched_M.cpu().numpy().astype(np.complex128)[:, None] * begun_T)
        done = 0  # sections that are behind
        for place in places:
            while (done + 1) * section <= place:
                begun_MT = self.line.junction_JMM[done] @ (begun_MT * np.exp(rate_MT * section))
                done += 1
            yield place, np.fft.ifft(begun_MT * np.exp(rate_MT * (place - done * section)))

    def _square(self, side: int) -> tuple[tuple[Floats, Floats], tuple[float, float, float, float]]:
        """Return points in the middle of the pixels of a picture, and its edges."""
        half = self.width / 2
        along = (np.arange(side) + 0.5) / side * self.width - half
        y, x = np.meshgrid(along, along, indexing="ij")
        return (x.ravel(), y.ravel()), (-half, half, -half, half)


def _read(response_R: Floats, camera: Pixels) -> Panel:
    """Return what the camera reads, as a picture."""
    side, half = camera.side, camera.width / 2
    values = np.full(side * side, np.nan)
    values[: camera.count] = response_R
    image = Image(values=values.reshape(side, side), extent=(-half, half, -half, half), quantity=Axis(name="response"))
    return Panel(title="read by the camera at the end", x=_X, y=_Y, images=(image,), alike=True)


def _mesh(pixels: Pixels) -> tuple[Floats, Floats]:
    """Return the edges of pixels as one line with gaps."""
    x, y = [], []
    for place in range(pixels.count):
        left = pixels.pitch * (place % pixels.side - pixels.side / 2)
        low = pixels.pitch * (place // pixels.side - pixels.side / 2)
        x += [left, left + pixels.pitch, left + pixels.pitch, left, left, math.nan]
        y += [low, low, low + pixels.pitch, low + pixels.pitch, low, math.nan]
    return np.asarray(x), np.asarray(y)
