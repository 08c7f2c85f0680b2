"""Light pulses, and what shapes them: a mask of bands in the spectrum, set by a drive.

Axis letters: N rows; D bands; T samples in time; F bins of the spectrum; K columns of the mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.special import erf

from physnet.errors import SpecError

from .waveguide_medium import Complexes, TimeGrid

Shape = Literal["sech", "gaussian"]
Modulator = Literal["phase", "amplitude"]
_LEAST = 16  # columns of a product: with fewer a row's last digits depend on its place


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """A pulse at the limit of its bandwidth.

    Args:
        shape: Of the field: `sech(t / t0)` or `exp(-t^2 / (2 t0^2))`.
        duration: Full width of the power at half its maximum, s.
        energy: J.

    Raises:
        SpecError: An argument is out of its range.
    """

    shape: Shape
    duration: float
    energy: float

    def __post_init__(self) -> None:
        if self.shape not in ("sech", "gaussian"):
            raise SpecError(f"pulse must be sech or gaussian, got {self.shape!r}.")
        for name, unit in (("duration", "s"), ("energy", "J")):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecError(f"{name} of a pulse must be > 0 {unit}, got {getattr(self, name)} {unit}.")

    @property
    def t0(self) -> float:
        """The time `t0` of its shape in s."""
        half = math.acosh(math.sqrt(2)) if self.shape == "sech" else math.sqrt(math.log(2))
        return self.duration / (2 * half)

    @property
    def peak(self) -> float:
        """Peak power in W."""
        return self.energy / (self.t0 * (2 if self.shape == "sech" else math.sqrt(math.pi)))

    def field(self, grid: TimeGrid) -> Complexes:
        """Return the field at the samples of a grid, sqrt(W)."""
        x_T = grid.time / self.t0
        # sech without overflow far from the pulse
        shape_T = 2 * np.exp(-np.abs(x_T)) / (1 + np.exp(-2 * np.abs(x_T))) if self.shape == "sech" else None
        return np.asarray(math.sqrt(self.peak) * (np.exp(-(x_T**2) / 2) if shape_T is None else shape_T) + 0j)


class Shaper:
    """A grating, a row of modulators in its focal plane, and a second grating.

    Each band of the spectrum meets a modulator. The spot that one frequency makes is not small beside a modulator: what
    is transmitted is the mask blurred with the spot's profile, the part of it that stays in the mode of the fibre. The
    blur is what keeps a shaped pulse inside a window of about the inverse width of a band. Outside the bands nothing
    passes.

    Args:
        grid: Samples in time.
        pulse: What comes in.
        bands: Modulators.
        span: Width of all bands together in Hz, around the carrier.
        spot: Standard deviation of the spot's intensity in widths of a band, > 0.
        modulator: `phase` turns the field by the drive in rad, `amplitude` multiplies it with the drive.
        dtype: Complex type of the field.
        device: torch device.

    Raises:
        SpecError: An argument is out of its range, or the grid is too coarse for the bands.

    Source:
        A. M. Weiner, Rev. Sci. Instrum. 71, 1929 (2000), section II C (the mask convolved with the beam's intensity).
    """

    def __init__(
        self,
        grid: TimeGrid,
        pulse: Pulse,
        *,
        bands: int,
        span: float,
        spot: float = 0.5,
        modulator: Modulator = "phase",
        dtype: torch.dtype = torch.complex64,
        device: str | torch.device = "cpu",
    ) -> None:
        if modulator not in ("phase", "amplitude"):
            raise SpecError(f"modulator must be phase or amplitude, got {modulator!r}.")
        if not 0 < spot < math.inf:
            raise SpecError(f"spot must be > 0 widths of a band, got {spot}.")
        width = span / bands
        if not 0 < span <= grid.bandwidth / 2:
            raise SpecError(
                f"span of the shaper must be > 0 Hz and at most half the bandwidth of the grid, "
                f"{grid.bandwidth / 2:.3g} Hz, got {span:.3g} Hz. More samples widen the grid."
            )
        if not width * grid.window >= 2:
            raise SpecError(
                f"window must be >= {2 / width:.3g} s, 2 / {width:.3g} Hz for {bands} bands in {span:.3g} Hz, got "
                f"{grid.window:.3g} s: a shaped pulse fills the inverse width of a band."
            )
        self.grid, self.pulse, self.modulator = grid, pulse, modulator
        frequency_F = grid.detuning / (2 * math.pi)
        low_D = -span / 2 + width * np.arange(bands)
        blur = math.sqrt(2) * spot * width
        step_DF = [erf((frequency_F - edge_D[:, None]) / blur) / 2 for edge_D in (low_D, low_D + width)]
        mask_DF = step_DF[0] - step_DF[1]
        lit_F = np.flatnonzero(mask_DF.max(0) > 1e-9)
        missing = max(0, _LEAST - len(lit_F))
        spectrum_F = np.fft.fft(np.fft.ifftshift(pulse.field(grid)))  # the pulse in the middle of the window
        real = torch.zeros((), dtype=dtype).real.dtype
        self._mask_DK = torch.from_numpy(np.pad(mask_DF[:, lit_F], ((0, 0), (0, missing)))).to(device, real)
        self._lit_F = torch.from_numpy(lit_F).to(device)
        self._pulse_K = torch.from_numpy(spectrum_F[lit_F]).to(device, dtype)
        self._dtype = dtype

    def shape(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the field of shaped pulses, shape `(n, samples)`, sqrt(W); the middle of the window is time 0."""
        drive_ND = drive_ND.to(self._mask_DK.dtype)
        columns = len(self._lit_F)
        if self.modulator == "phase":
            real, imag = (part @ self._mask_DK for part in (drive_ND.cos(), drive_ND.sin()))
            mask_NK = torch.complex(real, imag)[:, :columns]
        else:
            mask_NK = (drive_ND @ self._mask_DK)[:, :columns].to(self._dtype)
        empty_NF = mask_NK.new_zeros((len(drive_ND), self.grid.samples))
        spectrum_NF = empty_NF.index_copy(1, self._lit_F, mask_NK * self._pulse_K)
        field_NT: torch.Tensor = torch.fft.fftshift(torch.fft.ifft(spectrum_NF), dim=1)
        return field_NT
