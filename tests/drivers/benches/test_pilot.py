"""Axis letters as in the module."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from physnet.drivers.benches.codec import ToneCodec
from physnet.drivers.benches.identity import Nonces, verify
from physnet.drivers.benches.pilot import PilotCalibration, calibrate_pilot, misread_probability
from physnet.drivers.benches.tone_options import ToneOptions
from physnet.drivers.benches.words import to_bits
from physnet.errors import MeasurementError

RATE = 64e3
TONES = tuple(1000.0 + 250.0 * k for k in range(12))
DECAY = 1.5e-3  # s, of an amplitude to 1 / e


def noise(shape: tuple[int, ...], seed: int, sigma: float = 1.0) -> NDArray[np.complex128]:
    """Return complex normal numbers of this standard deviation per quadrature."""
    rng = np.random.default_rng(seed)
    return np.asarray(sigma * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)))


def calibrated(level: float, *, channels: int = 1, rows: int = 400, **options: Any) -> PilotCalibration:
    shape = (rows, channels, 12)
    return calibrate_pilot(level + noise(shape, 1), noise(shape, 2), tones=TONES, **options)


@pytest.mark.parametrize("half, channels", [(2.5, 1), (3.0, 3)])
def test_tones_are_misread_as_often_as_derived(half: float, channels: int) -> None:
    # All channels alike, so that their sum is chosen: `on` is at 2 d sqrt(m) / sqrt(m) of each.
    rows = 20_000
    found = calibrated(2 * half / math.sqrt(channels), channels=channels, rows=4000, separation=1.0)
    bits_NK = np.random.default_rng(0).random((rows, 12)) < 0.5
    level = bits_NK[:, None] * 2 * half / math.sqrt(channels) + noise((rows, channels, 12), 3)
    read_NK = to_bits(found.read(level).words_N, 12)
    bound = misread_probability(half, channels)
    false_on = (read_NK & ~bits_NK).sum() / (~bits_NK).sum()
    false_off = (~read_NK & bits_NK).sum() / bits_NK.sum()
    # 120 000 decisions of each kind: binomial, five standard deviations. The calibration knows the noise within
    # 1 / sqrt(2 * 2 * 4000) = 0.8 % and the level within 1 / sqrt(4000) = 0.016, which at d = 3 changes the bound by
    # about d^2 * 0.8 % + d * 0.016 = 12 % at most, in each of three standard deviations of these: 30 %.
    five = 5 * math.sqrt(bound / 120_000)
    assert abs(false_on - bound) < five + 0.3 * bound
    assert false_off < bound * 1.3 + five
    # The level of `on` is normal to first order, so it is misread by its tail Q(d).
    tail = math.erfc(half / math.sqrt(2)) / 2
    assert false_off < 2 * tail + five


def test_each_tone_is_read_where_it_is_clearest() -> None:
    level_CK = np.full((3, 12), 1e-3)
    level_CK[0, 0], level_CK[1, 1], level_CK[2, 2] = 0.05, 0.05, 0.05
    level_CK[:, 3:] = 0.03
    noises = noise((400, 3, 12), 1, 1e-3), noise((400, 3, 12), 2, 1e-3)
    found = calibrate_pilot(level_CK + noises[0], noises[1], tones=TONES)
    assert found.channel.tolist() == [0, 1, 2] + [-1] * 9
    # In units of the noise: 0.05 V / 1 mV, and sqrt(3) 0.03 V / 1 mV; the noise of 400 rows is known within
    # 1 / sqrt(2 * 2 * 400) = 2.5 %, five times that is 12.5 %.
    np.testing.assert_allclose(found.on_K, [50] * 3 + [30 * math.sqrt(3)] * 9, rtol=0.125)


def test_a_tone_that_does_not_stand_out_is_refused_by_name() -> None:
    level = np.full(12, 30.0)
    level[4] = 6.0
    with pytest.raises(MeasurementError, match=r"2000 Hz .* Choose other pilot_tones"):
        calibrate_pilot(level + noise((40, 2, 12), 1), noise((40, 2, 12), 2), tones=TONES)
    with pytest.raises(MeasurementError, match="8 rows"):
        calibrated(30.0, rows=7)
    with pytest.raises(MeasurementError, match="finite"):
        calibrate_pilot(np.full((8, 1, 12), np.nan), noise((8, 1, 12), 2), tones=TONES)
    with pytest.raises(MeasurementError, match="1000 Hz"):
        calibrate_pilot(np.zeros((8, 1, 12), complex), np.zeros((8, 1, 12), complex), tones=TONES)


def test_hum_on_a_tone_moves_its_threshold() -> None:
    hum = np.zeros(12)
    hum[2] = 10.0
    found = calibrate_pilot(40 + hum + noise((400, 1, 12), 1), hum + noise((400, 1, 12), 2), tones=TONES)
    # Half-way between 10 and 50; noise is known within 12.5 % (see above).
    assert found.threshold[2] == pytest.approx(30, rel=0.125)
    assert found.threshold[3] == pytest.approx(20, rel=0.125)


def reverberant(waveform_NCT: NDArray[np.float64], *, seed: int = 0, hum: float = 1e-5) -> NDArray[np.float64]:
    """Play rows one after the other into a linear medium that rings, and return the records of two detectors."""
    rng = np.random.default_rng(seed)
    rows, channels, samples = waveform_NCT.shape
    time = np.arange(round(12 * DECAY * RATE)) / RATE
    impulse = rng.standard_normal((2, channels, len(time))) * np.exp(-time / DECAY) / 10
    played = waveform_NCT.transpose(1, 0, 2).reshape(channels, -1)
    heard = np.stack([fftconvolve(played, two, axes=1)[:, : rows * samples].sum(0) for two in impulse])
    heard += hum * rng.standard_normal(heard.shape)
    return heard.reshape(2, rows, samples).transpose(1, 0, 2)


def options(guard: float, **changes: Any) -> ToneOptions:
    given: dict[str, Any] = {
        "sample_rate": RATE, "tones": (1000.0, 1600.0, 2200.0), "amplitude": 0.02, "drives": 12, "guard": guard,
        "pilot_amplitude": 0.01,
    }  # fmt: skip
    return ToneOptions(**{**given, **changes})


def pilot_run(codec: ToneCodec) -> tuple[PilotCalibration, NDArray[np.complex128], NDArray[np.int64]]:
    """Calibrate, and play 60 rows at full drive."""
    rest = np.zeros((9, 12))
    levels = []
    for word in (codec.all_on, 0):
        records = reverberant(codec.encode(rest, np.full(9, word)))
        levels.append(codec.pilot_levels(records, sample_rate=RATE)[1:])  # the first row found silence before it
    calibration = calibrate_pilot(levels[0], levels[1], tones=codec.pilot_tones)
    words = Nonces(12, key=5).take(60)
    drive = np.random.default_rng(1).integers(0, 2, (60, 12)).astype(float)
    return calibration, codec.pilot_levels(reverberant(codec.encode(drive, words)), sample_rate=RATE), words


@pytest.mark.parametrize("channels", [1, 2])
def test_nonces_come_through_a_reverberant_medium(channels: int) -> None:
    # Longest decay to 1e-3: ln(1000) * 1.5 ms.
    codec = ToneCodec(options(DECAY * math.log(1e3)), channels=channels)
    calibration, levels, words = pilot_run(codec)
    reading = calibration.read(levels)
    assert verify(reading.words_N, words).all()
    # What has not settled: half the guard leaves sqrt(1e-3) = 3 % of a tone, which falls off within the window, so
    # that 2 DECAY / 5 ms * 3 % = 2 % are read; six tones at random phases make 5 %, against thresholds at half of a
    # level that is half of the others' where the tone is weak: 20 %. The row before adds 1e-3.
    assert reading.margin_N.min() > 0.75 * calibration.nominal_margin
    assert calibration.confirm(levels, words) == reading.margin_N.min()
    stale = np.roll(levels, 1, axis=0)
    assert not verify(calibration.read(stale).words_N, words).any()


@pytest.mark.parametrize("guard, settle", [(0.0, 5e-3), (DECAY * math.log(1e3), 0.0)])
def test_without_a_guard_or_time_to_settle_the_margin_is_lost(guard: float, settle: float) -> None:
    # Without a guard, tones of 100 pilots ring through the 7 ms of fall, rise and settling: exp(-7 / 1.5) = 1 % is as
    # much as a pilot. With the guard but no time to settle, a tone leaks half of itself 1 ms after its rise began.
    codec = ToneCodec(options(guard, pilot_settle=settle, amplitude=1.0))
    calibration, levels, _ = pilot_run(codec)
    assert calibration.read(levels).margin_N.min() < 0.5 * calibration.nominal_margin
    codec = ToneCodec(options(DECAY * math.log(1e3), amplitude=1.0))
    calibration, levels, words = pilot_run(codec)
    assert calibration.read(levels).margin_N.min() > 0.75 * calibration.nominal_margin
    assert verify(calibration.read(levels).words_N, words).all()


def test_a_source_channel_that_plays_an_earlier_row_shows() -> None:
    codec = ToneCodec(options(DECAY * math.log(1e3)), channels=2)
    calibration, _, words = pilot_run(codec)
    waveform = codec.encode(np.zeros((60, 12)), words)
    waveform[:, 1] = codec.encode(np.zeros((60, 12)), np.roll(words, 1))[:, 1]
    found = verify(calibration.read(codec.pilot_levels(reverberant(waveform), sample_rate=RATE)).words_N, words)
    # Channel 1 has 6 of 12 bits: two words have the same ones there with a probability of sum_j C(6, j)
    # (C(6, 6 - j) / C(12, 6))^2 = 1.8 %: 1.1 of 60, Poisson; beyond 8 there are 1e-6.
    assert found.sum() < 9


def test_a_nonlinear_medium_is_found_out_by_words_that_are_known() -> None:
    codec = ToneCodec(options(1e-3))
    words = Nonces(12, key=5).take(40)
    rest = np.zeros((40, 12))

    def levels(word_N: NDArray[np.int64], strength: float) -> NDArray[np.complex128]:
        volts = codec.encode(rest[: len(word_N)], word_N) / 0.01
        heard = volts - strength * volts**3 + 1e-4 * np.random.default_rng(0).standard_normal(volts.shape)
        return codec.pilot_levels(heard, sample_rate=RATE)

    for strength, linear in ((0.0, True), (0.05, False)):
        on, off = levels(np.full(9, codec.all_on), strength), levels(np.zeros(9, np.int64), strength)
        calibration = calibrate_pilot(on, off, tones=codec.pilot_tones)
        if linear:
            assert calibration.confirm(levels(words, strength), words) > 0.9 * calibration.nominal_margin
        else:
            with pytest.raises(MeasurementError, match="Lower pilot_amplitude"):
                calibration.confirm(levels(words, strength), words)
