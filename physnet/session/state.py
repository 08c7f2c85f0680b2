"""In what state a session file is: sound, damaged with something left, or of no use."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py

from ..errors import SessionError
from ..plain_files import open_plain
from ..printable import printable
from ..records import Tensors
from .carved import Carved
from .remains import Remains, remains
from .safety import FAILURES, Source, _check_heaps

_MAGIC = b"\x89HDF\r\n\x1a\n"
_READ_ALL = """\
import h5py, sys
with h5py.File(sys.argv[1], "r", locking=False) as file:
    list(file.attrs.items())
    file.visititems(lambda name, item: (list(item.attrs.items()), isinstance(item, h5py.Dataset) and item[()]) and None)
"""
_PATIENCE = 20.0  # seconds for beginning to read a file; it takes 0.3 s
_SLOWEST = 5e6  # bytes a second


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """What a session file is found to be.

    Args:
        left: What is left of it; None where that is nothing of use.
        problems: What is wrong with it as a whole.
        why: Why nothing is left.
    """

    left: Remains | None
    problems: tuple[str, ...] = ()
    why: str = ""

    @classmethod
    def of(cls, path: Path, spare: Tensors) -> State:
        """Look at a file.

        Args:
            path: The file.
            spare: Tensors of the run's newest checkpoint.

        Raises:
            SessionError: It can't be opened, or a newer physnet wrote it.
        """
        if not os.path.lexists(path):
            return cls(left=None, why="there is none")
        with open_plain(path) as stream:
            data = stream.readall()
        problems = []
        if data[:8] == _MAGIC and data[8:9] == b"\0":
            return cls._older(path, data, spare)
        whole = int.from_bytes(data[28:36], "little") if data[:8] == _MAGIC else 0
        if data[:8] != _MAGIC:
            problems.append(f"the first bytes of {path.name} are damaged")
        elif whole > len(data):
            problems.append(f"{path.name} is cut: {len(data)} of its {whole} bytes are there")
        try:
            left = remains(Carved(data), spare)
        except SessionError as error:
            raise SessionError(f"run {path.parent} can't be recovered: it has {error}") from error
        except FAILURES as error:
            return cls(left=None, why=f"{'; '.join(problems) or 'it is damaged'}: {printable(str(error))}")
        if not problems and not left.lost and not _reads(path):
            problems.append(f"the structure of {path.name} is damaged: HDF5 can't read it")
        return cls(left=left, problems=tuple(problems))

    @classmethod
    def _older(cls, path: Path, data: bytes, spare: Tensors) -> State:
        """Read a file of the format that HDF5 had before 1.10: it has no checksums, so that it is read whole or not."""
        whole = int.from_bytes(data[40:48], "little")
        if whole > len(data):
            why = f"it is cut, {len(data)} of its {whole} bytes are there, and a file of this age can't be taken apart"
            return cls(left=None, why=why)
        if not _reads(path):
            return cls(left=None, why="it is damaged, and a file of this age can't be taken apart")
        try:
            with h5py.File(io.BytesIO(data), "r") as file:
                return cls(left=remains(Source(file, len(data)), spare))
        except FAILURES as error:
            return cls(left=None, why=f"it is damaged: {printable(str(error))}")


def _reads(path: Path) -> bool:
    """Whether HDF5 can read all of a file: in a process of its own, because a damaged one can crash it or never end."""
    try:
        with open_plain(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            _check_heaps(stream, size)
    except ValueError:
        return False
    command, limit = [sys.executable, "-P", "-c", _READ_ALL, str(path)], _PATIENCE + size / _SLOWEST
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, a program of our own, no shell
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
