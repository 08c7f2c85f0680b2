"""Pieces of the file format of HDF5: headers of objects, and what they say.

Source:
    The HDF Group, HDF5 File Format Specification Version 3.0, sections III.E, IV.A.1.b, IV.A.2, VII.C.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .lookup3 import lookup3

Bytes = Any  # bytes or mmap.mmap
NOWHERE = (1 << 64) - 1
"""An address of nothing."""


@dataclass(kw_only=True, eq=False)
class Node:
    """A group or a dataset whose header is there.

    Args:
        address: Where its header is.
        name: What it is called, for messages.
        whole: Whether all of its header is there.
        attributes: Those that are one number or one text; None where the value is gone, or is neither.
        links: Address of each object in a group that keeps their names in its header.
        heap: Address of the heap with the names, of a larger group.
        children: Objects in a group, by name.
        dtype: Type of a dataset's elements; None for text of any length.
        shape: Shape of a dataset; None for a group.
        layout: What its header says of where its values are.
    """

    address: int
    name: str = ""
    whole: bool = True
    attributes: dict[str, int | float | str | None] = field(default_factory=dict)
    links: dict[str, int] = field(default_factory=dict)
    heap: int = NOWHERE
    children: dict[str, Node] = field(default_factory=dict)
    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] | None = None
    layout: bytes = b""


def found(data: Bytes, mark: bytes) -> Iterator[int]:
    """Yield every place at which `mark` begins."""
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


def sound(data: Bytes, start: int, end: int) -> bool:
    """Whether the four bytes at `end` are the checksum of what is before them, from `start` on."""
    if not start < end <= min(len(data) - 4, start + (1 << 20)):
        return False
    return lookup3(data[start:end]) == int.from_bytes(data[end : end + 4], "little")


def messages(data: Bytes, start: int, end: int, *, ordered: bool) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of each message of a header."""
    head = 6 if ordered else 4
    while start + head <= end:
        kind, size = data[start], int.from_bytes(data[start + 1 : start + 3], "little")
        yield kind, bytes(data[start + head : min(end, start + head + size)])
        start += head + size


def shape_of(message: bytes) -> tuple[int, ...]:
    """Return the shape that a message tells."""
    version, rank, _, kind = message[:4]
    at = 4 if version == 2 else 8
    if version == 2 and kind == 2:
        raise ValueError("a dataset without values")
    return struct.unpack_from(f"<{rank}Q", message, at)


def type_of(message: bytes) -> np.dtype[Any] | None:
    """Return a type that sessions use; None for text of any length."""
    kind, bits = message[0] & 15, int.from_bytes(message[1:4], "little")
    (size,) = struct.unpack_from("<I", message, 4)
    order = ">" if bits & 1 else "<"
    if kind == 9 and bits & 15 == 1:
        return None
    names = {
        0: f"{order}{'i' if bits & 8 else 'u'}{size}",
        1: f"{order}f{size}",
        3: f"S{size}",
        6: f"<c{size}" if bits & 0xFFFF == 2 else "",  # two numbers: real and imaginary part
        8: "?" if size == 1 and bits & 0xFFFF == 2 else "",  # no and yes
    }
    if not names.get(kind) or size > 1 << 16:
        raise ValueError("a type that no session has")
    try:
        return np.dtype(names[kind])
    except TypeError as error:
        raise ValueError("a type that no session has") from error


def link(data: bytes, at: int) -> tuple[str, int, int]:
    """Return name and address of a link to an object, and the length of what says so."""
    start, flags = at, data[at + 1]
    if data[at] != 1 or flags & 0xE0:
        raise ValueError("not a link")
    at += 2
    if flags & 8:
        if data[at]:
            raise ValueError("a link out of the file")
        at += 1
    at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = int.from_bytes(data[at : at + width], "little")
    at += width
    if not 0 < length <= 1024 or at + length + 8 > len(data):
        raise ValueError("not a link")
    (address,) = struct.unpack_from("<Q", data, at + length)
    return data[at : at + length].decode(), address, at + length + 8 - start


def texts_in(data: Bytes, address: int) -> Iterator[tuple[int, bytes]]:
    """Yield what a heap of texts holds."""
    if data[address : address + 5] != b"GCOL\1":
        return
    (length,) = struct.unpack("<Q", data[address + 8 : address + 16].ljust(8, b"\0"))
    at, end = address + 16, min(len(data), address + length)
    while at + 16 <= end:
        number, size = struct.unpack("<H6xQ", data[at : at + 16])
        if number == 0 or at + 16 + size > end:
            return
        yield number, bytes(data[at + 16 : at + 16 + size])
        at += 16 + (size + 7) // 8 * 8


def blocks_of(least: int, last: int = 1 << 20) -> Iterator[tuple[int, int]]:
    """Yield the first chunk that each block of an index of chunks tells of, and how many: ever more."""
    start, level = 0, 0
    while start <= last and level < 48:
        each = least << ((level + 1) // 2)
        for _ in range(1 << (level // 2)):
            yield start, each
            start += each
        level += 1
