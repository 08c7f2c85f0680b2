"""From a stream of bytes to SCPI program messages, and from a message to its units.

An instrument's side of IEEE 488.2: it shares no code with the drivers. Bytes may come in any pieces; memory is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .codes import Refusal

_TEXT_LIMIT = 1 << 20
_BLOCK_LIMIT = 1 << 26
_HEADER_LIMIT = 256
_BLOCK = "\x00"  # stands for a block in the text of a message

_SPECIAL = re.compile(rb"[\n\"'#]")
_PLAIN = re.compile(r"[\t\r\x20-\x7e\x00]*")
_UNIT = re.compile(
    r"(?P<header>\*[A-Za-z]+\??|:?[A-Za-z]\w*(?::[A-Za-z]\w*)*\??)(?:\s+(?P<rest>.*))?", re.ASCII | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Message:
    """A program message without its terminator.

    Args:
        text: What is no block; each block has left a NUL.
        blocks: What the blocks hold.
    """

    text: str
    blocks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a command.

    Args:
        text: A word or a number as it was sent, or what a quoted string holds; empty for a block.
        quoted: Whether it was a string.
        block: What a block holds.
    """

    text: str
    quoted: bool = False
    block: bytes | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """One command or query of a message.

    Args:
        header: Its full header in upper case, from the root, without a question mark: `SOUR1:FREQ`, `*RST`.
        query: Whether it asks.
        parameters: What follows.
    """

    header: str
    query: bool
    parameters: tuple[Parameter, ...]


class MessageReader:
    """Cuts what comes from one connection into messages.

    Args:
        text_limit: Most bytes of a message, its blocks not counted.
        block_limit: Most bytes of all blocks of a message.
    """

    def __init__(self, *, text_limit: int = _TEXT_LIMIT, block_limit: int = _BLOCK_LIMIT) -> None:
        self._text_limit, self._block_limit = text_limit, block_limit
        self._input = bytearray()  # what could not be used yet
        self._start()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take what has come and yield the messages that are whole.

        Raises:
            Refusal: A message or a block is longer than its limit. Where the next message begins is then unknown.
        """
        self._input += data
        used = 0
        try:
            while (step := self._take(used)) is not None:
                used, whole = step
                if whole:
                    message = self._message()
                    self._start()
                    yield message
        finally:
            del self._input[:used]

    @property
    def held(self) -> int:
        """Bytes kept in memory."""
        return len(self._input) + len(self._text) + self._block_bytes

    def _start(self) -> None:
        self._text = bytearray()
        self._blocks: list[bytearray] = []
        self._block_bytes = 0
        self._left = 0  # bytes of the last block still to come
        self._quote = b""

    def _message(self) -> Message:
        return Message(self._text.removesuffix(b"\r").decode("latin-1"), tuple(bytes(block) for block in self._blocks))

    def _take(self, start: int) -> tuple[int, bool] | None:
        """Use some of the input; return up to where, and whether a message ends there. None: more must come."""
        source = self._input
        if start == len(source):
            return None
        if self._left:
            part = source[start : start + self._left]
            self._blocks[-1] += part
            self._left -= len(part)
            return start + len(part), False
        found = _SPECIAL.search(source, start)
        stop = found.start() if found else len(source)
        if found is None or found[0] == b"\n":
            self._add(source[start:stop])
            return (stop + 1, True) if found else (stop, False)
        if found[0] == b"#" and not self._quote:
            self._add(source[start:stop])
            length = self._block_length(source, stop)
            if length is None:
                return (stop, False) if stop > start else None
            if length[0]:
                self._begin_block(length[1])
                return stop + length[0], False
        else:
            self._add(source[start:stop])
            if not self._quote:
                self._quote = found[0]
            elif self._quote == found[0]:
                self._quote = b""
        self._add(found[0])
        return stop + 1, False

    def _block_length(self, source: bytearray, start: int) -> tuple[int, int] | None:
        """Return the lengths of the header that begins here and of its block; zeros where it is none; None: unknown."""
        if not self._text.endswith((b" ", b"\t", b",")):
            return 0, 0
        if len(source) < start + 2:
            return None
        if not b"1" <= source[start + 1 : start + 2] <= b"9":
            return 0, 0
        stop = start + 2 + int(source[start + 1 : start + 2])
        digits = bytes(source[start + 2 : stop])
        if digits and not digits.isdigit():
            return 0, 0
        return (stop - start, int(digits)) if len(source) >= stop else None

    def _begin_block(self, length: int) -> None:
        self._block_bytes += length
        if self._block_bytes > self._block_limit:
            raise Refusal(-223, f"blocks of a message must be <= {self._block_limit} bytes")
        self._text += _BLOCK.encode()
        self._blocks.append(bytearray())
        self._left = length

    def _add(self, text: bytes | bytearray) -> None:
        if len(self._text) + len(text) > self._text_limit:
            raise Refusal(-363, f"a line must be <= {self._text_limit} bytes")
        # A NUL that was sent must not be taken for a block: it becomes another character that is refused.
        self._text += text.replace(b"\x00", b"\x01")


def parse_units(message: Message) -> Iterator[Unit]:
    """Yield the commands of a message in order; a header without a colon goes on where the one before it was.

    Raises:
        Refusal: From here on it is no SCPI (-1xx).
    """
    if not _PLAIN.fullmatch(message.text):
        raise Refusal(-101)
    blocks = iter(message.blocks)
    path = ""
    for text in _split(message.text, ";"):
        text = text.strip()
        if not text:
            continue
        found = _UNIT.fullmatch(text)
        if not found:
            raise Refusal(-102, text[:32])
        header = found["header"].upper()
        query = header.endswith("?")
        header = header.removesuffix("?")
        if len(header) > _HEADER_LIMIT:
            raise Refusal(-112)
        if not header.startswith("*"):
            header = header[1:] if header.startswith(":") else path + header
            path = header[: header.rfind(":") + 1]
        rest = found["rest"]
        parts = _split(rest, ",") if rest else []
        yield Unit(header, query, tuple(_parameter(part.strip(), blocks) for part in parts))


def _parameter(text: str, blocks: Iterator[bytes]) -> Parameter:
    if not text:
        raise Refusal(-102, "a parameter is empty")
    if text[0] in "\"'":
        mark = text[0]
        inner = text[1:-1]
        if len(text) < 2 or text[-1] != mark or mark in inner.replace(2 * mark, ""):
            raise Refusal(-151)
        return Parameter(inner.replace(2 * mark, mark), quoted=True)
    if text == _BLOCK:
        return Parameter("", block=next(blocks))
    if _BLOCK in text or (text[0] == "#" and text[1:2] not in ("H", "h", "Q", "q", "B", "b")):
        raise Refusal(-161)
    return Parameter(text)


def _split(text: str, separator: str) -> list[str]:
    """Split a text, but not within quotes."""
    parts, start, quote = [], 0, ""
    for found in re.finditer(f"[\"'{separator}]", text):
        mark = found[0]
        if quote:
            quote = "" if mark == quote else quote
        elif mark == separator:
            parts.append(text[start : found.start()])
            start = found.end()
        else:
            quote = mark
    if quote:
        raise Refusal(-151)
    parts.append(text[start:])
    return parts
