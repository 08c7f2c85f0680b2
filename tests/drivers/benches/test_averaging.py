"""Axis letters as in the module."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.drivers.benches.averaging import average_responses, average_traces, spread, subtract_dark
from physnet.drivers.benches.codec import ToneCodec
from physnet.drivers.benches.tone_options import Response, ToneOptions
from physnet.errors import ResponseError, SpecError

RATE = 64e3
OPTIONS = ToneOptions(
    sample_rate=RATE, tones=(1000.0, 1600.0), amplitude=0.1, drives=2, slots=1, guard=0.0, identity="none", ramp=0.0,
    response="energy",
)  # fmt: skip
NOISE, SHOTS, ROWS, SAMPLES = 0.05, 20, 200, 320
ENERGY = NOISE**2 * SAMPLES / RATE  # of the noise in a window
# One shot's energy of noise scatters by sqrt(2 / 320) of itself (chi-squared), that of noise and signal by some more.
SCATTER = ENERGY * math.sqrt(2 / SAMPLES)


def shots(codec: ToneCodec, drive: float, seed: int = 0) -> NDArray[np.float64]:
    clean = codec.encode(np.full((ROWS, 2), drive))
    return clean + NOISE * np.random.default_rng(seed).standard_normal((SHOTS, *clean.shape))


def test_the_energy_of_noise_falls_with_coherent_shots_and_stays_with_incoherent_ones() -> None:
    codec = ToneCodec(OPTIONS)
    volts = shots(codec, 0.0)
    coherent = codec.decode(average_traces(volts)[0], sample_rate=RATE).mean()
    incoherent = average_responses(np.stack([codec.decode(v, sample_rate=RATE) for v in volts]), "energy")[0].mean()
    # 200 rows: the mean of coherent shots scatters by 1 / 20 of SCATTER a row, that of incoherent ones by its root.
    assert coherent == pytest.approx(ENERGY / SHOTS, abs=5 * SCATTER / SHOTS / math.sqrt(ROWS))
    assert incoherent == pytest.approx(ENERGY, abs=5 * SCATTER / math.sqrt(SHOTS * ROWS))


@pytest.mark.parametrize("response", ["energy", "amplitude"])
def test_dark_rows_take_the_noise_off(response: Response) -> None:
    codec = ToneCodec(replace(OPTIONS, response=response))
    clean = codec.decode(codec.encode(np.full((1, 2), 0.8)), sample_rate=RATE)
    lit, dark = (
        average_responses(np.stack([codec.decode(v, sample_rate=RATE) for v in shots(codec, drive, seed)]), response)[0]
        for drive, seed in ((0.8, 1), (0.0, 2))
    )
    bias = (lit - clean).mean()
    left = (subtract_dark(lit, dark, response) - clean).mean()
    if response == "energy":
        # Noise and signal: the cross term of u = s + n scatters by 2 NOISE sqrt(sum s^2) / RATE a shot.
        cross = 2 * NOISE * math.sqrt(float(clean.mean()) / RATE)
        assert bias == pytest.approx(ENERGY, rel=0.2)
        assert abs(left) < 5 * math.hypot(cross, 2 * SCATTER) / math.sqrt(SHOTS * ROWS)
    else:
        # |a + z| = a + s^2 / (2 a) with s^2 = 2 NOISE^2 / 320 per quadrature; a dark amplitude is 1.25 s where its root
        # mean square is 1.41 s, so 1.57 of the 2 s^2 are taken off: s^2 / (2 a) - 1.57 s^2 / (2 a), and the scatter of
        # 400 amplitudes of 20 shots.
        s2 = 2 * NOISE**2 / SAMPLES
        assert bias == pytest.approx(s2 / (2 * 0.08), abs=5 * math.sqrt(s2 / SHOTS / ROWS / 2))
        assert left == pytest.approx((1 - math.pi / 2) * s2 / (2 * 0.08), abs=5 * math.sqrt(s2 / SHOTS / ROWS / 2))


def test_a_lock_in_is_the_same_either_way() -> None:
    codec = ToneCodec(replace(OPTIONS, response="lock_in"))
    volts = shots(codec, 0.5)
    each = np.stack([codec.decode(v, sample_rate=RATE) for v in volts])
    mean, deviation = average_responses(each)
    # Linear: sums of 20 times 320 terms in another order.
    np.testing.assert_allclose(mean, codec.decode(average_traces(volts)[0], sample_rate=RATE), rtol=0, atol=1e-15)
    # Both quadratures: 2 NOISE sqrt(1 / 320), known from 19 shots of 400 complex responses within 1 / sqrt(2 * 15200).
    assert deviation is not None
    assert np.sqrt((deviation**2).mean()) == pytest.approx(2 * NOISE / math.sqrt(SAMPLES), rel=5 / math.sqrt(15200))


def test_phases_are_averaged_on_the_circle() -> None:
    phase = np.array([[[3.1]], [[-3.1]], [[math.pi]]])
    mean, deviation = average_responses(phase, "phase")
    assert abs(mean[0, 0]) == pytest.approx(math.pi)
    assert deviation is not None and deviation[0, 0] == pytest.approx(math.pi - 3.1)


def test_one_shot_has_no_spread_and_traces_have_one() -> None:
    assert spread(np.ones((1, 2, 3))) is None and average_traces(np.ones((1, 1, 1, 4)))[1] is None
    deviation = spread(np.array([[1.0], [3.0]]))
    assert deviation is not None and deviation[0] == pytest.approx(math.sqrt(2))


def test_what_makes_no_sense_is_refused() -> None:
    for average in (average_responses, average_traces):
        with pytest.raises(ResponseError, match="one or more"):
            average(np.zeros((0, 2, 3)))
    with pytest.raises(ResponseError, match="dark rows"):
        subtract_dark(np.ones((3, 2)), np.zeros((0, 2)))
    with pytest.raises(ResponseError, match="dark rows"):
        subtract_dark(np.ones((3, 2)), np.zeros((1, 3)))
    with pytest.raises(SpecError, match="Leave it out"):
        subtract_dark(np.ones((3, 2)), np.zeros((1, 2)), "lock_in")
