"""The waveform of each tone of a row at drive 1, and what a row is the sum of.

Axis letters: J tones of a part; L samples of a part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .row_layout import RowLayout
from .tone_options import ToneOptions


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Tones that one channel plays at the same time.

    Args:
        channel: Place of the channel in the waveform.
        inputs: Which drives, or which bits of the nonce, they are.
        first: First sample in the row.
        basis_JL: V of each at drive 1.
    """

    channel: int
    inputs: NDArray[np.int64]
    first: int
    basis_JL: NDArray[np.float64]

    @property
    def last(self) -> int:
        """One past its last sample in the row."""
        return self.first + int(self.basis_JL.shape[1])


def low_crest_phases(count: int) -> NDArray[np.float64]:
    """Return phases with which tones of equal amplitude and spacing add up to a low peak, in rad.

    Source:
        M. R. Schroeder, Synthesis of low-peak-factor signals and binary sequences with low autocorrelation, IEEE Trans.
        Inf. Theory 16, 85 (1970), flat spectrum.
    """
    number = np.arange(count)
    return np.asarray(-math.pi * number * (number + 1) / count % (2 * math.pi))


def drive_parts(options: ToneOptions, layout: RowLayout, channels: int) -> tuple[Part, ...]:
    """Return one part for each slot and channel that has drives. Tones keep their phase from the start of the drive."""
    tones = np.asarray(options.tones, dtype=np.float64)
    phases_CJ = np.tile(low_crest_phases(len(tones)), (channels, 1))
    if options.phases:
        phases_CJ = np.asarray(options.phases, dtype=np.float64).reshape(channels, len(tones))
    parts = []
    for place in range(math.ceil(options.drives / len(tones))):
        slot, channel = divmod(place, channels)
        inputs = np.arange(place * len(tones), min((place + 1) * len(tones), options.drives))
        used = len(inputs)
        start = slot * options.spacing
        stop = start + options.slot
        # A slot that ends with the window does not fall before it: what listens finds it settled.
        if stop >= (layout.drive_samples - 0.5) / layout.sample_rate:
            stop = layout.drive_samples / layout.sample_rate + options.ramp
        first, wave_JL = _tones(tones[:used], phases_CJ[channel, :used], start, stop, options)
        basis_JL = options.amplitude * wave_JL
        parts.append(Part(channel=channel, inputs=inputs, first=layout.drive + first, basis_JL=basis_JL))
    return tuple(parts)


def pilot_parts(options: ToneOptions, layout: RowLayout, channels: int) -> tuple[Part, ...]:
    """Return one part for each channel. The tones are dealt out: channel `k % channels` plays tone `k`.

    So every channel has a share in the nonce, and one that still plays an earlier row shows.
    """
    if layout.pilot_window is None:
        return ()
    tones = np.asarray(layout.pilot_window.tones)
    phases = np.empty(len(tones))
    for channel in range(channels):
        phases[channel::channels] = low_crest_phases(len(tones[channel::channels]))
    amplitude = options.amplitude if options.pilot_amplitude is None else options.pilot_amplitude
    stop = (layout.pilot_window.first + layout.pilot_window.samples - layout.pilot) / layout.sample_rate + options.ramp
    parts = []
    for channel in range(min(channels, len(tones))):
        inputs = np.arange(channel, len(tones), channels)
        first, wave_JL = _tones(tones[inputs], phases[inputs], 0.0, stop, options)
        basis_JL = amplitude * wave_JL
        parts.append(Part(channel=channel, inputs=inputs, first=layout.pilot + first, basis_JL=basis_JL))
    return tuple(parts)


def _tones(
    tones: NDArray[np.float64], phases: NDArray[np.float64], start: float, stop: float, options: ToneOptions
) -> tuple[int, NDArray[np.float64]]:
    """Return tones that rise at `start` and have fallen at `stop`, in s: their first sample, and the samples."""
    rate = options.sample_rate
    first, last = math.ceil(start * rate - 1e-6), math.ceil(stop * rate - 1e-6)
    time_L = np.arange(first, last) / rate
    edge_L = np.clip(np.minimum(time_L - start, stop - time_L) / max(options.ramp, 1 / rate), 0, 1)
    angle_JL = 2 * math.pi * tones[:, None] * time_L + phases[:, None]
    return first, np.sin(math.pi / 2 * edge_L) ** 2 * np.sin(angle_JL)
