"""What a simulated network analyser answers, refuses, and bears."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physnet.simulators.instruments.messages import Message
from physnet.simulators.instruments.network_analyser import SimulatedNetworkAnalyser
from physnet.simulators.instruments.sweep_points import SWITCHING
from tests.simulators.instruments.analyser_bench import DURATION, ELEMENTS, TABLE, Clock, Sums, bench


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
