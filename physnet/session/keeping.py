"""Checkpoints of a session: written by a thread of their own while the run goes on; see docs/decisions/0010."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SessionError, StorageError
from ..records import Snapshot
from . import checkpoint
from .layout import CHECKPOINTS
from .store import SessionFile
from .writing import Writing

if TYPE_CHECKING:
    from .writer import Session


class Keeping:
    """Keeps the checkpoints of a session, one at a time.

    Args:
        session: The session, whose raw data go to the disk before each.
        file: Its file, likewise.
    """

    def __init__(self, session: Session, file: SessionFile) -> None:
        self._session, self._file = session, file
        self._writing: Writing | None = None
        self._took = 0.0

    @property
    def seconds(self) -> float:
        """Time that checkpoints took so far, whether the run waited for them or not, in s."""
        return self._took + (self._writing.seconds if self._writing is not None else 0.0)

    def begin(self, snapshot: Snapshot, *, best: int | None) -> None:
        """Begin to write one; the last is settled.

        Args:
            snapshot: Where the run stands.
            best: The epoch whose checkpoint is kept beside the last three.

        Raises:
            SessionError: An array can't be stored.
        """
        session, folder = self._session, self._session.folder / CHECKPOINTS
        try:
            checkpoint.check(snapshot)
        except ValueError as error:
            raise SessionError(f"where the run stands at step {snapshot.step} can't be kept: {error}") from error

        def write() -> None:
            # The rows first: a checkpoint never stands for steps that a power cut could still take.
            if session.raw is not None:
                session.raw.flush(patient=False)
            self._file.sync()
            checkpoint.save(folder, snapshot, run=session.run)
            checkpoint.prune(folder, best=best)

        self._writing = Writing(write)

    def join(self) -> None:
        """Return when none is being written, whatever became of it."""
        if self._writing is not None:
            self._writing.wait()

    def settle(self, *, wait: bool = True) -> None:
        """Return when the last one is on the disk. Where a disk is full, the run waits here, not in the thread.

        Args:
            wait: Whether to wait for one that is being written; otherwise only one that is over is looked at.

        Raises:
            StorageError: The disk refused for good.
        """
        if self._writing is None or not (wait or self._writing.done):
            return
        self._writing.wait()
        writing, self._writing = self._writing, None
        self._took += writing.seconds
        if isinstance(writing.error, OSError | StorageError):
            if self._session.raw is not None:
                self._session.raw.flush()
            self._session.patiently(writing.write)
        elif writing.error is not None:
            raise writing.error
