"""Axis letters as in the module."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.drivers.benches.codec import ToneCodec
from physnet.drivers.benches.row_bounds import joint_limit, row_bounds
from physnet.drivers.benches.tone_options import ToneOptions
from physnet.drivers.benches.waveform_limits import WaveformLimits
from physnet.drivers.benches.words import to_words, word_count
from physnet.errors import DriveError, SpecError

RATE = 64e3
OPTIONS = ToneOptions(sample_rate=RATE, tones=(1000.0, 1600.0, 2200.0), amplitude=0.01, drives=20, guard=4e-3)
TONES = tuple(1000.0 + 200.0 * k for k in range(20))
# Sample 160 of the drive is in the flat part of the slot; all tones are at their top there.
IN_PHASE = replace(
    OPTIONS, tones=TONES, phases=tuple(math.pi / 2 - 2 * math.pi * f * 160 / RATE for f in TONES), pilot_amplitude=1e-3
)


def test_twenty_tones_in_phase_peak_at_twenty_times_one() -> None:
    codec = ToneCodec(IN_PHASE)
    bounds = row_bounds(codec)
    row = codec.encode(np.ones((1, 20)), np.zeros(1, np.int64))
    # 20 terms, each right to a few 1e-14 (angles up to 125 rad).
    assert bounds.peak[0] == pytest.approx(20 * 0.01, rel=1e-11)
    assert np.abs(row).max() == pytest.approx(20 * 0.01, rel=1e-11)


def test_the_joint_limit_of_tones_in_phase_is_their_number_that_fits() -> None:
    codec = ToneCodec(IN_PHASE)
    limits = WaveformLimits(peak=(0.0425,))
    # Four tones and a quarter, each of 0.01 V, meet at the limit; 1e-9 is left for rounding.
    limit = joint_limit(codec, limits)
    assert limit is not None and limit == pytest.approx(4.25, rel=1e-8)
    assert not row_bounds(codec, max_sum=limit).broken(limits)
    drive = np.zeros((1, 20))
    drive[0, 3:7], drive[0, 11] = 1, limit - 4
    limits.check(codec.encode(drive, np.zeros(1, np.int64)), RATE)
    drive[0, 11] += 1e-3
    with pytest.raises(DriveError, match="peak"):
        limits.check(codec.encode(drive, np.zeros(1, np.int64)), RATE)


def drawn_codec(data: st.DataObject) -> ToneCodec:
    options = replace(
        OPTIONS,
        signed=data.draw(st.booleans()),
        ramp=data.draw(st.sampled_from([0.0, 1e-3])),
        spacing=data.draw(st.sampled_from([1e-3, 2.5e-3, 6e-3])),
        guard=data.draw(st.sampled_from([0.0, 4e-3])),
        identity=data.draw(st.sampled_from(["pilot", "none"])),
        pilot_amplitude=data.draw(st.sampled_from([0.001, 0.02])),
    )
    return ToneCodec(options, channels=data.draw(st.integers(1, 3)))


def drawn_rows(codec: ToneCodec, data: st.DataObject, max_sum: float | None) -> NDArray[np.float64]:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    drive = rng.uniform(codec.low, 1, (8, 20))
    drive[:4] = rng.integers(int(codec.low), 2, (4, 20))
    drive[0] = 1.0
    if max_sum is not None:
        drive *= np.minimum(1, max_sum / np.abs(drive).sum(1, keepdims=True).clip(1e-9))
    words = None
    if codec.all_on:
        words = to_words(rng.integers(0, word_count(12), 8), 12)
        words[0] = codec.all_on
    return codec.encode(drive, words)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_row_is_beyond_the_bounds(data: st.DataObject) -> None:
    codec = drawn_codec(data)
    max_sum = data.draw(st.one_of(st.none(), st.floats(0.1, 19)))
    bounds = row_bounds(codec, max_sum=max_sum)
    limits = WaveformLimits(
        **{name: tuple(float(v) or 1e-30 for v in getattr(bounds, name)) for name in ("peak", "rms", "slew", "duty")}
    )
    assert not bounds.broken(limits)
    limits.check(drawn_rows(codec, data, max_sum), RATE)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_joint_limit_keeps_every_row_within_the_limits(data: st.DataObject) -> None:
    codec = drawn_codec(data)
    most, least = row_bounds(codec), row_bounds(codec, max_sum=0.0)
    name = data.draw(st.sampled_from(["peak", "rms", "slew"]))
    share = data.draw(st.floats(0.01, 0.99))
    between = getattr(least, name) * (1 + 1e-6) + share * (getattr(most, name) - getattr(least, name))
    limits = WaveformLimits(**{name: tuple(float(v) for v in between)})
    limit = joint_limit(codec, limits)
    if limit is None:
        assert not most.broken(limits)
        return
    assert limit > 0 and not row_bounds(codec, max_sum=limit).broken(limits)
    limits.check(drawn_rows(codec, data, limit), RATE)


def test_bounds_of_peak_and_slew_are_reached() -> None:
    codec = ToneCodec(replace(OPTIONS, signed=True, identity="none", drives=12))
    # Bounds are 1e-12 of the peak above, for rounding.
    bounds = row_bounds(codec)
    basis_DT = codec.encode(np.eye(12))[:, 0]
    at = np.abs(basis_DT).sum(0).argmax()
    worst = codec.encode(np.sign(basis_DT[:, at])[None])
    assert np.abs(worst).max() == pytest.approx(bounds.peak[0], rel=1e-9)
    step = np.abs(np.diff(basis_DT)).sum(0).argmax()
    worst = codec.encode(np.sign(np.diff(basis_DT)[:, step])[None])
    assert np.abs(np.diff(worst)).max() * RATE == pytest.approx(bounds.slew[0], rel=1e-9)


def test_no_joint_limit_is_asked_for_where_none_is_needed() -> None:
    codec = ToneCodec(OPTIONS)
    assert joint_limit(codec, WaveformLimits()) is None
    assert joint_limit(codec, WaveformLimits(peak=(1.0,), rms=(1.0,), slew=(1e6,), duty=(1.0,))) is None


def test_what_no_joint_limit_can_mend_is_refused() -> None:
    codec = ToneCodec(replace(OPTIONS, pilot_amplitude=0.1))
    with pytest.raises(SpecError, match="pilot_amplitude"):
        joint_limit(codec, WaveformLimits(peak=(0.1,)))
    with pytest.raises(SpecError, match=r"duty of channel 0 .* Make guard longer"):
        joint_limit(codec, WaveformLimits(duty=(0.3,)))
