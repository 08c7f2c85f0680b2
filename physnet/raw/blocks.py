"""Rows of a segment read a block at a time, and which of them are sound."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SessionError
from ..plain_files import listed, open_plain, read_exactly
from .layout import Structure, inspect, numbers_in
from .rows import CRC, META, RawRows, checksums

BLOCK_BYTES = 16 << 20
"""Most bytes that are read at once, unless one row is larger."""
Rows = NDArray[np.int64]


def rows_begun(structure: Structure) -> int:
    """Return how many rows of a segment were begun: behind them is room alone.

    Raises:
        SessionError: It can't be read.
    """
    count = 0
    for start, rows, crc, _ in blocks_of(structure):
        begun = np.flatnonzero(is_begun(rows, crc))
        count = start + int(begun[-1]) + 1 if len(begun) else count
    return count


def last_position(folder: Path, index: int) -> int:
    """Return the largest position that was given to a row of a system; -1 when none can be read.

    Args:
        folder: Folder of the segments.
        index: Number of the system.
    """
    names = [name for name in listed(folder) if (numbers := numbers_in(name)) and numbers[0] == index]
    for name in reversed(names):
        with contextlib.suppress(SessionError):
            last = -1
            for _, rows, _, sound in blocks_of(inspect(folder / name)):
                last = max([last, *rows.meta["position"][sound][-1:].tolist()])
            if last >= 0:
                return last
    return -1


def blocks_of(
    structure: Structure, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[int, RawRows, NDArray[np.uint32], NDArray[np.bool_]]]:
    """Yield the rows of a segment: number of the first, the rows, their checksums, and which of them are sound."""
    size = sum(place.row_bytes for place in structure.places.values())
    count = max(1, block_bytes // size)
    with open_plain(structure.path) as stream:
        for start in range(0, structure.rows, count):
            rows, crc = read_rows(structure, stream, start, min(count, structure.rows - start))
            yield start, rows, crc, _matches(rows, crc)


def runs_of(row: Rows, structure: Structure) -> list[Rows]:
    """Cut rows, in ascending order, where what lies between them is not worth reading."""
    size = sum(place.row_bytes for place in structure.places.values())
    span = np.arange(len(row)) // max(1, BLOCK_BYTES // size)  # and no run takes much memory
    return np.split(row, np.flatnonzero((np.diff(row) > 4) | (np.diff(span) != 0)) + 1)


def read_rows(structure: Structure, stream: Any, start: int, count: int) -> tuple[RawRows, NDArray[np.uint32]]:
    """Read some rows of an open segment, and their checksums.

    Raises:
        SessionError: It can't be read.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        for name, place in structure.places.items():
            array = np.empty((count, *place.shape), place.dtype)
            read_exactly(stream, place.offset + start * place.row_bytes, array)
            arrays[name] = array
    except (OSError, MemoryError) as error:
        raise SessionError(
            f"segment {structure.path} can't be read ({error}). Copy it again from where it was written."
        ) from error
    meta = np.empty(count, META)
    for name in META.names or ():
        meta[name] = arrays[name]
    rows = RawRows(meta=meta, drive=arrays["drive"], response=arrays["response"], spread=arrays.get("spread"))
    return rows, arrays[CRC]


def _matches(rows: RawRows, crc: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Tell the sound rows: written, and matching their checksum. Rows never written are passed over quickly."""
    sound = np.zeros(len(rows), np.bool_)
    written = np.flatnonzero((crc != 0) | (rows.meta["time"] != 0))
    if len(written):
        sound[written] = np.array(checksums(rows.part(written)), np.uint32) == crc[written]
    return sound


def is_begun(rows: RawRows, crc: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Tell the rows of which anything was written."""
    parts = [rows.meta, rows.drive, rows.response, *([] if rows.spread is None else [rows.spread])]
    begun: NDArray[np.bool_] = crc != 0
    for part in parts:
        begun = begun | part.reshape(len(rows), -1).view(np.uint8).any(axis=1)
    return begun


def joined(parts: Sequence[RawRows], like: Structure) -> RawRows:
    """Put blocks together: NaN where one has no spread, and of two types of response one that holds both."""
    if not parts:
        empty = {name: np.empty((0, *place.shape), place.dtype) for name, place in like.places.items()}
        return RawRows(meta=np.empty(0, META), drive=empty["drive"], response=empty["response"])
    spread = None
    if any(part.spread is not None for part in parts):
        kind = np.result_type(np.float32, *(part.spread.dtype for part in parts if part.spread is not None))
        spread = np.concatenate(
            [np.full(part.response.shape, np.nan, kind) if part.spread is None else part.spread for part in parts]
        )
    return RawRows(
        meta=np.concatenate([part.meta for part in parts]),
        drive=np.concatenate([part.drive for part in parts]),
        response=np.concatenate([part.response for part in parts]),
        spread=spread,
    )
