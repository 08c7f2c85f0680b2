from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.drivers.instruments.rohde_schwarz_znb import RohdeSchwarzZNB
from physnet.drivers.roles import Analyser
from physnet.drivers.scripted import Step
from physnet.drivers.transport import Deadline
from physnet.errors import InputError, MeasurementError, TransportError
from tests.drivers.instruments.examples import lines, scripted
from tests.drivers.instruments.script_rohde_schwarz_znb import (
    COMMON,
    COUNT,
    IDENTITY,
    IF_LINEAR,
    IF_SEGMENTS,
    LINEAR,
    NONE,
    UNEVEN,
    VALUES,
    armed,
    asked,
    block,
    captured,
    close_all,
    common,
    compared,
    linear,
    made_safe,
    opened,
    parts,
    segments,
    set_up,
    trace,
)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_all()


def test_a_capture_is_a_whole_exchange() -> None:
    analyser, line = captured(
        asked(COUNT, "1"),
        asked(COUNT, "2"),
        asked(COUNT, "2"),
        block("CALC1:DATA:NSW:FIRS? SDAT,1,2", parts(VALUES)),
        *made_safe(),
    )
    assert isinstance(analyser, Analyser)
    assert analyser.sweep_time == 0.0042
    assert analyser.wait(Deadline.after(5)) == 2
    sweeps = analyser.fetch()
    analyser.make_safe()
    analyser.close()
    line.assert_used_up()
    assert sweeps.counted == 2
    assert sweeps.values_NF.dtype == np.complex128
    np.testing.assert_array_equal(sweeps.values_NF, VALUES)


def test_a_capture_may_have_fewer_sweeps_than_the_setup() -> None:
    analyser, line = opened(
        *set_up(),
        *armed(1),
        asked("SYST:ERR?", NONE),
        asked(COUNT, "1"),
        asked(COUNT, "1"),
        block("CALC1:DATA:NSW:FIRS? SDAT,1,1", parts(VALUES[:1])),
    )
    assert analyser.setup(LINEAR) == LINEAR
    analyser.arm(1)
    assert analyser.wait(Deadline.after(5)) == 1
    np.testing.assert_array_equal(analyser.fetch().values_NF, VALUES[:1])
    line.assert_used_up()


def test_uneven_frequencies_are_segments_of_one_point_and_an_old_trace_of_ours_goes() -> None:
    analyser, line = opened(
        *made_safe(),
        *trace("S11", catalogue="'Trc1,S21,physnet,S21'", delete=("CALC1:PAR:DEL 'physnet'",)),
        common(),
        *segments(),
        asked("SYST:ERR?", NONE),
        *compared({**COMMON, **IF_SEGMENTS}),
        block("CALC1:DATA:STIM?", np.array(UNEVEN.frequencies)),
        asked("SENS1:SEGM:SWE:TIME:SUM?", "0.0051"),
        asked("SYST:ERR?", NONE),
    )
    assert analyser.setup(UNEVEN) == UNEVEN
    assert analyser.sweep_time == 0.0051
    line.assert_used_up()


@pytest.mark.parametrize("query", [*COMMON, *IF_LINEAR])
def test_a_setting_that_was_not_taken_is_refused(query: str) -> None:
    """Each is read back: another value is a fault, and the analyser does not count as set up."""
    answers = {**COMMON, **IF_LINEAR}
    others = {"0": "1", "1": "0", "SING": "ALL", "EXT": "IMM", "'SWEEP'": "'POINT'", "POS": "NEG", "-10": "-9.99"}
    others |= {"1000": "1500", "2": "1", "REAL,64": "REAL,32", "SWAP": "NORM", "LIN": "SEGM"}
    upto = list(answers).index(query)
    analyser, line = opened(
        *made_safe(),
        *trace("S21"),
        common(),
        *linear(),
        asked("SYST:ERR?", NONE),
        *compared(dict(list(answers.items())[:upto])),
        asked(query, others[answers[query]]),
    )
    with pytest.raises(TransportError) as refused:
        analyser.setup(LINEAR)
    assert refused.value.kind in ("rejected", "garbled")
    line.assert_used_up()
    with pytest.raises(InputError, match="set up first"):
        analyser.arm()


@pytest.mark.parametrize("shift", [1.5, -2e9, math.nan])
def test_a_point_at_another_frequency_is_refused(shift: float) -> None:
    steps = set_up()[:-3]
    points_F = np.array(LINEAR.frequencies)
    points_F[2] += shift
    analyser, line = opened(*steps, block("CALC1:DATA:STIM?", points_F))
    with pytest.raises(TransportError, match="point 2 must be at 3000000000 Hz"):
        analyser.setup(LINEAR)
    line.assert_used_up()


def test_a_parameter_that_the_model_lacks_is_refused() -> None:
    analyser, line = opened(
        *made_safe(),
        asked("CALC1:PAR:CAT?", "''"),
        lines("CALC1:PAR:SDEF 'physnet', 'S43'"),
        asked("SYST:ERR?", '-222,"Data out of range"'),
        asked("SYST:ERR?", NONE),
    )
    with pytest.raises(TransportError, match="-222"):
        analyser.setup(dataclasses.replace(LINEAR, parameter="S43"))
    line.assert_used_up()


def test_out_of_order_calls_send_nothing() -> None:
    analyser, line = opened()
    with pytest.raises(InputError, match="set up first"):
        analyser.arm()
    with pytest.raises(InputError, match="set up first"):
        _ = analyser.sweep_time
    with pytest.raises(InputError, match="armed before"):
        analyser.wait(Deadline.after(1))
    with pytest.raises(InputError, match="set up first"):
        analyser.fetch()
    line.assert_used_up()


def test_the_counter_may_take_a_moment_to_go_back_to_zero() -> None:
    analyser, line = opened(*set_up(), *armed(counts=("2", "2", "0")), asked("SYST:ERR?", NONE))
    analyser.setup(LINEAR)
    analyser.arm()
    line.assert_used_up()


def test_a_counter_that_does_not_go_back_to_zero_is_no_armed_analyser() -> None:
    analyser, line = opened(*set_up(), *armed(counts=("2",) * 8))
    analyser.setup(LINEAR)
    with pytest.raises(TransportError, match="counter must be 0 after the start, got 2"):
        analyser.arm()
    line.assert_used_up()
    with pytest.raises(InputError, match="armed before"):
        analyser.fetch()


def test_power_that_did_not_go_on_is_no_armed_analyser() -> None:
    analyser, line = opened(*set_up(), *armed()[:-3], asked("OUTP?", "0"))
    analyser.setup(LINEAR)
    with pytest.raises(TransportError, match="OUTP"):
        analyser.arm()
    line.assert_used_up()


def test_sweeps_that_are_missing_at_the_deadline_are_told() -> None:
    analyser, line = captured(asked(COUNT, "1"))
    assert analyser.wait(Deadline(0.0)) == 1
    line.assert_used_up()


@pytest.mark.parametrize("count", ["0", "1", "3"])
def test_a_capture_with_another_count_is_not_read(count: str) -> None:
    analyser, line = captured(asked(COUNT, count))
    with pytest.raises(TransportError, match="2 sweeps must have been counted") as stale:
        analyser.fetch()
    assert stale.value.kind == "garbled"
    line.assert_used_up()


@pytest.mark.parametrize("answer", ["", "two", "1.5", "-1", "2,2", "9.91E37"])
def test_a_counter_that_is_no_count_is_refused(answer: str) -> None:
    analyser, _ = captured(Step(COUNT.encode() + b"\n", answer.encode() + b"\n"))
    with pytest.raises(TransportError):
        analyser.fetch()


@pytest.mark.parametrize("values_NF", [VALUES[:1], VALUES[:, :2], np.concatenate([VALUES, VALUES])])
def test_a_block_of_another_size_is_refused(values_NF: NDArray[np.complex128]) -> None:
    step = block("CALC1:DATA:NSW:FIRS? SDAT,1,2", parts(values_NF))
    analyser, _ = captured(asked(COUNT, "2"), step)
    with pytest.raises(TransportError, match="block must hold 12 numbers"):
        analyser.fetch()
    assert analyser.session.dirty


def test_a_block_that_ends_early_is_a_timeout_and_one_in_text_is_garbled() -> None:
    whole = block("CALC1:DATA:NSW:FIRS? SDAT,1,2", parts(VALUES))
    analyser, _ = captured(asked(COUNT, "2"), Step(whole.sent, whole.answer[:40]))
    with pytest.raises(TransportError) as short:
        analyser.fetch()
    assert short.value.kind == "timeout"
    analyser.close()
    analyser, _ = captured(asked(COUNT, "2"), Step(whole.sent, b"0.5,0.25,0,-0.5\n"))
    with pytest.raises(TransportError) as text:
        analyser.fetch()
    assert text.value.kind == "garbled"


@pytest.mark.parametrize("value", [9.91e37, 9.9e37, -9.9e37, math.nan, math.inf, -math.inf])
def test_a_missing_or_overloaded_value_is_no_measurement(value: float) -> None:
    part_X = parts(VALUES)
    part_X[7] = value
    analyser, line = captured(asked(COUNT, "2"), block("CALC1:DATA:NSW:FIRS? SDAT,1,2", part_X))
    with pytest.raises(MeasurementError, match="1 of 12 numbers"):
        analyser.fetch()
    line.assert_used_up()
    assert not analyser.session.dirty


def test_making_safe_is_only_done_when_power_is_seen_off() -> None:
    analyser, line = opened(made_safe()[0], asked("OUTP?", "1"))
    with pytest.raises(TransportError, match="OUTP"):
        analyser.make_safe()
    line.assert_used_up()


def test_a_recovered_analyser_must_be_set_up_again() -> None:
    analyser, line = captured(lines("*CLS", "*IDN?", answer=IDENTITY))
    assert analyser.recover() == "cleared"
    with pytest.raises(InputError, match="set up first"):
        analyser.arm()
    line.assert_used_up()


@pytest.mark.parametrize("identity", ["Rohde-Schwarz,FSW-26,1312.8000K26/100005,1.60", "Keysight,ZNB8,1,1"])
def test_another_instrument_is_refused(identity: str) -> None:
    analyser = RohdeSchwarzZNB(resource="SCRIPT::INSTR", transport=scripted(identity))
    with pytest.raises(TransportError) as foreign:
        analyser.open()
    assert foreign.value.kind == "foreign"
