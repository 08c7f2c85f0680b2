"""Every change that a session makes to the disk goes through here, so that a test can stop after any of them.

Each function changes one thing. What a process killed in the middle of it leaves is stated.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

MOVABLE = os.name != "nt"  # whether an open file, or its folder, can be renamed
Pieces = Iterable[tuple[int, bytes | memoryview]]
_BLOCK = 1 << 20


def write_whole(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file, part after part, and have the disk take it. A kill leaves the file shorter.

    Raises:
        OSError: The disk refused.
    """
    with open(path, "wb") as stream:
        for part in parts:
            stream.write(part)
        stream.flush()
        os.fsync(stream.fileno())


def write_new(path: Path, pieces: Pieces, size: int) -> None:
    """Make a file that is zeros but for some pieces, and have the disk take all of it. A kill leaves it incomplete.

    Args:
        path: The file.
        pieces: What to write where, in order.
        size: Length of the file: the disk has room for all of it afterwards.

    Raises:
        OSError: The disk refused.
    """
    with open(path, "wb", buffering=0) as stream:
        zeros = None if _allocated(stream, size) else memoryview(bytes(_BLOCK))
        done = 0
        for offset, data in (*pieces, (size, b"")):
            while zeros is not None and done < offset:
                count = min(_BLOCK, offset - done)
                _write(stream, done, zeros[:count])
                done += count
            _write(stream, offset, data)
            done = offset + len(data)
        os.fsync(stream.fileno())


def write_changed(path: Path, source: Path, pieces: Pieces, size: int, kept: int) -> None:
    """Write a copy of a file, changed, and have the disk take it. A kill leaves it incomplete.

    Args:
        path: The new file.
        source: The file to copy.
        pieces: What to write over the copy: offsets and bytes, in order.
        size: Length of the new file.
        kept: Bytes at the beginning of the file that are copied; what follows them is zeros, but for the pieces.

    Raises:
        OSError: The disk refused.
    """
    with open(path, "wb", buffering=0) as stream, open(source, "rb", buffering=0) as old:
        holes = _allocated(stream, size)  # where nothing was ever written, nothing need be
        done = 0
        for offset, data in (*pieces, (size, b"")):
            for start, end in _written(old, done, min(offset, kept), holes=holes):
                _copy(old, stream, start, end)
            _write(stream, offset, data)
            done = max(done, offset + len(data))
        stream.truncate(size)
        os.fsync(stream.fileno())


def take_room(path: Path, size: int) -> None:
    """Make a file that takes so many bytes of the disk, whatever is in it. A kill leaves it shorter.

    Raises:
        OSError: The disk refused.
    """
    with open(path, "wb", buffering=0) as stream:
        if not _allocated(stream, size):
            noise = os.urandom(_BLOCK)  # no disk compresses it or leaves it out
            for offset in range(0, size, _BLOCK):
                _write(stream, offset, noise[: size - offset])
        os.fsync(stream.fileno())


def write_at(stream: io.FileIO, offset: int, data: bytes | memoryview) -> None:
    """Write bytes into a file that has room for them. A kill leaves the first of them.

    Raises:
        OSError: The disk refused.
    """
    if hasattr(os, "pwrite"):  # not on Windows
        count = os.pwrite(stream.fileno(), data, offset)
    else:
        stream.seek(offset)
        count = stream.write(data) or 0
    if count != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def make_folder(path: Path) -> None:
    """Make a folder and those above it. A kill leaves some of them.

    Raises:
        OSError: The disk refused.
    """
    path.mkdir(parents=True, exist_ok=True)


def replace(part: Path, path: Path) -> None:
    """Give a file the name of another, which is gone then. At once.

    Raises:
        OSError: The disk refused.
    """
    os.replace(part, path)
    sync_names(path.parent)


def rename(path: Path, new: Path) -> None:
    """Give a file or a folder a name that is free. At once.

    Raises:
        OSError: There is something of that name, or no such name can be.
    """
    os.rename(path, new)
    sync_names(new.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there. At once.

    Raises:
        OSError: The disk refused.
    """
    path.unlink(missing_ok=True)


def sync_names(folder: Path) -> None:
    """Have the disk take what was renamed in a folder, where a system can."""
    if not MOVABLE:
        return
    with contextlib.suppress(OSError):  # some network disks refuse; the rename stands
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _allocated(stream: io.FileIO, size: int) -> bool:
    """Have the disk set room aside for an empty file; False where it can't, or only says so."""
    if not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        return False
    # ZFS takes the call, and no room
    return os.fstat(stream.fileno()).st_blocks * 512 >= size


def _written(stream: io.FileIO, start: int, end: int, *, holes: bool) -> Iterator[tuple[int, int]]:
    """Yield the parts of a file, from `start` to `end`, in which anything was written; all of it without holes."""
    while start < end:
        stop = end
        if holes and hasattr(os, "SEEK_DATA"):
            try:
                start = os.lseek(stream.fileno(), start, os.SEEK_DATA)
                stop = min(end, os.lseek(stream.fileno(), start, os.SEEK_HOLE))
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing more
                    return
                stop = end  # this disk can't tell
        if start < stop:
            yield start, stop
        start = stop


def _copy(source: io.FileIO, target: io.FileIO, start: int, end: int) -> None:
    while start < end:
        source.seek(start)
        part = source.read(min(_BLOCK, end - start))
        if not part:
            return
        _write(target, start, part)
        start += len(part)


def _write(stream: io.FileIO, offset: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    stream.seek(offset)
    while view:
        count = stream.write(view)
        if not count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[count:]
