"""The simulated board's parser: what was sent comes out whole, rubbish is dropped, memory stays small."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from physnet.simulators.instruments.frames import MAX_PAYLOAD, Frame, FrameParser, encode

# 12 bytes of header and CRC, and what byte stuffing adds: one byte, and one for each full block of 254
LONGEST = 12 + MAX_PAYLOAD + 1 + (12 + MAX_PAYLOAD) // 254

frames = st.builds(
    Frame,
    kind=st.integers(0, 255),
    sequence=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=MAX_PAYLOAD),
    version=st.integers(0, 255),
)


def line_of(frame: Frame) -> bytes:
    return encode(frame.kind, frame.sequence, frame.payload, version=frame.version)


def test_a_frame_is_laid_out_as_the_protocol_says() -> None:
    body = bytes([1, 5, 0x78, 0x56, 0x34, 0x12, 3, 0]) + b"\0ab"
    assert encode(5, 0x12345678, b"\0ab") == cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


@given(sent=st.lists(frames, max_size=4), cuts=st.lists(st.integers(0, 2500), max_size=8))
def test_frames_come_out_however_the_line_cuts_them(sent: list[Frame], cuts: list[int]) -> None:
    line = b"".join(map(line_of, sent))
    places = [0, *sorted(min(cut, len(line)) for cut in cuts), len(line)]
    parser = FrameParser()
    assert [frame for a, b in pairwise(places) for frame in parser.feed(line[a:b])] == sent
    assert (parser.held, parser.bad_crc, parser.bad_cobs, parser.oversize) == (0, 0, 0, 0)


@given(pieces=st.lists(st.binary(max_size=1500), max_size=12))
def test_rubbish_is_dropped_in_bounded_memory(pieces: list[bytes]) -> None:
    parser = FrameParser()
    for piece in pieces:
        for frame in parser.feed(piece):
            assert line_of(frame) in b"\0" + b"".join(pieces)  # no rubbish: it was drawn
        assert parser.held <= LONGEST + 1
    good = Frame(1, 2, b"after", 1)
    assert parser.feed(b"\0" + line_of(good)) == [good]


@given(frame=frames, data=st.data())
def test_a_damaged_frame_is_dropped_and_counted_once(frame: Frame, data: st.DataObject) -> None:
    line = bytearray(line_of(frame))
    # not the delimiter: without it a frame has no end
    line[data.draw(st.integers(0, len(line) - 2))] ^= 1 << data.draw(st.integers(0, 7))
    parser = FrameParser()
    assert parser.feed(bytes(line)) == []
    # a byte that became 0x00 cuts it in two
    assert 1 <= parser.bad_crc + parser.bad_cobs + parser.oversize <= 1 + line.count(0)


def test_an_endless_line_is_one_oversize_frame() -> None:
    parser = FrameParser()
    for _ in range(1000):
        assert parser.feed(b"\x01" * 1000) == []
        assert parser.held <= LONGEST + 1
    assert parser.feed(b"\0" + encode(2, 1, b"")) == [Frame(2, 1, b"", 1)]
    assert (parser.oversize, parser.bad_crc, parser.bad_cobs) == (1, 0, 0)


def test_a_payload_that_no_board_holds_is_dropped() -> None:
    parser = FrameParser()
    assert parser.feed(encode(5, 1, bytes(MAX_PAYLOAD + 1)) + encode(5, 2, bytes(MAX_PAYLOAD))) == [
        Frame(5, 2, bytes(MAX_PAYLOAD), 1)
    ]
    assert parser.oversize == 1
