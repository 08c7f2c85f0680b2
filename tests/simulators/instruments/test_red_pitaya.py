"""The simulated Red Pitaya over a bare socket.

Axis letters: C channels; T samples.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.simulators.instruments.acoustic_medium import AcousticMedium
from physnet.simulators.instruments.faults import FaultPlan
from physnet.simulators.instruments.medium import Wire
from tests.simulators.instruments.red_pitaya_bench import BUFFER, HALF, POINTS, RATE, bench, wave


def test_it_introduces_itself_as_simulated() -> None:
    with bench() as it:
        assert it.line.ask("*IDN?") == "REDPITAYA,INSTR2024,SIMULATED,01-16"
        assert it.line.ask("SYST:ERR?;VERS?") == '0,"No error";1999.0'


def test_a_burst_over_a_wire_is_what_was_loaded_within_the_rounding_of_both_converters() -> None:
    with bench() as it:
        it.load(wave(), amplitude=0.7)
        it.arm()
        it.run()
        assert it.errors() == []
        found_T = it.volts("ACQ:SOUR1:DATA:OLD:N? 1000")
    # all 16384 samples lie after the trigger: the oldest is one sample after it
    expected_T = np.zeros(1001)
    expected_T[:POINTS] = 0.7 * wave()
    # 6 digits are sent; the waveform, its amplitude and offset, and the input round by half a code each, 1/8192 V; the
    # cubic between samples is the sample on a sample, but for 1e-9 of one in time: some 1e-8 V
    assert np.abs(found_T - expected_T[1:]).max() <= (0.7 + 1 + 1) / HALF / 2 + 1e-6
    assert found_T.max() > 0.6


def test_data_are_found_by_place_by_age_and_around_the_trigger() -> None:
    with bench() as it:
        it.load(wave())
        it.wait(0.123)
        it.arm("ACQ:DATA:UNITS RAW", delay=0)
        it.wait(0.0456)  # so that the trigger is somewhere in the ring
        it.run()
        place, write = int(it.line.ask("ACQ:TPOS?")), int(it.line.ask("ACQ:WPOS?"))
        assert place == int(0.0456 * RATE) % BUFFER and write == (place + BUFFER // 2) % BUFFER

        def codes(query: str) -> NDArray[np.int64]:
            return np.frombuffer(it.line.block(f"ACQ:SOUR1:DATA{query}"), ">i2").astype(np.int64)

        ring_T = codes(f":STA:N? 0,{BUFFER}")
        whole_T = codes("?")
        assert np.array_equal(whole_T, np.roll(ring_T, -(write + 1)))
        # half of the ring before the trigger, whose sample is the 8192nd
        assert not whole_T[: BUFFER // 2 - 1].any()
        assert np.abs(whole_T[BUFFER // 2 - 1 :][:POINTS] - wave() * HALF).max() <= 1
        assert np.array_equal(codes(":OLD:N? 100"), whole_T[:100])
        assert np.array_equal(codes(":LAT:N? 100"), whole_T[-100:])
        assert np.array_equal(codes(":TRIG? 50,POST_TRIG"), whole_T[BUFFER // 2 - 1 :][:51])
        assert np.array_equal(codes(":TRIG? 50,PRE_TRIG"), whole_T[BUFFER // 2 - 51 : BUFFER // 2])
        assert np.array_equal(codes(":TRIG? 50,PRE_POST_TRIG"), whole_T[BUFFER // 2 - 51 :][:101])
        end = (place + 9) % BUFFER
        assert np.array_equal(codes(f":STA:END? {place},{end}"), whole_T[BUFFER // 2 - 1 :][:10])


def test_numbers_come_as_text_or_blocks_in_volts_or_codes() -> None:
    with bench() as it:
        it.load(wave())
        it.arm()
        it.run()
        it.line.send("ACQ:DATA:UNITS RAW")
        codes_T = np.frombuffer(it.line.block("ACQ:SOUR1:DATA:OLD:N? 50"), ">i2")
        it.line.send("ACQ:DATA:FORMAT ASCII")
        text = it.line.ask("ACQ:SOUR1:DATA:OLD:N? 50")
        assert text[0] == "{" and text[-1] == "}"
        assert [int(word) for word in text[1:-1].split(",")] == codes_T.tolist()
        it.line.send("ACQ:DATA:UNITS VOLTS")
        text = it.line.ask("ACQ:SOUR1:DATA:OLD:N? 50")
        # six digits after the point
        assert np.abs(np.array([float(word) for word in text[1:-1].split(",")]) - codes_T / HALF).max() <= 0.51e-6
        assert it.line.ask("ACQ:DATA:UNITS?;FORMAT?") == "VOLTS;ASCII"


def test_both_channels_are_played_and_heard_with_their_own_gain() -> None:
    with bench(Wire(gains=[[0.5, 0.0], [0.0, -0.25]])) as it:
        for channel in (1, 2):
            it.load(wave(seed=channel), channel)
        it.arm("ACQ:SOUR2:GAIN HV")
        it.run()
        assert it.line.ask("ACQ:SOUR1:GAIN?;:ACQ:SOUR2:GAIN?") == "LV;HV"
        for channel, gain, scale in ((1, 0.5, 1.0), (2, -0.25, 20.0)):
            found_T = it.volts(f"ACQ:SOUR{channel}:DATA:OLD:N? {POINTS - 1}")
            # the waveform and the output round by half a code of 1/8192 V, the input by half one of its range; 6 digits
            bound = abs(gain) / HALF + scale / HALF / 2 + 1e-6
            assert np.abs(found_T - gain * wave(seed=channel)[1:]).max() <= bound


def test_an_input_beyond_its_range_gives_the_last_code() -> None:
    with bench(Wire(gains=[[3.0]])) as it:
        it.load(wave())
        it.arm("ACQ:DATA:UNITS RAW")
        it.run()
        codes_T = np.frombuffer(it.line.block(f"ACQ:SOUR1:DATA:OLD:N? {POINTS - 1}"), ">i2")
    assert codes_T.max() == HALF - 1 and codes_T.min() == -HALF
    assert np.array_equal(codes_T == HALF - 1, 3 * wave()[1:] > 1 - 0.75 / HALF)


def test_bursts_are_repeated_and_the_output_rests_at_its_last_value() -> None:
    with bench() as it:
        it.load(wave(100))
        it.line.send("SOUR1:BURS:NCYC 2", "SOUR1:BURS:NOR 3", "SOUR1:BURS:INT:PER 2048", "SOUR1:BURS:LASTValue 0.25")
        it.arm()
        it.run()
        found_T = np.concatenate([[wave(100)[0]], it.volts("ACQ:SOUR1:DATA:OLD:N? 1000")])
    start = round(2048e-6 * RATE)  # 250 samples
    expected_T = np.zeros(1001)
    expected_T[: 2 * start + 200] = 0.25
    for first in (0, start, 2 * start):
        expected_T[first : first + 200] = np.tile(wave(100), 2)
    assert np.abs(found_T[:700] - expected_T[:700]).max() <= 3 / HALF / 2 + 1e-6
    assert not found_T[701:].any()  # beyond a burst, nothing is known of an output


def test_a_decimation_is_a_mean_of_finer_samples_when_averaging_is_on() -> None:
    found = {}
    for averaging in ("ON", "OFF"):
        with bench() as it:
            it.load(wave(), rate=4 * RATE)
            it.arm(f"ACQ:AVG {averaging}")
            it.run()
            found[averaging] = it.volts("ACQ:SOUR1:DATA:OLD:N? 99")
    means_T, picked_T = wave().reshape(-1, 4).mean(1)[1:], wave()[4::4]
    for name, expected_T in (("ON", means_T), ("OFF", picked_T)):
        assert np.abs(found[name] - expected_T).max() <= 3 / HALF / 2 + 1e-6


def test_sound_through_a_cavity_is_that_of_the_medium_at_the_samples_of_the_device() -> None:
    options: dict[str, Any] = {"sources": 1, "detectors": 2, "microphone": 10.0, "pitch": 0.025, "span": 0.01}
    tone_T = 0.5 * np.sin(2 * math.pi * 1000 / RATE * np.arange(1220))
    with bench(AcousticMedium(**options)) as it:
        it.load(tone_T)
        it.arm()
        it.run()
        found_CT = np.stack([it.volts(f"ACQ:SOUR{channel}:DATA:OLD:N? 2000") for channel in (1, 2)])
    played_T = np.rint(np.rint(1e6 * tone_T) / 1e6 * HALF) / HALF
    direct_CT = AcousticMedium(**options).respond(played_T[None], RATE)[:, 1:2001]
    assert 0.05 < np.abs(direct_CT).max() < 1
    assert np.abs(found_CT - direct_CT).max() <= 0.5 / HALF + 1e-6


def test_noise_is_seeded_differs_from_capture_to_capture_and_is_averaged() -> None:
    found = []
    for _ in range(2):
        with bench(noise=0.04, seed=3) as it:
            for _ in range(2):
                it.arm(delay=0)
                it.line.send("OUTPUT1:STATE ON")
                it.run()
                found.append(it.volts("ACQ:SOUR1:DATA?"))
    assert np.array_equal(found[0], found[2]) and np.array_equal(found[1], found[3])
    assert not np.array_equal(found[0], found[1])
    quiet = found[1][: BUFFER // 2 - 1]  # before the sine begins
    # Averaging divides by sqrt(1024); 8191 numbers tell a deviation to within 0.8 %, of which 5 are 4 %. Rounding to
    # codes adds (1/8192 V)^2 / 12, a thousandth of it.
    assert quiet.std() == pytest.approx(0.04 / 32, rel=0.045)


def test_a_trigger_without_a_start_or_a_second_one_is_nothing() -> None:
    with bench() as it:
        it.load(wave())
        it.line.send("SOUR:TRIG:INT")
        assert it.line.ask("ACQ:TRIG:FILL?") == "0" and it.device.triggers == 0
        it.arm()
        it.run()
        first_T = it.volts("ACQ:SOUR1:DATA?")
        it.load(wave(seed=5))
        it.line.send("SOUR:TRIG:INT")
        it.wait(1.0)
        assert np.array_equal(it.volts("ACQ:SOUR1:DATA?"), first_T)
        assert it.device.triggers == 1


def test_output_2_alone_starts_no_record() -> None:
    with bench(Wire(gains=[[1.0, 1.0]])) as it:
        it.load(wave(), 2)
        it.arm()
        it.line.send("SOUR2:TRIG:INT")
        assert it.line.ask("ACQ:TR:STAT?") == "WAIT" and it.device.triggers == 0
        it.load(wave(), 1)
        it.run()
    assert it.device.triggers == 1


def test_the_ring_is_full_when_the_samples_after_the_trigger_are_written() -> None:
    with bench() as it:
        it.load(wave())
        it.arm(delay=-4000)
        it.line.send("SOUR1:TRIG:INT")
        it.wait(0.99 * (BUFFER // 2 - 4000) / RATE)
        assert it.line.ask("ACQ:TRIG:STAT?;FILL?") == "TD;0"
        it.wait(0.02 * (BUFFER // 2 - 4000) / RATE)
        assert it.line.ask("ACQ:TRIG:FILL?") == "1"


def test_a_trigger_that_is_lost_on_the_way_is_a_fault_that_can_be_asked_for() -> None:
    with bench(faults=FaultPlan(script={0: "missed_trigger"})) as it:
        it.load(wave())
        it.arm()
        it.line.send("SOUR:TRIG:INT")
        it.wait(1.0)
        assert it.line.ask("ACQ:TRIG:STAT?;FILL?") == "WAIT;0"
        it.run()


def test_external_and_immediate_triggers() -> None:
    with bench() as it:
        it.load(wave())
        it.line.send("SOUR1:TRIG:SOUR EXT_PE")
        it.arm("ACQ:TRIG EXT_PE")
        it.line.send("ACQ:TRIG EXT_PE")
        it.device.pulse()
        it.wait(1.0)
        assert it.line.ask("ACQ:TRIG:FILL?") == "1"
        assert np.abs(it.volts(f"ACQ:SOUR1:DATA:OLD:N? {POINTS - 1}") - wave()[1:]).max() <= 3 / HALF / 2 + 1e-6
        it.line.send("ACQ:START", "ACQ:TRIG NOW")
        assert it.line.ask("ACQ:TRIG:STAT?") == "TD"
        assert not it.volts("ACQ:SOUR1:DATA?").any()


def test_outputs_are_logged_and_what_is_switched_off_is_heard_no_more() -> None:
    with bench() as it:
        it.load(np.full(BUFFER, 0.5))
        it.arm()
        it.line.send("SOUR:TRIG:INT")
        it.wait(1000.5 / RATE)
        it.line.send("OUTPUT:STATE OFF")
        it.wait(1.0)
        found_T = it.volts("ACQ:SOUR1:DATA?")
        assert np.abs(found_T[:1000] - 0.5).max() < 1 / HALF and not found_T[1000:].any()
        events = [(event.kind, event.channel, event.peak) for event in it.rig.log]
        assert events == [("on", 1, 0.0), ("burst", 1, 0.5), ("off", 1, 0.0), ("off", 2, 0.0), ("cut", 0, 0.0)]
        it.line.send("GEN:RST")
        assert it.line.ask("OUTPUT1:STATE?;:SOUR1:FUNC?;BURS:STAT?") == "OFF;SINE;CONTINUOUS"
