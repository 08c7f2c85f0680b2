"""Waiting in the middle of a run, with the outputs of every system safe."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .errors import Stopped, StorageError

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
        self.at_rest = False
        """Whether the run stands between two steps with none on its way: it can go on from exactly here."""
        self._postponed: queue.SimpleQueue[tuple[str, Callable[[], bool]]] = queue.SimpleQueue()

    def between_steps(self) -> None:
        """Stop here if that was asked for, and wait here while a callback says so: once no step is on its way.

        Raises:
            Stopped: Ctrl-C or SIGTERM; `at_rest` is set.
        """
        trainer = self._trainer
        if trainer.steps.ahead:
            trainer.steps.draining = trainer.steps.draining or self._rest_is_wanted()
            return
        trainer.steps.draining = False
        self.at_rest = True
        trainer.check_interrupt()
        self.hold()
        self.at_rest = False

    def _rest_is_wanted(self) -> bool:
        """Whether something is to be done that needs the run to stand still."""
        trainer = self._trainer
        try:
            trainer.check_interrupt()
        except Stopped:
            return True
        return self.wanted or trainer.budget.ends_run() or trainer.checkpoints.due

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

    def for_room(self, reason: str, has_room: Callable[[], bool]) -> bool:
        """Wait, outputs safe, until the disk has room again: what calls this is a session on a full disk.

        A layer of a pipelined run, which can't wait for itself, is told at once to go on. What it keeps must wait in
        memory: the run's own thread waits for room before it lets any layer begin anything more.

        Args:
            reason: What is wrong, for people.
            has_room: Asked ten times a second.

        Returns:
            Whether there is room; False after as many seconds without as the options say.

        Raises:
            Stopped: Ctrl-C or SIGTERM meanwhile.
        """
        trainer = self._trainer
        if not trainer.steps.settle():
            self._postponed.put((reason, has_room))
            return True
        deadline = time.monotonic() + trainer.options.wait_for_room
        with self._waiting(reason):
            while not (found := has_room()) and time.monotonic() < deadline:
                trainer.check_interrupt()
                time.sleep(_POLL)
        return found

    def make_room(self) -> None:
        """Wait for the room that layers did not find, if any asked for some, once no system is driven.

        Raises:
            StorageError: There is none.
            Stopped: Ctrl-C or SIGTERM meanwhile.
        """
        while not self._postponed.empty():
            reason, has_room = self._postponed.get()
            self._trainer.steps.settle()
            if not (has_room() or self.for_room(reason, has_room)):
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
