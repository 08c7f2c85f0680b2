"""The digital neighbour of a system that hears: the energies of the same sound in as many frequency bands.

Axis letters: N rows; S samples of a slice; F frequencies; B bands; R real numbers of a response.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import Passes, Reading, SystemSpec
from ..errors import SpecError
from .substitutes import Digital, digital_spec


class BandEnergies(Digital):
    """A filter bank: the sound is cut into slices of time, and each response is the energy of one band of one slice.

    There are as many energies as the system whose place it takes has responses (a complex response counts twice). Every
    slice has the same bands, or one more where the responses don't divide. Bands adjoin; from 0 Hz to half the sample
    rate their edges are evenly spaced in mel, `2595 log10(1 + f / 700 Hz)`, so that they are narrow where vowels differ
    most. The filters are those of a discrete Fourier transform of the slice, without window: a frequency between two
    bands is shared in proportion, and the energies of a slice add up to that of its sound (Parseval). Energies, not
    their logarithms: the detector is the square law of a microphone's energy.

    Args:
        like: Spec of the system whose place it takes.
        rate: Samples of the drive per s.
        slices: Parts of the drive of equal duration.

    Raises:
        SpecError: The drive is no sequence of real numbers, or there are more slices than samples or responses.

    Source:
        Mel scale: D. O'Shaughnessy, Speech Communication: Human and Machine, 1987, p. 150.
    """

    def __init__(self, like: SystemSpec, *, rate: float, slices: int) -> None:
        drive, response = like.drive, like.response
        numbers = response.channels * (2 if response.complex else 1)
        if len(drive.shape) != 1 or np.dtype(drive.dtype).kind == "c":
            raise SpecError(
                f"band_energies needs a drive of {like.name} that is a sound, real numbers along one axis, got "
                f"{drive.dtype} of shape {drive.shape}. Leave controls.sample_rate out."
            )
        if not 1 <= slices <= min(numbers, drive.channels):
            raise SpecError(
                f"controls.band_slices must be 1 to {min(numbers, drive.channels)} for {drive.channels} samples and "
                f"{numbers} responses of {like.name}, got {slices}."
            )
        dtype = "complex64" if response.complex else "float32"
        super().__init__(digital_spec(like, "band energies", frozenset({"detector"}), dtype))
        edges = np.linspace(0, drive.channels, slices + 1).round().astype(int).tolist()
        bands = [len(part) for part in np.array_split(np.arange(numbers), slices)]
        self._parts = [
            (first, last, torch.from_numpy(_shares(last - first, count, rate)))
            for first, last, count in zip(edges[:-1], edges[1:], bands, strict=True)
        ]

    def measure(self, drive: Any, passes: Passes) -> Reading:
        """Return the energies of each row of `drive`. Pass numbers change nothing: there is no noise."""
        started = time.time()
        sound = torch.from_numpy(np.ascontiguousarray(drive)).to(torch.float64)
        parts = []
        for first, last, share_FB in self._parts:
            power_NF = torch.fft.rfft(sound[:, first:last]).abs().square_() / (last - first)
            # All but 0 Hz and, of an even number, half the sample rate stand for two frequencies.
            power_NF[:, 1 : (last - first + 1) // 2] *= 2
            parts.append(power_NF @ share_FB)
        energy_NR = torch.cat(parts, dim=1).to(torch.float32)
        response = energy_NR.numpy().view(self._spec.response.dtype).reshape(len(drive), *self._spec.response.shape)
        return Reading(response=response, started=started, stopped=time.time())


def band_edges(bands: int, rate: float) -> NDArray[np.float64]:
    """Return the edges of the bands in Hz, shape `(bands + 1,)`, from 0 to half the sample rate."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    return np.asarray(700 * (10 ** (np.linspace(0, top, bands + 1) / 2595) - 1))


def _shares(samples: int, bands: int, rate: float) -> NDArray[np.float64]:
    """Return which part of each frequency of a Fourier transform belongs to each band, shape `(F, B)`."""
    frequencies = samples // 2 + 1
    edge_B = band_edges(bands, rate) / rate * samples  # in units of the transform's resolution
    edge_B[0], edge_B[-1] = -np.inf, np.inf
    middle_F = np.arange(frequencies)[:, None]
    low_FB, high_FB = (np.clip(edge, middle_F - 0.5, middle_F + 0.5) for edge in (edge_B[:-1], edge_B[1:]))
    return np.asarray(high_FB - low_FB)
