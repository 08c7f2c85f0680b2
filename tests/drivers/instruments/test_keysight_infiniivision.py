from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from physnet.drivers.instruments.keysight_infiniivision import KeysightInfiniiVision
from physnet.drivers.roles import Detector
from physnet.drivers.scripted import ScriptedTransport, Step
from physnet.drivers.transport import Deadline
from physnet.errors import InputError, MeasurementError, TransportError
from tests.drivers.instruments.examples import lines, opening, scripted
from tests.drivers.instruments.script_infiniivision import (
    A_MODEL,
    NONE,
    RAMP,
    SEGMENTS,
    SETUP,
    SMALL,
    T_MODEL,
    armed,
    block,
    detector,
    one,
    preamble,
    shown,
    three,
)


def test_it_is_a_detector_whose_model_says_what_it_has() -> None:
    with detector() as scope:
        assert isinstance(scope, Detector)
        assert scope.recording.channels == (1, 2, 3, 4) and scope.recording.segments == 1000
        assert scope.recording.points == 4_000_000 and scope.recording.bits == 8
    with detector(identity=SMALL, high_resolution=True) as scope:
        assert scope.recording.channels == (1, 2) and scope.recording.points == 100_000
        assert scope.recording.bits == 12
    assert KeysightInfiniiVision(resource="", transport=ScriptedTransport()).recording.channels == (1, 2)


def test_one_record_is_set_up_armed_waited_for_and_read() -> None:
    with detector(
        *one(),
        *armed("ACQ:MODE RTIM"),
        lines("OPER:COND?", answer="+40"),
        lines("OPER:COND?", answer="+32"),
        lines("TER?", answer="+1"),
        preamble(1),
        block("WAV:SOUR CHAN1", codes=RAMP),
    ) as scope:
        made = scope.setup(SETUP)
        assert made == dataclasses.replace(SETUP, points=50)
        scope.arm()
        assert scope.wait(Deadline.after(5.0)) == 1
        capture = scope.fetch()
    assert capture.codes_NCT.tolist() == [[RAMP[::2]]]
    assert (capture.sample_rate, capture.start, capture.counted) == (1e3, -5e-3, 1)
    # voltage = (code - 32768) * 61.03516 uV + 10 mV, to the rounding of double precision.
    volts = [(code - 32768) * 6.103516e-5 + 1e-2 for code in RAMP[::2]]
    np.testing.assert_allclose(capture.volts()[0, 0], volts, rtol=0, atol=1e-12)
    assert not capture.clipped().any()


def test_segments_come_in_one_block_a_channel_where_the_model_can() -> None:
    codes = {number: [[0x2000 * number + 16 * n + s for n in range(100)] for s in range(3)] for number in (1, 2)}
    with detector(
        *three(),
        *armed("ACQ:MODE SEGM", "ACQ:SEGM:COUN 3"),
        lines("OPER:COND?", answer="0"),
        lines("TER?", answer="1"),
        lines("WAV:SEGM:COUN?", answer="+3"),
        *shown(1),
        preamble(2, "WAV:SEGM:ALL OFF"),
        block("WAV:SOUR CHAN2", "WAV:SEGM:ALL ON", codes=[code for segment in codes[2] for code in segment]),
        *shown(1),
        preamble(1, "WAV:SEGM:ALL OFF", scale="+2.44140600E-04"),
        block("WAV:SOUR CHAN1", "WAV:SEGM:ALL ON", codes=[code for segment in codes[1] for code in segment]),
    ) as scope:
        assert scope.setup(SEGMENTS) == SEGMENTS
        scope.arm()
        assert scope.wait(Deadline.after(5.0)) == 3
        capture = scope.fetch()
    assert capture.codes_NCT.shape == (3, 2, 50)
    for place, number in enumerate((2, 1)):
        assert capture.codes_NCT[:, place].tolist() == [segment[::2] for segment in codes[number]]
    assert capture.scale_C.tolist() == [6.103516e-5, 2.441406e-4]


def test_segments_come_one_by_one_where_the_model_cannot() -> None:
    with detector(
        *three(count=2),
        *armed("ACQ:MODE SEGM", "ACQ:SEGM:COUN 2"),
        lines("OPER:COND?", answer="0"),
        lines("TER?", answer="1"),
        lines("WAV:SEGM:COUN?", answer="2"),
        *shown(1),
        preamble(2),
        block("WAV:SOUR CHAN2", codes=[5] * 100),
        *shown(2),
        block("WAV:SOUR CHAN2", codes=[7] * 100),
        *shown(1),
        preamble(1),
        block("WAV:SOUR CHAN1", codes=[6] * 100),
        *shown(2),
        block("WAV:SOUR CHAN1", codes=[8] * 100),
        identity=A_MODEL,
    ) as scope:
        scope.setup(SEGMENTS)
        scope.arm(2)
        assert scope.wait(Deadline.after(5.0)) == 2
        assert scope.fetch().codes_NCT[:, :, 0].tolist() == [[5, 6], [7, 8]]


def test_fewer_triggers_than_segments_are_counted_when_the_deadline_passes() -> None:
    with detector(
        *three(),
        *armed("ACQ:MODE SEGM", "ACQ:SEGM:COUN 3"),
        lines("OPER:COND?", answer="8"),
        lines("STOP", "*OPC?", answer="1"),
        lines("TER?", answer="1"),
        lines("WAV:SEGM:COUN?", answer="2"),
        *shown(1),
        preamble(2, "WAV:SEGM:ALL OFF"),
        block("WAV:SOUR CHAN2", "WAV:SEGM:ALL ON", codes=[5] * 200),
        *shown(1),
        preamble(1, "WAV:SEGM:ALL OFF"),
        block("WAV:SOUR CHAN1", "WAV:SEGM:ALL ON", codes=[5] * 200),
    ) as scope:
        scope.setup(SEGMENTS)
        scope.arm()
        assert scope.wait(Deadline(0.0)) == 2
        assert scope.fetch().counted == 2


@pytest.mark.parametrize("running", [True, False])
def test_what_is_from_before_it_was_armed_is_never_read(running: bool) -> None:
    # It waits for its trigger in vain, or somebody pressed Stop: the screen shows an old record.
    stopped = [lines("STOP", "*OPC?", answer="1")] if running else []
    with detector(
        *three(),
        *armed("ACQ:MODE SEGM", "ACQ:SEGM:COUN 3"),
        lines("OPER:COND?", answer="+40" if running else "+0"),
        *stopped,
        lines("TER?", answer="0"),
    ) as scope:
        scope.setup(SEGMENTS)
        scope.arm()
        assert scope.wait(Deadline(0.0)) == 0
        with pytest.raises(MeasurementError, match="nothing was recorded"):
            scope.fetch()


def test_a_record_that_is_not_whole_by_the_deadline_does_not_count() -> None:
    with detector(
        *one(),
        *armed("ACQ:MODE RTIM"),
        lines("OPER:COND?", answer="8"),
        lines("STOP", "*OPC?", answer="1"),
        lines("TER?", answer="1"),
    ) as scope:
        scope.setup(SETUP)
        scope.arm()
        assert scope.wait(Deadline(0.0)) == 0


def test_a_rounded_time_range_is_told_and_a_memory_too_short_is_refused() -> None:
    steps = one()
    steps[-2] = lines("TIM:RANG?", answer="+5.10000000E-02")
    with detector(*steps) as scope:
        # 50 samples in 51 ms, to the rounding of double precision.
        assert scope.setup(SETUP).sample_rate == pytest.approx(50 / 0.051, rel=1e-12)
    for place, answer in ((-1, "+1.9E+03"), (-2, "+9.9E+37"), (-2, "0")):
        steps = one()
        steps[place] = Step(steps[place].sent, answer.encode() + b"\n")
        with detector(*steps) as scope, pytest.raises(TransportError, match="memory") as caught:
            scope.setup(SETUP)
        assert caught.value.kind == "rejected"


def test_an_entry_of_the_error_queue_stops_a_setup() -> None:
    steps = [*one()[:3], lines("SYST:ERR?", answer='-222,"Data out of range"'), lines("SYST:ERR?", answer=NONE)]
    with detector(*steps) as scope:
        with pytest.raises(TransportError, match="Data out of range"):
            scope.setup(SETUP)
        with pytest.raises(InputError, match="set up"):
            scope.arm()


def test_it_does_not_go_on_unless_it_is_armed() -> None:
    steps = armed("ACQ:MODE RTIM")[:-2]
    late = [lines("AER?", answer="0")] * 40  # more than 0.1 s of looks 10 ms apart
    line = scripted(T_MODEL, *one(), *steps, *late)
    with KeysightInfiniiVision(resource="", transport=line, timeout=0.1) as scope:
        scope.setup(SETUP)
        with pytest.raises(TransportError, match="does not arm") as caught:
            scope.arm()
        assert caught.value.kind == "timeout"
        with pytest.raises(InputError, match="armed"):
            scope.wait(Deadline.after(1.0))


def test_calls_out_of_order_are_refused_before_a_byte_is_sent() -> None:
    with detector(*one()) as scope:
        for early in (scope.arm, scope.fetch):
            with pytest.raises(InputError, match="set up"):
                early()
        scope.setup(SETUP)
        for segments in (0, 2, -1):
            with pytest.raises(InputError, match="segments"):
                scope.arm(segments)
        with pytest.raises(InputError, match="armed"):
            scope.wait(Deadline.after(1.0))


def test_after_a_lost_line_the_script_begins_anew() -> None:
    with detector(opening(T_MODEL)) as scope:
        scope.make_safe()  # it has no outputs: nothing is sent
        assert scope.recover() == "cleared"
