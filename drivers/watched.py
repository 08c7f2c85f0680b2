"""A transport that somebody looks on: what is sent through it is told, in words that a person can read."""

from __future__ import annotations

import re
from collections.abc import Callable

from .transport import QUIET, Deadline, Transport

_SHOWN = 200  # characters of a line
_BLOCK = re.compile(rb"#([1-9])(\d{1,9})")


class WatchedTransport:
    """A transport that tells what it sends and receives, and does nothing else.

    Args:
        transport: The transport.
        tell: Called with each line that is sent; a block is shortened to its length.
        received: Called with what is received, where that is wanted too.
    """

    def __init__(
        self,
        transport: Transport,
        tell: Callable[[str], None],
        received: Callable[[bytes], None] | None = None,
    ) -> None:
        self._transport, self._tell, self._received = transport, tell, received

    @property
    def resource(self) -> str:
        """Name of the resource."""
        return self._transport.resource

    @property
    def stream(self) -> bool:
        """Whether only the content says where an answer ends."""
        return self._transport.stream

    @property
    def opened(self) -> bool:
        """Whether it is open, as far as is known."""
        return self._transport.opened

    def open(self, deadline: Deadline) -> None:
        """See `Transport`."""
        self._transport.open(deadline)

    def close(self) -> None:
        """See `Transport`."""
        self._transport.close()

    def write(self, data: bytes, deadline: Deadline) -> None:
        """See `Transport`."""
        for line in readable(data):
            self._tell(line)
        self._transport.write(data, deadline)

    def read_exactly(self, count: int, deadline: Deadline) -> bytes:
        """See `Transport`."""
        return self._told(self._transport.read_exactly(count, deadline))

    def read_into(self, buffer: memoryview, deadline: Deadline) -> None:
        """See `Transport`."""
        self._transport.read_into(buffer, deadline)
        self._told(bytes(buffer))

    def read_until(self, terminator: bytes, limit: int, deadline: Deadline) -> bytes:
        """See `Transport`."""
        return self._told(self._transport.read_until(terminator, limit, deadline))

    def read_end(self, terminator: bytes, deadline: Deadline) -> None:
        """See `Transport`."""
        self._transport.read_end(terminator, deadline)

    def waiting(self) -> bytes:
        """See `Transport`."""
        return self._transport.waiting()

    def clear(self, deadline: Deadline, *, quiet: float = QUIET) -> int:
        """See `Transport`."""
        return self._transport.clear(deadline, quiet=quiet)

    def _told(self, data: bytes) -> bytes:
        if self._received is not None:
            self._received(data)
        return data


def readable(data: bytes) -> list[str]:
    """Return what is sent as lines for people: commands as they are, a block as its length."""
    lines: list[str] = []
    rest = data
    while rest:
        line, rest = _first_line(rest)
        if line:
            lines.append(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}... ({len(line)} characters)")
    return lines


def _first_line(data: bytes) -> tuple[str, bytes]:
    """Return the first line, its block replaced by a word, and what follows."""
    line, _, rest = data.partition(b"\n")
    start = line.find(b"#")
    block = _BLOCK.match(data, start) if start >= 0 else None
    if block is None or len(block[2]) < int(block[1]):
        return _text(line).rstrip("\r"), rest
    length = int(block[2][: int(block[1])])
    tail, _, rest = data[start + 2 + int(block[1]) + length :].partition(b"\n")
    return f"{_text(data[:start])}<block of {length} bytes>{_text(tail)}", rest


def _text(data: bytes) -> str:
    return data.decode("ascii", "backslashreplace")
