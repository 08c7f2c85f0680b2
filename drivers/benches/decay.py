"""How long a medium rings: the decay of what is recorded after the drive has stopped, and the guard that follows.

Axis letters: S shots; T samples; B blocks of samples.

Source:
    M. R. Schroeder, New method of measuring reverberation time, J. Acoust. Soc. Am. 37, 409 (1965): backward
    integration. Noise taken off and the missing end put back: W. T. Chu, J. Acoust. Soc. Am. 63, 1444 (1978);
    A. Lundeby et al., Acustica 81, 344 (1995).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import MeasurementError, SpecError

_BLOCKS = 100  # in which power is looked at
_BLOCK_SAMPLES = 16  # at least: noise alone is above three times its mean in 5e-5 of such blocks (chi-squared)
_QUIET = 3.0  # times the power of the noise: below it a block counts as noise
_SKIPPED = 5.0  # dB at the beginning, where the direct sound falls by itself
_HEADROOM = 10.0  # dB: the curve is trusted where it is this far above what is put back at its end
_FITTED = 10.0  # dB that must be left to fit, and of the end of the curve, which may decay more slowly than the rest
_ROUNDS = 8  # of fit and end put back: 10 dB of headroom make each change a tenth of the one before


@dataclass(frozen=True, kw_only=True)
class Decay:
    """How a medium rings.

    Args:
        time: In which an amplitude falls to 1 / e, s.
        guard: After which what rings is below the level, s.
        level: Part of the amplitude.
        extrapolated: Whether the level lies below what could be measured: the late decay was carried on. From 20 dB to
            60 dB that is right within a tenth.
        range: By how much it fell as far as it can be trusted, dB.
    """

    time: float
    guard: float
    level: float
    extrapolated: bool
    range: float

    @property
    def reverberation(self) -> float:
        """Time to fall by 60 dB in s."""
        return math.log(1e3) * self.time


def fit_decay(record_ST: NDArray[np.float64], *, sample_rate: float, noise: float, level: float = 1e-3) -> Decay:
    """Fit the decay of a record that begins when the drive stops.

    The energy that is still to come, `sum over t' > t of (u^2 - noise^2)`, falls smoothly even where the record beats.
    It is summed up to where the signal meets the noise; what would have come after is put back from the fit. The guard
    is read off the curve where it reaches the level. Where it does not, its end is carried on, as slowly as the whole
    or its last 10 dB decay, whichever is slower.

    Args:
        record_ST: Shots in V, shape `(shots, samples)`: their energies are averaged.
        sample_rate: In Hz.
        noise: Root mean square of the detector without a drive in V; 0 if there is none.
        level: Part of its amplitude that may be left.

    Raises:
        MeasurementError: The record begins too near to the noise, or reaches neither noise nor level before its last
            tenth, or the noise is not the one that was stated.
    """
    _check(record_ST, sample_rate, noise, level)
    power_T = np.mean(record_ST**2, axis=0)
    floor = noise**2
    length = max(power_T.size // _BLOCKS, min(_BLOCK_SAMPLES, power_T.size // 10))
    block_B = power_T[: power_T.size // length * length].reshape(-1, length).mean(1)
    loud_B = np.flatnonzero(block_B > _QUIET * floor)
    _check_loud(block_B, loud_B, floor, noise)
    # The last block above the noise, not the first below: tones that beat are silent now and then.
    knee = (int(loud_B[-1]) + 1) * length
    share = max(float(block_B[loud_B[-1]]) - floor, floor) / float(block_B[0])
    curve_T, line = _integrate(power_T[:knee] - floor, share)
    fell = 10 * math.log10(curve_T[0] / curve_T[-1])
    reached = np.flatnonzero(curve_T <= level**2 * curve_T[0])
    if len(reached):
        guard = int(reached[0]) / sample_rate
    elif knee > 0.9 * power_T.size:
        raise MeasurementError(
            f"a decay must reach the noise of {noise:.3g} V, or {20 * math.log10(1 / level):.3g} dB, in the first nine "
            f"tenths of its record of {power_T.size / sample_rate:.3g} s, and fell by {fell:.3g} dB. Record longer; if "
            "it never does, something else is driven, or the noise was measured with less of it."
        )
    else:
        slower = min(line, _line(curve_T, fell - _FITTED))
        guard = (curve_T.size + math.log(level**2 * curve_T[0] / curve_T[-1]) / slower) / sample_rate
    return Decay(time=-2 / (line * sample_rate), guard=guard, level=level, extrapolated=not len(reached), range=fell)


def _integrate(signal_T: NDArray[np.float64], share: float) -> tuple[NDArray[np.float64], float]:
    """Return the energy to come as far as it can be trusted, and the slope of its logarithm per sample.

    Args:
        signal_T: Power without that of the noise, up to where they meet.
        share: Of the power at the beginning, there.
    """
    raw_T = np.cumsum(signal_T[::-1])[::-1]
    # The energy to come of an exponential falls as its power.
    missing = share * float(raw_T[0])
    for _ in range(_ROUNDS):
        whole_T = raw_T + missing
        below = np.flatnonzero(whole_T <= 10 ** (_HEADROOM / 10) * missing)
        curve_T = whole_T[: int(below[0])] if len(below) else whole_T
        fell = 10 * math.log10(curve_T[0] / curve_T[-1]) if curve_T.size > 2 else 0.0
        if not fell >= _SKIPPED + _FITTED:
            raise MeasurementError(
                f"a decay must fall by {_SKIPPED + _FITTED:g} dB, and stay {_HEADROOM:g} dB above what is left at its "
                f"end, got {fell:.3g} dB. Drive harder, average more shots, or record longer; a tone that goes on does "
                "not decay."
            )
        slope = _line(curve_T, _SKIPPED)
        middle = int(np.searchsorted(-curve_T, -math.sqrt(curve_T[0] * curve_T[-1])))
        missing = float(curve_T[middle]) * math.exp(slope * (signal_T.size - middle))
    return curve_T, slope


def _line(curve_T: NDArray[np.float64], skipped: float) -> float:
    """Return the slope of the logarithm per sample, by least squares, after it has fallen by some dB.

    Raises:
        MeasurementError: It does not fall.
    """
    first = int(np.argmax(curve_T <= curve_T[0] * 10 ** (-skipped / 10)))
    slope = float(np.polyfit(np.arange(curve_T.size - first), np.log(curve_T[first:]), 1)[0])
    if not slope < 0:
        raise MeasurementError("a decay must fall, and this record does not. Look at what else is driven.")
    return slope


def _check(record_ST: NDArray[np.float64], sample_rate: float, noise: float, level: float) -> None:
    if record_ST.ndim != 2 or not len(record_ST) or record_ST.shape[1] < 100:
        raise SpecError(f"a decay must have shots of 100 samples or more, got shape {record_ST.shape}.")
    if not (0 < sample_rate < math.inf and 0 <= noise < math.inf and 0 < level < 1):
        raise SpecError(
            f"a decay needs a rate > 0 Hz, a noise >= 0 V and a level of 0 to 1, got {sample_rate} Hz, {noise} V and "
            f"{level}."
        )
    if not np.isfinite(record_ST).all():
        raise MeasurementError("a decay must be finite, in V. Look at what the detector records.")


def _check_loud(block_B: NDArray[np.float64], loud_B: NDArray[np.int64], floor: float, noise: float) -> None:
    least = _SKIPPED + _FITTED + _HEADROOM
    begins = float(block_B[0])
    if not (len(loud_B) and begins > 0 and begins >= 10 ** (least / 10) * floor):
        above = 10 * math.log10(begins / floor) if floor > 0 and begins > 0 else 0.0
        raise MeasurementError(
            f"a decay must begin {least:g} dB above the noise of {noise:.3g} V or more, got {above:.3g} dB. Drive "
            "harder, or average more shots."
        )
    rest_B = block_B[int(loud_B[-1]) + 1 :]
    if len(rest_B) and not float(rest_B.mean()) >= floor / 4:
        raise MeasurementError(
            f"noise must be that of the record, {math.sqrt(rest_B.mean()):.3g} V at its end, got {noise:.3g} V. "
            "Measure it again with the same range."
        )
