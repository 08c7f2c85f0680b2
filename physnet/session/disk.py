"""Every change that a session makes to the disk goes through here, so that a test can stop after any of them.

Each function changes one thing. What a process killed in the middle of it leaves is stated.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

MOVABLE = os.name != "nt"  # whether an open file, or its folder, can be renamed
Pieces = Iterable[tuple[int, bytes]]


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


def write_changed(path: Path, source: Path, pieces: Pieces, size: int, kept: int) -> None:
    """Write a copy of a file, changed, and have the disk take it. A kill leaves it incomplete.

    Args:
        path: The new file.
        source: The file to copy.
        pieces: What to write over the copy: offsets and bytes.
        size: Length of the new file.
        kept: Bytes at the beginning of the file that are copied; what follows them is zeros, but for the pieces.

    Raises:
        OSError: The disk refused.
    """
    with open(path, "wb") as stream:
        with open(source, "rb") as old:
            shutil.copyfileobj(old, stream, 1 << 20)
        stream.truncate(kept)
        for offset, data in pieces:
            stream.seek(offset)
            stream.write(data)
        stream.truncate(size)
        stream.flush()
        os.fsync(stream.fileno())


def write_at(stream: io.FileIO, offset: int, data: bytes) -> None:
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
