"""What is left of a table: its rows one by one, each proved by its CRC."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import table
from .carved import Carved
from .safety import FAILURES, Source
from .table import CRC, Column, Rows

_LARGEST = 1 << 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Left:
    """What is left of a table.

    Args:
        rows: The sound rows, packed.
        places: Which rows of the table they are.
        torn: Rows that were begun and are not sound: place, and number of the step or epoch where it can be read.
        unknown: Rows of which nothing is left, not even whether there was one.
        room: Rows that the table has room for.
    """

    rows: NDArray[Any]
    places: NDArray[np.int64]
    torn: tuple[tuple[int, int | None], ...]
    unknown: int
    room: int

    def as_rows(self) -> Rows:
        """Return the sound rows as a reader does."""
        values = {name: self.rows[name] for name in self.rows.dtype.names or ()}
        return Rows(values=values, damaged=len(self.torn), places=self.places)


def examined(source: Source, group: Any, columns: Sequence[Column]) -> Left:
    """Look at every row of a table.

    Args:
        source: The file.
        group: The table.
        columns: Its columns, in the file's schema.

    Raises:
        ValueError: The group was not laid out for these columns.
    """
    every = (*columns, Column(name=CRC, dtype="<u4"))
    lengths = []
    for column in every:
        with contextlib.suppress(*FAILURES):
            lengths.append(int(source.dataset(group, column.name).shape[0]))
    declared = max(lengths, default=0)
    room = (
        min(declared, max(source.reach(group, column) for column in every)) if isinstance(source, Carved) else declared
    )
    found, begun = table.blank(columns, room), np.zeros(room, np.bool_)
    there: dict[str, NDArray[np.bool_]] = {}
    stored = np.zeros(room, np.uint32)
    for column in every:
        values, there[column.name] = _cells(source, group, column, room)
        unwritten = (
            np.isnan(values) if values.dtype.kind == "f" else values == (0 if column.name == CRC else column.fill)
        )
        # zeros are what a copy has in the place of what it did not copy
        written = ~unwritten & (values != (b"" if values.dtype.kind == "S" else 0))
        begun |= written.reshape(room, -1).any(axis=1) if room else begun
        if column.name == CRC:
            stored = values
        else:
            found[column.name] = values
    size, data = found.dtype.itemsize, found.tobytes()
    checks = np.array([zlib.crc32(data[n * size : (n + 1) * size]) for n in range(room)], "<u4")
    if isinstance(source, Carved) and room and not there[CRC].any():
        stored = source.last_resort(group, CRC, checks)
    sound = begun & (checks == stored)
    first = columns[0]
    known = first.dtype[0] == "<" and first.dtype[1] == "i"
    numbers = found[first.name] if known else np.full(room, -1)
    torn = tuple(
        (n, int(numbers[n]) if there[first.name][n] and 0 <= numbers[n] < _LARGEST else None)
        for n in np.flatnonzero(begun & ~sound).tolist()
    )
    blank = np.isnan(found[first.name]) if first.dtype[1] == "f" else found[first.name] == first.fill
    unknown = int(np.count_nonzero(~begun & ~(there[first.name] & blank)))
    unknown += declared - room
    return Left(rows=found[sound], places=np.flatnonzero(sound), torn=torn, unknown=unknown, room=declared)


def _cells(source: Source, group: Any, column: Column, rows: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    if isinstance(source, Carved):
        return source.cells(group, column, rows)
    array = source.array(group, column.name)
    if array.dtype != np.dtype(column.dtype) or array.shape[1:] != ((column.width,) if column.width else ()):
        raise ValueError(f"column {column.name} holds {array.dtype} {array.shape}")
    return array[:rows], np.ones(rows, np.bool_)


def numbers(values: Sequence[int]) -> str:
    """Say which numbers these are, for people: `3, 7-9 and 12`."""
    parts, ordered = [], sorted(set(values))
    start = 0
    for n in range(1, len(ordered) + 1):
        if n == len(ordered) or ordered[n] != ordered[n - 1] + 1:
            first, last = ordered[start], ordered[n - 1]
            parts.append(str(first) if first == last else f"{first}-{last}")
            start = n
    if len(parts) > 12:
        parts = [*parts[:11], f"{len(parts) - 11} more ranges"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "none"
