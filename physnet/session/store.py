"""The bytes of `session.h5` while a run goes on.

HDF5 works in memory only; the disk sees plain writes. A failed write is then an `OSError` and nothing worse: HDF5 2.0
was seen to crash the process (segmentation fault) when a file that it holds open can't be flushed, which would take the
safe-state sequence of the instruments with it.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

import h5py

from . import disk
from .disk import MOVABLE, Pieces
from .overlay import Overlay, changed

try:
    import fcntl
except ImportError:  # Windows, where HDF5 does not lock either
    fcntl = None  # type: ignore[assignment]

Change = Callable[[h5py.File], None]


class SessionFile:
    """A file whose rows are written in place, and which is replaced whole for everything else.

    While it is open it holds the lock that HDF5's readers ask for.

    Args:
        path: An existing file.

    Raises:
        BlockingIOError: Another process has it.
        OSError: It can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream = _open(path)

    @classmethod
    def create(cls, path: Path, image: Overlay) -> Self:
        """Make a file in an existing folder.

        Raises:
            OSError: The disk refused.
        """
        disk.write_new(path, image.pieces(), image.size)
        return cls(path)

    def move_folder(self, folder: Path) -> None:
        """Give the folder that the file lies in another name.

        Raises:
            OSError: There is something of that name, or no such name can be.
        """
        if not MOVABLE:
            self.stream.close()
        disk.rename(self.path.parent, folder)
        self.path = folder / self.path.name
        if not MOVABLE:
            self.stream = _open(self.path)

    def read(self) -> h5py.File:
        """Open it for reading, beside this process's own lock. Close what is returned."""
        return h5py.File(self.path, "r", locking=False)

    def put(self, pieces: Pieces) -> None:
        """Write bytes at offsets that the file already has room for. A killed process no longer loses them.

        Raises:
            OSError: The disk refused.
        """
        for offset, data in pieces:
            disk.write_at(self.stream, offset, data)

    def replace(self, change: Change) -> None:
        """Put a changed file in its place, at once.

        Raises:
            OSError: The disk refused. The file is as it was.
        """
        part = self.path.with_name(f".{self.path.name}.part")
        fresh, old = None, self.stream
        overlay = changed(old, change)
        try:
            disk.write_changed(part, self.path, overlay.pieces(), overlay.size, overlay.kept)
            if MOVABLE:  # both stay open, so that there is no moment in which the session is not locked
                fresh = _open(part)
            else:
                old.close()
            disk.replace(part, self.path)
        finally:
            if part.exists():  # it did not take the file's place
                if fresh is not None:
                    fresh.close()
                with contextlib.suppress(OSError):
                    disk.remove(part)
                if old.closed:
                    self.stream = _open(self.path)
            elif fresh is not None or old.closed:
                self.stream = fresh or _open(self.path)
                old.close()

    def overwrite(self, change: Change) -> None:
        """Change the file in place: for the end of a run on a full disk, where there is no room for a copy.

        Raises:
            OSError: It would become longer, or the disk refused.
        """
        overlay = changed(self.stream, change)
        if overlay.size > min(overlay.kept, self.stream.seek(0, io.SEEK_END)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.put(overlay.pieces())
        self.stream.truncate(overlay.size)
        self.sync()

    def sync(self) -> None:
        """Have the disk take what was written, so that a power cut does not lose it either."""
        os.fsync(self.stream.fileno())

    def close(self) -> None:
        """Close it and let others read."""
        self.stream.close()


def _open(path: Path) -> io.FileIO:
    stream = io.FileIO(path, "r+")
    if fcntl is not None:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            raise
        except OSError:  # a disk without locks: readers can't tell that the run is going on
            pass
    return stream
