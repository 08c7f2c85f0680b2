"""What a simulated Red Pitaya answers, refuses, and bears."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physnet.simulators.instruments.medium import Wire
from physnet.simulators.instruments.messages import Message
from physnet.simulators.instruments.red_pitaya import SimulatedRedPitaya
from physnet.simulators.instruments.rig import Rig
from tests.simulators.instruments.red_pitaya_bench import BUFFER, Clock, bench


def test_settings_are_answered_as_they_were_set() -> None:
    with bench() as it:
        it.line.send("ACQ:DEC:Factor 1000", "ACQ:AVG OFF", "ACQ:TRIG:DLY 77", "SOUR2:VOLT 0.3", "SOUR2:VOLT:OFFS 0.1")
        assert it.line.ask("ACQ:DEC?;:ACQ:DEC:F?;:ACQ:AVG?;TRIG:DLY?;:ACQ:BUF:SIZE?") == "1000;1000;OFF;77;16384"
        assert it.line.ask("ACQ:SRAT?") == "   125000 Hz"
        assert it.line.ask("SOUR2:VOLT?;VOLT:OFFS?") == "0.3;0.1"
        it.line.send("ACQ:TRIG:DLY:NS 80000")
        assert it.line.ask("ACQ:TRIG:DLY?;DLY:NS?") == "10;80000"
        it.line.send("SOUR1:TRAC:DATA:DATA 0.5,-0.25")
        assert it.line.ask("SOUR1:TRAC:DATA:DATA?") == "{0.500000,-0.250000}"
        it.line.send("ACQ:RST")
        assert it.line.ask("ACQ:DEC?;AVG?;TRIG:DLY?") == "1;ON;0"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("ACQ:DEC 3", -224),
        ("ACQ:DEC:F 15", -224),
        ("ACQ:DEC 131072", -222),
        ("SOUR1:VOLT 1.1", -222),
        ("SOUR1:VOLT:OFFS 0.2", -222),
        ("SOUR1:TRAC:DATA:DATA 0.5,1.5", -222),
        ("SOUR1:TRAC:DATA:DATA", -109),
        ("SOUR1:FREQ:FIX 63e6", -222),
        ("SOUR3:VOLT 1", -114),
        ("SOUR1:FUNC NOISE", -224),
        ("ACQ:TRIG SOMETIME", -224),
        ("ACQ:SOUR1:DATA:STA:N? 0", -109),
        ("ACQ:SOUR1:DATA:TRIG? 5,LATER", -224),
        ("SOUR1:BURS:NCYC 0", -222),
    ],
)
def test_what_it_can_not_do_ends_in_the_error_queue_and_changes_nothing(command: str, code: int) -> None:
    with bench() as it:
        it.line.send(command)
        assert it.errors() == [code]
        settings = "ACQ:DEC?;:SOUR1:VOLT?;VOLT:OFFS?;:SOUR1:FREQ:FIX?;:SOUR1:FUNC?;BURS:NCYC?"
        assert it.line.ask(settings) == "1;1;0;1000;SINE;1"


def test_a_burst_that_is_too_long_to_be_simulated_is_refused() -> None:
    with bench() as it:
        it.line.send("SOUR1:BURS:STAT BURST", "SOUR1:BURS:NCYC 50000", "SOUR1:FREQ:FIX 1", "OUTPUT1:STATE ON")
        it.line.send("SOUR1:TRIG:INT")
        assert it.errors() == [-225]


STEPS = [
    "ACQ:START",
    "ACQ:STOP",
    "ACQ:TRIG AWG_PE",
    "ACQ:TRIG NOW",
    "SOUR:TRIG:INT",
    "SOUR2:TRIG:INT",
    "OUTPUT:STATE ON",
]
STEPS += [
    "OUTPUT1:STATE OFF",
    "ACQ:RST",
    "GEN:RST",
    "*RST",
    "ACQ:DEC 64",
    "ACQ:TRIG:DLY -9000",
    "ACQ:SOUR1:DATA:OLD:N? 5",
]


@given(steps=st.lists(st.one_of(st.sampled_from(STEPS), st.floats(0, 0.01)), max_size=20))
def test_whatever_comes_in_whatever_order_there_is_an_answer(steps: list[str | float]) -> None:
    clock = Clock()
    device = SimulatedRedPitaya(Rig(Wire()), now=clock)
    device.execute(Message("SOUR1:BURS:STAT BURST;:SOUR2:BURS:STAT BURST;:ACQ:DEC 1024"))
    for step in steps:
        if isinstance(step, float):
            clock.time += step
        else:
            device.execute(Message(step))
    (position,) = device.execute(Message("ACQ:WPOS?"))
    assert 0 <= int(position) < BUFFER
    (data,) = device.execute(Message("ACQ:DATA:FORMAT BIN;UNITS RAW;:ACQ:SOUR1:DATA?"))
    assert len(data) == 2 * BUFFER
