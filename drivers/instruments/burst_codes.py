"""Bursts as codes of a converter, refused before a byte of what must not be played is sent.

Axis letters: N rows; C channels; T samples of a row; S samples of a burst, all its rows one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import DriveError


def burst_codes(
    waveform_NCT: NDArray[Any], *, limit: Sequence[float], full: Sequence[float], largest: int, points: tuple[int, int]
) -> NDArray[np.int16]:
    """Return the codes of a burst: the nearest ones, so that none is beyond the limit by more than half a code.

    Args:
        waveform_NCT: Rows in V.
        limit: Largest absolute voltage of each channel in V.
        full: Voltage of the largest code in V, per channel; not below the limit but for rounding.
        largest: The largest code.
        points: Fewest and most samples of a burst.

    Returns:
        Shape `(channels, samples)`, little-endian.

    Raises:
        DriveError: Shape or type are wrong, a sample is not finite or beyond the limit, or the burst does not begin
            with 0 V or a row does not end with it.
    """
    shape, channels = waveform_NCT.shape, len(limit)
    if waveform_NCT.dtype.kind not in "iuf" or len(shape) != 3 or shape[1] != channels:
        raise DriveError(
            f"a waveform must be real, of shape (rows, {channels}, samples), got {waveform_NCT.dtype} of {shape}."
        )
    if not points[0] <= shape[0] * shape[2] <= points[1]:
        raise DriveError(
            f"a burst must have {points[0]} to {points[1]} samples, got {shape[0]} rows of {shape[2]}. Load fewer rows "
            "at a time."
        )
    for place, peak in enumerate(limit):
        magnitude_NT = np.abs(waveform_NCT[:, place].astype(np.float64))
        if not (magnitude_NT <= peak).all():
            worst = magnitude_NT[~(magnitude_NT <= peak)][0]
            raise DriveError(
                f"samples of channel {place + 1} of {channels} must be within -{peak:g} to {peak:g} V, got {worst:g} V "
                "in magnitude. The limit is the peak of the setup; nothing was sent."
            )
    scaled_NCT = np.rint(waveform_NCT / np.asarray(full)[None, :, None] * largest)
    if scaled_NCT[:, :, -1].any() or scaled_NCT[0, :, 0].any():
        raise DriveError(
            "a burst must begin with a sample of 0 V, and each of its rows must end with one: the outputs rest there. "
            "Add it to the waveform; nothing was sent."
        )
    codes_CNT = scaled_NCT.transpose(1, 0, 2).astype("<i2")
    return np.ascontiguousarray(codes_CNT.reshape(channels, -1))


def fit_amplitude(codes_S: NDArray[np.int16], unit: float, smallest: float) -> tuple[NDArray[np.int16], float]:
    """Fit the codes of a channel to an amplitude of four digits that spans them from the lowest to the highest.

    For a generator whose amplitude is that of the waveform: this keeps the volts of a code what they are, to half a
    code in all that the waveform spans. The outermost codes, at most a thousandth of the span, are drawn in for it.
    What spans less than the smallest amplitude gets a pair of samples at its beginning that span it.

    Args:
        codes_S: At least four, the first and the last of them 0.
        unit: V of one code.
        smallest: Smallest amplitude in V.

    Returns:
        The codes, and the amplitude in V peak to peak.
    """
    fitted_S = codes_S.copy()
    low, high = int(codes_S.min()), int(codes_S.max())
    if not (high - low) * unit >= smallest:
        amplitude = four_digits(smallest, up=True)
        span = round(amplitude / unit)
        # As near to 0 as what is there allows.
        above = max(span - span // 2, high)
        below = min(above - span, low)
        fitted_S[1:3] = below + span, below
        return fitted_S, amplitude
    amplitude = four_digits((high - low) * unit, up=False)
    excess = high - low - round(amplitude / unit)
    return (fitted_S.clip(low, high - excess) if high >= -low else fitted_S.clip(low + excess, high)), amplitude


def four_digits(value: float, *, up: bool) -> float:
    """Return the next number of four digits at or above a finite value, or at or below it."""
    if not value > 0:
        return value
    step = math.floor(math.log10(value)) - 3
    # 1e-9 of a step: a value that has four digits but for rounding.
    steps = value / 10.0**step
    return float(f"{math.ceil(steps - 1e-9) if up else math.floor(steps + 1e-9)}e{step}")
