"""From what a detector recorded to amplitudes, phases and energies.

Axis letters: N rows; C channels of the detector; T samples; W samples of a window; J tones.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from physnet.errors import ResponseError, SpecError

from .row_layout import Window, whole_samples

_SLACK = 1e-6  # samples: rounding in a time that should be one of a sample


def check_detector_rate(window: Window, sample_rate: float, *, slices: int = 1) -> int:
    """Return how many samples of a detector a window has.

    Raises:
        SpecError: They are not whole, or can't be divided into the slices, or the rate is too low for the tones.
    """
    samples = whole_samples("a window, for this detector,", window.duration, sample_rate)
    if samples % slices:
        raise SpecError(
            f"a window must have a multiple of {slices} samples of the detector, got {samples} at {sample_rate:g} Hz. "
            "Use the source's rate or a whole multiple of it."
        )
    if not 2 * max(window.tones) < sample_rate:
        raise SpecError(
            f"sample_rate of the detector must be above {2 * max(window.tones):g} Hz, twice its highest tone, got "
            f"{sample_rate:g} Hz."
        )
    return samples


def cut(
    volts_NCT: NDArray[np.float64], window: Window, *, sample_rate: float, start: float, delay: float, slices: int = 1
) -> tuple[NDArray[np.float64], float]:
    """Cut a window out of what was recorded.

    It begins with the first sample at or after the time where it should: over whole periods that shifts nothing, as
    the phase is counted from the time itself.

    Args:
        volts_NCT: Records, one a row, in V.
        window: What to cut out.
        sample_rate: Of the detector, in Hz.
        start: Time of the first sample after the beginning of the row, in s; negative when it was taken before.
        delay: From a waveform at the source to its arrival at the detector in s.
        slices: How many equal parts it must have.

    Returns:
        The samples, shape `(n, channels, w)`, and the time of the first one, counted where the phase is 0, in s.

    Raises:
        ResponseError: The record does not reach far enough, or holds what is not finite.
        SpecError: The rate does not fit the window.
    """
    samples = check_detector_rate(window, sample_rate, slices=slices)
    if volts_NCT.ndim != 3:
        raise ResponseError(f"records must have rows, channels and samples, got shape {volts_NCT.shape}.")
    if not (math.isfinite(start) and math.isfinite(delay)):
        raise ResponseError(f"start and delay must be finite, in s, got {start} s and {delay} s.")
    first = math.ceil((window.start + delay - start) * sample_rate - _SLACK)
    held = volts_NCT.shape[2]
    if first < 0 or first + samples > held:
        raise ResponseError(
            f"a record must reach from {window.start + delay:.6g} s to {window.start + delay + window.duration:.6g} s "
            f"of its row, got {start:.6g} s to {start + held / sample_rate:.6g} s. Record more points, or check delay."
        )
    piece_NCW = volts_NCT[:, :, first : first + samples]
    if not np.isfinite(piece_NCW).all():
        row, channel, _ = np.argwhere(~np.isfinite(piece_NCW))[0]
        raise ResponseError(f"a record must be finite, in V, row {row} of channel {channel} is not.")
    return piece_NCW, start + first / sample_rate - window.origin / window.sample_rate - delay


def lock_in(
    piece_NCW: NDArray[np.float64], first: float, *, tones: tuple[float, ...], sample_rate: float
) -> NDArray[np.complex128]:
    """Return the complex amplitude `(2 / W) sum u exp(-i w t)` of each tone; `A sin(w t + p)` gives `-i A exp(i p)`.

    Args:
        piece_NCW: Whole periods of every tone, in V.
        first: Time of the first sample in s.
        tones: In Hz.
        sample_rate: In Hz.

    Returns:
        Shape `(n, channels, tones)`, in V.
    """
    phasor_WJ = _phasors(tones, first, sample_rate, piece_NCW.shape[2])
    level_NCJ = np.empty((*piece_NCW.shape[:2], len(tones)), np.complex128)
    # Real and imaginary parts apart: a product of real and complex would first copy the record to complex.
    level_NCJ.real = piece_NCW @ phasor_WJ.real
    level_NCJ.imag = piece_NCW @ phasor_WJ.imag
    return level_NCJ


def energies(piece_NCW: NDArray[np.float64], *, slices: int, sample_rate: float) -> NDArray[np.float64]:
    """Return the integrated square in equal slices, shape `(n, channels, slices)`, in V^2 s."""
    rows, channels, _ = piece_NCW.shape
    sliced = piece_NCW.reshape(rows, channels, slices, -1)
    return np.asarray(np.einsum("ncsw,ncsw->ncs", sliced, sliced) / sample_rate)


@lru_cache(maxsize=8)
def _phasors(tones: tuple[float, ...], first: float, sample_rate: float, samples: int) -> NDArray[np.complex128]:
    time_W = first + np.arange(samples) / sample_rate
    phasor_WJ: NDArray[np.complex128] = 2 / samples * np.exp(-2j * math.pi * time_W[:, None] * np.asarray(tones))
    phasor_WJ.flags.writeable = False
    return phasor_WJ
