"""What a run may spend: passes and minutes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .standing import REPEATED

if TYPE_CHECKING:
    from .trainer import Trainer


class Budget:
    """Tells when a run has spent what it may.

    Args:
        trainer: The run.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def spent(self) -> str:
        """Return what is used up; empty as long as nothing is."""
        options = self._trainer.options
        if options.budget_minutes is not None and self._trainer.seconds / 60 >= options.budget_minutes:
            return f"the budget of {options.budget_minutes:g} minutes is used up"
        return f"the budget of {options.budget_passes} passes is used up" if self.exceeded(0) else ""

    def exceeded(self, ahead: int) -> bool:
        """Whether one step more than those on their way would take more passes than there may be.

        Args:
            ahead: Steps on their way.
        """
        trainer, budget = self._trainer, self._trainer.options.budget_passes
        if budget is None:
            return False
        # A characterisation before the run is not part of the budget. Nor are lost steps: a resumed run is to end with
        # the weights of one that was not disturbed.
        passes = trainer.passes
        spent = sum(passes.values()) - passes["calibrate"] - passes.get(REPEATED, 0)
        if trainer.steps.ahead:
            # What those on their way have taken is part of what is ahead.
            spent -= trainer.steps.aloft
        return spent + self._ahead(ahead) > budget

    def ends_run(self) -> bool:
        """Have the run stop if what it may spend is used up; return whether it is to end, for whatever reason."""
        if spent := self.spent():
            self._trainer.stop(spent)
        return bool(self._trainer.stop_reason)

    def _ahead(self, ahead: int) -> int:
        """Passes of the next step, of as many more as are on their way, and of the validation if that ends an epoch."""
        trainer = self._trainer
        place = trainer.steps_done % trainer.steps_per_epoch
        places = range(place, min(place + ahead + 1, trainer.steps_per_epoch))
        one, placed = trainer.standing.passes_per_sample, trainer.standing.placed_per_step
        presented = sum(layer.port.placed.rows for layer in trainer.network.layers[: trainer.depth])
        if one is None:
            # No step has told yet: what one presentation of every row costs.
            pair = trainer.rule.training_rows(trainer.network, trainer.batch(np.arange(2), 0))
            one, placed = len(pair) / 2 * trainer.depth, presented
        passes = round(one * sum(map(trainer.minibatches.length, places))) + placed * len(places)
        if trainer.steps_per_epoch - 1 in places and trainer.progression.validates:
            held = trainer.minibatches.features["validation"]
            rows = trainer.rule.inference_rows(trainer.network, held[:1], classes=trainer.classes)
            batches = math.ceil(len(held) / trainer.options.evaluation_batch)
            passes += len(rows) * len(held) * trainer.depth + batches * presented
        return passes
