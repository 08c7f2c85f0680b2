"""No answer is believed but the one to the request, whatever the line does."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physnet.drivers.boards import BoardLink, DacAdcBoard
from physnet.drivers.boards.frames import Frame, FrameDecoder, encode_frame
from physnet.drivers.boards.messages import ERROR, REPLY, BoardIdentity, Kind
from physnet.drivers.boards.stream import ByteStream
from physnet.errors import MeasurementError, PhysnetError
from physnet.passes import Purpose, pass_numbers
from tests.drivers.boards.host_board import Plug, transfer


class Scripted:
    """A stream that answers each frame with what a function says."""

    def __init__(self, answer: Callable[[Frame], bytes]) -> None:
        self._answer = answer
        self._decoder = FrameDecoder(65535)
        self._ready = b""
        self.sent: list[Frame] = []

    def read(self, limit: int, deadline: float) -> bytes:
        ready, self._ready = self._ready[:limit], self._ready[limit:]
        return ready

    def write(self, data: bytes, deadline: float) -> None:
        for frame in self._decoder.feed(data):
            self.sent.append(frame)
            self._ready += self._answer(frame)

    def close(self) -> None:
        pass


def reply(frame: Frame, payload: bytes = b"", *, later: int = 0) -> bytes:
    return encode_frame(Frame(frame.kind | REPLY, (frame.sequence + later) % 2**32, payload))


def test_an_answer_counts_once_and_under_its_own_number_and_kind() -> None:
    def answer(frame: Frame) -> bytes:
        wrong_kind = encode_frame(Frame(Kind.ARM | REPLY, frame.sequence, b"wrong kind"))
        wrong_error = encode_frame(Frame(ERROR, frame.sequence, bytes([4, 0, Kind.ARM])))
        return reply(frame, b"stale", later=-1) + wrong_kind + wrong_error + reply(frame, b"good") + reply(frame, b"2")

    link = BoardLink(Scripted(answer), timeout=1.0, first=10)
    assert link.exchange(Kind.STATUS) == b"good"
    assert link.exchange(Kind.PLAY) == b"good"
    assert +link.faults == {"stale": 1, "duplicate": 3, "kind": 4}


def test_an_answer_that_was_overtaken_is_dropped() -> None:
    held: list[bytes] = []

    def answer(frame: Frame) -> bytes:
        if frame.kind == Kind.IDENTIFY:
            # two credits, payloads of 16 bytes, a watchdog of 1 ms, and no channels
            return reply(frame, struct.pack("<22xHHI20xx", 2, 16, 1).replace(b"\0", b"\1", 1))
        held.append(reply(frame, frame.payload))
        return b"".join(reversed(held)) if len(held) == 2 else b""

    link = BoardLink(Scripted(answer), timeout=1.0)
    assert link.identify(timeout=1.0).credits == 2
    outcomes = link.exchange_many(Kind.PLAY, [b"first", b"second"])
    assert [outcome.payload for outcome in outcomes] == [None, b"second"]
    assert +link.faults == {"missing": 1, "reordered": 1}


def test_only_what_changes_nothing_is_asked_again() -> None:
    for kind, times in ((Kind.STATUS, 4), (Kind.SAFE, 4), (Kind.PLAY, 1), (Kind.PATTERN, 1), (Kind.ARM, 1)):
        stream = Scripted(lambda frame: b"")
        link = BoardLink(stream, timeout=0.01)
        with pytest.raises(MeasurementError, match=f"must answer {kind.name} within"):
            link.exchange(kind)
        assert len(stream.sent) == times
        assert len({frame.sequence for frame in stream.sent}) == 1


def test_a_babbling_line_does_not_put_off_the_deadline() -> None:
    class Babble(Scripted):
        def read(self, limit: int, deadline: float) -> bytes:
            return reply(Frame(Kind.PLAY, 5)) + b"\1\2\3\0"

    link = BoardLink(Babble(lambda frame: b""), timeout=0.02, first=0)
    with pytest.raises(MeasurementError, match="must answer PLAY"):
        link.exchange(Kind.PLAY)
    assert link.exchange_many(Kind.PLAY, [b""] * 3)[0].payload is None
    assert link.dropped["cobs"] + link.dropped["length"] > 0


@given(pieces=st.lists(st.one_of(st.binary(max_size=80), st.tuples(st.integers(0, 255), st.binary(max_size=80)))))
def test_whatever_answers_nothing_but_our_errors_comes_out(pieces: list[bytes | tuple[int, bytes]]) -> None:
    def answer(frame: Frame) -> bytes:
        return b"".join(
            piece if isinstance(piece, bytes) else encode_frame(Frame(piece[0], frame.sequence, piece[1]))
            for piece in pieces
        )

    link = BoardLink(Scripted(answer), timeout=0.001)
    with contextlib.suppress(PhysnetError):
        link.identify(timeout=0.001)
    with contextlib.suppress(PhysnetError):
        link.status()
    assert len(link.exchange_many(Kind.PLAY, [b"", b""])) == 2


@given(payload=st.binary(min_size=51, max_size=60))
def test_a_description_that_contradicts_itself_is_refused(payload: bytes) -> None:
    try:
        board = BoardIdentity.parse(payload)
    except MeasurementError:
        return
    assert board.credits >= 1 and board.watchdog > 0


class Faulty:
    """A line that loses, repeats, damages, holds back and turns round frames, and adds noise, in both directions."""

    def __init__(self, stream: ByteStream, dice: random.Random, rate: float) -> None:
        self._stream, self._dice, self._rate = stream, dice, rate
        self._rest = b""
        self._held: dict[bool, list[bytes]] = {True: [], False: []}

    def read(self, limit: int, deadline: float) -> bytes:
        *whole, self._rest = (self._rest + self._stream.read(limit, deadline)).split(b"\0")
        return self._spoil(whole, out=False)

    def write(self, data: bytes, deadline: float) -> None:
        self._stream.write(self._spoil(data.split(b"\0")[:-1], out=True), deadline)

    def close(self) -> None:
        self._stream.close()

    def _spoil(self, parts: list[bytes], *, out: bool) -> bytes:
        line = []
        held = self._held[out]
        for part in parts:
            if self._dice.random() >= self._rate:
                line.append(part)
                continue
            match self._dice.choice(["lose", "repeat", "damage", "hold", "release", "noise", "cut"]):
                case "repeat":
                    line += [part, part]
                case "damage" if part:
                    place = self._dice.randrange(len(part))
                    line.append(part[:place] + bytes([self._dice.randrange(256)]) + part[place + 1 :])
                case "hold":
                    held.append(part)
                case "release":
                    line += [part, *held]
                    held.clear()
                case "noise":
                    line += [self._dice.randbytes(self._dice.randrange(1, 60)), part]
                case "cut":
                    line.append(part[: len(part) // 2])
        return b"".join(part + b"\0" for part in line)


@pytest.mark.parametrize(("seed", "rate"), [(1, 0.02), (2, 0.1), (3, 0.3)])
def test_no_wrong_answer_is_believed_on_a_bad_line(plug: Plug, seed: int, rate: float) -> None:
    dice = random.Random(seed)
    board = plug()

    class Bad(DacAdcBoard):
        def open_stream(self) -> ByteStream:
            return Faulty(super().open_stream(), dice, rate)

    system = Bad(
        port=board.port, drives=8, responses=4, drive_range=(0.0, 3.3), simulated=True, timeout=0.02, open_timeout=2.0
    )
    believed = 0
    with contextlib.suppress(MeasurementError), system:
        for batch in range(30):
            drive = np.random.default_rng(batch).uniform(0, 3.3, (20, 8))
            try:
                reading = system.measure(drive, pass_numbers(Purpose.CALIBRATE, rows=20))
            except MeasurementError as error:
                if error.reading is None:
                    continue
                reading = error.reading
            valid = reading.valid
            assert valid is not None
            codes = np.rint(drive[: len(reading)] * (4095 / 3.3)) - 2048
            assert np.array_equal(np.asarray(reading.response)[valid], transfer(codes)[valid])
            believed += int(valid.sum())
    assert believed > 100
    assert sum(system.faults.values()) > 0
