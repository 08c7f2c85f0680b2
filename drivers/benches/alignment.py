"""When what was played arrives: the first arrival of a known probe in a record, to a fraction of a sample.

The probe is correlated with the record, and the envelope of the correlation is looked at: it does not care whether a
loudspeaker or an amplifier turns the phase. In a reverberant medium it has a peak for every path. The **first** one
that matters is taken, not the strongest: it is the direct path or the cable, whose time stays when something moves or
drifts, while the strongest may be any of a hundred echoes, and another one tomorrow. A first arrival below half of the
strongest is not seen.

Axis letters: T samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import MeasurementError, SpecError

_SHARE = 0.5  # of the strongest peak: what counts as an arrival
_DOUBT = 0.8  # a peak between 0.8 and 1 / 0.8 of that counts today, and may not tomorrow
_FINER = 8  # points of the envelope a sample: between them a parabola is off by less than 1e-3 of a sample


@dataclass(frozen=True, kw_only=True)
class Delay:
    """When a probe arrives.

    Args:
        seconds: From the first sample of the record to the beginning of the probe, s.
        samples: The same in samples of the record.
        confidence: The peak over the root mean square of the rest of the envelope: 3 to 4 in noise alone.
    """

    seconds: float
    samples: float
    confidence: float


def find_delay(
    record_T: NDArray[np.float64],
    probe_T: NDArray[np.float64],
    *,
    sample_rate: float,
    latest: float | None = None,
    confidence: float = 5.0,
) -> Delay:
    """Find the first arrival of a probe.

    Args:
        record_T: What was recorded, in any unit; averaged over shots where it is noisy.
        probe_T: What was played, at the rate of the record.
        sample_rate: Of both, in Hz.
        latest: Largest delay that is possible, in s; None for the longest with which the probe lies in the record. A
            probe that repeats itself needs one below its period.
        confidence: Least confidence. In noise alone `n` points reach it with a probability of `n exp(-confidence^2)`:
            1e-6 for 100 000 at 5.

    Returns:
        The delay; below 0 by a part of a sample, or by a few where the probe is slow, when it arrives at once.

    Raises:
        SpecError: The probe does not fit: it is longer than the record, or as like itself later as at once.
        MeasurementError: Nothing stands out, or what stands out could be either of two arrivals.
    """
    if record_T.ndim != 1 or probe_T.ndim != 1 or not 2 <= len(probe_T) <= len(record_T):
        raise SpecError(f"a probe must be in its record, got {probe_T.shape} and {record_T.shape} samples.")
    if not (np.isfinite(record_T).all() and np.isfinite(probe_T).all()):
        raise MeasurementError("a record and its probe must be finite, to find a delay.")
    most = len(record_T) - len(probe_T)
    last = most if latest is None else min(most, math.floor(latest * sample_rate))
    if not last >= 1:
        raise SpecError(f"latest must be a sample or more, {1 / sample_rate:.3g} s, got {latest} s.")
    lobe = _lobe(probe_T, last)
    envelope = _envelope(record_T, probe_T, lobe, last)
    strongest = float(envelope.max())
    places = [_first_peak(envelope, share * strongest) for share in (_DOUBT * _SHARE, _SHARE, _SHARE / _DOUBT)]
    peak = places[1]
    rest = np.delete(envelope, np.s_[max(0, peak - lobe) : peak + lobe + 1])
    level = math.sqrt(float(np.mean(rest**2))) if len(rest) else 0.0
    found = float(envelope[peak]) / level if level > 0 else (math.inf if strongest > 0 else 0.0)
    if not found >= confidence:
        raise MeasurementError(
            f"a probe must stand out of its record {confidence:g} times, got {found:.3g}. Check that it is connected, "
            "average more shots, or play a longer or stronger probe."
        )
    if max(places) - min(places) > lobe:
        times = sorted({(place - lobe) / _FINER / sample_rate for place in places})
        raise MeasurementError(
            "a probe must have one first arrival, and has candidates at "
            f"{' and '.join(f'{time:.6g} s' for time in times)}, of which the first is near half of the strongest. "
            "Average more shots, play a probe of more bandwidth, set latest, or state the delay."
        )
    samples = (peak + _vertex(envelope, peak) - lobe) / _FINER
    return Delay(seconds=samples / sample_rate, samples=samples, confidence=found)


def _lobe(probe_T: NDArray[np.float64], last: int) -> int:
    """Return half the width of the probe's own peak, in points.

    Raises:
        SpecError: It has another peak within the delays that are possible.
    """
    own = _correlate(np.pad(probe_T, (0, last)), probe_T)[: _FINER * last + 1]
    below = np.flatnonzero(own < _DOUBT * _SHARE * own[0])
    if not len(below):
        raise SpecError(
            "a probe must have a narrow peak when it is correlated with itself, and this one has none within the "
            "delays that are possible. Play a chirp of more bandwidth."
        )
    lobe = int(below[0])
    second = float(own[lobe:].max() / own[0])
    if second >= _DOUBT * _SHARE:
        at = (lobe + int(own[lobe:].argmax())) / _FINER
        raise SpecError(
            f"a probe must not be like itself later, and this one is, by {second:.2f} after {at:.1f} samples. Play a "
            "chirp, or set latest below that."
        )
    return lobe


def _envelope(record_T: NDArray[np.float64], probe_T: NDArray[np.float64], lobe: int, last: int) -> NDArray[np.float64]:
    """Return the envelope of the correlation at delays from `-lobe` points to `last` samples and a lobe."""
    whole = _correlate(record_T, probe_T)
    return np.concatenate([whole[len(whole) - lobe :], whole[: _FINER * last + lobe + 1]])


def _correlate(record_T: NDArray[np.float64], probe_T: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the envelope of the correlation at multiples of a part of a sample, negative delays at the end."""
    length = 1 << (len(record_T) + len(probe_T)).bit_length()
    spectrum = np.fft.rfft(record_T, length) * np.conj(np.fft.rfft(probe_T, length))
    # Only positive frequencies, at a finer rate: the modulus is the envelope.
    finer = np.zeros(_FINER * length, np.complex128)
    finer[: length // 2] = spectrum[: length // 2]
    return np.abs(np.fft.ifft(finer))


def _first_peak(envelope: NDArray[np.float64], threshold: float) -> int:
    """Return the first local maximum at or above a threshold."""
    inside = (envelope[1:-1] >= envelope[:-2]) & (envelope[1:-1] > envelope[2:]) & (envelope[1:-1] >= threshold)
    peaks = np.flatnonzero(inside) + 1
    return int(peaks[0]) if len(peaks) else int(envelope.argmax())


def _vertex(envelope: NDArray[np.float64], peak: int) -> float:
    """Return how far from a point the top of the parabola through it and its neighbours is, in points."""
    if not 0 < peak < len(envelope) - 1:
        return 0.0
    before, at, after = (float(value) for value in envelope[peak - 1 : peak + 2])
    curvature = before - 2 * at + after
    return 0.5 * (before - after) / curvature if curvature < 0 else 0.0
