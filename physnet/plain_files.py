"""Files of a run folder that someone else may have made: opened only if they are what they seem."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SessionError

# A link or a pipe in the place of a file could lead elsewhere, or make the reader wait for ever.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_plain(path: Path) -> io.FileIO:
    """Open a file for reading if it is a plain one.

    Raises:
        SessionError: It is a link, a pipe, a device, or can't be read.
    """
    try:
        if os.path.islink(path):  # where the flag does not exist
            raise OSError(errno.ELOOP, "it is a symbolic link")
        handle = os.open(path, _FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "it is not a plain file")
            return io.FileIO(handle, "r")
        except BaseException:
            os.close(handle)
            raise
    except OSError as error:
        raise SessionError(
            f"{path} can't be read: {error.strerror or error}. A run folder holds plain files that you may read: copy "
            "it again from where it was written."
        ) from error


def listed(folder: Path) -> Iterator[str]:
    """Yield the names in a folder that is no link, in order; none when it is not there.

    Raises:
        SessionError: It is a link, or no folder, or can't be read.
    """
    try:
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise SessionError(f"{folder} must be a folder in its run's folder, and it is a link or a file.")
        yield from sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise SessionError(f"{folder} can't be read: {error.strerror or error}.") from error


def read_exactly(stream: io.FileIO, offset: int, into: NDArray[Any]) -> None:
    """Fill an array from a file.

    Args:
        stream: The file.
        offset: Where to begin.
        into: Contiguous, written to.

    Raises:
        OSError: The file is shorter, or can't be read.
    """
    view = into.reshape(-1).view(np.uint8).data
    stream.seek(offset)
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])
        if not count:
            raise OSError(errno.EIO, "the file is cut short")
        done += count
