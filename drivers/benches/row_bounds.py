"""The worst that any allowed drive can make of a row, from the waveform of each tone, before anything is played.

Axis letters: C channels of the source; D drives, or bits of the nonce, of a channel; T samples of a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

from .codec import ToneCodec
from .tone_basis import Part
from .waveform_limits import UNITS, WAYS_OUT, WaveformLimits
from .words import word_weight

_BLOCK = 4096  # samples at a time, so that many drives don't need a dense matrix of a whole row
_ROUNDING = 1e-12  # of the largest value: what a sum of a few thousand products may be off


@dataclass(frozen=True, kw_only=True, eq=False)
class RowBounds:
    """What no row can exceed, for each channel of the source.

    Args:
        peak: V; also the range that the source needs.
        rms: V over a row.
        slew: V/s.
        duty: Part of a row in which anything is played.
    """

    peak: NDArray[np.float64]
    rms: NDArray[np.float64]
    slew: NDArray[np.float64]
    duty: NDArray[np.float64]

    def broken(self, limits: WaveformLimits) -> tuple[str, ...]:
        """Return which limits some row could break, in words; empty when none can."""
        found = []
        for name, unit in UNITS.items():
            value_C = getattr(self, name)
            for channel, (value, limit) in enumerate(zip(value_C, limits.of(name, len(value_C)), strict=True)):
                if not value <= limit:
                    found.append(
                        f"{name} of channel {channel} must be at most {limit:g} {unit}, and could reach {value:.6g} "
                        f"{unit}"
                    )
        return tuple(found)


def row_bounds(codec: ToneCodec, *, max_sum: float | None = None) -> RowBounds:
    """Return the bounds over all drives in range and all nonces, the calibration's all-on pilot included.

    Peak and slew are the worst that can be: some drive reaches them (twenty tones that meet in phase reach twenty
    times one). The root mean square counts products of tones as if they always added up, and the duty counts every
    sample that is not 0: both may be a little above what can be.

    Args:
        codec: What makes the rows.
        max_sum: Highest sum of absolute drives of a row; None for no joint limit. The root mean square is then a bound
            by the triangle inequality.
    """
    values = np.zeros((4, codec.channels))
    on = word_weight(len(codec.pilot_tones))
    for channel in range(codec.channels):
        drive, pilot = _parts(codec, channel)
        for block in _blocks(codec, drive, pilot):
            worst = block.worst(signed=codec.low < 0, max_sum=max_sum, on=on)
            values[:2, channel] = np.maximum(values[:2, channel], worst)
        energy = _drive_energy(codec, drive, max_sum) + _pilot_energy(pilot)
        values[2, channel] = np.sqrt(energy / codec.layout.samples)
        values[3, channel] = _support(codec, [*drive, *pilot])
    rate = codec.options.sample_rate
    peak_C = values[0] * (1 + _ROUNDING)
    return RowBounds(
        peak=peak_C,
        slew=(values[1] + 2 * _ROUNDING * values[0]) * rate,
        rms=values[2] * (1 + _ROUNDING),
        duty=values[3],
    )


def joint_limit(codec: ToneCodec, limits: WaveformLimits) -> float | None:
    """Return the highest sum of absolute drives of a row, `max_sum` of a `DriveSpec`, that keeps all limits safe.

    Returns:
        None when no drive in range can break a limit, so that none is needed.

    Raises:
        SpecError: No such limit helps: the pilot alone breaks a limit, or the duty does.
    """
    bounds = row_bounds(codec)
    if not bounds.broken(limits):
        return None
    always = row_bounds(codec, max_sum=0.0).broken(limits)
    if always:
        ways = "; ".join(WAYS_OUT[name] for name in UNITS if any(line.startswith(name) for line in always))
        raise SpecError(
            f"a row must be within the limits whatever its drive, but {'; '.join(always)}. {ways}; the pilot has a "
            "pilot_amplitude of its own."
        )
    rate, samples = codec.options.sample_rate, codec.layout.samples
    found = [np.inf]
    for channel in range(codec.channels):
        drive, pilot = _parts(codec, channel)
        peak, slew, rms = (limits.of(name, codec.channels)[channel] for name in ("peak", "slew", "rms"))
        step = slew / rate - 2 * _ROUNDING * bounds.peak[channel]
        for block in _blocks(codec, drive, ()):
            for values_DT, limit in ((block.values_DT, peak), (block.steps_DT, step)):
                found.extend(_largest_budget(side_DT, limit) for side_DT in _sides(values_DT, codec.low < 0))
        if np.isfinite(rms):
            found.append(_largest_budget(_norms(drive), np.sqrt(rms**2 * samples - _pilot_energy(pilot))))
    return float(min(found)) * (1 - 1e-9)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Block:
    """Some samples of a channel.

    Args:
        values_DT: V of each drive at 1.
        steps_DT: Its changes from sample to sample.
        pilot: The same two of the bits of the nonce.
    """

    values_DT: NDArray[np.float64]
    steps_DT: NDArray[np.float64]
    pilot: tuple[NDArray[np.float64], NDArray[np.float64]]

    def worst(self, *, signed: bool, max_sum: float | None, on: int) -> NDArray[np.float64]:
        """Return the largest absolute value and change, with `on` bits of the nonce on, or all."""
        found = []
        for drive_DT, pilot_DT in ((self.values_DT, self.pilot[0]), (self.steps_DT, self.pilot[1])):
            all_T, largest = pilot_DT.sum(0), 0.0
            for sign, side_DT in zip((1, -1), _sides(drive_DT, signed), strict=True):
                nonce_T = np.maximum(_largest_sum(np.maximum(sign * pilot_DT, 0), on), sign * all_T)
                largest = max(largest, float((_largest_sum(side_DT, max_sum) + nonce_T).max()))
            found.append(largest)
        return np.array(found)


def _parts(codec: ToneCodec, channel: int) -> tuple[list[Part], list[Part]]:
    drive = [part for part in codec.drive_parts if part.channel == channel]
    return drive, [part for part in codec.pilot_parts if part.channel == channel]


def _blocks(codec: ToneCodec, drive: Sequence[Part], pilot: Sequence[Part]) -> Iterator[_Block]:
    for first in range(0, codec.layout.samples, _BLOCK):
        last = min(first + _BLOCK, codec.layout.samples)
        # One sample before: a row begins at 0 V, and ends there.
        values_DT, bits_DT = _dense(drive, first - 1, last), _dense(pilot, first - 1, last)
        yield _Block(
            values_DT=values_DT[:, 1:],
            steps_DT=np.diff(values_DT),
            pilot=(bits_DT[:, 1:], np.diff(bits_DT)),
        )


def _dense(parts: Sequence[Part], first: int, last: int) -> NDArray[np.float64]:
    """Return what is played of some parts from one sample to another; parts that are silent there are left out."""
    rows = []
    for part in parts:
        begin, end = max(part.first, first), min(part.last, last)
        if begin < end:
            row_JT = np.zeros((len(part.basis_JL), last - first))
            row_JT[:, begin - first : end - first] = part.basis_JL[:, begin - part.first : end - part.first]
            rows.append(row_JT)
    return np.concatenate(rows) if rows else np.zeros((0, last - first))


def _sides(values_DT: NDArray[np.float64], signed: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each drive can add upwards and downwards."""
    if signed:
        return np.abs(values_DT), np.abs(values_DT)
    return np.maximum(values_DT, 0), np.maximum(-values_DT, 0)


def _largest_sum(values_DT: NDArray[np.float64], budget: float | None) -> NDArray[np.float64]:
    """Return the largest `sum d v` for `0 <= d <= 1` and `sum d <= budget`: the largest values first."""
    if budget is None or budget >= len(values_DT):
        return np.asarray(values_DT.sum(0))
    falling_DT = -np.sort(-values_DT, axis=0)
    whole = int(budget)
    return np.asarray(falling_DT[:whole].sum(0) + (budget - whole) * falling_DT[whole])


def _largest_budget(values_DT: NDArray[np.float64], limit: float) -> float:
    """Return the largest budget for which `_largest_sum` stays at or below a limit."""
    if not len(values_DT):
        return np.inf
    falling_DT = -np.sort(-values_DT, axis=0)
    sum_DT = np.cumsum(falling_DT, axis=0)
    over_T = sum_DT[-1] > limit
    if not over_T.any():
        return np.inf
    falling_DT, sum_DT = falling_DT[:, over_T], sum_DT[:, over_T]
    whole_T = (sum_DT <= limit).sum(0)
    at = np.arange(sum_DT.shape[1])
    next_T = falling_DT[whole_T, at]
    return float((whole_T + (limit - (sum_DT[whole_T, at] - next_T)) / next_T).min())


def _drive_energy(codec: ToneCodec, drive: Sequence[Part], max_sum: float | None) -> float:
    """Return a bound of the sum of squares: no product of two tones counts for less than nothing."""
    total = 0.0
    for a in drive:
        for b in drive:
            begin, end = max(a.first, b.first), min(a.last, b.last)
            if begin < end:
                gram = a.basis_JL[:, begin - a.first : end - a.first] @ b.basis_JL[:, begin - b.first : end - b.first].T
                total += float((np.abs(gram) if codec.low < 0 else np.maximum(gram, 0)).sum())
    return total if max_sum is None else min(total, float(_largest_sum(_norms(drive), max_sum)[0]) ** 2)


def _norms(drive: Sequence[Part]) -> NDArray[np.float64]:
    """Return the root of the sum of squares of each drive at 1, shape `(d, 1)`."""
    return np.array([norm for part in drive for norm in np.linalg.norm(part.basis_JL, axis=1)]).reshape(-1, 1)


def _pilot_energy(pilot: Sequence[Part]) -> float:
    return sum(float(np.maximum(part.basis_JL @ part.basis_JL.T, 0).sum()) for part in pilot)


def _support(codec: ToneCodec, parts: Sequence[Part]) -> float:
    played_T = np.zeros(codec.layout.samples, np.bool_)
    for part in parts:
        played_T[part.first : part.last] |= (part.basis_JL != 0).any(0)
    return float(played_T.mean())
