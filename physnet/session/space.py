"""Room on the disk: how much there is, how some is kept in hand, and how its lack is told from other faults."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

RESERVE_BYTES = 1 << 20
"""What is kept in hand for the end of a run, beside the weights."""


def has_room(folder: Path, size: int) -> bool:
    """Tell whether the disk takes so many bytes in a folder, by writing them: quotas show nowhere else.

    Args:
        folder: An existing folder.
        size: Bytes; at least as many as are kept in hand are tried.
    """
    probe = folder / f".room-{os.getpid()}"
    left, noise = max(RESERVE_BYTES, size), os.urandom(RESERVE_BYTES)  # which no disk compresses or leaves out
    try:
        with open(probe, "wb") as stream:
            while left > 0:
                stream.write(noise[:left])
                left -= RESERVE_BYTES
            stream.flush()
            os.fsync(stream.fileno())
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def is_full(error: BaseException) -> bool:
    """Tell whether an error means a full disk, or a quota that is used up."""
    full = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return "No space left" in str(error) or getattr(error, "errno", None) in full


def reason(error: BaseException) -> str:
    """Say in a few words what the disk did."""
    return "the disk is full" if is_full(error) else str(error)
