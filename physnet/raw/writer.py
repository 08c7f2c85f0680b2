"""Keeping raw drives and responses while a run goes on.

Rows are copied into a queue and written by a thread of their own. The queue is bounded in bytes: when the disk is too
slow the one who measures waits, and is told so; no row is ever dropped.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from ..contracts import SystemSpec
from ..errors import SessionError, StorageError
from ..exchange import Exchange
from ..plain_files import listed
from ..session import disk
from .blocks import last_position
from .layout import FOLDER, numbers_in
from .repair import trim
from .rows import Pending, pending
from .sampling import sampled
from .track import Track

_TEMPORARY = (".part-", ".cut-")
_BATCH = 16 << 20
"""Bytes that are written at once."""
_NICE = 10
"""How much the writing thread gives way to the run's own, which share a few cores with it; a full queue ends that."""
_GATHER = 0.25
"""Seconds for which fewer bytes wait for more to come: every portion costs two dozen calls, whatever is in it."""


class RawWriter:
    """Writes the raw data of a run into the folder `raw` of its run folder.

    Give `observer(name)` of each system to its port (`port.on_exchange`). Any number of threads may measure.

    Args:
        folder: The run's folder.
        systems: Spec of each system, by its name in the run, in the run's order.
        share: Part of the rows to keep, above 0 and at most 1; a row's pass number alone decides.
        seed: Chooses the sample.
        queue_bytes: Most bytes that wait in memory; one call of a system may be larger.
        segment_bytes: Room that is taken from the disk at first, for each system; later an eighth of what it has
            written, up to 4 times as much.
        on_wait: Told, once, when the disk is too slow for the queue.
        reopen: Whether to go on where an earlier process ended, in new segments; what room its last ones did not need
            is given back.
        run: What tells the run from every other, as its session does.

    Raises:
        SessionError: `share` is out of its range, the folder holds raw data and `reopen` is not set, or it can't be
            made.
    """

    def __init__(
        self,
        folder: Path,
        systems: Mapping[str, SystemSpec],
        *,
        share: float = 1.0,
        seed: int = 0,
        queue_bytes: int = 256 << 20,
        segment_bytes: int = 64 << 20,
        on_wait: Callable[[str], None] | None = None,
        reopen: bool = False,
        run: str = "",
    ) -> None:
        if not 0 < share <= 1:
            raise SessionError(f"the share of raw data must be above 0 and at most 1, got {share}. For none, set none.")
        self.folder = Path(folder) / FOLDER
        self.attempt = 0
        """How often the present step was begun before: whoever owns the writer sets it."""
        self.waits, self.waited = 0, 0.0
        """How often, and for how many seconds in all, somebody had to wait for the disk."""
        self._share, self._seed, self._limit, self._on_wait = share, seed, queue_bytes, on_wait
        numbers = _prepare(self.folder, reopen=reopen)
        self._tracks = {
            name: Track(
                self.folder,
                name,
                spec,
                index=index,
                number=numbers.get(index, 0),
                share=share,
                seed=seed,
                segment_bytes=segment_bytes,
                run=run,
            )
            for index, (name, spec) in enumerate(systems.items())
        }
        # Behind the last row that can be read: a position is never given twice.
        self._position = {
            name: last_position(self.folder, index) + 1 if index in numbers else 0 for index, name in enumerate(systems)
        }
        self._queue: deque[tuple[Track, Pending] | threading.Event] = deque()
        self._queued = self._rows = self._asked = 0
        self._error: StorageError | None = None
        self._told = self._ending = False
        self._changed = threading.Condition()
        self._closing: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._work, name="raw data", daemon=True)
        self._thread.start()

    @property
    def rows(self) -> int:
        """Rows on the disk, of all systems, since this writer was made."""
        return self._rows

    def observer(self, name: str) -> Callable[[Exchange], None]:
        """Return what to set as `on_exchange` of a system's port.

        Called, it copies the rows and returns; it waits while the queue is full, and raises `StorageError` when the
        disk has refused: the rows are kept in memory then, these too.
        """
        track = self._tracks[name]

        def observe(exchange: Exchange) -> None:
            self._put(track, exchange)

        return observe

    def flush(self) -> None:
        """Return when every row is on the disk, power cuts included.

        Raises:
            StorageError: The disk refused. The rows wait in memory: make room and call `retry`.
        """
        reached = threading.Event()
        with self._changed:
            self._check_open()
            self._queue.append(reached)
            self._asked += 1
            self._changed.notify_all()
            try:
                while not reached.is_set() and self._error is None:
                    self._changed.wait()
                if self._error is not None:
                    raise self._error
            finally:
                self._asked -= 1
                with contextlib.suppress(ValueError):
                    self._queue.remove(reached)

    def retry(self) -> None:
        """Go on after the disk had refused, and return when every row is on it.

        Raises:
            StorageError: It still refuses. The rows still wait.
        """
        with self._changed:
            self._error = None
            self._changed.notify_all()
        self.flush()

    def end(self) -> None:
        """Write what waits, and take no more. Room that was not needed is given back meanwhile, until `close`.

        Raises:
            StorageError: The disk refused, and the rows that waited are lost; how many, it says.
        """
        if self._ending:
            return
        failure: StorageError | None = None
        try:
            self.retry()
        except StorageError as error:
            failure = error
        with self._changed:
            self._ending = True
            left = sum(len(item[1]) - item[1].done for item in self._queue if isinstance(item, tuple))
            self._queue.clear()
            self._changed.notify_all()
        self._thread.join()
        self._closing = [threading.Thread(target=track.close, name="raw data") for track in self._tracks.values()]
        for thread in self._closing:
            thread.start()
        if failure is not None:
            raise StorageError(f"{left} rows of raw data are lost: {failure}") from failure

    def close(self) -> None:
        """Write what waits, give back the room that was not needed, and end the threads. Twice does no harm.

        Raises:
            StorageError: As `end`. All is closed.
        """
        try:
            self.end()
        finally:
            for thread in self._closing:
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close; what already went wrong is not hidden by a disk that refuses."""
        try:
            self.close()
        except StorageError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    def _put(self, track: Track, exchange: Exchange) -> None:
        keep = sampled(exchange.passes, share=self._share, seed=self._seed)
        with self._changed:
            self._check_open()
            position = self._position[track.name]
            self._position[track.name] = position + len(exchange.passes)
        if not np.any(keep):
            return
        rows = pending(
            exchange, keep, response_shape=track.spec.response.shape, attempt=self.attempt, position=position
        )
        self._tell(rows.nbytes)
        with self._changed:
            if self._full(rows.nbytes):
                begun = time.perf_counter()
                self.waits += 1
                while self._full(rows.nbytes):
                    self._changed.wait()
                self.waited += time.perf_counter() - begun
            self._check_open()
            self._queue.append((track, rows))
            self._queued += rows.nbytes
            if len(self._queue) == 1 or self._queued >= _BATCH:
                self._changed.notify_all()
            if self._error is not None:
                raise self._error

    def _full(self, size: int) -> bool:
        """Whether somebody has to wait before so many bytes more. Never for a disk that has refused."""
        return self._queued > 0 and self._queued + size > self._limit and self._error is None and not self._ending

    def _tell(self, size: int) -> None:
        if self._on_wait is None or self._told or not self._full(size):
            return
        self._told = True
        self._on_wait(
            f"raw data: {self._queued / 1e6:.0f} MB wait for the disk, so measuring waits too. No row is dropped; keep "
            "a share of the rows (session.raw), or write to a faster disk."
        )

    def _check_open(self) -> None:
        if self._ending:
            raise SessionError(f"raw data of {self.folder.parent} are closed. Make another writer.")

    def _work(self) -> None:
        """Write what is in the queue; after a fault, wait for `retry`. An item leaves the queue when it is written."""
        _give_way()
        while True:
            with self._changed:
                while not self._ending and (not self._queue or self._error is not None):
                    self._changed.wait()
                self._gather()
                if self._ending:
                    return
                batch, first = self._batch(), self._queue[0]
            error: Exception | None = None
            try:
                for track in self._tracks.values():
                    if not batch:
                        track.sync()
                    elif own := [rows for one, rows in batch if one is track]:
                        track.write(own)
            except Exception as caught:  # whatever it is, somebody has to hear of it
                error = caught
            with self._changed:
                if error is not None:
                    self._error = self._fault(error)
                elif self._queue and self._queue[0] is first:
                    done: list[tuple[Track, Pending] | threading.Event] = [*batch] or [first]
                    for item in done:
                        self._queue.popleft()
                        if isinstance(item, tuple):
                            self._queued -= item[1].nbytes
                            self._rows += len(item[1])
                        else:
                            item.set()
                self._changed.notify_all()

    def _gather(self) -> None:
        """Wait a little for more rows, unless there are enough or somebody waits for these."""
        deadline = time.monotonic() + _GATHER
        while self._queued < _BATCH and not self._asked and not self._ending:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _batch(self) -> list[tuple[Track, Pending]]:
        """Return the rows that are written next; none where somebody waits for the disk to have those before."""
        batch: list[tuple[Track, Pending]] = []
        size = 0
        for item in self._queue:
            if isinstance(item, threading.Event) or size >= _BATCH:
                break
            batch.append(item)
            size += item[1].nbytes
        return batch

    def _fault(self, error: Exception) -> StorageError:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"{type(error).__name__}: {error}"
        fault = StorageError(
            f"raw data can't be written to {self.folder}: {reason}. {self._queued / 1e6:.1f} MB wait in memory and "
            "none is lost yet. Free some space or mend the disk, then go on."
        )
        fault.__cause__ = error
        return fault


def _prepare(folder: Path, *, reopen: bool) -> dict[int, int]:
    """Make the folder, and return the number of the last segment of each system that is in it."""
    numbers: dict[int, int] = {}
    try:
        disk.make_folder(folder)
        for name in listed(folder):
            if name.startswith(".") and any(mark in name for mark in _TEMPORARY):
                disk.remove(folder / name)
            elif found := numbers_in(name):
                numbers[found[0]] = max(numbers.get(found[0], 0), found[1])
    except OSError as error:
        raise SessionError(f"{folder} can't be made: {error}. Choose a folder that you may write to.") from error
    for index in numbers if reopen else ():
        for name in listed(folder):
            if numbers_in(name) == (index, numbers[index]):
                with contextlib.suppress(SessionError, OSError):  # it can be read as it is
                    trim(folder / name)
    if numbers and not reopen:
        raise SessionError(f"{folder} holds raw data already. Choose another run folder, or go on with reopen.")
    return numbers


def _give_way() -> None:
    """Let the calling thread run where others leave room, on systems whose threads have a priority of their own."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
