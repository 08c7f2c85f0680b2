"""The simulated network analyser over a bare socket.

Axis letters: N sweeps; E elements; F frequencies.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.simulators.instruments.faults import FaultPlan
from physnet.simulators.instruments.messages import Message
from physnet.simulators.instruments.network_analyser import SimulatedNetworkAnalyser
from physnet.simulators.instruments.server import InstrumentServer
from physnet.simulators.instruments.sweep_points import SWITCHING
from tests.simulators.instruments.raw_line import RawLine

FREQUENCIES = (2.0e9, 2.5e9, 3.0e9)
ELEMENTS = 5


class Sums:
    """A network that adds up a weight for each element that is on."""

    frequencies = np.array(FREQUENCIES)
    weight_EF = np.exp(1j * np.outer(np.arange(1, ELEMENTS + 1), [1.0, 2.0, 3.0])) / 10

    def transmission(self, pattern_NE: NDArray[np.uint8]) -> NDArray[np.complex128]:
        return np.asarray(pattern_NE @ self.weight_EF)


class Clock:
    """Time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Bench:
    """An analyser, the line to it, its clock, and the pattern that is latched."""

    def __init__(self, line: RawLine, analyser: SimulatedNetworkAnalyser, clock: Clock) -> None:
        self.line, self.analyser, self.clock = line, analyser, clock

    def sweeps(self, first: int, last: int) -> NDArray[np.complex128]:
        data = np.frombuffer(self.line.block(f"CALC:DATA:NSW:FIRS? SDAT,{first},{last}"), "<c16")
        return data.reshape(last - first + 1, -1)

    def completed(self) -> int:
        return int(self.line.ask("CALC:DATA:NSW:COUN?"))

    def errors(self) -> list[int]:
        found = []
        while (code := int(self.line.ask("SYST:ERR?").partition(",")[0])) != 0:
            found.append(code)
        return found

    def arm(self, count: int, *more: str) -> None:
        self.line.send(
            "INIT:CONT OFF", "FORM REAL,64", "FORM:BORD SWAP", "TRIG:SOUR EXT", f"SENS:SWE:COUN {count}", *more, "INIT"
        )
        assert self.errors() == []


SEGMENTS = [f"SENS:SEGM{i + 1}:INS {f},{f},1,-10,0,0,1000" for i, f in enumerate(FREQUENCIES)]
TABLE = ("SENS:SEGM:DEL:ALL", *SEGMENTS, "SENS:SWE:TYPE SEGM")
DURATION = len(FREQUENCIES) * (1e-3 + SWITCHING)
NO_NOISE = -500.0  # dBm: below the last bit of a double


@contextlib.contextmanager
def bench(clock: Callable[[], float] | None = None, **options: Any) -> Iterator[Bench]:
    given = {"noise_floor": NO_NOISE, "latched": lambda: np.ones(ELEMENTS, np.uint8), **options}
    still = clock or Clock()
    analyser = SimulatedNetworkAnalyser(Sums(), now=still, **given)
    with InstrumentServer(analyser) as server, RawLine(server.port) as line:
        yield Bench(line, analyser, still)  # type: ignore[arg-type]


def patterns(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 2, (count, ELEMENTS), np.uint8)


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


def test_segments_are_a_table_in_rising_order() -> None:
    with bench() as it:
        it.line.send(
            "SEGM:INS 2e9,3e9,3,-10,0,0,1e3", "SEGM1:INS 1e9,1e9,1,-20,0,0,1e4", "SEGM3:ADD", "SEGM3:SWE:POIN 2"
        )
        it.line.send("SEGM3:FREQ:STOP 4e9", "SWE:TYPE SEGM", "FORM REAL,64")
        assert it.line.ask("SEGM:COUN?") == "3"
        stimulus = np.frombuffer(it.line.block("CALC:DATA:STIM?"), "<f8")
        assert stimulus.tolist() == [1e9, 2e9, 2.5e9, 3e9, 3e9, 4e9]
        assert [it.line.ask(f"SEGM{i}:SWE:POIN?") for i in (1, 2, 3)] == ["1", "3", "2"]
        assert float(it.line.ask("SEGM1:POW?")) == -20
        for wrong in ("SEGM1:FREQ:STOP 2.5e9", "SEGM2:INS 0.5e9,0.6e9,1,0,0,0,1e3", "SEGM2:FREQ:STAR 3.5e9"):
            it.line.send(wrong)
        assert it.errors() == [-221] * 3
        it.line.send("SEGM5:ADD", "SEGM4:POW 0", "SEGM:INS 1e9,1e9,1,0,0,0,0.1", "SEGM:INS 1e9,1e9")
        assert it.errors() == [-114, -114, -222, -109]
        it.line.send("SEGM:DEL:ALL", "CALC:DATA:STIM?")
        assert it.errors() == [-221]


def test_segments_have_the_channels_power_until_they_are_given_their_own() -> None:
    with bench() as it:
        it.line.send("SEGM1:ADD", "SEGM1:SWE:POIN 2", "SWE:TYPE SEGM", "BAND 1e3")
        assert it.line.ask("SEGM:POW:CONT?;:SENS:SEGM:BWID:CONT?;:SENS:SEGM:SWE:TIME:CONT?") == "0;0;0"
        assert float(it.line.ask("SEGM:SWE:TIME:SUM?")) == pytest.approx(2 * (1e-3 + SWITCHING), rel=1e-9)
        it.line.send("SEGM1:BWID 100")
        assert it.line.ask("SEGM:POW:CONT?;:SENS:SEGM:BWID:CONT?") == "0;1"
        assert float(it.line.ask("SWE:TIME?")) == pytest.approx(2 * (1e-2 + SWITCHING), rel=1e-9)
        it.line.send("SEGM:BWID:CONT OFF")
        assert float(it.line.ask("SWE:TIME?")) == pytest.approx(2 * (1e-3 + SWITCHING), rel=1e-9)


def test_traces_are_named_and_selected() -> None:
    with bench() as it:
        assert it.line.ask("CALC:PAR:CAT?") == "'Trc1,S21'"
        it.line.send("CALC:PAR:DEL:ALL", "CALC:DATA? SDAT", "CALC:PAR:SDEF 'a','S21'", "CALC:PAR:SEL 'b'")
        it.line.send("CALC:PAR:SDEF 'c','S11'", "CALC2:PAR:SDEF 'd','S21'")
        assert it.errors() == [-200, -200, -224, -114]
        assert it.line.ask("CALC:PAR:CAT?;SEL?;MEAS? 'a'") == "'a,S21';'a';'S21'"


def test_what_it_can_not_do_ends_in_the_error_queue() -> None:
    with bench() as it:
        it.line.send(
            "INIT", "TRIG:SOUR NONE", "FREQ:STAR 1", "BAND 0", "SOUR:POW 40", "SWE:COUN 0", "*TRG", "FORM REAL,16"
        )
        assert it.errors() == [-213, -224, -222, -222, -222, -222, -211, -224]


def test_a_trigger_by_hand_takes_a_sweep() -> None:
    with bench() as it:
        it.arm(1, *TABLE, "TRIG:SOUR MAN")
        it.line.send("*TRG")
        assert it.completed() == 0
        it.clock.time += 1.01 * DURATION
        assert it.completed() == 1


def test_reset_puts_everything_back() -> None:
    with bench() as it:
        it.arm(2, *TABLE)
        it.line.send("*RST")
        assert it.line.ask("INIT:CONT?;:TRIG:SOUR?;:SENS:SEGM:COUN?;:FORM?;:OUTP?") == "1;IMM;0;ASC,0;1"


COMMANDS = ["INIT", "INIT:CONT OFF", "INIT:CONT ON", "TRIG:SOUR EXT", "TRIG:SOUR IMM", "SWE:COUN 3", "ABOR", "*RST"]
COMMANDS += [
    "SEGM:DEL:ALL",
    "SEGM:ADD",
    "SWE:TYPE SEGM",
    "SWE:TYPE LIN",
    "CALC:DATA:NSW:COUN?",
    "CALC:DATA? SDAT",
    "*OPC",
]


@given(steps=st.lists(st.one_of(st.sampled_from(COMMANDS), st.just(""), st.floats(0, 1)), max_size=25))
def test_whatever_comes_in_whatever_order_it_counts_what_began(steps: list[str | float]) -> None:
    clock = Clock()
    analyser = SimulatedNetworkAnalyser(Sums(), latched=lambda: np.zeros(ELEMENTS, np.uint8), now=clock)
    given_, count = 0, 0
    for step in steps:
        if isinstance(step, float):
            clock.time += step
        elif step:
            analyser.execute(Message(step))
        else:
            analyser.trigger(np.ones(ELEMENTS, np.uint8))
            given_ += 1
        count = analyser.completed()
        assert 0 <= count <= 3
    assert analyser.missed + analyser.ignored <= given_
    if count:
        assert analyser.sweeps(1, count).shape[0] == count
