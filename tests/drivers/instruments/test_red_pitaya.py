from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import numpy as np
import pytest

from physnet.drivers.roles import Detector, Source
from physnet.drivers.scripted import Step
from physnet.drivers.transport import Deadline
from physnet.errors import InputError, TransportError
from tests.drivers.instruments.script_red_pitaya import (
    BURST,
    CODES,
    DETECTOR,
    DETECTOR_ANSWERS,
    NONE,
    RATE,
    SOURCE,
    armed,
    asked,
    block,
    captured,
    close_all,
    compared,
    detector_set,
    flags,
    lines,
    loaded,
    made_safe,
    opened,
    opening,
    outputs_on,
    read,
    set_up,
)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_all()


def test_a_burst_and_its_record_are_a_whole_exchange() -> None:
    board, line = captured(
        *flags("WAIT", "0"),  # armed once more, as the source: nothing but the state is looked at
        *outputs_on(),
        asked("SOUR:TRIG:INT\r\n*OPC?", "1"),
        *flags("TD", "0"),
        *flags("TD", "1"),
        asked("SYST:ERR?", NONE),
        *read(),
        *flags("TD", "1"),
        asked("ACQ:TPOS?", "16380"),
        *made_safe(),
    )
    assert isinstance(board, Source)
    assert isinstance(board, Detector)
    board.arm()
    board.fire()
    assert board.wait(Deadline.after(5)) == 1
    board.finish(Deadline.after(5))
    capture = board.fetch()
    board.make_safe()
    line.assert_used_up()
    np.testing.assert_array_equal(capture.codes_NCT, CODES[None])
    assert capture.counted == 1 and capture.start == 0.0 and capture.sample_rate == RATE
    # One volt is 8192 codes of this converter, and dividing by a power of two is exact.
    np.testing.assert_array_equal(capture.volts(), CODES[None] / 8192)
    np.testing.assert_array_equal(capture.clipped(), [True])


def test_a_burst_is_over_only_when_its_whole_table_was_played() -> None:
    board, line = captured(asked("SOUR:TRIG:INT\r\n*OPC?", "1"), asked("SYST:ERR?", NONE))
    began = time.monotonic()
    board.fire()
    board.finish(Deadline.after(5))
    # At 125 MHz / 64 a table lasts 8.4 ms.
    assert time.monotonic() - began >= 16384 / RATE
    line.assert_used_up()


def test_a_burst_that_is_not_over_by_the_deadline_is_told() -> None:
    board, line = captured(asked("SOUR:TRIG:INT\r\n*OPC?", "1"))
    board.fire()
    with pytest.raises(TransportError, match="not over by the deadline") as late:
        board.finish(Deadline(0.0))
    assert late.value.kind == "timeout" and not board.session.dirty
    line.assert_used_up()
    with pytest.raises(InputError, match="finished before"):
        board.load(BURST)


def test_samples_before_the_trigger_are_written_before_it_is_waited_for() -> None:
    before = dataclasses.replace(DETECTOR, before=2.0 / RATE)
    # Four samples after the trigger, and 8 to spare: 4 + 8 - 8192.
    answers = {**DETECTOR_ANSWERS, "ACQ:TRIG:DLY?": "-8180"}
    board, line = opened(
        *detector_set(delay=-8180),
        *compared(answers),
        lines("ACQ:START"),
        lines("ACQ:TRIG EXT_PE"),
        *flags("WAIT", "0"),
        *flags("TD", "1"),
        *read(1, 16383),  # the ring goes on at its beginning
        *flags("TD", "1"),
        asked("ACQ:TPOS?", "1"),
        trigger="EXT_PE",
    )
    assert board.setup(before) == dataclasses.replace(before, full_scale=(1.0, 1.0))
    board.arm(1)
    assert board.wait(Deadline.after(5)) == 1
    assert board.fetch().start == -2.0 / RATE
    line.assert_used_up()


def test_out_of_order_calls_send_nothing() -> None:
    board, line = opened(*set_up())
    for call in (board.arm, board.fire, board.fetch, lambda: board.load(BURST)):
        with pytest.raises(InputError, match="set up first"):
            call()
    board.setup(SOURCE)
    board.setup(DETECTOR)
    for call in (board.arm, lambda: board.arm(1), board.fire, board.fetch):
        with pytest.raises(InputError):
            call()
    with pytest.raises(InputError, match="fired before"):
        board.finish(Deadline.after(1))
    with pytest.raises(InputError, match="armed before"):
        board.wait(Deadline.after(1))
    line.assert_used_up()


def test_a_record_needs_output_one_or_another_trigger() -> None:
    board, line = opened(*detector_set(), *compared(DETECTOR_ANSWERS))
    board.setup(DETECTOR)
    with pytest.raises(InputError, match="output 1 must be one of the channels"):
        board.arm(1)
    line.assert_used_up()


@pytest.mark.parametrize("segments", [0, 2])
def test_more_than_one_segment_is_refused(segments: int) -> None:
    board, line = opened(*detector_set(), *compared(DETECTOR_ANSWERS), trigger="EXT_PE")
    board.setup(DETECTOR)
    with pytest.raises(InputError, match="1 segment a burst"):
        board.arm(segments)
    line.assert_used_up()


@pytest.mark.parametrize(("triggered", "full"), [("TD", "0"), ("TD", "1"), ("WAIT", "1")])
def test_a_digitiser_that_has_a_trigger_already_is_not_armed(triggered: str, full: str) -> None:
    """The record before would be taken for this one."""
    board, line = opened(*set_up(), *loaded(), lines("ACQ:START"), lines("ACQ:TRIG AWG_PE"), *flags(triggered, full))
    board.setup(SOURCE)
    board.setup(DETECTOR)
    board.load(BURST)
    with pytest.raises(TransportError, match="must wait for its trigger") as refused:
        board.arm(1)
    assert refused.value.kind == "rejected"
    line.assert_used_up()
    with pytest.raises(InputError, match="armed before"):
        board.fire()


def test_an_output_that_did_not_go_on_is_not_armed() -> None:
    board, line = opened(*set_up(), *loaded(), *armed(), lines("OUTPUT1:STATE ON"), asked("OUTPUT1:STATE?", "OFF"))
    board.setup(SOURCE)
    board.setup(DETECTOR)
    board.load(BURST)
    with pytest.raises(TransportError, match="OUTPUT1"):
        board.arm(1)
    line.assert_used_up()
    with pytest.raises(InputError, match="armed before"):
        board.fire()


def test_a_missing_record_is_told_at_the_deadline() -> None:
    board, line = captured(*flags("WAIT", "0"))
    assert board.wait(Deadline(0.0)) == 0
    line.assert_used_up()


@pytest.mark.parametrize(("triggered", "full"), [("WAIT", "0"), ("TD", "0"), ("WAIT", "1")])
def test_a_record_that_is_not_there_is_not_read(triggered: str, full: str) -> None:
    board, line = captured(*flags(triggered, full))
    with pytest.raises(TransportError, match="a whole record since it was armed") as stale:
        board.fetch()
    assert stale.value.kind == "garbled" and not board.session.dirty
    line.assert_used_up()


@pytest.mark.parametrize(
    "after", [[*flags("WAIT", "0")], [*flags("TD", "0")], [*flags("TD", "1"), asked("ACQ:TPOS?", "7")]]
)
def test_a_record_that_changed_while_it_was_read_is_refused(after: list[Step]) -> None:
    board, line = captured(*read(), *after)
    with pytest.raises(TransportError, match="must not change while it is read"):
        board.fetch()
    line.assert_used_up()


@pytest.mark.parametrize("code", [8192, -8193, 32767, -32768])
def test_codes_that_the_converter_does_not_have_are_refused(code: int) -> None:
    codes = CODES.copy()
    codes[1, 3] = code
    board, line = captured(*read(codes=codes), *flags("TD", "1"), asked("ACQ:TPOS?", "16380"))
    with pytest.raises(TransportError, match="codes must be -8192 to 8191"):
        board.fetch()
    line.assert_used_up()


@pytest.mark.parametrize("count", [0, 5, 7])
def test_a_block_of_another_size_is_refused(count: int) -> None:
    steps = read()
    steps[3] = block("ACQ:SOUR1:DATA:STA:N? 16380,6", np.zeros(count, np.int16))
    board, _ = captured(*steps)
    with pytest.raises(TransportError, match="block must hold 6 numbers"):
        board.fetch()
    assert board.session.dirty


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"#212\x00\x01\x00", "timeout"), (b"{0.1,0.2}\r\n", "garbled"), (b"", "timeout")],
)
def test_a_block_that_ends_early_or_is_none_is_refused(answer: bytes, kind: str) -> None:
    steps = read()
    steps[3] = Step(b"ACQ:SOUR1:DATA:STA:N? 16380,6\r\n", answer)
    board, _ = captured(*steps)
    with pytest.raises(TransportError) as short:
        board.fetch()
    assert short.value.kind == kind


@pytest.mark.parametrize("answer", ["MAYBE", "WAIT TD", "1"])
def test_a_state_that_is_none_is_garbled(answer: str) -> None:
    board, line = captured(asked("ACQ:TRIG:STAT?", answer))
    with pytest.raises(TransportError) as garbled:
        board.wait(Deadline.after(1))
    assert garbled.value.kind == "garbled"
    line.assert_used_up()


@pytest.mark.parametrize("answer", ["16384", "-1", "1.5", "x"])
def test_a_place_outside_the_ring_is_garbled(answer: str) -> None:
    board, line = captured(*flags("TD", "1"), asked("ACQ:TPOS?", answer))
    with pytest.raises(TransportError) as garbled:
        board.fetch()
    assert garbled.value.kind == "garbled"
    line.assert_used_up()


def test_making_safe_is_only_done_when_both_outputs_are_seen_off() -> None:
    board, line = opened(*made_safe()[:2], asked("OUTPUT2:STATE?", "ON"))
    with pytest.raises(TransportError, match="OUTPUT2"):
        board.make_safe()
    line.assert_used_up()


def test_a_board_that_was_made_safe_is_armed_anew() -> None:
    board, line = captured(*made_safe(), *armed(), *outputs_on())
    board.make_safe()
    with pytest.raises(InputError, match="armed before"):
        board.fire()
    with pytest.raises(InputError, match="armed before"):
        board.fetch()
    board.arm(1)
    line.assert_used_up()


def test_a_recovered_board_must_be_set_up_again() -> None:
    board, line = captured(opening())
    assert board.recover() == "cleared"
    for call in (lambda: board.load(BURST), board.arm, board.fire, board.fetch):
        with pytest.raises(InputError, match="set up first"):
            call()
    line.assert_used_up()


def test_a_refused_table_is_not_armed() -> None:
    steps = loaded()
    board, line = opened(*set_up(), steps[0], asked("SYST:ERR?", '-113,"Undefined header"'), asked("SYST:ERR?", NONE))
    board.setup(SOURCE)
    board.setup(DETECTOR)
    with pytest.raises(TransportError, match="-113"):
        board.load(BURST)
    with pytest.raises(InputError, match="burst must be loaded"):
        board.arm(1)
    line.assert_used_up()
