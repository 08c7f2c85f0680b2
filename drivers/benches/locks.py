"""One program a bench: a lock for each of its lines, held by this process until it ends, however it ends.

It holds between programs of one computer, for all of its users. Two computers that reach the same instrument over a
network are not told apart by it: give each instrument one computer.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from physnet.errors import InputError

_MODE = 0o666  # whoever works on the bench next may be somebody else


class BenchLock:
    """Locks on some lines, all of them or none.

    Args:
        name: Name of the bench, for messages.
        resources: Names of the lines.
        folder: Where the lock files are; a folder of the system's for temporary files when None.
    """

    def __init__(self, name: str, resources: Sequence[str], *, folder: Path | None = None) -> None:
        self._name, self._resources = name, tuple(dict.fromkeys(resources))
        self._folder = folder or Path(tempfile.gettempdir()) / "physnet-benches"
        self._held: list[FileLock] = []

    def __enter__(self) -> Self:
        """Take all locks.

        Raises:
            InputError: Another program holds one, or the folder can't be written to.
        """
        try:
            if not self._folder.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(OSError):
                    self._folder.chmod(0o777)
            for resource in self._resources:
                self._take(resource)
        except BaseException as error:
            self.release()
            if isinstance(error, OSError) and not isinstance(error, Timeout):
                raise InputError(
                    f"{self._name} can't be locked in {self._folder}: {error}. Make that folder writeable for all "
                    "users of the bench."
                ) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give all locks back; never raises."""
        while self._held:
            with contextlib.suppress(OSError):
                self._held.pop().release()

    def _take(self, resource: str) -> None:
        path = self._folder / f"{_key(resource)}.lock"
        lock = FileLock(path, timeout=0, mode=_MODE, thread_local=False)
        owner = path.with_suffix(".owner")
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(
                f"{resource} of {self._name} must be free, and another program holds it{_owner(owner)}. A bench has "
                "one owner: end that program first."
            ) from error
        self._held.append(lock)
        with contextlib.suppress(OSError):  # for people only
            owner.write_text(f"process {os.getpid()}, bench {self._name}", encoding="utf-8")


def _key(resource: str) -> str:
    """Return a file name for a line, the same for all spellings of its name."""
    name = re.sub(r"^([a-z]+)0::", r"\1::", resource.strip().casefold())
    readable = re.sub(r"[^a-z0-9]+", "-", name).strip("-")[:40]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _owner(path: Path) -> str:
    try:
        return f" ({path.read_text(encoding='utf-8')[:100]})"
    except (OSError, UnicodeDecodeError):
        return ""
