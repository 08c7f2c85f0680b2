"""What a sound card can be set up to do, checked before anything is touched.

Axis letters: N rows; C channels; T samples.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import DriveError, InputError

from ..roles import DetectorSetup, SourceSetup
from .sound_library import Card

MOST = 1 << 25
"""Samples of a burst: six minutes at 96 kHz."""
_SLACK = 1e-9  # of the peak: what rounding in a caller may add


def check_source(setup: SourceSetup, card: Card, *, full_scale: float) -> None:
    """Check how a card is to play.

    Raises:
        InputError: It can't.
    """
    _check_rate(setup.sample_rate, card)
    _check_channels(setup.channels, card.outputs, "output")
    for number, peak in zip(setup.channels, setup.peak, strict=True):
        if not peak <= full_scale:
            raise InputError(
                f"peak of output {number} must be <= {full_scale:g} V, the full scale of the card (volts_out), got "
                f"{peak:g} V."
            )


def check_detector(
    setup: DetectorSetup, card: Card, *, full_scale: float, coupling: Literal["AC", "DC"], reference: int | None
) -> None:
    """Check how a card is to record.

    Raises:
        InputError: It can't.
    """
    _check_rate(setup.sample_rate, card)
    _check_channels(setup.channels, card.inputs, "input")
    if reference is not None:
        _check_channels((reference,), card.inputs, "reference input")
    if len(setup.full_scale) != len(setup.channels) or not all(0 < volts <= full_scale for volts in setup.full_scale):
        raise InputError(
            f"full_scale must be > 0 to {full_scale:g} V, that of the card (volts_in), for each input, got "
            f"{setup.full_scale}."
        )
    if setup.coupling != coupling:
        raise InputError(
            f"coupling of a sound card can't be switched: it is {coupling}, got {setup.coupling!r}. If its inputs are "
            f"{setup.coupling} coupled, say so in the option of that name."
        )
    if setup.segments != 1:
        raise InputError(f"segments of a sound card must be 1, one record a burst, got {setup.segments}.")
    if not 1 <= setup.points <= MOST or not 0 <= setup.before * setup.sample_rate < setup.points:
        raise InputError(
            f"points must be 1 to {MOST} and reach beyond the trigger, got {setup.points} with {setup.before:g} s "
            "before it."
        )


def check_waveform(waveform_NCT: NDArray[np.float64], setup: SourceSetup) -> None:
    """Check a burst before it is played.

    Raises:
        InputError: Its shape is not that of the setup.
        DriveError: A sample is not finite, or beyond the peak.
    """
    rows, channels, points = waveform_NCT.shape if waveform_NCT.ndim == 3 else (0, 0, 0)
    if channels != len(setup.channels) or not 1 <= rows * points <= MOST:
        raise InputError(
            f"a burst must have rows, {len(setup.channels)} channels and up to {MOST} samples in all, got shape "
            f"{waveform_NCT.shape}."
        )
    for place, (number, peak) in enumerate(zip(setup.channels, setup.peak, strict=True)):
        largest = float(np.abs(waveform_NCT[:, place]).max())  # NaN where there is one
        if not largest <= peak * (1 + _SLACK):
            raise DriveError(f"output {number} must stay within {peak:g} V, got {largest:g} V. Nothing was played.")


def _check_rate(rate: float, card: Card) -> None:
    if rate not in card.rates:
        known = ", ".join(f"{one:g}" for one in card.rates)
        raise InputError(f"sample_rate of this sound card must be one of {known} Hz, got {rate:g} Hz.")


def _check_channels(channels: tuple[int, ...], most: int, side: str) -> None:
    if not (channels and len(set(channels)) == len(channels) and all(1 <= number <= most for number in channels)):
        raise InputError(f"{side} channels must be different numbers of 1 to {most}, got {channels}.")
