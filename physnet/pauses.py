"""Waiting in the middle of a run, with the outputs of every system safe."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import StorageError

if TYPE_CHECKING:
    from .trainer import Trainer

_POLL = 0.1  # s between two looks at whether the run may go on


class Pauses:
    """Lets a run wait: while a callback says so, or until a full disk has room again.

    Args:
        trainer: The run, whose callbacks are asked and told.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._postponed: queue.SimpleQueue[tuple[str, Callable[[], bool]]] = queue.SimpleQueue()

    @property
    def wanted(self) -> bool:
        """Whether a callback says that the run is to wait."""
        return bool(self._reason())

    def hold(self) -> None:
        """Wait while a callback says so.

        Raises:
            Stopped: Ctrl-C or SIGTERM meanwhile.
        """
        reason = self._reason()
        if not reason:
            return
        self._trainer.event("info", f"paused: {reason}")
        with self._waiting(reason):
            while self._reason():
                self._trainer.check_interrupt()
                time.sleep(_POLL)
        self._trainer.event("info", "went on")

    def until(self, ready: Callable[[], bool], *, reason: str, seconds: float) -> bool:
        """Wait until something is so.

        Args:
            ready: Asked ten times a second.
            reason: What is waited for, for people.
            seconds: Longest wait.

        Returns:
            Whether it is so; False after that time.

        Raises:
            Stopped: Ctrl-C or SIGTERM meanwhile.
        """
        deadline = time.monotonic() + seconds
        with self._waiting(reason):
            while not (found := ready()) and time.monotonic() < deadline:
                self._trainer.check_interrupt()
                time.sleep(_POLL)
        return found

    def postpone(self, reason: str, has_room: Callable[[], bool]) -> None:
        """Have the run's own thread wait for room, from any thread: `make_room` does."""
        self._postponed.put((reason, has_room))

    def make_room(self) -> None:
        """Wait for the room that was asked for by `postpone`, if any was, once no system is driven.

        Raises:
            StorageError: There is none.
            Stopped: Ctrl-C or SIGTERM meanwhile.
        """
        while not self._postponed.empty():
            reason, has_room = self._postponed.get()
            self._trainer.steps.settle()
            if not (has_room() or self._trainer.wait_for_room(reason, has_room)):
                raise StorageError(reason)

    @contextmanager
    def _waiting(self, reason: str) -> Iterator[None]:
        trainer = self._trainer
        with trainer.stopwatch.section("idle"):
            with trainer.network.paused():
                for callback in trainer.callbacks:
                    callback.on_pause(trainer, reason)
                yield
            for callback in trainer.callbacks:
                callback.on_continue(trainer)

    def _reason(self) -> str:
        trainer = self._trainer
        return next(filter(None, (callback.hold(trainer) for callback in trainer.callbacks)), "")
