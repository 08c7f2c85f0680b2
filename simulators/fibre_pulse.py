"""Pulses in a multimode fibre: their shape on a window of time, and how their frequencies travel.

Axis letters: M modes; T samples; O orders of a Taylor series.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from physnet.errors import SpecError

from .fibre_modes import Modes
from .fibre_profile import Floats

Shape = Literal["gaussian", "sech"]

_TIME_BANDWIDTH = {"gaussian": 0.441, "sech": 0.315}  # full widths at half maximum
_PER_WIDTH = {"gaussian": 2 * math.sqrt(math.log(2)), "sech": 2 * math.acosh(math.sqrt(2))}
_WIDTHS, _PER_SAMPLES = 8, 16  # of the usual window, and samples in a width


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """A pulse without chirp, on a periodic window of time.

    Args:
        width: Full width of the power at half its maximum, s.
        shape: Of the field: a Gaussian, or a hyperbolic secant.
        window: s.
        samples: In the window, a power of two, 32 or more.

    Raises:
        SpecError: The window or the samples can't hold the pulse.
    """

    width: float
    shape: Shape
    window: float
    samples: int

    def __post_init__(self) -> None:
        if self.shape not in _PER_WIDTH or not 0 < self.width < math.inf:
            raise SpecError(
                f"a pulse must be gaussian or sech and its width > 0 s, got {self.shape!r} and {self.width} s."
            )
        if self.samples < 32 or self.samples & (self.samples - 1):
            raise SpecError(f"samples must be a power of two, 32 or more, got {self.samples}.")
        if not 4 * self.width <= self.window <= self.samples * self.width / 4:
            raise SpecError(
                f"window must be at least 4 widths of the pulse and have 4 samples in each, {4 * self.width:g} to "
                f"{self.samples * self.width / 4:g} s, got {self.window:g} s. Set window or samples."
            )

    @property
    def bandwidth(self) -> float:
        """Full width of the power spectrum at half its maximum, Hz."""
        return _TIME_BANDWIDTH[self.shape] / self.width

    def field(self) -> Floats:
        """Return the field at the samples, 1 at its peak in the middle."""
        time_T = (np.arange(self.samples) - self.samples // 2) * self.window / self.samples
        scaled_T = time_T * _PER_WIDTH[self.shape] / self.width
        return np.asarray(np.exp(-(scaled_T**2) / 2) if self.shape == "gaussian" else 1 / np.cosh(scaled_T))

    def frequencies(self) -> Floats:
        """Return what the bins of a discrete Fourier transform mean: angular frequency above the carrier, rad/s.

        A wave is `exp(-i omega t)`: the transform's own sign is the other one.
        """
        return np.asarray(-2 * np.pi * np.fft.fftfreq(self.samples, self.window / self.samples))


def make_pulse(
    modes: Modes, *, length: float, width: float, shape: Shape, window: float | None, samples: int | None
) -> Pulse:
    """Return a pulse on a window that holds it to the end of a fibre.

    Args:
        modes: Of the fibre.
        length: Of the fibre, m.
        width: As for `Pulse`.
        shape: As for `Pulse`.
        window: s; None for 8 widths and twice the walk-off of the modes.
        samples: None for the power of two that puts at least 16 into a width.

    Raises:
        SpecError: As for `Pulse`.
    """
    if window is None:
        window = _WIDTHS * width + 2 * walk_off(modes, length)
    if samples is None:
        samples = 1 << max(5, math.ceil(math.log2(_PER_SAMPLES * window / width)))
    return Pulse(width=width, shape=shape, window=window, samples=samples)


def walk_off(modes: Modes, length: float) -> float:
    """Return the difference in arrival of the fastest and the slowest mode, s, after a length in m."""
    return length * float(np.ptp(modes.dispersion()[1]))


def relative_phase(modes: Modes, frequency_T: Floats) -> Floats:
    """Return `beta_m(omega_0 + Omega) - beta_0 - beta_1 Omega`, 1/m, shape `(modes, frequencies)`.

    A Taylor series up to the third order, in a frame that travels with the mean of the fastest and the slowest mode.
    """
    taylor_OM = modes.dispersion()
    frame = (taylor_OM[1].max() + taylor_OM[1].min()) / 2
    phase_MT = (modes.beta_M - modes.beta_M[0])[:, None] + (taylor_OM[1] - frame)[:, None] * frequency_T
    phase_MT += taylor_OM[2][:, None] * frequency_T**2 / 2 + taylor_OM[3][:, None] * frequency_T**3 / 6
    return np.asarray(phase_MT)
