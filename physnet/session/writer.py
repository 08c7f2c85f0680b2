"""Keeping the record of a run on disk while it happens.

Three rules make a run folder readable whenever its process dies:

- the folder appears by one rename, complete;
- the structure of `session.h5` changes only by replacing the whole file: more room for rows, the end of the run;
- a step writes raw data into room that the file already has.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py

from ..errors import SessionError, Stopped, StorageError
from ..records import (
    EpochRecord,
    Level,
    ResponseStatistics,
    RunPlan,
    RunResult,
    SentinelRecord,
    Snapshot,
    Status,
    StepRecord,
    Tensors,
)
from . import disk, filling, layout, rows
from .folder import make_run_folder, open_again, take_up, weight_bytes
from .keeping import Keeping
from .layout import RESERVE, text
from .raw_log import RawLog
from .space import has_room, is_full, reason
from .store import Change, SessionFile
from .tables import Tables

WaitForRoom = Callable[[str, Callable[[], bool]], bool]


class Session:
    """The record of one run, as a folder: `session.h5` and `checkpoints/`. A `physnet.records.Recorder`.

    Checkpoints are written by a thread of their own while the run goes on; see docs/decisions/0010.

    Make one with `Session.create`, and call it from one thread at a time. Leaving its context with an exception says so
    in the file; a process that is killed leaves the status `running`.
    """

    def __init__(self, folder: Path, plan: RunPlan, file: SessionFile) -> None:
        self.folder = folder
        self._plan = plan
        self._file = file
        self._tables = Tables(file, layout.columns_of(plan.metrics, len(plan.layers)))
        self._fault = ""
        self._ended = False
        self._best: tuple[float, int | None] = (-1.0, None)
        self._keeping = Keeping(self, file)
        self.run = ""
        """What tells the run from every other."""
        self.attempt = 0
        """How many times the run was resumed."""
        self.raw: RawLog | None = None
        """Where raw drives and responses go: flushed before each checkpoint, closed with the session."""
        self.wait_for_room: WaitForRoom | None = None
        """Asked when the disk is full, with a reason and a function that tells whether there is room again: True to
        try again. None: a full disk ends the session at once."""

    @classmethod
    def create(cls, folder: Path, plan: RunPlan) -> Self:
        """Make a run folder with everything in it that the run will write to.

        Args:
            folder: The folder to make; its parents are made too.
            plan: What the run is going to do.

        Returns:
            The open session.

        Raises:
            SessionError: The folder exists, can't be made, or the plan can't be laid out. No folder is left.
        """
        folder = Path(os.path.abspath(folder))
        run = uuid.uuid4().hex
        session = cls(folder, plan, make_run_folder(folder, plan, run=run))
        session.run = run
        return session

    @classmethod
    def resume(cls, folder: Path, plan: RunPlan, *, step: int, changes: str = "") -> Self:
        """Open the session of a run that ended before it was done, to go on with it.

        Rows of steps from `step` on stay in the file, and are shown no more.

        Args:
            folder: The run folder.
            plan: What the run is going to do: layers, metrics and tensors as before.
            step: Steps done at the checkpoint that the run goes on from.
            changes: What is not as it was, for the record.

        Returns:
            The open session.

        Raises:
            SessionError: The run is still going on, can't be opened, or has another plan or schema.
        """
        folder = Path(os.path.abspath(folder))
        file = open_again(folder)
        session = cls(folder, plan, file)
        try:
            session._go_on(step, changes)
        except OSError as error:
            file.close()
            raise SessionError(f"run {folder} can't be gone on with: {reason(error)}.") from error
        except BaseException:
            file.close()
            raise
        return session

    def _go_on(self, step: int, changes: str) -> None:
        found = take_up(self._file, self.folder, self._plan, self._tables.columns)
        self.run, self.attempt, self._best = found.run, found.attempt, found.best
        self._tables.used.update(found.used)
        self._append("attempts", rows.of_attempt(self.attempt, step=step, changes=changes))

    def step(self, record: StepRecord) -> None:
        """Keep a step. After it returns, a killed process no longer loses it.

        Raises:
            SessionError: The metrics are not those of the plan, or the session is closed.
            StorageError: The disk refused. The steps before are safe.
        """
        self._append("steps", rows.of_step(record, self._plan, attempt=self.attempt))

    def epoch(self, record: EpochRecord) -> None:
        """Keep an epoch.

        Raises:
            SessionError: It has not one accuracy per layer, or the session is closed.
            StorageError: The disk refused.
        """
        row = rows.of_epoch(record, self._plan, attempt=self.attempt)
        if record.validation_accuracy > self._best[0]:
            self._best = (record.validation_accuracy, record.epoch)
        self._append("epochs", row)

    def sentinel(self, record: SentinelRecord) -> None:
        """Keep a look at a system's sentinels.

        Raises:
            SessionError: The session is closed.
            StorageError: The disk refused.
        """
        self._append("sentinels", rows.of_sentinel(record, attempt=self.attempt))

    def event(self, level: Level, message: str) -> None:
        """Keep a line of text with the time; what is longer than 512 bytes is cut.

        Raises:
            SessionError: The session is closed.
            StorageError: The disk refused.
        """
        self._append("events", [time.time(), text(level, 8), text(message)])

    def describe(self, systems: Sequence[Mapping[str, Any]]) -> None:
        """Keep what systems say of themselves now that they are open: who answered, calibrations, faults.

        Args:
            systems: Spec of each system as plain values, in the order of the plan.

        Raises:
            SessionError: There are more or fewer than in the plan, one holds what can't be stored, or it is closed.
            StorageError: The disk refused.
        """
        self._check_open()
        if len(systems) != len(self._plan.systems):
            raise SessionError(f"systems must be the {len(self._plan.systems)} of the plan, got {len(systems)}.")
        named = dict(zip(self._plan.systems, systems, strict=True))
        self.patiently(lambda: self._replace(lambda file: filling.write_systems(file, named)))

    def responses(self, *statistics: ResponseStatistics) -> None:
        """Keep what the physics of layers answered to the standardisation sample. The latest of a layer counts.

        Raises:
            SessionError: There is no such layer, or the session is closed.
            StorageError: The disk refused.
        """
        self._check_open()
        where = {}
        for one in statistics:
            if not 0 <= one.layer < len(self._plan.layers):
                raise SessionError(f"layer must be 0 to {len(self._plan.layers) - 1}, got {one.layer}.")
            where[f"entry/layers/{layout.key(self._plan.layers[one.layer])}/response"] = one

        def change(file: h5py.File) -> None:
            for path, one in where.items():
                filling.write_responses(file[path], one)

        self.patiently(lambda: self._replace(change))

    @property
    def checkpoint_seconds(self) -> float:
        """Time that checkpoints took so far, whether the run waited for them or not, in s."""
        return self._keeping.seconds

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Begin to keep all that the run needs to go on: the last three times, and that of the best validated epoch.

        It is on the disk, and whatever was recorded before it as well, when the next one is begun, when the session
        is finished, or is closed. What went wrong is raised then, or by the first step after it.

        Args:
            snapshot: Where the run stands. Its arrays must not change any more.

        Raises:
            SessionError: The session is closed, or an array can't be stored.
            StorageError: The disk refused the checkpoint before. Older ones are untouched.
        """
        self._check_open()
        self._keeping.settle()
        self._keeping.begin(snapshot, best=self._best[1])

    def finish(self, result: RunResult, tensors: Tensors) -> None:
        """Keep the weights of the run and how it ended, and close. All of it appears at once, or none.

        Raises:
            SessionError: The tensors are not those of the plan (the result is kept, without them), the status is
                `running`, or the session is closed.
            StorageError: The disk refused.
        """
        self._check_open()
        if result.status == "running":
            raise SessionError("status of a finished run must say why it ended, got 'running'.")
        if result.status == "done":
            self._keeping.join()  # whatever became of it: the final weights are all that is needed
        else:
            self._keeping.settle()
        wrong = filling.mismatch(self._plan.tensors, tensors)

        def change(file: h5py.File) -> None:
            filling.write_result(file["entry"], result, None if wrong else tensors)
            filling.write_end(file["entry"], result.status, result.message)

        lost: StorageError | None = None
        if self.raw is not None:
            try:
                self.raw.end()
            except StorageError as error:  # the result is kept all the same
                lost = error
                self.event("fault", str(error))
        try:
            self._end(change)
        except OSError as error:
            raise self._fail(error) from error
        self.close()
        if lost is not None:
            raise lost
        if wrong:
            raise SessionError(f"{wrong}. The session was closed without them: {self.folder}.")

    def abort(self, status: Status, message: str) -> None:
        """Say why a run ends without a result, and close. Never raises; nothing happens to a session already closed."""
        if self._ended or self._fault:
            return
        if self.raw is not None:
            with contextlib.suppress(OSError, StorageError):
                self.raw.end()
        with contextlib.suppress(OSError, RuntimeError, LookupError):
            self._end(lambda file: filling.write_end(file["entry"], status, message))
        self.close()

    def close(self) -> None:
        """Close the files. Never raises; a run that did not finish keeps the status it has."""
        self._keeping.join()
        if self.raw is not None:
            with contextlib.suppress(OSError, StorageError):
                self.raw.close()
        self._ended = True
        with contextlib.suppress(OSError):
            disk.remove(self.folder / RESERVE)
        with contextlib.suppress(OSError):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if isinstance(error, Stopped):
            self.abort("interrupted" if error.exit_code == 130 else "terminated", str(error))
        elif isinstance(error, KeyboardInterrupt):
            self.abort("interrupted", "stopped by Ctrl-C")
        elif error is not None:
            self.abort("fault", f"{type(error).__name__}: {error}")
        else:
            self.abort("interrupted", "closed before the run finished")

    def _check_open(self) -> None:
        if self._fault:
            raise StorageError(self._fault)
        if self._ended:
            raise SessionError(f"session {self.folder} is closed. Start another run.")

    def _append(self, name: str, values: Sequence[Any]) -> None:
        self._check_open()
        self._keeping.settle(wait=False)
        self.patiently(lambda: self._tables.put(name, values, grow=self._replace))

    def patiently(self, write: Callable[[], None]) -> None:
        """Write, and on a full disk wait for room if anybody is there to wait.

        `write` can be done again after it failed.

        Raises:
            StorageError: The disk refused for good.
        """
        while True:
            try:
                write()
                return
            except OSError as error:
                if not is_full(error) or self.wait_for_room is None:
                    raise self._fail(error) from error
                why = f"{reason(error)}: no room for {self.folder}"
                if not self.wait_for_room(why, self._has_room):
                    raise self._fail(error) from error

    def _replace(self, change: Change) -> None:
        """Put a changed file in the session's place, once nobody syncs the old one any more."""
        self._keeping.join()
        self._file.replace(change)

    def _has_room(self) -> bool:
        """Whether the disk takes what is the largest that is written at once."""
        return has_room(self.folder, 2 * self._file.path.stat().st_size + 3 * weight_bytes(self._plan))

    def _end(self, change: Change) -> None:
        """Make the last change and cut off the rows that were not needed; in place, uncut, where there is no room."""

        def cut(file: h5py.File) -> None:
            change(file)
            self._tables.cut(file["entry"])

        with contextlib.suppress(OSError):
            disk.remove(self.folder / RESERVE)
        try:
            self._replace(cut)
        except OSError:
            self._file.overwrite(change)

    def _fail(self, error: BaseException) -> StorageError:
        """Give up writing: make room, say so in the file, close. Returns what to raise."""
        self._fault = (
            f"session {self.folder} can't be written: {reason(error)}. The {self._tables.used['steps']} steps before "
            f"are kept, and the checkpoints. Free some space or mend the disk, then: physnet resume {self.folder}"
        )
        with contextlib.suppress(OSError, RuntimeError, LookupError):
            self._end(lambda file: filling.write_end(file["entry"], "fault", self._fault))
        self.close()
        return StorageError(self._fault)
