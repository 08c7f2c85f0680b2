"""What happens beside training: anything that wants to look on, or to stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .records import EpochRecord, Level, RunResult, StepRecord

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """Override what you need; call `trainer.stop(reason)` to end the run after the step."""

    def on_start(self, trainer: Trainer) -> None:
        """Run once the standardisation is fitted, before step 0."""

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        """Run after every step."""

    def on_epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        """Run after every epoch and its validation."""

    def on_event(self, trainer: Trainer, level: Level, message: str) -> None:
        """Run for every event that goes into the record."""

    def hold(self, trainer: Trainer) -> str:
        """Say why the run should wait before the next step; empty to go on.

        While it waits the systems are left, their outputs safe, and this is asked again ten times a second.
        """
        return ""

    def on_pause(self, trainer: Trainer, reason: str) -> None:
        """Run when the run waits, its outputs safe."""

    def on_continue(self, trainer: Trainer) -> None:
        """Run when it goes on, its systems open again."""

    def on_end(self, trainer: Trainer, result: RunResult) -> None:
        """Run when the run has ended, whatever way."""
