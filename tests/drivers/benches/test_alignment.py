"""Axis letters as in the module."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.drivers.benches.alignment import find_delay
from physnet.drivers.benches.chirp import Chirp
from physnet.errors import MeasurementError, SpecError

RATE = 64e3
CHIRP = Chirp(low=1e3, high=8e3, duration=5e-3, amplitude=0.1)
PROBE = CHIRP.samples(RATE)
# A parabola through three points, an eighth of a sample apart. The peak of a band of 7 kHz is 1 - x^2 / 6 + x^4 / 120,
# x = pi 7 kHz t, x = 0.04 from point to point: the fourth order moves the top by less than x^2 / 10 = 2e-4 points.
# The probe itself is cut off at half the rate, 1e-4 of it or less, by its fade.
INTERPOLATION = 1e-3


def delayed(samples: float, length: int = 1500, probe: NDArray[np.float64] = PROBE) -> NDArray[np.float64]:
    """Return the probe, delayed by any number of samples."""
    shift = np.exp(-2j * math.pi * samples * np.fft.rfftfreq(2 * length))
    return np.asarray(np.fft.irfft(np.fft.rfft(probe, 2 * length) * shift, 2 * length)[:length])


@pytest.mark.parametrize("samples", [0.0, 0.37, 17.0, 123.456, 700.75])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_fractional_delay_is_found_whatever_the_polarity(samples: float, sign: int) -> None:
    found = find_delay(sign * delayed(samples), PROBE, sample_rate=RATE)
    assert found.samples == pytest.approx(samples, abs=INTERPOLATION)
    assert found.seconds == pytest.approx(samples / RATE, abs=INTERPOLATION / RATE) and found.confidence > 10


def test_the_detector_may_sample_faster() -> None:
    # At three times the rate the probe is the same function of time.
    fine = CHIRP.samples(3 * RATE)
    found = find_delay(delayed(3 * 40.25, 4500, fine), fine, sample_rate=3 * RATE)
    assert found.seconds * RATE == pytest.approx(40.25, abs=INTERPOLATION)


def test_noise_moves_the_delay_as_little_as_can_be() -> None:
    sigma, errors = 0.03, []
    for seed in range(60):
        noise = sigma * np.random.default_rng(seed).standard_normal(1500)
        errors.append(find_delay(delayed(123.456) + noise, PROBE, sample_rate=RATE).samples - 123.456)
    # Cramer-Rao bound with unknown phase: sigma / (sqrt(sum p^2) 2 pi b), b the root mean square bandwidth about the
    # mean frequency. 60 records tell their standard deviation within 1 / sqrt(120) = 9 %; five times that are 46 %.
    power = np.abs(np.fft.rfft(PROBE, 1 << 15)) ** 2
    frequency = np.fft.rfftfreq(1 << 15)
    width = math.sqrt(np.average((frequency - np.average(frequency, weights=power)) ** 2, weights=power))
    bound = sigma / math.sqrt((PROBE**2).sum()) / (2 * math.pi * width)
    assert np.std(errors) < 1.46 * bound and abs(np.mean(errors)) < 5 * bound / math.sqrt(60) + INTERPOLATION


def test_the_first_arrival_is_taken_and_not_the_strongest() -> None:
    record = 0.8 * delayed(100.3) + delayed(160.0)
    found = find_delay(record, PROBE, sample_rate=RATE)
    # 60 samples away the side lobes of the echo are below a tenth of it, rippled every RATE / 7 kHz = 9 samples: their
    # slope, 0.1 2 pi / 9 = 0.07, moves a top of curvature 0.8 (2 pi / 9)^2 / 12 = 0.033 by 2.1 samples at the most.
    assert found.samples == pytest.approx(100.3, abs=2.1)


@pytest.mark.parametrize("seed", range(5))
def test_a_reverberant_medium_is_aligned_to_its_direct_path(seed: int) -> None:
    rng = np.random.default_rng(seed)
    impulse = np.zeros(900)
    tail = np.arange(30, 900)
    # Echoes from 30 samples after the direct path on, with 1.5 ms of decay, and one tenth of it each: together they are
    # stronger than it.
    impulse[tail] = 0.1 * rng.standard_normal(len(tail)) * np.exp(-tail / (1.5e-3 * RATE))
    impulse[0] = 1.0
    clean = np.convolve(delayed(200.6, 2400), impulse)[:2400]
    found = find_delay(clean + 0.002 * rng.standard_normal(2400), PROBE, sample_rate=RATE)
    assert found.samples == pytest.approx(200.6, abs=1.5)


def test_what_could_be_either_of_two_arrivals_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"candidates at 0\.0015\d* s and 0\.0025\d* s"):
        find_delay(0.5 * delayed(100.0) + delayed(160.0), PROBE, sample_rate=RATE)
    # A first arrival that is clearly weaker is not seen, as the module says.
    assert find_delay(0.2 * delayed(100.0) + delayed(160.0), PROBE, sample_rate=RATE).samples == pytest.approx(
        160, abs=1
    )


def test_noise_alone_is_refused() -> None:
    for seed in range(20):
        with pytest.raises(MeasurementError, match=r"stand out .* Check that it is connected"):
            find_delay(np.random.default_rng(seed).standard_normal(3000), PROBE, sample_rate=RATE)
    with pytest.raises(MeasurementError, match="stand out"):
        find_delay(np.zeros(3000), PROBE, sample_rate=RATE)
    with pytest.raises(MeasurementError, match="finite"):
        find_delay(np.full(3000, np.nan), PROBE, sample_rate=RATE)


def test_a_probe_that_repeats_itself_needs_a_latest_delay_below_its_period() -> None:
    period = np.random.default_rng(0).standard_normal(100)
    probe = np.tile(period, 6)
    record = np.concatenate([np.zeros(30), probe, np.zeros(200)]) + 0.0
    with pytest.raises(SpecError, match=r"like itself later, .* after 100\.0 samples"):
        find_delay(record, probe, sample_rate=RATE)
    found = find_delay(record, probe, sample_rate=RATE, latest=60 / RATE)
    assert found.samples == pytest.approx(30, abs=0.1)


def test_a_probe_without_a_narrow_peak_is_refused() -> None:
    tone = np.sin(2 * math.pi * 1000 * np.arange(640) / RATE)
    with pytest.raises(SpecError, match="chirp of more bandwidth"):
        find_delay(np.concatenate([tone, np.zeros(100)]), tone, sample_rate=RATE)
    with pytest.raises(SpecError, match="in its record"):
        find_delay(tone[:100], tone, sample_rate=RATE)
    with pytest.raises(SpecError, match="latest"):
        find_delay(tone, tone, sample_rate=RATE)


def test_a_chirp_begins_and_ends_at_rest_within_its_amplitude() -> None:
    for rate in (RATE, 17.3e3):
        chirp = CHIRP.samples(rate)
        assert chirp[0] == chirp[-1] == 0 and 0.09 < np.abs(chirp).max() <= 0.1
    for wrong in ({"low": 0.0}, {"high": 500.0}, {"duration": math.nan}, {"amplitude": 0.0}, {"duration": 1e-3}):
        with pytest.raises(SpecError):
            Chirp(**{"low": 1e3, "high": 8e3, "duration": 5e-3, "amplitude": 0.1, **wrong})
    with pytest.raises(SpecError, match="16000 Hz"):
        CHIRP.samples(16e3)
