"""Axis letters as in the modules."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.drivers.benches.codec import ToneCodec
from physnet.drivers.benches.tone_basis import low_crest_phases
from physnet.drivers.benches.tone_options import ToneOptions
from physnet.errors import DriveError, ResponseError, SpecError
from physnet.simulators.acoustic_codec import ToneCodec as SimulatedToneCodec

RATE = 64e3
OPTIONS = ToneOptions(
    sample_rate=RATE, tones=(1000.0, 1600.0, 2200.0), amplitude=0.01, drives=20, guard=4e-3, slot=5e-3, spacing=2.5e-3,
)  # fmt: skip


def one_tone(codec: ToneCodec, *, at: int = 0, sample_rate: float = RATE) -> NDArray[np.float64]:
    """Return the time of each sample of a record of one row, counted from the start of the drive."""
    return (np.arange(round(codec.layout.duration * sample_rate)) + at) / sample_rate - codec.layout.drive / RATE


def playable(codec: ToneCodec, rows: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    drive = rng.uniform(codec.low, 1, (rows, codec.options.drives))
    return drive, rng.integers(0, codec.all_on + 1, rows)


# The angles reach 2 pi 2200 Hz 22.5 ms = 311 rad, and a time that was rounded otherwise changes them by a few parts in
# 2^53: 311 * 4 * 1.1e-16 = 1.4e-13.
SAME = 1e-12


@pytest.mark.parametrize("spacing, tail", [(2.5e-3, 0.0), (5e-3, 0.0), (6.3e-3, 0.0), (2.5e-3, 3e-3)])
@pytest.mark.parametrize("ramp", [0.0, 1e-3, 2.5e-3])
def test_the_drive_equals_the_simulators_sample_by_sample(spacing: float, tail: float, ramp: float) -> None:
    phases_SJ = np.random.default_rng(5).uniform(0, 2 * math.pi, (2, 3))
    options = replace(
        OPTIONS, amplitude=1.0, spacing=spacing, tail=tail, ramp=ramp, phases=tuple(phases_SJ.ravel()), drives=22,
    )  # fmt: skip
    codec = ToneCodec(options, channels=2, step=8)
    steps = codec.layout.drive_samples
    simulated = SimulatedToneCodec(
        drives=22, sources=2, tones=options.tones, phases_SJ=phases_SJ, slots=4, slot=5e-3, spacing=spacing, ramp=ramp,
        steps=steps, time_step=1 / RATE,
    )  # fmt: skip
    row_DCT = codec.encode(np.eye(22), np.zeros(22, np.int64))
    drive_DCT = row_DCT[:, :, codec.layout.drive : codec.layout.drive + steps]
    for d in range(22):
        np.testing.assert_allclose(drive_DCT[d, simulated.source_D[d]], simulated.basis_DT[d], rtol=0, atol=SAME)
        assert not drive_DCT[d, 1 - simulated.source_D[d]].any()
    after_DT = row_DCT[:, :, codec.layout.drive + steps :]
    falls = math.ceil(ramp * RATE)
    assert not after_DT[:, :, falls:].any()
    # Only the last slot, when nothing follows it in the window, falls after the window; its first sample is at 1.
    assert bool(after_DT[:18].any()) is False and bool(after_DT[18:].any()) is (tail == 0 and ramp > 0)


def test_the_last_slot_falls_as_a_raised_cosine_after_its_window() -> None:
    codec = ToneCodec(replace(OPTIONS, amplitude=1.0, drives=3, phases=(0.3, 0.4, 0.5)))
    row_DT = codec.encode(np.eye(3), np.zeros(3, np.int64))[:, 0]
    time_L = (codec.layout.drive_samples + np.arange(64)) / RATE
    fall_L = np.cos(math.pi / 2 * np.arange(64) / 64) ** 2
    for row_T, tone, phase in zip(row_DT, OPTIONS.tones, (0.3, 0.4, 0.5), strict=True):
        first = codec.layout.drive + codec.layout.drive_samples
        expected = fall_L * np.sin(2 * math.pi * tone * time_L + phase)
        np.testing.assert_allclose(row_T[first : first + 64], expected, rtol=0, atol=SAME)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_row_is_finite_and_ends_at_zero_after_its_guard(data: st.DataObject) -> None:
    channels = data.draw(st.integers(1, 3))
    options = replace(
        OPTIONS,
        signed=data.draw(st.booleans()),
        ramp=data.draw(st.sampled_from([0.0, 1e-4, 1e-3])),
        lead_in=data.draw(st.sampled_from([0.0, 1.01e-3])),
        guard=data.draw(st.sampled_from([0.0, 1.01e-3, 4e-3])),
        spacing=data.draw(st.floats(1e-3, 7e-3)),
        tail=data.draw(st.sampled_from([0.0, 1.7e-3])),
        identity=data.draw(st.sampled_from(["pilot", "none"])),
    )
    step = data.draw(st.integers(1, 16))
    codec = ToneCodec(options, channels=channels, step=step)
    drive, words = playable(codec, 3, data.draw(st.integers(0, 9)))
    row_NCT = codec.encode(drive, words if codec.all_on else None)
    assert row_NCT.shape == (3, channels, codec.layout.samples) and codec.layout.samples % step == 0
    assert np.isfinite(row_NCT).all() and not row_NCT[:, :, -1].any()
    silent = math.ceil(codec.layout.guard * RATE - 1e-6)
    assert not row_NCT[:, :, codec.layout.samples - silent :].any()
    assert not row_NCT[:, :, codec.layout.drive - silent : codec.layout.drive].any() or options.identity == "none"


@pytest.mark.parametrize("multiple", [1, 3])
@pytest.mark.parametrize("before, delay", [(0.0, 0.0), (1e-3, 137.37e-6), (0.0, 3.3 / RATE)])
def test_a_pure_tone_has_its_amplitude_phase_and_energy(multiple: int, before: float, delay: float) -> None:
    codec = ToneCodec(replace(OPTIONS, drives=3))
    rate = multiple * RATE
    time_T = one_tone(codec, at=-round(before * rate), sample_rate=rate)
    volts_NCT = np.empty((1, 2, len(time_T)))
    # Amplitude A, phase p: the lock-in gives -i A exp(i p).
    for channel, (size, phase) in enumerate(((0.3, 0.7), (0.2, -2.0))):
        volts_NCT[0, channel] = size * np.sin(2 * math.pi * 1600 * (time_T - delay) + phase)
    heard: dict[str, Any] = {"sample_rate": rate, "start": -before, "delay": delay}
    level = codec.decode(volts_NCT, **heard)
    expected = np.zeros(6, complex)
    expected[1], expected[4] = -0.3j * np.exp(0.7j), -0.2j * np.exp(-2.0j)
    # Orthogonality holds to rounding: angles up to 230 rad are off by 1e-13, times the amplitude.
    np.testing.assert_allclose(level[0], expected, rtol=0, atol=1e-12)
    amplitude = ToneCodec(replace(OPTIONS, drives=3, response="amplitude")).decode(volts_NCT, **heard)
    np.testing.assert_allclose(amplitude[0], np.abs(expected), rtol=0, atol=1e-12)
    angle = ToneCodec(replace(OPTIONS, drives=3, response="phase")).decode(volts_NCT, **heard)
    np.testing.assert_allclose(angle[0, [1, 4]], [0.7 - math.pi / 2, -2.0 - math.pi / 2 + 2 * math.pi], atol=1e-11)
    energy = ToneCodec(replace(OPTIONS, drives=3, response="energy", slices=2)).decode(volts_NCT, **heard)
    # 2.5 ms hold four periods of 1600 Hz, whole: A^2 / 2 each.
    half = np.array([0.3, 0.3, 0.2, 0.2]) ** 2 / 2 * 2.5e-3
    np.testing.assert_allclose(energy[0], half, rtol=1e-11)


def test_what_is_played_comes_back_through_a_cable() -> None:
    options = replace(OPTIONS, drives=6, slots=2, spacing=5e-3, ramp=0.0, amplitude=0.05, phases=(0.1, 0.2, 0.3))
    codec = ToneCodec(options)
    drive, words = playable(codec, 5)
    level = codec.decode(codec.encode(drive, words), sample_rate=RATE)
    # The window is the last slot, without a rise: exactly its three drives.
    expected = 0.05 * drive[:, 3:] * -1j * np.exp(1j * np.array([0.1, 0.2, 0.3]))
    # A ramp of 0 rises over one sample: its first sample is 0, which takes 2 / 320 of a sum of samples of at most
    # 0.15 V away.
    np.testing.assert_allclose(level, expected, rtol=0, atol=0.15 * 2 / 320)


def test_pilot_levels_are_the_words_through_a_cable() -> None:
    codec = ToneCodec(replace(OPTIONS, pilot_amplitude=0.02), channels=2)
    drive, words = playable(codec, 6)
    waveform = codec.encode(drive, words)
    level = codec.pilot_levels(waveform.sum(1, keepdims=True), sample_rate=RATE)
    bits = words[:, None] >> np.arange(12) & 1
    # After the rise the tones are exactly periodic in the window.
    np.testing.assert_allclose(np.abs(level[:, 0]), 0.02 * bits, rtol=0, atol=1e-13)
    each = np.abs(codec.pilot_levels(waveform, sample_rate=RATE))
    assert not each[:, 0, 1::2].round(12).any() and not each[:, 1, 0::2].round(12).any()


def test_windows_lie_where_the_row_is_settled() -> None:
    codec = ToneCodec(OPTIONS)
    window, pilot = codec.layout.window, codec.layout.pilot_window
    assert window.first + window.samples == codec.layout.drive + codec.layout.drive_samples
    assert pilot is not None and pilot.first - codec.layout.pilot >= 1e-3 * RATE
    assert codec.span(2e-3) == pytest.approx((pilot.first / RATE + 2e-3, window.start + 5e-3 + 2e-3))
    with pytest.raises(SpecError, match="Make guard longer"):
        codec.span(1.0)


@pytest.mark.parametrize("settle, waits", [(None, 2e-3), (0.0, 0.0), (3.1e-3, 3.1e-3)])
def test_a_pilot_settles_before_it_is_read(settle: float | None, waits: float) -> None:
    codec = ToneCodec(replace(OPTIONS, pilot_settle=settle))
    window = codec.layout.pilot_window
    assert window is not None and window.samples == 5e-3 * RATE
    assert window.first - codec.layout.pilot == math.ceil((1e-3 + waits) * RATE - 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_low_crest_phases_keep_the_peak_below_that_of_chance(seed: int) -> None:
    time = np.arange(512) / 512
    angle = 2 * math.pi * np.arange(1, 13)[:, None] * time
    low = np.abs(np.sin(angle + low_crest_phases(12)[:, None]).sum(0)).max()
    chance = np.random.default_rng(seed).uniform(0, 2 * math.pi, (12, 1))
    assert low < np.abs(np.sin(angle + chance).sum(0)).max() and low < 2 * math.sqrt(12)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tones": (1000.0, 1650.0)}, "nearest good one is 1600 Hz"),
        ({"tones": (1000.0, 1000.0)}, "differ from each other"),
        ({"tones": ()}, "one frequency"),
        ({"tones": (1000.0, 32e3)}, "half the sample rate"),
        ({"tones": (math.nan,)}, "half the sample rate"),
        ({"window": 5.003e-3}, "nearest good one is 0.005 s"),
        ({"window": 1.0}, "at most the drive"),
        ({"pilot_tones": (1000.0, 1100.0)}, "8 to 24"),
        ({"pilot_tones": tuple(1000.0 + 250 * k for k in range(8))}, "nearest good one is 1200 Hz"),
        ({"pilot_slot": 5.003e-3}, "nearest good one is 0.005 s"),
        ({"pilot_slot": 0.25e-3}, "must be longer for 12"),
        ({"pilot_settle": math.nan}, "pilot_settle must be >= 0"),
        ({"slots": 3}, "slots must be >= 7"),
        ({"phases": (1.0,)}, "one per channel and tone"),
        ({"phases": (1.0, math.inf, 2.0)}, "finite"),
        ({"amplitude": math.nan}, "amplitude must be > 0"),
        ({"guard": "measured"}, "Measure the decay first"),
        ({"guard": -1.0}, "guard must be >= 0"),
        ({"guard": math.nan}, "guard must be >= 0"),
        ({"guard_level": 1.0}, "guard_level"),
        ({"ramp": 3e-3}, "half a slot"),
        ({"slices": 2}, "slices must be 1"),
        ({"slices": 3, "response": "energy"}, "equal slices"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_a_way_out(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ToneCodec(replace(OPTIONS, **changes))


def test_what_must_not_be_played_is_refused() -> None:
    codec = ToneCodec(OPTIONS)
    drive, words = playable(codec, 2)
    for value in (-1e-9, 1 + 1e-9, math.nan, math.inf):
        wrong = drive.copy()
        wrong[1, 7] = value
        with pytest.raises(DriveError, match="row 1, drive 7"):
            codec.encode(wrong, words)
    with pytest.raises(DriveError, match="shape"):
        codec.encode(drive[:, :-1], words)
    with pytest.raises(DriveError, match="just where there is a pilot"):
        codec.encode(drive)
    with pytest.raises(DriveError, match="just where there is a pilot"):
        ToneCodec(replace(OPTIONS, identity="none")).encode(drive, words)
    for wrong_words in (words[:1], words.astype(float), words + (1 << 12), words - (1 << 12)):
        with pytest.raises(DriveError, match="word"):
            codec.encode(drive, wrong_words)


def test_records_that_do_not_fit_are_refused() -> None:
    codec = ToneCodec(OPTIONS)
    volts = np.zeros((2, 1, codec.layout.samples))
    codec.decode(volts, sample_rate=RATE)
    with pytest.raises(ResponseError, match="must reach from"):
        codec.decode(volts[:, :, : codec.layout.window.first], sample_rate=RATE)
    with pytest.raises(ResponseError, match="must reach from"):
        codec.pilot_levels(volts, sample_rate=RATE, start=5e-3)
    with pytest.raises(ResponseError, match="finite"):
        codec.decode(volts, sample_rate=RATE, delay=math.nan)
    volts[1, 0, codec.layout.window.first] = math.nan
    with pytest.raises(ResponseError, match="row 1 of channel 0"):
        codec.decode(volts, sample_rate=RATE)
    with pytest.raises(SpecError, match="whole number of samples"):
        codec.check_detector(50e3 + 10)
    with pytest.raises(SpecError, match="twice its highest tone"):
        codec.check_detector(4e3)
    with pytest.raises(SpecError, match="identity"):
        ToneCodec(replace(OPTIONS, identity="none")).pilot_levels(volts, sample_rate=RATE)
