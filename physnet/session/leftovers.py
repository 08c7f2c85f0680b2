"""What a killed process leaves beside the files that count: found, and removed where nobody holds it any more."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import disk
from .layout import CHECKPOINTS, RESERVE, SESSION
from .safety import is_folder

_LIVE = "live.json"
_PART = re.compile(r"\..+\.(?:part|cut)(?:-(\d+))?")
_ROOM = re.compile(r"\.room-(\d+)")
_OF_A_RUN = {SESSION, CHECKPOINTS, RESERVE, f".{SESSION}.part"}
_PATIENCE = 60.0  # seconds: a file without a process in its name may be in the making for this long


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """A file, or the folder of a run that was being made.

    Args:
        path: Where it is.
        held_by: Process that may still write it; None for none.
    """

    path: Path
    held_by: int | None = None

    def remove(self) -> None:
        """Remove it.

        Raises:
            OSError: The disk refused.
        """
        if is_folder(self.path):
            shutil.rmtree(self.path)
        else:
            disk.remove(self.path)


def inside(folder: Path) -> list[Leftover]:
    """Return what is left over in a run's folder that no process writes a session to."""
    found = []
    for where in (folder, folder / CHECKPOINTS, folder / "raw"):
        for name in _names(where):
            path = where / name
            part, room = _PART.fullmatch(name), _ROOM.fullmatch(name)
            scratch = name.startswith(".recover-") and is_folder(path)
            if where == folder and (scratch or name in (RESERVE, _LIVE, f".{SESSION}.part")):
                found.append(Leftover(path=path))
            elif (match := part or room) and not is_folder(path):
                # Whoever writes a session, its checkpoints or raw data holds the session, and nobody does.
                others = where == folder and room is None
                number = int(match[1]) if match[1] else None
                if others and number is None and time.time() - path.lstat().st_mtime < _PATIENCE:
                    continue
                found.append(Leftover(path=path, held_by=number if others and number and lives(number) else None))
    return found


def beside(parent: Path, name: str = "") -> list[Leftover]:
    """Return folders of runs that were killed while they were made: nothing had been recorded in them.

    Args:
        parent: Folder of the runs.
        name: Name of the run's folder; empty for all.
    """
    pattern = re.compile(rf"\.{re.escape(name[:80]) if name else '.+'}\.part-(\d+)")
    found = []
    for other in _names(parent):
        match, path = pattern.fullmatch(other), parent / other
        if match and is_folder(path) and set(_names(path)) <= _OF_A_RUN:
            number = int(match[1])
            found.append(Leftover(path=path, held_by=number if lives(number) else None))
    return found


def lives(process: int) -> bool:
    """Whether there is a process of that number on this machine. It need not be the one that had it once."""
    if not 0 < process < 1 << 31:
        return False
    if os.name == "nt":
        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)  # type: ignore[attr-defined]
        ctypes.windll.kernel32.CloseHandle(handle)  # type: ignore[attr-defined]
        return bool(handle)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _names(folder: Path) -> Iterator[str]:
    if is_folder(folder):
        yield from sorted(os.listdir(folder))
