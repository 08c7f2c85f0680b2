"""Noise of a detector: shot noise, white noise, and 1/f noise on the virtual clock.

Axis letters: N rows; M tones; K cosines and sines of the tones; X real parts of response channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import Passes, ResponseSpec
from physnet.errors import SpecError
from physnet.seeding import stream as random_stream

from .keyed import keyed_normal
from .keyed_poisson import keyed_poisson
from .real_parts import row_sum
from .row_product import RowProduct

_TONES_PER_OCTAVE = 8


class ShotNoise:
    """Counts photoelectrons: Poisson with mean `electrons |r|`, over `electrons`, with the sign of `r`.

    Below 0 lies what a pair of balanced detectors sees. Keyed by seed and pass number.

    Args:
        response: The response, real.
        electrons: Mean electrons per unit of the response, > 0.
        seed: Seed of the counts.
        stream: Their stream; the next one is used as well.

    Raises:
        SpecError: The response is complex, or the electrons are out of range.
    """

    def __init__(self, response: ResponseSpec, electrons: float, *, seed: int, stream: int) -> None:
        if not 0 < electrons < math.inf:
            raise SpecError(f"photoelectrons must be > 0 per {response.unit}, got {electrons}. Leave it out for none.")
        if response.complex:
            raise SpecError("photoelectrons must be left out for a complex response: electrons have no phase.")
        self._electrons, self._seed, self._stream = electrons, seed, stream

    def __call__(self, value_NX: torch.Tensor, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Return the rows as they are counted."""
        mean_NX = value_NX.abs() * self._electrons
        count_NX = keyed_poisson(self._seed, passes, mean_NX, stream=self._stream).to(value_NX)
        return count_NX.div_(self._electrons).copysign_(value_NX)


class WhiteNoise:
    """Adds Gaussian noise, independent between channels, relative to the RMS of the row. Keyed by seed and pass number.

    For a complex response the deviation is that of the complex number (circular).

    Args:
        share: Standard deviation over the RMS of the row before noise, > 0.
        seed: Seed of the noise.
        stream: Its stream.
    """

    def __init__(self, share: float, *, seed: int, stream: int) -> None:
        self._share, self._seed, self._stream = share, seed, stream

    def __call__(self, value_NX: torch.Tensor, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Add the noise in place."""
        # Over the parts of a complex response the mean is half that of |r|^2, and each part has half the variance.
        parts = value_NX.shape[1]
        rms_N = (row_sum(value_NX.square()) / parts).sqrt()
        noise_NX = keyed_normal(self._seed, passes, parts, stream=self._stream, device=value_NX.device)
        value_NX += noise_NX.mul_(self._share) * rms_N[:, None]
        return value_NX


@dataclass(frozen=True, kw_only=True)
class Flicker:
    """Noise with a power spectral density of `1 / f` between two frequencies.

    Args:
        rms: Standard deviation of a channel in the unit of the response, > 0.
        lowest: Lowest frequency in Hz, > 0. Over a time much shorter than `1 / lowest` a channel wanders by less.
        highest: Highest frequency in Hz, at most one row in two; None for that.

    Raises:
        SpecError: A field is out of its range.
    """

    rms: float
    lowest: float
    highest: float | None = None

    def __post_init__(self) -> None:
        for name in ("rms", "lowest"):
            if not 0 < getattr(self, name) < math.inf:
                raise SpecError(f"{name} of a flicker must be > 0, got {getattr(self, name)}.")
        if self.highest is not None and not self.lowest < self.highest < math.inf:
            raise SpecError(f"highest of a flicker must be above lowest = {self.lowest} Hz, got {self.highest} Hz.")


class FlickerNoise:
    """Adds `1 / f` noise, independent between channels, as a sum of tones.

    There are 8 tones an octave, each at a random place in its eighth, the same for all channels; cosine and sine of a
    tone have independent Gaussian amplitudes of equal variance in each channel. So the noise is Gaussian over the
    channels at any time, with the power of each octave equal. It is a function of the time on the virtual clock and of
    the seed, and needs no memory. After many times `1 / lowest` it does not repeat, but has no power below either.

    Args:
        response: The response.
        flicker: Strength and band.
        seconds_per_pass: Duration of a row in s, > 0.
        seed: Seed of tones and amplitudes.
        stream: Stream of the amplitudes.
        device: torch device.

    Raises:
        SpecError: The band does not fit the duration of a row.

    Source:
        J. Timmer, M. Koenig, On generating power law noise, Astron. Astrophys. 300, 707 (1995) (random phase and
        amplitude of each Fourier component), here on logarithmic frequencies.
    """

    def __init__(
        self, response: ResponseSpec, flicker: Flicker, *, seconds_per_pass: float, seed: int, stream: int, device: str
    ) -> None:
        most = 0.5 / seconds_per_pass
        highest = most if flicker.highest is None else flicker.highest
        if not flicker.lowest < highest <= most:
            raise SpecError(
                f"frequencies of the flicker must be below {most:g} Hz, one row in two of {seconds_per_pass:g} s, got "
                f"{flicker.lowest:g} to {highest:g} Hz. The rest would look like white noise: use `noise` for it."
            )
        octaves = math.log2(highest / flicker.lowest)
        tones = max(1, math.ceil(octaves * _TONES_PER_OCTAVE))
        place_M = (np.arange(tones) + random_stream(seed, "flicker tones", stream).random(tones)) / tones
        self._frequency_M = flicker.lowest * 2 ** (octaves * place_M)
        parts = response.channels * (2 if response.complex else 1)
        scale = flicker.rms / math.sqrt(tones * (2 if response.complex else 1))
        amplitude_KX = keyed_normal(seed, np.arange(2 * tones, dtype=np.int64), parts, stream=stream, device=device)
        self._product = RowProduct(amplitude_KX.mul_(scale), device=device)

    def __call__(self, value_NX: torch.Tensor, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Add the noise in place, each row at its own time."""
        angle_NM = 2 * math.pi * ((start_N[:, None] * self._frequency_M) % 1.0)
        wave_NK = np.concatenate((np.cos(angle_NM), np.sin(angle_NM)), axis=1)
        value_NX += self._product(torch.from_numpy(wave_NK).to(value_NX.device, torch.float32)).to(value_NX.dtype)
        return value_NX
