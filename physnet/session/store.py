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
from collections.abc import Iterable
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where HDF5 does not lock either
    fcntl = None  # type: ignore[assignment]

MOVABLE = os.name != "nt"  # whether an open file, or its folder, can be renamed
_BLOCK = 4096


class SessionFile:
    """A file whose rows are written in place, and which is replaced whole for everything else.

    While it is open it holds the lock that HDF5's readers ask for.

    Args:
        path: Where the file is going to be; its folder exists.
        image: What it holds at first.

    Raises:
        OSError: The disk refused.
    """

    def __init__(self, path: Path, image: bytes) -> None:
        self.path = path
        write_whole(path, image)
        self.stream = _open(path)

    def move_folder(self, folder: Path) -> None:
        """Give the folder that the file lies in another name.

        Raises:
            OSError: There is something of that name, or no such name can be.
        """
        if not MOVABLE:
            self.stream.close()
        os.rename(self.path.parent, folder)
        self.path = folder / self.path.name
        if not MOVABLE:
            self.stream = _open(self.path)
        _sync_names(folder.parent)

    def image(self) -> bytes:
        """Return all of it."""
        self.stream.seek(0)
        return self.stream.readall()

    def put(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Write bytes at offsets that the file already has room for. A killed process no longer loses them.

        Raises:
            OSError: The disk refused.
        """
        for offset, data in pieces:
            self.stream.seek(offset)
            if self.stream.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def replace(self, image: bytes) -> None:
        """Put a new file in its place, at once.

        Raises:
            OSError: The disk refused. The file is as it was.
        """
        part = self.path.with_name(f".{self.path.name}.part")
        fresh, old = None, self.stream
        try:
            write_whole(part, image)
            if MOVABLE:  # both stay open, so that there is no moment in which the session is not locked
                fresh = _open(part)
            else:
                old.close()
            os.replace(part, self.path)
        finally:
            if part.exists():  # it did not take the file's place
                if fresh is not None:
                    fresh.close()
                with contextlib.suppress(OSError):
                    part.unlink()
                if old.closed:
                    self.stream = _open(self.path)
            elif fresh is not None or old.closed:
                self.stream = fresh or _open(self.path)
                old.close()
        _sync_names(self.path.parent)

    def overwrite(self, image: bytes) -> None:
        """Write what differs in place: for the end of a run on a full disk, where there is no room for a copy.

        Raises:
            OSError: The image is longer, or the disk refused.
        """
        old = self.image()
        if len(image) != len(old):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        blocks = (slice(start, start + _BLOCK) for start in range(0, len(image), _BLOCK))
        self.put((block.start, image[block]) for block in blocks if image[block] != old[block])
        self.sync()

    def sync(self) -> None:
        """Have the disk take what was written, so that a power cut does not lose it either."""
        os.fsync(self.stream.fileno())

    def close(self) -> None:
        """Close it and let others read."""
        self.stream.close()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file and have the disk take it.

    Raises:
        OSError: The disk refused.
    """
    with open(path, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_names(folder: Path) -> None:
    """Have the disk take what was renamed in a folder, where a system can."""
    if not MOVABLE:
        return
    with contextlib.suppress(OSError):  # some network disks refuse; the rename stands
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _open(path: Path) -> io.FileIO:
    stream = io.FileIO(path, "r+")
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a disk without locks: readers can't tell that the run is going on
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return stream
