"""A single-mode waveguide as the coefficients of its nonlinear Schroedinger equation, and the grid it is solved on.

    dA/dz = -i beta2/2 A_tt + beta3/6 A_ttt - alpha/2 A
            + i gamma (1 + i/w0 d/dt) A [(1 - fR) |A|^2 + fR (h * |A|^2)]

in the frame of the pulse; |A|^2 is a power in W. The carrier is exp(-i w0 t), as in the source, so a component
exp(-i w t) of A lies at the optical frequency w0 + w and d/dt is -i w: dispersion is i (beta2/2 w^2 + beta3/6 w^3) and
self-steepening 1 + w/w0. Bin k of a discrete Fourier transform is exp(+2 pi i k t / window), thus w = -2 pi k / window.

Axis letters: T samples in time; F bins of the spectrum, in the order of the discrete Fourier transform.

Source:
    G. P. Agrawal, Nonlinear Fiber Optics, 5th ed., 2013, eq. 2.3.36 (equation), 2.3.40 and 2.3.41 (Raman response);
    K. J. Blow, D. Wood, IEEE J. Quantum Electron. 25, 2665 (1989) (its form and its two times).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
LIGHT = 299_792_458.0
"""Speed of light in vacuum, m/s."""
_PHONON, _DAMPING = 12.2e-15, 32e-15  # s, of silica: the two times of Blow and Wood
_EDGE = 1 / 16  # share of a window, or of a spectrum, that counts as its edges


@dataclass(frozen=True, kw_only=True)
class TimeGrid:
    """Samples of a field in a periodic window of time around the pulse.

    Args:
        samples: A power of two, 128 to 16384.
        window: Duration in s.

    Raises:
        SpecError: An argument is out of its range.
    """

    samples: int
    window: float

    def __post_init__(self) -> None:
        if not 128 <= self.samples <= 16384 or self.samples & (self.samples - 1):
            raise SpecError(f"samples must be a power of two from 128 to 16384, got {self.samples}.")
        if not 0 < self.window < math.inf:
            raise SpecError(f"window must be > 0 s, got {self.window} s.")

    @property
    def step(self) -> float:
        """Time between samples in s."""
        return self.window / self.samples

    @property
    def bandwidth(self) -> float:
        """Width of the spectrum in Hz."""
        return self.samples / self.window

    @cached_property
    def time(self) -> Floats:
        """Time of each sample in s; 0 in the middle."""
        return np.asarray((np.arange(self.samples) - self.samples // 2) * self.step, dtype=np.float64)

    @cached_property
    def detuning(self) -> Floats:
        """Angular frequency of each bin from the carrier in rad/s."""
        return np.asarray(-2 * math.pi * np.fft.fftfreq(self.samples, self.step), dtype=np.float64)

    @cached_property
    def window_edge(self) -> NDArray[np.bool_]:
        """The sixteenth of the samples that lies at both ends of the window."""
        from_middle_T = np.abs(np.arange(self.samples) + 0.5 - self.samples / 2)
        return np.asarray(from_middle_T > (1 - _EDGE) * self.samples / 2)

    @cached_property
    def spectrum_edge(self) -> NDArray[np.bool_]:
        """The sixteenth of the bins that is furthest from the carrier."""
        return np.asarray(np.abs(np.fft.fftfreq(self.samples)) > (1 - _EDGE) / 2)


@dataclass(frozen=True, kw_only=True)
class Waveguide:
    """A guide with one mode. The defaults are standard fibre (SMF-28 and its like) at 1550 nm.

    They are 17 ps/(nm km) with a slope of 0.058 ps/(nm^2 km), 0.2 dB/km, and a textbook nonlinearity: data sheets of
    such fibres give up to 18 ps/(nm km) and 0.2 dB/km.

    Args:
        length: m.
        beta2: Dispersion of the group velocity, s^2/m; negative (anomalous) where solitons exist.
        beta3: Third-order dispersion, s^3/m.
        gamma: Nonlinearity in 1/(W m), >= 0.
        attenuation: Of power, 1/m; 1 dB is ln(10) / 10 = 0.23.
        raman_fraction: Share of the nonlinearity that comes late, 0.18 in silica; 0 for none.
        self_steepening: Whether the nonlinearity grows with the optical frequency.
        wavelength: Of the carrier in vacuum, m.

    Raises:
        SpecError: An argument is out of its range.
    """

    length: float
    beta2: float = -21.7e-27
    beta3: float = 0.13e-39
    gamma: float = 1.3e-3
    attenuation: float = 4.6e-5
    raman_fraction: float = 0.0
    self_steepening: bool = False
    wavelength: float = 1550e-9

    def __post_init__(self) -> None:
        for name, unit in (("length", "m"), ("wavelength", "m")):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecError(f"{name} of a waveguide must be > 0 {unit}, got {getattr(self, name)} {unit}.")
        for name, unit in (("gamma", "1/(W m)"), ("attenuation", "1/m")):
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"{name} of a waveguide must be >= 0 {unit}, got {getattr(self, name)} {unit}.")
        for name, unit in (("beta2", "s^2/m"), ("beta3", "s^3/m")):
            if not math.isfinite(getattr(self, name)):
                raise SpecError(f"{name} of a waveguide must be finite, got {getattr(self, name)} {unit}.")
        if not 0 <= self.raman_fraction < 1:
            raise SpecError(f"raman_fraction of a waveguide must be 0 to 1, got {self.raman_fraction}.")

    @property
    def carrier(self) -> float:
        """Angular frequency of the carrier, rad/s."""
        return 2 * math.pi * LIGHT / self.wavelength

    def dispersion_length(self, duration: float) -> float:
        """Return `duration^2 / |beta2|` in m; infinite without dispersion."""
        return duration**2 / abs(self.beta2) if self.beta2 else math.inf

    def nonlinear_length(self, power: float) -> float:
        """Return `1 / (gamma power)` in m; infinite without nonlinearity."""
        return 1 / (self.gamma * power) if self.gamma * power > 0 else math.inf

    def spread(self, bandwidth: float) -> float:
        """Return how far apart in time, in s, the ends of a band of so many Hz arrive."""
        half = math.pi * bandwidth
        return abs(self.beta2) * self.length * 2 * half + abs(self.beta3) * self.length * half**2 / 2

    def linear(self, grid: TimeGrid, distance: float) -> Complexes:
        """Return the factor of each bin for dispersion and loss over `distance` in m."""
        w_F = grid.detuning
        phase_F = (self.beta2 / 2 * w_F**2 + self.beta3 / 6 * w_F**3) * distance
        return np.asarray(np.exp(1j * phase_F - self.attenuation / 2 * distance), dtype=np.complex128)

    def delayed(self, grid: TimeGrid) -> Complexes:
        """Return the transform of the late response, `fR h`; exact for any field on the grid, which is periodic."""
        w_F = -grid.detuning  # sign of the transform
        square = 1 / _PHONON**2
        return np.asarray(self.raman_fraction * (square + 1 / _DAMPING**2) / ((1 / _DAMPING + 1j * w_F) ** 2 + square))

    def steepening(self, grid: TimeGrid) -> Floats:
        """Return the factor `1 + w / w0` of each bin.

        Raises:
            SpecError: The spectrum of the grid reaches down to frequency 0.
        """
        shock_F = 1 + grid.detuning / self.carrier
        if not shock_F.min() > 0:
            raise SpecError(
                f"bandwidth of the grid must be < {self.carrier / math.pi:.3g} Hz, twice the carrier, with "
                f"self-steepening, got {grid.bandwidth:.3g} Hz. Use fewer samples or a longer window."
            )
        return np.asarray(shock_F)


def describe(waveguide: Waveguide) -> dict[str, Any]:
    """Return the coefficients as plain values, for a spec's identity."""
    return {name: getattr(waveguide, name) for name in waveguide.__dataclass_fields__}
