"""Frames on a serial line: `COBS(version | type | sequence | length | payload | CRC32)` followed by 0x00.

All numbers are little-endian. The CRC is that of IEEE 802.3 over everything before it. The byte 0x00 never occurs
inside a frame, so a receiver that lost its place finds it again at the next one.

Source: S. Cheshire and M. Baker, Consistent Overhead Byte Stuffing, IEEE/ACM Transactions on Networking 7, 159 (1999).
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from dataclasses import dataclass

from cobs import cobs

from physnet.errors import InputError

VERSION = 1
_HEADER = struct.Struct("<BBIH")
_CRC = struct.Struct("<I")
OVERHEAD = _HEADER.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Args:
        kind: What it asks for, or answers.
        sequence: Number of the request, which its answer repeats; 32 bits.
        payload: At most 65 535 bytes.
        version: Version of the protocol that the sender speaks.
    """

    kind: int
    sequence: int
    payload: bytes = b""
    version: int = VERSION


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a frame, its delimiter included.

    Raises:
        InputError: A field does not fit.
    """
    try:
        header = _HEADER.pack(frame.version, frame.kind, frame.sequence, len(frame.payload))
    except struct.error as error:
        raise InputError(
            f"a frame holds at most 65535 bytes, 8 bits of version and kind and 32 bits of sequence, got "
            f"{len(frame.payload)} bytes, version {frame.version}, kind {frame.kind}, sequence {frame.sequence}."
        ) from error
    body = header + frame.payload
    return bytes(cobs.encode(body + _CRC.pack(zlib.crc32(body)))) + b"\0"


def encoded_size(payload: int) -> int:
    """Most bytes on the line of a frame with `payload` bytes, its delimiter included."""
    body = OVERHEAD + payload
    return body + -(-body // 254) + 1


class FrameDecoder:
    """Turns whatever a line gives into frames: good ones are returned, all else is dropped and counted.

    It never raises, and never holds more than one encoded frame.

    Args:
        max_payload: Largest payload that is believed, in bytes.
    """

    def __init__(self, max_payload: int) -> None:
        self.dropped: Counter[str] = Counter()
        """What was dropped, by kind: `crc`, `cobs`, `length`, `oversize`."""
        self._limit = encoded_size(max_payload) - 1
        self._max_payload = max_payload
        self._partial = bytearray()
        self._skipping = False

    @property
    def held(self) -> int:
        """Bytes of an unfinished frame that are kept."""
        return len(self._partial)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the bytes that came and return the frames that they complete, in their order."""
        *finished, rest = data.split(b"\0")
        frames = []
        for part in finished:
            if self._partial:
                part = bytes(self._partial) + part
                self._partial.clear()
            if self._skipping:
                self._skipping = False
            elif len(part) > self._limit:
                self.dropped["oversize"] += 1
            elif part:  # nothing between two delimiters: an empty line, not a fault
                found = self._decode(part)
                if isinstance(found, Frame):
                    frames.append(found)
                else:
                    self.dropped[found] += 1
        if not self._skipping:
            self._partial += rest
            if len(self._partial) > self._limit:
                self.dropped["oversize"] += 1
                self._partial.clear()
                self._skipping = True
        return frames

    def _decode(self, part: bytes) -> Frame | str:
        """Return the frame, or what is wrong with it."""
        try:
            body = bytes(cobs.decode(part))
        except cobs.DecodeError:
            return "cobs"
        if len(body) < OVERHEAD:
            return "length"
        if zlib.crc32(body[:-4]) != _CRC.unpack_from(body, len(body) - 4)[0]:
            return "crc"
        version, kind, sequence, length = _HEADER.unpack_from(body)
        if length != len(body) - OVERHEAD or length > self._max_payload:
            return "length"
        return Frame(kind=kind, sequence=sequence, payload=body[_HEADER.size : -4], version=version)
