"""The simulated network analyser over a bare socket.

Axis letters: N sweeps; E elements; F frequencies.
"""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from physnet.simulators.instruments.faults import FaultPlan
from tests.simulators.instruments.analyser_bench import DURATION, ELEMENTS, FREQUENCIES, TABLE, Sums, bench, patterns


def test_it_introduces_itself_as_simulated() -> None:
    with bench() as it:
        assert it.line.ask("*IDN?") == "Rohde-Schwarz,ZNB4-2Port,SIMULATED,3.32"
        assert it.line.ask("SYST:ERR?") == '0,"No error"'


def test_each_trigger_takes_one_sweep_of_what_was_latched() -> None:
    pattern_NE = patterns(6)
    with bench() as it:
        it.arm(6, *TABLE)
        for count, pattern_E in enumerate(pattern_NE):
            assert it.completed() == count
            it.analyser.trigger(pattern_E)
            assert it.completed() == count  # it still sweeps
            pattern_E[:] = 0  # what comes later is not seen
            it.clock.time += 1.01 * DURATION
        assert it.line.ask("*OPC?") == "1"
        assert it.completed() == 6
        found_NF = it.sweeps(1, 6)
        assert np.array_equal(np.frombuffer(it.line.block("CALC:DATA:STIM?"), "<f8"), FREQUENCIES)
        assert np.array_equal(np.frombuffer(it.line.block("CALC:DATA? SDAT"), "<c16"), found_NF[-1])
    # noise of -500 dBm is 1e-25 of what was sent: below the last bit; the product itself is the same one
    assert np.allclose(found_NF, patterns(6) @ Sums.weight_EF, rtol=1e-15, atol=1e-15)


def test_a_trigger_that_comes_while_it_sweeps_is_missed_and_the_counter_tells() -> None:
    pattern_NE = patterns(3)
    with bench() as it:
        it.arm(3, *TABLE)
        it.analyser.trigger(pattern_NE[0])
        it.clock.time += 0.5 * DURATION
        it.analyser.trigger(pattern_NE[1])
        it.clock.time += DURATION
        it.analyser.trigger(pattern_NE[2])
        it.clock.time += 1.01 * DURATION
        assert it.completed() == 2
        assert it.analyser.missed == 1
        expected_NF = pattern_NE[[0, 2]] @ Sums.weight_EF
        assert np.allclose(it.sweeps(1, 2), expected_NF, rtol=1e-15, atol=1e-15)
        it.line.send("CALC:DATA:NSW:FIRS? SDAT,1,3")
        assert it.errors() == [-230]
        # *OPC? waits for the third
        it.line.send("*OPC?")
        assert it.line.quiet(0.02)
        it.line.send("ABOR")


def test_triggers_before_it_is_armed_and_after_the_last_sweep_are_ignored() -> None:
    with bench() as it:
        it.analyser.trigger(patterns(1)[0])
        it.arm(1, *TABLE)
        assert it.completed() == 0
        for _ in range(3):
            it.analyser.trigger(patterns(1)[0])
            it.clock.time += 1.01 * DURATION
        assert it.completed() == 1
        assert (it.analyser.ignored, it.analyser.missed) == (3, 0)
        it.line.send("INIT")
        assert it.completed() == 0, "a new sequence forgets the old one"


def test_a_trigger_that_is_lost_on_the_way_is_a_fault_that_can_be_asked_for() -> None:
    plan = FaultPlan(script={1: "missed_trigger"})
    with bench(faults=plan) as it:
        it.arm(3, *TABLE)
        for pattern_E in patterns(3):
            it.analyser.trigger(pattern_E)
            it.clock.time += 1.01 * DURATION
        assert it.completed() == 2
        assert np.allclose(it.sweeps(1, 2), patterns(3)[[0, 2]] @ Sums.weight_EF, rtol=1e-15, atol=1e-15)
        assert (it.analyser.missed, it.analyser.ignored) == (0, 0)


def test_a_setting_that_changes_sweeps_ends_a_sequence() -> None:
    with bench() as it:
        for change in ("SENS:SWE:POIN 3", "SOUR:POW -20", "SENS:SEGM1:POW -20", "SENS:SEGM:DEL:ALL", "TRIG:SOUR IMM"):
            it.arm(2, *TABLE)
            it.analyser.trigger(patterns(1)[0])
            it.clock.time += 1.01 * DURATION
            assert it.completed() == 1
            it.line.send(change)
            assert it.completed() == 0
            assert it.line.ask("*OPC?") == "1"


def test_abort_keeps_the_sweeps_that_are_over() -> None:
    with bench() as it:
        it.arm(5, *TABLE)
        for _ in range(2):
            it.analyser.trigger(patterns(1)[0])
            it.clock.time += 1.01 * DURATION
        it.analyser.trigger(patterns(1)[0])
        it.line.send("ABOR")
        assert it.line.ask("*OPC?;:CALC:DATA:NSW:COUN?") == "1;2"
        it.clock.time += 1.01 * DURATION
        assert it.completed() == 2
        assert it.sweeps(1, 2).shape == (2, 3)


def test_without_triggers_it_sweeps_as_fast_as_it_can() -> None:
    with bench(time.monotonic) as it:
        started = time.monotonic()
        it.line.send("INIT:CONT OFF", "SENS:SWE:TYPE CW", "FREQ:CW 2e9", "SWE:POIN 4;COUN 3", "BAND 1000")
        it.line.send("FORM REAL,64", "*ESE 1", "INIT", "*OPC")
        assert it.line.ask("*OPC?") == "1"
        assert time.monotonic() - started >= 3 * 4 * 1e-3
        assert it.completed() == 3
        assert int(it.line.ask("*ESR?")) & 1
        expected = np.ones(ELEMENTS) @ Sums.weight_EF[:, 0]
        assert np.allclose(it.sweeps(2, 3), expected, rtol=1e-15, atol=1e-15)
        assert it.errors() == []


def test_real_time_triggers_are_waited_for() -> None:
    with bench(time.monotonic) as it:
        it.arm(2, *TABLE)
        it.line.send("*OPC?")
        deadline = time.monotonic() + 5
        for count in (1, 2):
            it.analyser.trigger(patterns(1)[0])
            while it.analyser.completed() < count:
                assert time.monotonic() < deadline
        assert it.line.line() == "1"
        assert it.completed() == 2


def test_values_between_the_networks_frequencies_are_interpolated() -> None:
    with bench() as it:
        it.line.send("FORM REAL,64", "FREQ:STAR 1.5e9;STOP 3.5e9", "SWE:POIN 9", "SWE:TYPE LIN")
        stimulus_F = np.frombuffer(it.line.block("CALC:DATA:STIM?"), "<f8")
        found_F = np.frombuffer(it.line.block("CALC:DATA? SDAT"), "<c16")
    assert np.array_equal(stimulus_F, np.linspace(1.5e9, 3.5e9, 9))
    known_F = np.ones(ELEMENTS) @ Sums.weight_EF
    # a step of 0.25 GHz: points 2, 4 and 6 are known ones, between two of them lies the middle
    middle = [known_F[0], (known_F[0] + known_F[1]) / 2, known_F[1], (known_F[1] + known_F[2]) / 2, known_F[2]]
    assert np.allclose(found_F, [known_F[0], known_F[0], *middle, known_F[2], known_F[2]], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(("power", "bandwidth"), [(-10, 1000), (-10, 100_000), (10, 1000)])
def test_trace_noise_follows_its_law_and_is_seeded(power: float, bandwidth: float) -> None:
    found = []
    for _ in range(2):
        with bench(noise_floor=-90.0, seed=7) as it:
            it.line.send("FORM REAL,64", "SWE:TYPE CW", "SWE:POIN 4000", f"SOUR:POW {power}", f"BAND {bandwidth}")
            found.append(np.frombuffer(it.line.block("CALC:DATA? SDAT"), "<c16"))
            other = np.frombuffer(it.line.block("CALC:DATA? SDAT"), "<c16")
    assert np.array_equal(found[0], found[1])
    assert not np.any(found[0] == other), "each sweep has noise of its own"
    noise = found[0] - np.ones(ELEMENTS) @ Sums.weight_EF[:, 0]
    expected = 10 ** ((-90 - power) / 20) * math.sqrt(bandwidth)
    # 8000 real numbers: their RMS is known to within 1 / sqrt(2 * 8000) = 0.8 %, of which 5 are 4 %
    assert np.sqrt(np.mean(np.abs(noise) ** 2)) == pytest.approx(expected, rel=0.04)


def test_with_its_output_off_it_sees_noise_alone() -> None:
    with bench() as it:
        it.line.send("FORM REAL,64", "OUTP OFF")
        assert np.abs(np.frombuffer(it.line.block("CALC:DATA? SDAT"), "<c16")).max() < 1e-20
        it.line.send("OUTP ON")
        assert np.abs(np.frombuffer(it.line.block("CALC:DATA? SDAT"), "<c16")).max() > 1e-3


def test_numbers_come_as_asked_for() -> None:
    with bench() as it:
        it.line.send("SWE:TYPE CW", "SWE:POIN 2")
        known = np.ones(ELEMENTS) @ Sums.weight_EF[:, 0]
        for command, dtype, digits in (
            ("FORM REAL,32", "<f4", 1e-6),
            ("FORM:DATA REAL,64;BORD NORM", ">f8", 1e-14),
            ("FORM:DATA REAL;BORD SWAP", "<f4", 1e-6),
        ):
            it.line.send(command)
            values = np.frombuffer(it.line.block("CALC:DATA? SDAT"), dtype)
            assert np.allclose(values, [known.real, known.imag] * 2, rtol=digits, atol=1e-15)
        it.line.send("FORM ASC")
        words = it.line.ask("CALC:DATA? SDAT").split(",")
        # 12 digits are written
        assert np.allclose([float(word) for word in words], [known.real, known.imag] * 2, rtol=1e-11, atol=1e-15)
        assert it.line.ask("FORM?") == "ASC,0"


def test_the_sweep_time_is_that_of_its_points_or_longer_when_told() -> None:
    with bench() as it:
        it.line.send(*TABLE)
        assert float(it.line.ask("SWE:TIME?")) == pytest.approx(DURATION, rel=1e-9)
        it.line.send("SWE:TIME 2")
        assert float(it.line.ask("SWE:TIME?")) == 2.0
        assert it.line.ask("SWE:TIME:AUTO?") == "0"
        it.line.send("SWE:TIME:AUTO ON")
        assert float(it.line.ask("SWE:TIME?")) == pytest.approx(DURATION, rel=1e-9)
