"""Whatever a line gives, the decoder returns what was sent, or nothing."""

from __future__ import annotations

import zlib
from itertools import pairwise

import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from physnet.drivers.boards.frames import Frame, FrameDecoder, encode_frame, encoded_size
from physnet.errors import InputError

frames = st.builds(
    Frame,
    kind=st.integers(0, 255),
    sequence=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=600),
    version=st.integers(0, 255),
)


def test_the_bytes_of_a_frame_are_those_of_the_description() -> None:
    body = bytes([1, 5, 0x78, 0x56, 0x34, 0x12, 3, 0]) + b"\0ab"
    expected = cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    assert encode_frame(Frame(5, 0x12345678, b"\0ab")) == expected


@given(sent=st.lists(frames, max_size=5), cuts=st.lists(st.integers(0, 4000)))
def test_frames_come_back_however_the_line_cuts_them(sent: list[Frame], cuts: list[int]) -> None:
    line = b"".join(map(encode_frame, sent))
    assert all(len(encode_frame(frame)) <= encoded_size(len(frame.payload)) for frame in sent)
    decoder = FrameDecoder(600)
    places = [0, *sorted(cut for cut in cuts if cut < len(line)), len(line)]
    got = [frame for a, b in pairwise(places) for frame in decoder.feed(line[a:b])]
    assert got == sent
    assert not decoder.dropped and decoder.held == 0


@given(pieces=st.lists(st.binary(max_size=300), max_size=20))
def test_rubbish_is_dropped_in_bounded_memory(pieces: list[bytes]) -> None:
    decoder = FrameDecoder(64)
    for piece in pieces:
        decoder.feed(piece)
        assert decoder.held < encoded_size(64)
    good = Frame(1, 2, b"after the rubbish")
    assert decoder.feed(b"\0" + encode_frame(good)) == [good]


@given(frame=frames, data=st.data())
def test_a_frame_with_a_flipped_bit_is_never_believed(frame: Frame, data: st.DataObject) -> None:
    line = bytearray(encode_frame(frame))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= 1 << data.draw(st.integers(0, 7))
    decoder = FrameDecoder(600)
    assert decoder.feed(bytes(line) + b"\0") == []
    assert sum(decoder.dropped.values()) >= 1


def test_an_endless_line_is_counted_once_and_left_at_its_delimiter() -> None:
    decoder = FrameDecoder(16)
    for _ in range(1000):
        assert decoder.feed(b"\x01" * 1000) == []
        assert decoder.held == 0
    assert decoder.dropped == {"oversize": 1}
    assert decoder.feed(b"\x01\0" + encode_frame(Frame(1, 1))) == [Frame(1, 1)]


def test_a_payload_above_the_declared_size_is_not_believed() -> None:
    decoder = FrameDecoder(16)
    assert decoder.feed(encode_frame(Frame(1, 1, bytes(17)))) == []
    assert sum(decoder.dropped.values()) == 1


def test_a_frame_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="65535"):
        encode_frame(Frame(1, 1, bytes(65536)))
    with pytest.raises(InputError, match="32 bits"):
        encode_frame(Frame(1, 2**32))
