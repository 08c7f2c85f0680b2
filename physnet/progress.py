"""Progress in the terminal: accuracy, passes per second, time left."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .callbacks import Callback
from .records import EpochRecord, RunResult, StepRecord

if TYPE_CHECKING:
    from .trainer import Trainer


class ProgressBar(Callback):
    """A bar on a terminal; elsewhere (a log, a notebook's stderr) one line per epoch.

    Args:
        console: Where to; standard error when None, so that standard output stays clean.
    """

    def __init__(self, console: Console | None = None) -> None:
        # Without a standard error rich would write to standard output, which belongs to the result.
        self._console = console or Console(file=sys.stderr, quiet=sys.stderr is None)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._validation = math.nan
        self._began = time.perf_counter()
        self._first_passes = 0

    def on_start(self, trainer: Trainer) -> None:
        """Begin to draw."""
        self._began, self._first_passes = time.perf_counter(), sum(trainer.passes.values())
        if not self._console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
            transient=True,
        )
        total = trainer.epochs_planned * trainer.steps_per_epoch
        self._task = self._bar.add_task("", total=total, epoch=self._epoch(trainer), figures="")
        self._bar.start()

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            figures = f"{self._name(trainer, record)}  {self._rate(trainer)}"
            self._bar.update(self._task, completed=trainer.steps_done, epoch=self._epoch(trainer), figures=figures)

    def on_epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        """Show the validation accuracy."""
        if not math.isnan(record.validation_accuracy):
            self._validation = record.validation_accuracy
        if self._bar is None:
            accuracy = "" if math.isnan(self._validation) else f"validation {self._validation:.2%}, "
            self._console.print(
                f"epoch {record.epoch + 1}/{trainer.epochs_planned}: {accuracy}{record.passes} passes, "
                f"{self._rate(trainer)}",
                highlight=False,
                soft_wrap=True,
            )

    def on_end(self, trainer: Trainer, result: RunResult) -> None:
        """Take the bar away."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, whatever happened."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _epoch(self, trainer: Trainer) -> str:
        return f"{min(trainer.epochs_done + 1, trainer.epochs_planned)}/{trainer.epochs_planned}"

    def _rate(self, trainer: Trainer) -> str:
        seconds = max(time.perf_counter() - self._began, 1e-9)
        return f"{(sum(trainer.passes.values()) - self._first_passes) / seconds:.0f} passes/s"

    def _name(self, trainer: Trainer, record: StepRecord) -> str:
        if not math.isnan(self._validation):
            return f"validation {self._validation:.2%}"

        return "  ".join(f"{name} {values[-1]:.3g}" for name, values in record.metrics.items())
