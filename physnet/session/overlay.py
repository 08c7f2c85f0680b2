"""A file on disk as it would be after some changes, which are in memory until somebody writes them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import h5py

_BLOCK = 1 << 16


class Overlay(io.RawIOBase):
    """What HDF5 takes for the file: reads come from the disk, writes stay in memory.

    HDF5 never writes to the disk this way (see docs/decisions/0002), and the memory is that of what changed, not of the
    whole file.

    Args:
        base: The file as it is, open for reading. It is not closed.
    """

    def __init__(self, base: io.FileIO) -> None:
        super().__init__()
        self._base = base
        self.kept = self.size = base.seek(0, io.SEEK_END)
        """Bytes at the beginning that may still be those of the base, and length of the file as it would be."""
        self._position = 0
        self._blocks: dict[int, bytearray] = {}

    def readable(self) -> bool:
        """Say yes."""
        return True

    def writable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, as files do."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """Return where the next byte is read or written."""
        return self._position

    def truncate(self, size: int | None = None, /) -> int:
        """Make the file shorter or longer."""
        new = self._position if size is None else size
        if new < self.size:
            # what is cut off and grown again must read as zeros, not as what the disk still has there
            for number in [number for number in self._blocks if number * _BLOCK >= new]:
                del self._blocks[number]
            if new % _BLOCK:
                block = self._block(new // _BLOCK)
                block[new % _BLOCK :] = bytes(_BLOCK - new % _BLOCK)
            self.kept = min(self.kept, new)
        self.size = new
        return new

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self._position))
        done = 0
        while done < count:
            number, start = divmod(self._position + done, _BLOCK)
            length = min(_BLOCK - start, count - done)
            if number in self._blocks:
                view[done : done + length] = self._blocks[number][start : start + length]
            else:
                view[done : done + length] = self._from_disk(self._position + done, length)
            done += length
        self._position += count
        return count

    def write(self, data: Any, /) -> int:
        """Keep bytes."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            number, start = divmod(self._position + done, _BLOCK)
            length = min(_BLOCK - start, len(view) - done)
            if length == _BLOCK:
                self._blocks[number] = bytearray(view[done : done + length])
            else:
                self._block(number)[start : start + length] = view[done : done + length]
            done += length
        self._position += len(view)
        self.size = max(self.size, self._position) if view else self.size
        return len(view)

    def pieces(self) -> Iterator[tuple[int, memoryview]]:
        """Yield what was written, as offsets and bytes, cut at the end of the file. They are not copies."""
        for number in sorted(self._blocks):
            offset = number * _BLOCK
            if data := memoryview(self._blocks[number])[: max(0, self.size - offset)]:
                yield offset, data

    def whole(self) -> bytes:
        """Return all of it."""
        self.seek(0)
        data = bytearray(self.size)
        self.readinto(data)
        return bytes(data)

    def _block(self, number: int) -> bytearray:
        if number not in self._blocks:
            self._blocks[number] = bytearray(self._from_disk(number * _BLOCK, _BLOCK))
        return self._blocks[number]

    def _from_disk(self, offset: int, length: int) -> bytes:
        there = max(0, min(length, self.kept - offset))
        data = b""
        if there:
            self._base.seek(offset)
            while len(data) < there and (part := self._base.read(there - len(data))):
                data += part
        return data + bytes(length - len(data))


def changed(base: io.FileIO, change: Callable[[h5py.File], None]) -> Overlay:
    """Let HDF5 change a file in memory.

    Args:
        base: The file as it is.
        change: What to do to it.

    Returns:
        The file as it would be.
    """
    overlay = Overlay(base)
    with h5py.File(overlay, "r+") as file:
        change(file)
    return overlay


def in_place() -> h5py.h5p.PropDCID:
    """Give a new dataset its place in the file at once, and write nothing there: an overlay need not hold it."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.CONTIGUOUS)
    plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return plan
