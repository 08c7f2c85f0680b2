"""Rows that are written one by one into datasets that were made before: one dataset a quantity, one CRC a row.

A table's datasets are made longer than needed and filled with what no row holds (-1, NaN). Writing a row then changes
raw data alone and never the structure of the file, so a process killed in the middle of it loses at most that row.

Axis letters: n rows, k values a row (one per layer).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .attributes import attach
from .safety import Source

CRC = "crc32"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One quantity of a table.

    Args:
        name: Name of its dataset.
        dtype: `<f8`, `<i8`, or `S` and a number of bytes for UTF-8 text.
        width: Values a row; 0 for a single one, which makes the dataset 1-D.
        units: UDUNITS string; empty for text.
    """

    name: str
    dtype: str
    width: int = 0
    units: str = "1"

    @property
    def stored(self) -> Any:
        """The dataset's element type."""
        return h5py.string_dtype("utf-8", int(self.dtype[1:])) if self.dtype[0] == "S" else np.dtype(self.dtype)

    @property
    def fill(self) -> Any:
        """What a row that was never written holds."""
        return {"f": np.nan, "i": -1, "S": b""}[np.dtype(self.dtype).kind]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What a table was found to hold.

    Args:
        values: By column, the sound rows: shape `(n,)` or `(n, k)`.
        damaged: Rows that were begun but don't match their CRC: they are left out.
        places: Which rows of the table the sound ones are.
    """

    values: Mapping[str, NDArray[Any]]
    damaged: int
    places: NDArray[np.int64]


class Table:
    """Knows which bytes of the file a row goes to.

    Args:
        group: A group that `create` filled. It is not kept.
        columns: The same columns.
    """

    def __init__(self, group: h5py.Group, columns: Sequence[Column]) -> None:
        self.capacity = len(group[CRC])
        self._wide = [column.width > 0 for column in columns]
        self._row = struct.Struct("<" + "".join(map(_packed, columns)))
        self._chunk = int(group[CRC].chunks[0])
        # chunk offsets of each column, and where the column's bytes lie in a row; the CRC comes last
        names, ends = [column.name for column in columns], [0]
        for column in columns:
            ends.append(ends[-1] + struct.calcsize("<" + _packed(column)))
        self._cells = [
            (_offsets(group[name]), start, stop)
            for name, start, stop in zip([*names, CRC], ends, [*ends[1:], ends[-1] + 4], strict=True)
        ]

    def pieces(self, number: int, values: Sequence[Any]) -> list[tuple[int, bytes]]:
        """Return what to write where.

        Args:
            number: Number of the row, from 0, below `capacity`.
            values: One per column, in order: a number, text as bytes, or a sequence of `k` numbers.

        Returns:
            Offsets in the file, and bytes.
        """
        flat: list[Any] = []
        for wide, value in zip(self._wide, values, strict=True):
            flat.extend(value) if wide else flat.append(value)
        data = self._row.pack(*flat)
        data += zlib.crc32(data).to_bytes(4, "little")
        chunk, row = divmod(number, self._chunk)
        return [(offsets[chunk] + row * (stop - start), data[start:stop]) for offsets, start, stop in self._cells]


def blank(columns: Sequence[Column], rows: int) -> NDArray[Any]:
    """Make unwritten rows in memory: packed, little-endian, columns in order. A row's CRC is over these bytes."""
    fields: list[Any] = [
        (column.name, column.dtype, (column.width,)) if column.width else (column.name, column.dtype)
        for column in columns
    ]
    made = np.zeros(rows, dtype=np.dtype(fields))
    for column in columns:
        made[column.name] = column.fill
    return made


def create(group: h5py.Group, columns: Sequence[Column], *, rows: int, chunk: int) -> None:
    """Make the datasets of a table, with room for `rows` rows in chunks of `chunk` rows."""
    for column in (*columns, Column(name=CRC, dtype="<u4")):
        tail = (column.width,) if column.width else ()
        fill = 0 if column.name == CRC else column.fill
        dataset = group.create_dataset(
            column.name,
            shape=(rows, *tail),
            maxshape=(None, *tail),
            chunks=(chunk, *tail),
            dtype=column.stored,
            fillvalue=None if column.dtype[0] == "S" else fill,
            dcpl=_at_once(),
        )
        if column.units and column.name != CRC:
            attach(dataset, {"units": column.units})
    covered = "zlib.crc32 over the row's values: columns in order of /entry/<group>@columns, little-endian"
    attach(group[CRC], {"long_name": covered})


def resize(group: h5py.Group, columns: Sequence[Column], rows: int) -> None:
    """Give a table room for exactly `rows` rows. It changes the file's structure: do it on a copy, then replace."""
    for column in (*columns, Column(name=CRC, dtype="<u4")):
        dataset = h5py.h5d.open(group.id, column.name.encode())  # `group[name].resize` takes three times as long
        before, *tail = dataset.shape
        dataset.set_extent((rows, *tail))
        if rows > before and dataset.get_create_plist().get_alloc_time() != h5py.h5d.ALLOC_TIME_EARLY:
            h5py.Dataset(dataset)[before:] = 0 if column.name == CRC else column.fill  # made by physnet 0.1


def clear(group: h5py.Group, columns: Sequence[Column], rows: int) -> None:
    """Make all rows from `rows` on unwritten again."""
    for column in (*columns, Column(name=CRC, dtype="<u4")):
        if len(group[column.name]) > rows:
            group[column.name][rows:] = 0 if column.name == CRC else column.fill


def empty(columns: Sequence[Column]) -> Rows:
    """Return what a table without rows holds."""
    made = blank(columns, 0)
    values = {column.name: made[column.name] for column in columns}
    return Rows(values=values, damaged=0, places=np.zeros(0, np.int64))


def read(group: h5py.Group, columns: Sequence[Column], source: Source | None = None) -> Rows:
    """Read the sound rows of a table.

    Args:
        group: A group that `create` filled, and perhaps a killed process wrote to.
        columns: The same columns.
        source: The file, where someone else may have made it.

    Returns:
        The rows whose CRC is right. Rows never written are not counted as damaged.

    Raises:
        ValueError: The group was not laid out for these columns.
    """
    source = source or Source(group.file)
    unwritten = blank(columns, 1)
    arrays = {}
    for column in (*columns, Column(name=CRC, dtype="<u4")):
        array = source.array(group, column.name)
        if array.dtype != np.dtype(column.dtype) or array.shape[1:] != ((column.width,) if column.width else ()):
            raise ValueError(f"column {column.name} holds {array.dtype} {array.shape}")
        arrays[column.name] = array
    rows = min(map(len, arrays.values()))
    found = np.zeros(rows, dtype=unwritten.dtype)
    for column in columns:
        found[column.name] = arrays[column.name][:rows]
    stored = arrays[CRC][:rows].tolist()
    size, nothing = found.dtype.itemsize, unwritten.tobytes()
    data = found.tobytes()
    sound = np.zeros(rows, dtype=np.bool_)
    damaged = 0
    for n in range(rows):
        row = data[n * size : (n + 1) * size]
        if stored[n] == 0 and row == nothing:
            continue
        sound[n] = zlib.crc32(row) == stored[n]
        damaged += not sound[n]
    values = {column.name: found[column.name][sound] for column in columns}
    return Rows(values=values, damaged=damaged, places=np.flatnonzero(sound))


def _packed(column: Column) -> str:
    """How `struct` packs a value of a column, without gaps: as `blank` has it."""
    kind = {"<i8": "q", "<f8": "d"}.get(column.dtype)
    return f"{column.dtype[1:]}s" if kind is None else f"{column.width or 1}{kind}"


def _at_once() -> h5py.h5p.PropDCID:
    """Have HDF5 give every chunk its place in the file, filled, when the dataset is made or grows."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5py.h5d.FILL_TIME_ALLOC)
    return plan


def _offsets(dataset: h5py.Dataset) -> list[int]:
    """Where the chunks of a dataset begin in the file, in the order of its rows."""
    found: dict[int, int] = {}

    def keep(chunk: Any) -> None:
        found[int(chunk.chunk_offset[0])] = int(chunk.byte_offset)

    dataset.id.chunk_iter(keep)
    return [found[row] for row in sorted(found)]
