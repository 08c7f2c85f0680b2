"""Axis letters as in the module."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.drivers.benches.decay import Decay, fit_decay
from physnet.errors import MeasurementError, SpecError

RATE = 64e3
TIME = 5e-3  # s


def ringing(
    *, shots: int = 1, seconds: float = 0.08, noise: float = 1e-3, seed: int = 0, time: float = TIME
) -> NDArray[np.float64]:
    """Return what a room with many modes does: noise that decays, on top of noise that does not."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * RATE)) / RATE
    modes = rng.standard_normal(len(at)) * np.exp(-at / time)
    return np.asarray(modes + noise * rng.standard_normal((shots, len(at))))


def fitted(record: NDArray[np.float64], noise: float = 1e-3, **options: Any) -> Decay:
    return fit_decay(record, sample_rate=RATE, noise=noise, **options)


# The energy to come is a sum over TIME / 2 of independent samples: it scatters by sqrt(2 / (TIME RATE)) = 8 % at each
# time. A line over 40 dB, 9.2 nepers of energy, is tilted by two such errors at its ends at most: sqrt(2) 8 % / 9.2 =
# 1.2 %; five times that.
WITHIN = 5 * math.sqrt(2) * math.sqrt(2 / (TIME * RATE)) / 9.2


@pytest.mark.parametrize("seed", range(8))
def test_the_decay_of_a_room_is_recovered(seed: int) -> None:
    found = fitted(ringing(seed=seed))
    assert found.time == pytest.approx(TIME, rel=WITHIN)
    assert found.reverberation == pytest.approx(math.log(1000) * TIME, rel=WITHIN)
    # 60 dB of noise less 10 dB of headroom, and what three times the noise leaves.
    assert 40 < found.range < 60 and found.extrapolated
    assert found.guard == pytest.approx(math.log(1000) * TIME, rel=2 * WITHIN)


def test_a_decaying_tone_is_recovered_nearly_exactly() -> None:
    at = np.arange(round(0.12 * RATE)) / RATE
    record = (np.sin(2 * math.pi * 1500 * at) * np.exp(-at / TIME))[None]
    found = fitted(record, noise=0.0)
    # The energy to come ripples with twice the tone's frequency, by 1 / (2 pi 1500 TIME) = 2 % at each time, and that
    # averages out over the hundreds of periods of the fit.
    assert found.time == pytest.approx(TIME, rel=2e-3) and not found.extrapolated
    assert found.guard == pytest.approx(math.log(1000) * TIME, rel=0.02 / math.log(1e6) + 2e-3)


def test_tones_that_beat_do_not_end_the_decay_early() -> None:
    at = np.arange(round(0.1 * RATE)) / RATE
    beat = (np.sin(2 * math.pi * 1500 * at) + np.sin(2 * math.pi * 1600 * at)) * np.exp(-at / TIME)
    record = (beat + 1e-3 * np.random.default_rng(0).standard_normal(len(at)))[None]
    # Beats of 10 ms, two decay times: the curve has steps of that length, over which the line lies within half a step.
    assert fitted(record).time == pytest.approx(TIME, rel=0.25)


@pytest.mark.parametrize("level", [0.1, 1e-2, 1e-3, 1e-4])
def test_less_than_the_level_is_left_after_the_guard(level: float) -> None:
    for seed in range(6):
        found = fitted(ringing(seed=seed, noise=1e-3), level=level)
        assert found.extrapolated is (level < 4e-3)
        # Its own error in nepers: that of the curve at the level, 4 % of an amplitude, and that of the slope.
        left = math.exp(-found.guard / TIME)
        assert left < level * math.exp(0.2 + 2 * WITHIN * math.log(1 / level))


def test_a_slow_end_makes_the_guard_long() -> None:
    rng, at = np.random.default_rng(1), np.arange(round(0.4 * RATE)) / RATE
    envelope = np.exp(-at / TIME) + 0.03 * np.exp(-at / (4 * TIME))
    record = (rng.standard_normal(len(at)) * envelope + 1e-3 * rng.standard_normal(len(at)))[None]
    found = fitted(record)
    # 0.03 exp(-t / 20 ms) = 1e-3 at 68 ms of amplitude; of the energy to come, whose beginning is mostly the fast
    # part, 7 ms later (half its decay time times ln(4) / 2). A tenth for the error of the end's slope.
    assert 0.9 * 68e-3 < found.guard < 1.1 * 82e-3 and found.extrapolated


def test_shots_make_a_weak_decay_fit() -> None:
    # 100 shots don't lower the noise's power, but what is left after taking it off.
    found = fitted(ringing(shots=100, noise=0.03), noise=0.03)
    assert found.time == pytest.approx(TIME, rel=2 * WITHIN)


def test_a_record_that_does_not_decay_is_refused() -> None:
    tone = np.sin(2 * math.pi * 1500 * np.arange(6400) / RATE)[None]
    with pytest.raises(MeasurementError, match="does not decay"):
        fitted(tone)
    growing = tone * np.exp(np.arange(6400) / 2000)
    with pytest.raises(MeasurementError, match="does not decay"):
        fitted(growing)
    with pytest.raises(MeasurementError, match=r"begin 25 dB above .* Drive harder"):
        fitted(ringing(noise=0.1), noise=0.1)
    with pytest.raises(MeasurementError, match="begin 25 dB"):
        fitted(np.zeros((1, 6400)), noise=0.0)
    # 30 ms are 52 dB: the noise is at 60 dB, and so is the level.
    with pytest.raises(MeasurementError, match=r"first nine tenths .* Record longer"):
        fitted(ringing(seconds=0.03))
    # Hum of 1 % under it, which was not there when the noise was measured.
    with pytest.raises(MeasurementError, match="something else is driven"):
        fitted(ringing() + 0.01)
    with pytest.raises(MeasurementError, match="noise must be that of the record"):
        fitted(ringing(), noise=0.01)


def test_what_makes_no_sense_is_refused() -> None:
    record = ringing()
    for options in ({"sample_rate": 0.0}, {"noise": math.nan}, {"level": 1.0}, {"level": math.nan}):
        with pytest.raises(SpecError):
            fit_decay(record, **{"sample_rate": RATE, "noise": 1e-3, **options})
    with pytest.raises(SpecError, match="shape"):
        fitted(record[0])
    record[0, 5] = math.inf
    with pytest.raises(MeasurementError, match="finite"):
        fitted(record)
