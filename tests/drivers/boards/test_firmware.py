"""What the firmware does when its host is gone, and with whatever a line gives it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physnet.drivers.boards import BoardLink
from physnet.drivers.boards.frames import Frame, encode_frame
from physnet.drivers.boards.messages import Kind
from physnet.drivers.boards.stream import SerialStream
from physnet.errors import MeasurementError
from tests.drivers.boards.host_board import HostBoard, Plug

CREDITS = 8
CHUNK = 20  # rows of a chunk of the child
CHILD = Path(__file__).with_name("silent_child.py")


def connect(board: HostBoard) -> contextlib.closing[BoardLink]:
    return contextlib.closing(BoardLink(SerialStream(board.port), timeout=2.0))


def rows_played(events: list[str]) -> int:
    return sum(event.startswith("out") for event in events)


def armed(events: list[str]) -> bool:
    """In the middle of a chunk, the second one at least."""
    return rows_played(events) > CHUNK and CHUNK // 4 < rows_played(events) % CHUNK < CHUNK // 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_outputs_are_safe_after_a_host_that_dies(plug: Plug, how: signal.Signals) -> None:
    board = plug("--watchdog", 300)
    host = subprocess.Popen([sys.executable, CHILD, board.port], stderr=subprocess.PIPE)
    try:
        before = rows_played(board.until(lambda events: armed(events) or host.poll() is not None))
        host.send_signal(how)
        _, told = host.communicate()
    finally:
        host.kill()
        host.wait()
    events = board.until(lambda events: events[-1] == "safe")
    with connect(board) as link:
        status = link.status()
    if how is signal.SIGKILL:
        # the frames that it held, and those that came while the test looked
        assert status.trips >= 1  # a busy computer may have let the host fall silent before
        assert rows_played(events) <= before + 2 * CREDITS
    else:
        assert status.trips == 0
        assert b"Stopped" in told
        assert rows_played(events) % CHUNK == 0


def test_a_silent_host_trips_the_watchdog_until_it_arms_again(plug: Plug) -> None:
    board = plug("--watchdog", 30)
    row = bytes(16)
    with connect(board) as link:
        link.identify(timeout=5)
        with pytest.raises(MeasurementError, match="outputs are safe, not armed"):
            link.exchange(Kind.PLAY, row)
        link.exchange(Kind.ARM, bytes(4) + (30).to_bytes(4, "little"))
        assert [outcome.refusal for outcome in link.exchange_many(Kind.PLAY, [row] * 20)] == [0] * 20
        board.until(lambda events: events[-1] == "safe")
        for _ in range(2):  # asking does not arm
            with pytest.raises(MeasurementError, match="watchdog"):
                link.exchange(Kind.PLAY, row)
            assert link.status().state == 2
        link.exchange(Kind.ARM, bytes(4) + (30).to_bytes(4, "little"))
        link.exchange(Kind.PLAY, row)
        assert link.status().trips == 1


def test_what_the_firmware_can_not_do_it_refuses_and_moves_no_output(plug: Plug) -> None:
    board = plug()
    with connect(board) as link:
        link.identify(timeout=5)
        for settle, watchdog in ((100_001, 100), (0, 501), (0, 0)):
            with pytest.raises(MeasurementError, match="out of its range"):
                link.exchange(Kind.ARM, settle.to_bytes(4, "little") + watchdog.to_bytes(4, "little"))
        with pytest.raises(MeasurementError, match="length is wrong"):
            link.exchange(Kind.ARM, b"")
        link.exchange(Kind.ARM, bytes(4) + (500).to_bytes(4, "little"))
        for payload, why in ((bytes(15), "length"), (b"\x00\x10" * 8, "out of its range")):
            with pytest.raises(MeasurementError, match=why):
                link.exchange(Kind.PLAY, payload)
        with pytest.raises(MeasurementError, match="length is wrong"):
            link.exchange(Kind.PATTERN, b"\1")
    assert set(board.events()) == {"safe"}


def test_a_row_that_the_line_repeats_or_turns_round_is_played_once(plug: Plug) -> None:
    board = plug()
    stream = SerialStream(board.port)
    with contextlib.closing(BoardLink(stream, timeout=2.0, first=2**32 - 3)) as link:  # numbers wrap on the way
        link.identify(timeout=5)
        link.exchange(Kind.ARM, bytes(4) + (500).to_bytes(4, "little"))
        link.exchange(Kind.PLAY, bytes(16))
        link.exchange(Kind.PLAY, bytes(16))
        for sequence in (2**32 - 1, 0, 0, 2**32 - 4):
            stream.write(encode_frame(Frame(Kind.PLAY, sequence, bytes(16))), float("inf"))
        status = link.status()
        assert (status.rows, status.stale) == (2, 4)
        assert link.faults["duplicate"] == 3 and link.faults["stale"] == 1


@given(rubbish=st.lists(st.binary(max_size=3000), max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_rubbish_moves_an_output_or_stops_the_firmware(plug: Plug, rubbish: list[bytes]) -> None:
    board = plug()
    stream = SerialStream(board.port)
    with contextlib.closing(BoardLink(stream, timeout=2.0)) as link:
        for piece in rubbish:
            stream.write(piece, float("inf"))
        assert link.status().overflow == 0
    assert set(board.events()) == {"safe"}
    board.unplug()


@given(kind=st.integers(0, 255), payload=st.binary(max_size=600), version=st.integers(0, 3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_sound_frame_but_arm_and_play_moves_an_output(plug: Plug, kind: int, payload: bytes, version: int) -> None:
    board = plug()
    stream = SerialStream(board.port)
    with contextlib.closing(BoardLink(stream, timeout=2.0)) as link:
        stream.write(encode_frame(Frame(kind, 1, payload, version)), float("inf"))
        link.status()
    assert set(board.events()) == {"safe"}
    board.unplug()
