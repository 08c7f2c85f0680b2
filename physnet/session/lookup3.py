"""The checksum that HDF5 protects its structure with."""

from __future__ import annotations

import struct

_ALL = 0xFFFFFFFF


def lookup3(data: bytes) -> int:
    """Return the 32-bit hash of some bytes.

    Source:
        R. Jenkins, lookup3.c, May 2006, public domain: `hashlittle` with the initial value 0.
    """
    a = b = c = (0xDEADBEEF + len(data)) & _ALL
    if not data:
        return c
    rest = (len(data) - 1) // 12 * 12
    one: int
    two: int
    three: int
    for one, two, three in struct.iter_unpack("<III", data[:rest]):
        a, b, c = (a + one) & _ALL, (b + two) & _ALL, (c + three) & _ALL
        a = (a - c & _ALL) ^ _turned(c, 4)
        c = c + b & _ALL
        b = (b - a & _ALL) ^ _turned(a, 6)
        a = a + c & _ALL
        c = (c - b & _ALL) ^ _turned(b, 8)
        b = b + a & _ALL
        a = (a - c & _ALL) ^ _turned(c, 16)
        c = c + b & _ALL
        b = (b - a & _ALL) ^ _turned(a, 19)
        a = a + c & _ALL
        c = (c - b & _ALL) ^ _turned(b, 4)
        b = b + a & _ALL
    one, two, three = struct.unpack("<III", data[rest:].ljust(12, b"\0"))
    a, b, c = (a + one) & _ALL, (b + two) & _ALL, (c + three) & _ALL
    c = ((c ^ b) - _turned(b, 14)) & _ALL
    a = ((a ^ c) - _turned(c, 11)) & _ALL
    b = ((b ^ a) - _turned(a, 25)) & _ALL
    c = ((c ^ b) - _turned(b, 16)) & _ALL
    a = ((a ^ c) - _turned(c, 4)) & _ALL
    b = ((b ^ a) - _turned(a, 14)) & _ALL
    return ((c ^ b) - _turned(b, 24)) & _ALL


def _turned(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _ALL
