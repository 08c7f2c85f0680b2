"""When a run keeps where it stands."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from .errors import PhysnetError

if TYPE_CHECKING:
    from .trainer import Trainer


class Checkpoints:
    """Makes the checkpoints of a run, between steps.

    Args:
        trainer: The run, which has a recorder or keeps nothing.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._began = self._last = time.perf_counter()
        self._snapshots_took = 0.0

    @property
    def due(self) -> bool:
        """Whether the last one is too old."""
        return time.perf_counter() - self._last >= self._trainer.options.checkpoint_seconds

    def begin(self) -> None:
        """Count from now what part of the run checkpoints take."""
        self._began = time.perf_counter()

    def make_if_due(self, *, complete: bool) -> None:
        """Make one when the last is too old, and after an epoch as long as that costs little.

        Args:
            complete: Whether an epoch has just ended.
        """
        trainer, share = self._trainer, self._trainer.options.checkpoint_share
        took = self._snapshots_took + (trainer.recorder.checkpoint_seconds if trainer.recorder else 0.0)
        cheap = share >= 1 or took <= share * (time.perf_counter() - self._began)
        if not trainer.steps.ahead and (self.due or (complete and cheap)):
            self.make(complete=complete)

    def make(self, *, complete: bool) -> None:
        """Make one now."""
        began = self._last = time.perf_counter()
        with self._trainer.stopwatch.section("log"):
            if self._trainer.recorder:
                snapshot = self._trainer.snapshot(complete=complete)
                self._snapshots_took += time.perf_counter() - began
                self._trainer.recorder.checkpoint(snapshot)

    def make_if_possible(self) -> None:
        """Keep where the run stands when it is stopped; a disk that refuses costs the steps since the last one."""
        with contextlib.suppress(PhysnetError):
            self.make(complete=False)
