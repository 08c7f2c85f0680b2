"""Keeping the record of a run on disk while it happens.

Three rules make a run folder readable whenever its process dies:

- the folder appears by one rename, complete;
- the structure of `session.h5` changes only by replacing the whole file: more room for rows, the end of the run;
- a step writes raw data into room that the file already has.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py

from ..errors import SessionError, Stopped, StorageError
from ..records import EpochRecord, Level, ResponseStatistics, RunPlan, RunResult, Status, StepRecord, Tensors
from . import checkpoint, layout, table
from .layout import CHECKPOINTS, RESERVE, SESSION, text
from .store import SessionFile, write_whole
from .table import Table

RESERVE_BYTES = 1 << 20


def new_run_folder(parent: Path, name: str) -> Path:
    """Name a run folder that does not exist yet: `name-20260131-235959`, with `-2`, `-3` ... where that is taken.

    Args:
        parent: Folder of the runs; it need not exist.
        name: What the run is called; what a file name can't hold becomes `-`.

    Returns:
        The path. Nothing is created: `Session.create` does that.
    """
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "run"
    first = Path(parent) / f"{plain}-{datetime.datetime.now().astimezone():%Y%m%d-%H%M%S}"
    path, number = first, 1
    while os.path.lexists(path):
        number += 1
        path = first.with_name(f"{first.name}-{number}")
    return path


class Session:
    """The record of one run, as a folder: `session.h5` and `checkpoints/`. A `physnet.records.Recorder`.

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
        image = layout.build(plan)
        if os.path.lexists(folder):
            raise SessionError(f"run folder {folder} exists already. Choose another name, or let new_run_folder do it.")
        part = folder.parent / f".{folder.name[:80]}.part-{os.getpid()}"
        reserve = RESERVE_BYTES + sum(int(array.nbytes) for array in plan.tensors.values())
        file = None
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(part, ignore_errors=True)
            (part / CHECKPOINTS).mkdir(parents=True)
            # random bytes: a disk that compresses or leaves out zeros would reserve nothing
            write_whole(part / RESERVE, (os.urandom(1 << 16) * (reserve // (1 << 16) + 1))[:reserve])
            file = SessionFile(part / SESSION, image)
            file.move_folder(folder)
        except BaseException as error:
            if file is not None:
                file.close()
            shutil.rmtree(part, ignore_errors=True)
            if isinstance(error, OSError | ValueError):
                raise SessionError(
                    f"run folder {folder} can't be made: {_reason(error)}. Choose a folder on a local disk that you "
                    f"may write to, with {(len(image) + reserve) / 1e6:.0f} MB free."
                ) from error
            raise
        return cls(folder, plan, file)

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
        values: list[Any] = [record.step, record.attempt, record.epoch, record.time, record.seconds]
        values += [record.metrics[name] for name in self._plan.metrics]
        values += [count.passes, count.retries, count.invalid, count.clipped_drive, count.clipped_response]
        self._append("steps", [*values, count.seconds])

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
        head = [record.epoch, record.step, record.time, record.seconds, record.passes, record.validation_accuracy]
        self._append("epochs", [*head, record.layer_accuracy])

    def event(self, level: Level, message: str) -> None:
        """Keep a line of text with the time; what is longer than 512 bytes is cut.

        Raises:
            SessionError: The session is closed.
            StorageError: The disk refused.
        """
        self._append("events", [time.time(), text(level, 8), text(message)])

    def responses(self, statistics: ResponseStatistics) -> None:
        """Keep what a layer's physics answered to the standardisation sample. The latest of a layer counts.

        Raises:
            SessionError: There is no such layer, or the session is closed.
            StorageError: The disk refused.
        """
        self._check_open()
        if not 0 <= statistics.layer < len(self._plan.layers):
            raise SessionError(f"layer must be 0 to {len(self._plan.layers) - 1}, got {statistics.layer}.")
        where = f"entry/layers/{layout.key(self._plan.layers[statistics.layer])}/response"
        try:
            self._rebuild(lambda file: layout.write_responses(file[where], statistics))
        except OSError as error:
            raise self._fail(error) from error

    def checkpoint(self, tensors: Tensors, *, epoch: int, step: int) -> None:
        """Keep the weights after an epoch: the last three, and those of the best validated epoch.

        Raises:
            SessionError: The session is closed, or the tensors can't be stored.
            StorageError: The disk refused. Older checkpoints are untouched.
        """
        self._check_open()
        try:
            checkpoint.save(self.folder / CHECKPOINTS, tensors, epoch=epoch, step=step)
            checkpoint.prune(self.folder / CHECKPOINTS, best=self._best[1])
            self._file.sync()
        except ValueError as error:
            raise SessionError(f"weights after epoch {epoch} can't be kept: {error}") from error
        except OSError as error:
            raise self._fail(error) from error

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
        wrong = layout.mismatch(self._plan.tensors, tensors)

        def change(file: h5py.File) -> None:
            layout.write_result(file["entry"], result, None if wrong else tensors)
            layout.write_end(file["entry"], result.status, result.message)

        try:
            self._end(change)
        except OSError as error:
            raise self._fail(error) from error
        self.close()
        if wrong:
            raise SessionError(f"{wrong}. The session was closed without them: {self.folder}.")

    def abort(self, status: Status, message: str) -> None:
        """Say why a run ends without a result, and close. Never raises; nothing happens to a session already closed."""
        if self._ended or self._fault:
            return
        with contextlib.suppress(OSError, RuntimeError, LookupError):
            self._end(lambda file: layout.write_end(file["entry"], status, message))
        self.close()

    def close(self) -> None:
        """Close the files. Never raises; a run that did not finish keeps the status it has."""
        self._ended = True
        with contextlib.suppress(OSError):
            (self.folder / RESERVE).unlink(missing_ok=True)
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
        number = self._used[name]
        try:
            if number >= self._table(name).capacity:
                room = 2 * number
                self._rebuild(lambda file: table.resize(file["entry"][name], self._columns[name], room))
            self._file.put(self._table(name).pieces(number, values))
        except OSError as error:
            raise self._fail(error) from error
        self._used[name] = number + 1

    def _table(self, name: str) -> Table:
        """Where rows go in the file as it is now: a file that was replaced has them elsewhere."""
        if self._laid_out is not self._file.stream:
            with h5py.File(io.BytesIO(self._file.image()), "r") as file:
                self._tables = {name: Table(file["entry"][name], columns) for name, columns in self._columns.items()}
            self._laid_out = self._file.stream
        return self._tables[name]

    def _changed(self, change: Callable[[h5py.File], None]) -> bytes:
        """Change the file in memory."""
        buffer = io.BytesIO(self._file.image())
        with h5py.File(buffer, "r+") as file:
            change(file)
        return buffer.getvalue()

    def _rebuild(self, change: Callable[[h5py.File], None]) -> None:
        self._file.replace(self._changed(change))

    def _end(self, change: Callable[[h5py.File], None]) -> None:
        """Make the last change and cut off the rows that were not needed; in place, uncut, where there is no room."""

        def cut(file: h5py.File) -> None:
            change(file)
            for name, columns in self._columns.items():
                table.resize(file["entry"][name], columns, self._used[name])

        with contextlib.suppress(OSError):
            (self.folder / RESERVE).unlink(missing_ok=True)
        try:
            self._rebuild(cut)
        except OSError:
            self._file.overwrite(self._changed(change))

    def _fail(self, error: BaseException) -> StorageError:
        """Give up writing: make room, say so in the file, close. Returns what to raise."""
        self._fault = (
            f"session {self.folder} can't be written: {_reason(error)}. The {self._used['steps']} steps before are "
            "kept, and the checkpoints. Free some space or mend the disk, then start again from the newest checkpoint."
        )
        with contextlib.suppress(OSError, RuntimeError, LookupError):
            self._end(lambda file: layout.write_end(file["entry"], "fault", self._fault))
        self.close()
        return StorageError(self._fault)


def _reason(error: BaseException) -> str:
    full = "No space left" in str(error) or getattr(error, "errno", None) in (28, 122)
    return "the disk is full" if full else str(error)
