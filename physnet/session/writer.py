"""Keeping the record of a run on disk while it happens.

Three rules make a run folder readable whenever its process dies:

- the folder appears by one rename, complete;
- the structure of `session.h5` changes only by replacing the whole file: more room for rows, the end of the run;
- a step writes raw data into room that the file already has.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

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
from . import checkpoint, disk, environment, layout, table
from .layout import CHECKPOINTS, RESERVE, SESSION, text
from .space import RESERVE_BYTES, has_room, is_full, reason
from .store import Change, SessionFile
from .table import Table
from .writing import Writing

WaitForRoom = Callable[[str, Callable[[], bool]], bool]


class RawLog(Protocol):
    """Whoever keeps raw drives and responses beside the session."""

    def flush(self, *, patient: bool = True) -> None:
        """Return when all that was handed over is written.

        Args:
            patient: Whether to wait for room on a full disk, which is for the run's own thread. Otherwise any thread
                may call.
        """
        ...

    def end(self) -> None:
        """Write what is left. What remains to be done needs nobody, until `close`."""
        ...

    def close(self) -> None:
        """Write what is left, and close."""
        ...


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
        self._columns = layout.columns_of(plan.metrics, len(plan.layers))
        self._used = dict.fromkeys(self._columns, 0)
        self._tables: dict[str, Table] = {}
        self._laid_out: object = None
        self._fault = ""
        self._ended = False
        self._best: tuple[float, int | None] = (-1.0, None)
        self._writing: Writing | None = None
        self._took = 0.0
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
        image = layout.build(plan, run=run)
        if os.path.lexists(folder):
            raise SessionError(f"run folder {folder} exists already. Choose another name, or let new_run_folder do it.")
        part = folder.parent / f".{folder.name[:80]}.part-{os.getpid()}"
        reserve = RESERVE_BYTES + sum(int(array.nbytes) for array in plan.tensors.values())
        file = None
        try:
            disk.make_folder(folder.parent)
            shutil.rmtree(part, ignore_errors=True)
            disk.make_folder(part / CHECKPOINTS)
            disk.take_room(part / RESERVE, reserve)
            file = SessionFile.create(part / SESSION, image)
            file.move_folder(folder)
        except BaseException as error:
            if file is not None:
                file.close()
            shutil.rmtree(part, ignore_errors=True)
            if isinstance(error, OSError | ValueError):
                raise SessionError(
                    f"run folder {folder} can't be made: {reason(error)}. Choose a folder on a local disk that you "
                    f"may write to, with {(image.size + reserve) / 1e6:.0f} MB free."
                ) from error
            raise
        session = cls(folder, plan, file)
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
        try:
            file = SessionFile(folder / SESSION)
        except BlockingIOError as error:
            raise SessionError(f"run {folder} is still going on: another process is writing it.") from error
        except OSError as error:
            raise SessionError(f"run {folder} can't be written to: {reason(error)}.") from error
        session = cls(folder, plan, file)
        try:
            session._take_up(step, changes)
        except OSError as error:
            file.close()
            raise SessionError(f"run {folder} can't be gone on with: {reason(error)}.") from error
        except BaseException:
            file.close()
            raise
        return session

    def _take_up(self, step: int, changes: str) -> None:
        with self._file.read() as file:
            schema = int(file.attrs["physnet_schema"])
            if schema != layout.SCHEMA:
                raise SessionError(
                    f"run {self.folder} has schema {schema}, and runs of schema {layout.SCHEMA} can be gone on with. "
                    "physnet recover brings an older one up to date."
                )
            entry, self.run = file["entry"], str(file.attrs["run"])
            if problem := layout.other_plan(entry, self._plan):
                raise SessionError(f"run {self.folder} can't be gone on with: {problem}.")
            found = {name: table.read(entry[name], columns) for name, columns in self._columns.items()}
            self._used = {name: int(rows.places[-1]) + 1 if len(rows.places) else 0 for name, rows in found.items()}
            self.attempt = 1 + max([0, *found["attempts"].values["attempt"].tolist()])
            for accuracy, epoch in zip(
                found["epochs"].values["validation_accuracy"], found["epochs"].values["epoch"], strict=True
            ):
                if accuracy > self._best[0]:
                    self._best = (float(accuracy), int(epoch))

        def change(file: h5py.File) -> None:
            entry = file["entry"]
            for name, columns in self._columns.items():
                rows, _ = layout.ROOM[name]
                table.clear(entry[name], columns, self._used[name])
                table.resize(entry[name], columns, max(rows, self._used[name] + rows // 2))
            layout.write_end(entry, "running", "", ended=False)

        (self.folder / CHECKPOINTS).mkdir(exist_ok=True)
        size = RESERVE_BYTES + sum(int(array.nbytes) for array in self._plan.tensors.values())
        disk.take_room(self.folder / RESERVE, size)
        self._file.replace(change)
        commit = str(environment.describe()["git_commit"])
        row = [self.attempt, step, time.time(), text(environment.version("physnet"), 32), text(commit, 40)]
        self._append("attempts", [*row, text(platform.platform(), 64), text(changes)])

    def step(self, record: StepRecord) -> None:
        """Keep a step. After it returns, a killed process no longer loses it.

        Raises:
            SessionError: The metrics are not those of the plan, or the session is closed.
            StorageError: The disk refused. The steps before are safe.
        """
        layers = len(self._plan.layers)
        if record.metrics.keys() != self._plan.metrics.keys() or any(len(v) != layers for v in record.metrics.values()):
            found = {name: len(values) for name, values in record.metrics.items()}
            raise SessionError(
                f"metrics of step {record.step} must be {sorted(self._plan.metrics)} with {layers} values each, got "
                f"{found}. The rule must record what it declared."
            )
        count = record.count
        values: list[Any] = [record.step, self.attempt, record.epoch, record.time, record.seconds]
        values += [record.metrics[name] for name in self._plan.metrics]
        values += [count.passes, count.retries, count.invalid, count.clipped_drive, count.clipped_response]
        values += [count.parameter_writes, count.cache_hits]
        values += [count.seconds, record.digital_seconds, record.log_seconds, record.idle_seconds, record.joules]
        self._append("steps", values)

    def epoch(self, record: EpochRecord) -> None:
        """Keep an epoch.

        Raises:
            SessionError: It has not one accuracy per layer, or the session is closed.
            StorageError: The disk refused.
        """
        layers = len(self._plan.layers)
        if len(record.layer_accuracy) != layers:
            raise SessionError(f"layer_accuracy must have {layers} values, got {len(record.layer_accuracy)}.")
        if record.validation_accuracy > self._best[0]:
            self._best = (record.validation_accuracy, record.epoch)
        head = [record.epoch, self.attempt, record.step, record.time, record.seconds, record.passes]
        self._append("epochs", [*head, record.validation_accuracy, record.layer_accuracy])

    def sentinel(self, record: SentinelRecord) -> None:
        """Keep a look at a system's sentinels.

        Raises:
            SessionError: The session is closed.
            StorageError: The disk refused.
        """
        head = [record.epoch, record.step, self.attempt, record.system, record.time]
        self._append("sentinels", [*head, record.difference, record.drift])

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
        self._patiently(lambda: self._replace(lambda file: layout.write_systems(file, named)))

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
                layout.write_responses(file[path], one)

        self._patiently(lambda: self._replace(change))

    @property
    def checkpoint_seconds(self) -> float:
        """Time that checkpoints took so far, whether the run waited for them or not, in s."""
        return self._took + (self._writing.seconds if self._writing is not None else 0.0)

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
        self._settle()
        try:
            checkpoint.check(snapshot)
        except ValueError as error:
            raise SessionError(f"where the run stands at step {snapshot.step} can't be kept: {error}") from error
        folder, best = self.folder / CHECKPOINTS, self._best[1]

        def write() -> None:
            # The rows first: a checkpoint never stands for steps that a power cut could still take.
            if self.raw is not None:
                self.raw.flush(patient=False)
            self._file.sync()
            checkpoint.save(folder, snapshot, run=self.run)
            checkpoint.prune(folder, best=best)

        self._writing = Writing(write)

    def _join(self) -> None:
        """Return when no checkpoint is being written."""
        if self._writing is not None:
            self._writing.wait()

    def _settle(self) -> None:
        """Return when the last checkpoint is on the disk. Where a disk is full, the run waits here, not in the thread.

        Raises:
            StorageError: The disk refused for good.
        """
        self._join()
        writing, self._writing = self._writing, None
        if writing is None:
            return
        self._took += writing.seconds
        if isinstance(writing.error, OSError | StorageError):
            if self.raw is not None:
                self.raw.flush()
            self._patiently(writing.write)
        elif writing.error is not None:
            raise writing.error

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
            self._join()  # whatever became of it: the final weights are all that is needed
        else:
            self._settle()
        wrong = layout.mismatch(self._plan.tensors, tensors)

        def change(file: h5py.File) -> None:
            layout.write_result(file["entry"], result, None if wrong else tensors)
            layout.write_end(file["entry"], result.status, result.message)

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
            self._end(lambda file: layout.write_end(file["entry"], status, message))
        self.close()

    def close(self) -> None:
        """Close the files. Never raises; a run that did not finish keeps the status it has."""
        self._join()
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
        if self._writing is not None and self._writing.done:
            self._settle()
        number = self._used[name]

        def write() -> None:
            if number >= self._table(name).capacity:
                room = number + min(max(number, layout.ROOM[name][0]), layout.MOST_ROOM)
                self._replace(lambda file: table.resize(file["entry"][name], self._columns[name], room))
            self._file.put(self._table(name).pieces(number, values))

        self._patiently(write)
        self._used[name] = number + 1

    def _patiently(self, write: Callable[[], None]) -> None:
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
        self._join()
        self._file.replace(change)

    def _has_room(self) -> bool:
        """Whether the disk takes what is the largest that is written at once."""
        weights = sum(int(array.nbytes) for array in self._plan.tensors.values())
        return has_room(self.folder, 2 * self._file.path.stat().st_size + 3 * weights)

    def _table(self, name: str) -> Table:
        """Where rows go in the file as it is now: a file that was replaced has them elsewhere."""
        if self._laid_out is not self._file.stream:
            self._tables, self._laid_out = {}, self._file.stream
        if name not in self._tables:
            with self._file.read() as file:
                self._tables[name] = Table(file["entry"][name], self._columns[name])
        return self._tables[name]

    def _end(self, change: Change) -> None:
        """Make the last change and cut off the rows that were not needed; in place, uncut, where there is no room."""

        def cut(file: h5py.File) -> None:
            change(file)
            for name, columns in self._columns.items():
                table.resize(file["entry"][name], columns, self._used[name])

        with contextlib.suppress(OSError):
            disk.remove(self.folder / RESERVE)
        try:
            self._replace(cut)
        except OSError:
            self._file.overwrite(change)

    def _fail(self, error: BaseException) -> StorageError:
        """Give up writing: make room, say so in the file, close. Returns what to raise."""
        self._fault = (
            f"session {self.folder} can't be written: {reason(error)}. The {self._used['steps']} steps before are "
            f"kept, and the checkpoints. Free some space or mend the disk, then: physnet resume {self.folder}"
        )
        with contextlib.suppress(OSError, RuntimeError, LookupError):
            self._end(lambda file: layout.write_end(file["entry"], "fault", self._fault))
        self.close()
        return StorageError(self._fault)
