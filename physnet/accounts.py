"""What a run took: the seconds of its steps and epochs, what was spent in them, and the energy."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .energy import EnergyMeter
from .records import EpochRecord, PassCount, StepRecord
from .standing import REPEATED

if TYPE_CHECKING:
    from .trainer import Trainer


class Accounts:
    """Writes the records of steps and epochs.

    Args:
        trainer: The run.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._energy = EnergyMeter(trainer.network)
        self._began = self._epoch_began = time.perf_counter()

    def begin(self) -> None:
        """Count the seconds of this process from now."""
        self._began = time.perf_counter()

    def begin_epochs(self) -> None:
        """Count those of the present epoch from now."""
        self._epoch_began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Duration of the run so far, in s, earlier processes included."""
        return self._trainer.standing.seconds + time.perf_counter() - self._began

    @property
    def epoch_seconds(self) -> float:
        """The same of the present epoch."""
        return self._trainer.standing.epoch_seconds + time.perf_counter() - self._epoch_began

    def step(
        self, metrics: Mapping[str, tuple[float, ...]], count: PassCount, *, began: float, before: tuple[float, float]
    ) -> StepRecord:
        """Describe the step that has just been done.

        Args:
            metrics: What each layer told, by metric.
            count: What was presented.
            began: When it began, on `time.perf_counter`, in s.
            before: Seconds of logging and of waiting ahead of it.
        """
        trainer, seconds = self._trainer, time.perf_counter() - began
        log, idle = trainer.stopwatch.take()
        return StepRecord(
            step=trainer.steps_done,
            attempt=trainer.resumed_as or 0,
            epoch=trainer.epochs_done,
            time=time.time(),
            metrics=metrics,
            count=count,
            seconds=seconds,
            # In a pipeline several systems measure at once, and what is left of a step's time says nothing.
            digital_seconds=max(0.0, seconds - count.seconds - log - idle) if not trainer.steps.overlap else math.nan,
            log_seconds=before[0] + log,
            idle_seconds=before[1] + idle,
            joules=self._energy.joules(),
        )

    def epoch(self, accuracy: float, layers: tuple[float, ...]) -> EpochRecord:
        """Describe the epoch that is over, and begin the next.

        Args:
            accuracy: On the validation split; NaN where it was not validated.
            layers: The same of each layer's own read-out.
        """
        trainer = self._trainer
        record = EpochRecord(
            epoch=trainer.epochs_done - 1,
            step=trainer.steps_done,
            time=time.time(),
            seconds=self.epoch_seconds,
            passes=sum(count for purpose, count in trainer.passes.items() if purpose != REPEATED),
            validation_accuracy=accuracy,
            layer_accuracy=layers,
        )
        trainer.standing.epoch_seconds = 0.0
        self.begin_epochs()
        return record
