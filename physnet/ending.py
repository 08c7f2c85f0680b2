"""How a run ends: with a test of the weights kept, or before it is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .errors import PhysnetError
from .evaluation import Evaluation
from .records import RunResult, Status
from .weights import sha256

if TYPE_CHECKING:
    from .trainer import Trainer


class Ending:
    """Ends a run, and has its record say how.

    Args:
        trainer: The run.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def finish(self, baselines: Mapping[str, float]) -> RunResult:
        """Put the best weights back, test them once, and say how it went.

        Args:
            baselines: Test accuracies of digital neighbours, to keep beside the result.

        Raises:
            PhysnetError: The test could not be measured, or the result not be kept.
        """
        trainer = self._trainer
        validation, kept = math.nan, trainer.epochs_done - 1
        if (best := trainer.standing.best) is not None:
            validation, kept = best.accuracy, best.epoch
            trainer.load(best.tensors)
        reached, message = trainer.progression.learnt, trainer.stop_reason or "all epochs done"
        if left := [layer.name for layer in trainer.network.layers[reached:]]:
            message += f"; not learnt, and left out of the test: {', '.join(left)}"
            trainer.event("warning", message)
        test = trainer.evaluate("test", depth=reached) if len(trainer.data.test.y) else None
        return self._end("done", message, kept=kept, validation=validation, test=test, baselines=baselines)

    def abort(self, status: Status, message: str) -> None:
        """Say why the run ends before it is done.

        The test split stays unmeasured: nobody asked for more passes on a bench that was told to stop, or broke. The
        weights are those of the moment, so no validation accuracy belongs to them.
        """
        try:
            self._end(status, message, kept=-1, validation=math.nan, test=None, baselines={})
        except PhysnetError:
            # The disk is what failed: the session has already closed itself, and the fault that got us here is the one
            # to tell.
            return

    def _end(
        self,
        status: Status,
        message: str,
        *,
        kept: int,
        validation: float,
        test: Evaluation | None,
        baselines: Mapping[str, float],
    ) -> RunResult:
        trainer = self._trainer
        tensors = trainer.tensors()
        result = RunResult(
            status=status,
            test_accuracy=test.accuracy if test else math.nan,
            validation_accuracy=validation,
            layer_accuracy=test.layer_accuracy if test else (math.nan,) * len(trainer.network),
            confusion=test.confusion if test else np.zeros((trainer.classes, trainer.classes), np.int64),
            physical_passes=sum(trainer.passes.values()),
            passes=dict(trainer.passes),
            seconds=trainer.seconds,
            epochs=trainer.epochs_done,
            steps=trainer.steps_done,
            kept_epoch=kept,
            weights_sha256=sha256(tensors),
            baselines=dict(baselines),
            message=message,
        )
        if trainer.recorder:
            with trainer.stopwatch.section("log"):
                trainer.looks.describe_systems()
                trainer.recorder.finish(result, tensors)
        for callback in trainer.callbacks:
            callback.on_end(trainer, result)
        return result
