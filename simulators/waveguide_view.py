"""What a nonlinear waveguide looks like: the pulse and its spectrum, from the shaper to the end of the guide.

A picture at a distance z is the end of a guide that is cut there, with steps as long as those of the whole one: the
last picture is what the detector takes, to the bit.

Axis letters: F frames; T samples in time; B bins of the spectrum, in ascending order of frequency; D bands.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.viewing.picture import Axis, Curve, Field, Geometry, Panel

from .pulse_line import PulseLine
from .pulse_shaper import Pulse
from .waveguide_medium import Complexes, Floats, TimeGrid, Waveguide
from .waveguide_solver import PulseSolver

_MOST_FRAMES = 49
_TIME, _FREQUENCY, _DISTANCE = (
    Axis(name="time", unit="s"), Axis(name="frequency from the carrier", unit="Hz"), Axis(name="distance", unit="m")
)  # fmt: skip
_POWER, _SPECTRUM = Axis(name="power", unit="W"), Axis(name="spectrum", unit="J/Hz")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WaveguideView:
    """Looks at rows on their way.

    Args:
        line: Shaper, guide and detector.
        waveguide: The guide.
        grid: Samples in time.
        pulse: Before shaping.
        make: Makes the solver of a guide with so many steps.
        steps: Of the whole guide.
        bands: Of the shaper.
        span: Width of all of them, Hz.
        spectral: Whether the detector takes bands of the spectrum, rather than slices of time.
        parts: How many.
        detected: Width of all of them, Hz or s.
    """

    line: PulseLine
    waveguide: Waveguide
    grid: TimeGrid
    pulse: Pulse
    make: Callable[[Waveguide, int], PulseSolver]
    steps: int
    bands: int
    span: float
    spectral: bool
    parts: int
    detected: float

    def geometry(self) -> Geometry:
        """Return what the shaper and the detector cut out of the light: there is no other place in a guide."""
        field_T = self.pulse.field(self.grid)
        frequency_B, order_B = self._frequencies()
        shaper = tuple(-self.span / 2 + self.span / self.bands * np.arange(self.bands + 1))
        detector = tuple(-self.detected / 2 + self.detected / self.parts * np.arange(self.parts + 1))
        density_B, power_T = self._spectrum(field_T)[order_B], np.abs(field_T) ** 2
        in_frequency = [("shaper's bands", shaper)] + ([("detector's bands", detector)] if self.spectral else [])
        in_time = [] if self.spectral else [("detector's slices", detector)]
        length, guide = self.waveguide.length, self.waveguide
        said = f"{length:.3g} m; dispersion length {guide.dispersion_length(self.pulse.t0):.3g} m"
        if guide.gamma:
            said += f", nonlinear length {guide.nonlinear_length(self.pulse.peak):.3g} m"
        most = max(self.span, self.detected if self.spectral else 0.0)
        near_B = np.abs(frequency_B) <= 0.6 * most
        near_T = np.abs(self.grid.time) <= (8 * self.pulse.duration if self.spectral else 0.6 * self.detected)
        return Geometry(
            panels=(
                Panel(
                    title="spectrum before shaping, and where it is cut", x=_FREQUENCY, y=_SPECTRUM,
                    curves=(
                        Curve(x_T=frequency_B[near_B], y_T=density_B[near_B], label="unshaped pulse"),
                        *_marked(in_frequency, float(density_B.max())),
                    ),
                ),
                Panel(
                    title=f"pulse before shaping; guide {said}", x=_TIME, y=_POWER,
                    curves=(
                        Curve(x_T=self.grid.time[near_T], y_T=power_T[near_T], label="unshaped pulse"),
                        *_marked(in_time, float(power_T.max())),
                    ),
                ),
            )
        )  # fmt: skip

    def field(self, drive_ND: torch.Tensor, *, frames: int, pixels: int) -> Field:
        """Return power over time and spectrum at distances along the guide.

        Args:
            drive_ND: One row.
            frames: Most frames.
            pixels: Most samples of a curve; of more every second, fourth, ... is shown.
        """
        launched_NT = self.line.launched(drive_ND)
        stops = np.unique(np.linspace(0, self.steps, max(2, min(frames, _MOST_FRAMES))).round().astype(int))
        fields = [self._after(launched_NT, int(stop)) for stop in stops]
        end_NT = fields[-1]
        field_FT = torch.cat(fields).cpu().numpy().astype(np.complex128)
        every = max(1, math.ceil(self.grid.samples / pixels))
        frequency_B, order_B = self._frequencies()
        near_B = np.flatnonzero(np.abs(frequency_B) <= self._shown_band())[::every]
        power_FT = np.abs(field_FT) ** 2
        density_FB = self._spectrum(field_FT)[:, order_B][:, near_B]
        at_F = stops * self.waveguide.length / self.steps
        half = self.detected / 2
        spectrum = Panel(
            title="spectrum", x=_FREQUENCY, y=_SPECTRUM, log=True,
            curves=(Curve(x_T=frequency_B[near_B], y_T=density_FB),), span=(-half, half) if self.spectral else None,
        )  # fmt: skip
        pulse = Panel(
            title="pulse", x=_TIME, y=_POWER, curves=(Curve(x_T=self.grid.time[::every], y_T=power_FT[:, ::every]),),
            span=None if self.spectral else (-half, half), seen=self._lit(power_FT),
        )  # fmt: skip
        peak = Curve(x_T=at_F, y_T=power_FT.max(1))
        return Field(
            panels=(
                pulse,
                spectrum,
                Panel(title="largest power", x=_DISTANCE, y=_POWER, curves=(peak,), cursor=True),
            ),
            along=_DISTANCE,
            at_F=at_F,
            readout=self.line.detected(end_NT)[0].cpu().numpy(),
        )

    def _after(self, launched_NT: torch.Tensor, stop: int) -> torch.Tensor:
        """Return the field after some steps."""
        if stop == 0:
            return launched_NT
        guide = self.waveguide
        if stop < self.steps:
            guide = dataclasses.replace(guide, length=guide.length * stop / self.steps)
        return self.make(guide, stop).propagate(launched_NT).field_NT

    def _frequencies(self) -> tuple[Floats, NDArray[np.int64]]:
        frequency_B = self.grid.detuning / (2 * math.pi)
        order_B = np.argsort(frequency_B)
        return frequency_B[order_B], order_B

    def _spectrum(self, field_T: Complexes) -> Floats:
        """Return the energy per frequency, J/Hz, in the order of a discrete Fourier transform."""
        return np.asarray(np.abs(np.fft.fft(field_T)) ** 2 * self.grid.step**2)

    def _lit(self, power_FT: Floats) -> tuple[float, float]:
        """Return the stretch of time in which there is light anywhere on the way, around the middle."""
        lit_T = power_FT.max(0) > 1e-3 * power_FT.max()
        reach = float(np.abs(self.grid.time[lit_T]).max(initial=0.0)) + 8 * self.grid.step
        reach = min(reach if self.spectral else max(reach, 0.55 * self.detected), self.grid.window / 2)
        return -reach, reach

    def _shown_band(self) -> float:
        return min(self.grid.bandwidth / 2, max(1.2 * self.span, 0.6 * self.detected if self.spectral else 0.0))


def _marked(edges: list[tuple[str, tuple[float, ...]]], top: float) -> list[Curve]:
    """Return the edges of bands as combs of lines, one below the other, under the curve."""
    combs = []
    for number, (name, edge_D) in enumerate(edges):
        y = np.tile([-0.03 - 0.08 * number, -0.09 - 0.08 * number, np.nan], len(edge_D)) * top
        combs.append(Curve(x_T=np.repeat(np.asarray(edge_D), 3), y_T=y, label=name))
    return combs
