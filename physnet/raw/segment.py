"""A segment of raw data while it is written: plain writes into room that was reserved before.

HDF5 never writes to the disk (docs/decisions/0002): a disk that refuses is an `OSError` and nothing worse.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..session import disk
from .layout import Place
from .rows import CRC, META, RawRows, checksums

Header = Iterable[tuple[int, memoryview]]
_BLOCK = 1 << 20
_TURN = 1 << 19
"""Bytes of rows that are summed and written in turn. Summing keeps other threads from running, writing lets them."""
_BEHIND = 16 << 20
"""Bytes after which the disk is made to take what was written. Memory of the system's that holds it is used again: new
memory costs more than all else about writing, and what was recorded would fill all that there is."""


class Segment:
    """One open file with room for a fixed number of rows.

    Args:
        path: The file, made by `create`.
        places: Where the rows of each column lie.
        rows: Room.
    """

    def __init__(self, path: Path, places: Mapping[str, Place], rows: int) -> None:
        self.path, self.places, self.rows = path, places, rows
        self.used = 0
        self._unsynced = 0
        self._stream = io.FileIO(path, "r+")

    @classmethod
    def create(cls, path: Path, header: Header, places: Mapping[str, Place], size: int, rows: int) -> Segment:
        """Make the file with all its room, under a temporary name until it is complete.

        Raises:
            OSError: The disk refused, or there is such a file. No temporary file is left.
        """
        part = path.with_name(f".{path.name}.part-{os.getpid()}")
        try:
            with open(part, "wb", buffering=0) as stream:
                _reserve(stream, size)
                for offset, data in header:
                    _write(stream, offset, data[: max(0, size - offset)])
                os.fsync(stream.fileno())
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            disk.rename(part, path)
        finally:
            with contextlib.suppress(OSError):
                disk.remove(part)
        return cls(path, places, rows)

    @property
    def room(self) -> int:
        """Rows that still fit."""
        return self.rows - self.used

    def write(self, parts: Sequence[RawRows]) -> None:
        """Write rows into the room that is left: their values first, then the checksums that make them count.

        Raises:
            OSError: The disk refused. Written again, the rows go to the same place.
        """
        end, found = self.used, list[int]()
        for rows in parts:
            size = max(1, rows.drive[:1].nbytes + rows.response[:1].nbytes)
            count = max(1, _TURN // size)
            for start in range(0, len(rows), count):
                some = rows.part(slice(start, start + count))
                found += checksums(some)
                self._put("drive", end, some.drive)
                self._put("response", end, some.response)
                if some.spread is not None:
                    self._put("spread", end, some.spread)
                end += len(some)
        meta = np.concatenate([rows.meta for rows in parts])
        for name in META.names or ():
            self._put(name, self.used, meta[name])
        self._put(CRC, self.used, np.array(found, dtype="<u4"))
        self.used = end

    def sync_behind(self) -> None:
        """Have the disk take what was written if that has become much.

        Raises:
            OSError: The disk refused.
        """
        if self._unsynced >= _BEHIND:
            self.sync()

    def sync(self) -> None:
        """Have the disk take what was written, so that a power cut does not lose it either.

        Raises:
            OSError: The disk refused.
        """
        if self._unsynced:
            # Length and names were synced when the file was made: the data alone are new.
            getattr(os, "fdatasync", os.fsync)(self._stream.fileno())
            self._unsynced = 0
            if hasattr(os, "posix_fadvise"):
                with contextlib.suppress(OSError):
                    os.posix_fadvise(self._stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def _put(self, name: str, row: int, array: NDArray[Any]) -> None:
        place = self.places[name]
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        self._unsynced += max(1, len(data))
        _write(self._stream, place.offset + row * place.row_bytes, data)

    def copy_to(self, target: Segment) -> None:
        """Copy the rows to a segment with room for them.

        Raises:
            OSError: The disk refused.
        """
        for name, place in self.places.items():
            done, count = 0, self.used * place.row_bytes
            while done < count:
                self._stream.seek(place.offset + done)
                data = self._stream.read(min(_BLOCK, count - done))
                if not data:
                    raise OSError(errno.EIO, "the file is cut short")
                _write(target._stream, target.places[name].offset + done, memoryview(data))
                done += len(data)
                target._unsynced += len(data)
                target.sync_behind()
        target.used = self.used

    def replace_by(self, header: Header, places: Mapping[str, Place], size: int) -> None:
        """Put a file in this one's place that has room for its rows and no more, and close it.

        Args:
            header: What the other file begins with.
            places: Where its rows lie.
            size: Its length.

        Raises:
            OSError: The disk refused. The file is as it was.
        """
        path = self.path.with_name(f".{self.path.name}.cut-{os.getpid()}")
        disk.remove(path)
        cut = Segment.create(path, header, places, size, self.used)
        try:
            self.copy_to(cut)
            cut.sync()
            cut.close()
            self.close()
            disk.replace(path, self.path)
        finally:
            cut.close()
            with contextlib.suppress(OSError):
                disk.remove(path)

    def close(self) -> None:
        """Close it."""
        self._stream.close()


def _reserve(stream: io.FileIO, size: int) -> None:
    """Take all the room from the disk now, so that a row later needs none."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(stream.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    zeros = memoryview(bytes(_BLOCK))
    for offset in range(0, size, _BLOCK):
        _write(stream, offset, zeros[: min(_BLOCK, size - offset)])


def _write(stream: io.FileIO, offset: int, data: memoryview) -> None:
    stream.seek(offset)
    done = 0
    while done < len(data):
        count = stream.write(data[done:])
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += count
