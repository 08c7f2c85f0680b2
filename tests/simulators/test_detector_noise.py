from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import sici

from physnet.contracts import Cost, PhysicalSystem
from physnet.errors import SpecError
from physnet.simulators.detector_noise import Flicker
from physnet.simulators.impairments import Impaired
from physnet.testing import SystemConformance, random_drives

from .wire import Wire, answer, rows

SPREAD = 5.0  # standard errors: chance of a false alarm 6e-7 a comparison; and the numbers are fixed


class TestShotNoise(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Impaired(Wire(shape=(3, 4), dtype="float32"), photoelectrons=30.0, adc_bits=8, full_scale=2.0)


class TestFlicker(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        wire = Wire(shape=(3, 4), dtype="complex64", low=0.0, cost=Cost(per_pass=1e-3))
        return Impaired(wire, flicker=Flicker(rms=0.1, lowest=1.0), noise=0.1)


@pytest.mark.parametrize("level", [0.001, 0.05, 0.8, -0.8])
def test_counts_have_the_mean_and_variance_of_photoelectrons(level: float) -> None:
    count = 40_000
    value = answer(Impaired(Wire(shape=(count // 40,)), photoelectrons=200.0), np.full((40, count // 40), level))
    electrons = 200 * abs(level)
    # Poisson: sqrt(m / n) of the mean, sqrt((m + 2 m^2) / n) of the variance; and what counts miss, see keyed_poisson.
    assert abs(value.mean() * 200 - np.sign(level) * electrons) < SPREAD * (electrons / count) ** 0.5 + 5e-6 * electrons
    error = SPREAD * ((electrons + 2 * electrons**2) / count) ** 0.5 + 2e-4 * electrons
    assert abs(value.var() * 200**2 - electrons) < error
    assert not np.any(value * level < 0)


def test_shot_noise_is_keyed_and_another_one_in_each_system_within() -> None:
    wire = Wire(shape=(500,), low=0.5)
    system = Impaired(wire, photoelectrons=100.0)
    drive: Any = np.full((30, 500), 0.8)
    whole = answer(system, drive)
    order = np.random.default_rng(0).permutation(30)
    assert np.array_equal(np.asarray(system.measure(drive[order], rows(30)[order]).response), whole[order])
    assert system.spec.reproducible and not system.spec.repeatable and not system.spec.stateful
    twice = answer(Impaired(system, photoelectrons=100.0), drive)
    # Poisson of a Poisson variable has the sum of both variances; the same numbers twice would give four times one.
    ratio = twice.var() / (2 * 0.8 / 100)
    assert abs(ratio - 1) < SPREAD * (2 / 15_000) ** 0.5 + 0.02  # and 1 / m of its own for the fourth moment


def flickering(band: tuple[float, float], seed: int = 0, **options: Any) -> Impaired:
    flicker = Flicker(rms=0.3, lowest=band[0], highest=band[1])
    return Impaired(Wire(**options), flicker=flicker, seconds_per_pass=1e-3, seed=seed)


@pytest.mark.parametrize("band", [(0.1, 500.0), (5.0, 20.0)])
def test_flicker_has_the_covariance_of_one_over_f(band: tuple[float, float]) -> None:
    channels = 8000
    lags = np.array([0, 1, 3, 20, 150, 999])
    value = answer(flickering(band, shape=(channels,)), np.zeros((1000, channels)))[lags]
    low, high = 2 * np.pi * band[0], 2 * np.pi * band[1]
    tones = np.ceil(8 * np.log2(band[1] / band[0]))
    place = low * (high / low) ** ((np.arange(tones) + 0.5) / tones)
    for lag, row in zip(lags * 1e-3, value, strict=True):
        # Power of 1 / f between the two: rms^2 / ln(high / low) times the integral of cos(w tau) dw / w.
        expected = 1.0 if lag == 0 else (sici(high * lag)[1] - sici(low * lag)[1]) / np.log(high / low)
        # A tone stands at random in its eighth of an octave: within it the phase spreads by w tau ln 2 / 8, uniformly,
        # so its cosine by that over sqrt(12), and by sqrt(1/2) at most. The average over channels has a variance of
        # (1 + c^2) / channels.
        cell = np.minimum(0.5, (place * lag * np.log(2) / 8) ** 2 / 12)
        error = SPREAD * ((cell.sum() / tones**2) ** 0.5 + ((1 + expected**2) / channels) ** 0.5)
        assert abs(np.mean(value[0] * row) / 0.3**2 - expected) < error, lag


def test_flicker_is_gaussian_over_channels_and_independent_between_them() -> None:
    value = answer(flickering((1.0, 100.0), shape=(20_000,)), np.zeros((2, 20_000)))[1] / 0.3
    # Standard errors of the moments of n normal numbers: sqrt of 1, 2, 15 and 96 over n.
    for moment, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(value**moment) - expected) < SPREAD * (variance / 20_000) ** 0.5
    assert abs(np.corrcoef(value[:-1], value[1:])[0, 1]) < SPREAD / 20_000**0.5


def test_a_complex_flicker_is_circular() -> None:
    value = answer(
        flickering((1.0, 100.0), shape=(20_000,), dtype="complex128", low=0.0), np.zeros((1, 20_000), complex)
    )
    assert abs(np.mean(np.abs(value) ** 2) / 0.3**2 - 1) < SPREAD / 20_000**0.5
    assert abs(np.mean(value**2)) / 0.3**2 < SPREAD * (2 / 20_000) ** 0.5


def test_flicker_follows_the_clock_not_the_batches() -> None:
    whole, cut, late = (flickering((1.0, 400.0), shape=(33,)) for _ in range(3))
    drive: Any = random_drives(whole.spec, rows=700)
    response = answer(whole, drive)
    parts = [np.asarray(cut.measure(drive[k : k + 90], rows(700)[k : k + 90]).response) for k in range(0, 450, 90)]
    late.restore(cut.state())
    parts.append(np.asarray(late.measure(drive[450:], rows(700)[450:]).response))
    assert np.array_equal(np.concatenate(parts), response)
    assert not np.array_equal(answer(flickering((1.0, 400.0), seed=1, shape=(33,)), drive), response)
    spec = whole.spec
    assert spec.stateful and not spec.reproducible and not spec.repeatable


@pytest.mark.parametrize(
    "values", [{"rms": 0.0, "lowest": 1.0}, {"rms": 1.0, "lowest": 0.0}, {"rms": 1.0, "lowest": 2.0, "highest": 2.0}]
)
def test_a_flicker_that_makes_no_sense_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="of a flicker must be"):
        Flicker(**values)


def test_noise_that_does_not_fit_the_system_is_refused() -> None:
    with pytest.raises(SpecError, match="500 Hz"):
        flickering((1.0, 600.0))
    with pytest.raises(SpecError, match="give one"):
        Impaired(Wire(), flicker=Flicker(rms=1.0, lowest=1.0))
    with pytest.raises(SpecError, match="no phase"):
        Impaired(Wire(dtype="complex64", low=0.0), photoelectrons=1.0)
    with pytest.raises(SpecError, match="photoelectrons"):
        Impaired(Wire(), photoelectrons=float("nan"))
