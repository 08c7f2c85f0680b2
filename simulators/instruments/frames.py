"""Frames as the reference firmware of boards reads and writes them.

A frame is `COBS(version | type | sequence | length | payload | CRC32)` and a byte 0x00, little-endian; the CRC is
zlib's, over everything before it.

Source: the protocol's description and the C++ of the reference firmware, beside the drivers of boards. Byte stuffing:
S. Cheshire and M. Baker, IEEE/ACM Transactions on Networking 7, 159 (1999).
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from cobs import cobs

VERSION = 1
MAX_PAYLOAD = 512
_HEAD = struct.Struct("<BBIH")  # version, type, sequence, length
_TAIL = struct.Struct("<I")
_BARE = _HEAD.size + _TAIL.size
_LARGEST = _BARE + MAX_PAYLOAD  # bytes of a decoded frame
# Each code byte stands for a zero, but the first one and those behind a full block of 254: a longer line than this
# can't decode to a frame that fits.
_LONGEST = _LARGEST + 1 + _LARGEST // 254


class Frame(NamedTuple):
    """One frame that came whole."""

    kind: int
    """What it asks for."""
    sequence: int
    """The host's number of the request."""
    payload: bytes
    """At most 512 bytes."""
    version: int
    """Version of the protocol that the host speaks."""


def encode(kind: int, sequence: int, payload: bytes, *, version: int = VERSION) -> bytes:
    """Return the bytes of a frame on the line, its delimiter included."""
    body = _HEAD.pack(version, kind, sequence, len(payload)) + payload
    return bytes(cobs.encode(body + _TAIL.pack(zlib.crc32(body)))) + b"\0"


class FrameParser:
    """Finds the frames in whatever the line gives; the rest is dropped and counted as the firmware counts it.

    It keeps at most one encoded frame, however long a line of rubbish is.
    """

    def __init__(self) -> None:
        self.bad_crc = 0
        """Dropped for their checksum or their length."""
        self.bad_cobs = 0
        """Dropped for their framing."""
        self.oversize = 0
        """Dropped because no frame is that long."""
        self._line = bytearray()
        self._too_long = False

    @property
    def held(self) -> int:
        """Bytes kept of a line that has not ended."""
        return len(self._line)

    def feed(self, data: bytes) -> list[Frame]:
        """Take what came, and return the frames that it ends, in their order."""
        frames = []
        start = 0
        while (end := data.find(0, start)) >= 0:
            self._keep(data[start:end])
            frame = self._finish()
            if frame is not None:
                frames.append(frame)
            start = end + 1
        self._keep(data[start:])
        return frames

    def _keep(self, data: bytes) -> None:
        if not self._too_long:
            self._line += data[: _LONGEST + 1 - len(self._line)]
            self._too_long = len(self._line) > _LONGEST

    def _finish(self) -> Frame | None:
        line, too_long = bytes(self._line), self._too_long
        self._line.clear()
        self._too_long = False
        if not line:
            return None  # two delimiters in a row
        size, whole = _decoded_size(line)
        if too_long or size > _LARGEST:
            self.oversize += 1
            return None
        if not whole or size < _BARE:
            self.bad_cobs += 1
            return None
        body = bytes(cobs.decode(line))
        version, kind, sequence, length = _HEAD.unpack_from(body)
        sound = _TAIL.unpack_from(body, size - _TAIL.size)[0] == zlib.crc32(body[: -_TAIL.size])
        if not sound or length != size - _BARE:
            self.bad_crc += 1
            return None
        return Frame(kind=kind, sequence=sequence, payload=body[_HEAD.size : -_TAIL.size], version=version)


def _decoded_size(line: bytes) -> tuple[int, bool]:
    """Bytes that a stuffed line stands for, as far as it goes, and whether its last block is whole."""
    size, at, full = 0, 0, True
    while at < len(line):
        block = line[at]
        size += min(block - 1, len(line) - at - 1) + (not full)
        full = block == 0xFF
        at += block
    return size, at == len(line)
