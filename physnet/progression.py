"""How far a run has come: its best weights, its patience, and in the greedy schedule the layer that learns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .standing import Kept

if TYPE_CHECKING:
    from .trainer import Trainer


class Progression:
    """Decides after each epoch what is kept and what learns next.

    Args:
        trainer: The run.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    @property
    def greedy(self) -> bool:
        """Whether layers learn one after the other."""
        return self._trainer.options.schedule == "greedy"

    @property
    def done(self) -> bool:
        """Whether every epoch is over: in the greedy schedule, those of the highest layer."""
        trainer = self._trainer
        if not self.greedy:
            return trainer.epochs_done >= trainer.options.epochs
        whole = trainer.depth == len(trainer.network)
        return whole and trainer.standing.layer_epochs >= trainer.options.epochs

    @property
    def validates(self) -> bool:
        """Whether the present epoch ends with a validation."""
        trainer = self._trainer
        epochs = trainer.standing.layer_epochs if self.greedy else trainer.epochs_done
        return (epochs + 1) % trainer.options.validate_every == 0 and len(trainer.data.validation.y) > 0

    @property
    def learnt(self) -> int:
        """Layers, from the lowest up, that have learnt for at least an epoch; one at least."""
        begun = self.greedy and not self._trainer.standing.layer_epochs
        return max(1, self._trainer.depth - begun)

    def end_epoch(self, accuracy: float) -> None:
        """Keep the weights if they are the best, and end the run or the layer when patience or its epochs are over.

        Args:
            accuracy: On the validation split; NaN without one.
        """
        exhausted = self._keep_best(accuracy)
        if self.greedy:
            exhausted = self._end_layer(exhausted)
        if exhausted:
            patience = self._trainer.options.patience
            self._trainer.stop(f"validation accuracy did not improve for {patience} validations")

    def _keep_best(self, accuracy: float) -> bool:
        """Keep the weights if they are the best so far; return whether patience is over."""
        if math.isnan(accuracy):
            return False
        trainer, standing = self._trainer, self._trainer.standing
        if standing.best is None or accuracy > standing.best.accuracy:
            standing.best = Kept(accuracy=accuracy, epoch=trainer.epochs_done - 1, tensors=trainer.tensors())
            standing.without_gain = 0
            return False
        standing.without_gain += 1
        return trainer.options.patience is not None and standing.without_gain >= trainer.options.patience

    def _end_layer(self, exhausted: bool) -> bool:
        """Count an epoch of the layer that learns, and go on with the next when it is done; return whether all are."""
        trainer, standing, number = self._trainer, self._trainer.standing, self._trainer.standing.layer
        standing.layer_epochs += 1
        done = exhausted or standing.layer_epochs >= trainer.options.epochs
        if not done or number == len(trainer.network) - 1:
            return exhausted
        kept = ""
        if standing.best is not None:
            trainer.load(standing.best.tensors)
            kept = f", {100 * standing.best.accuracy:.1f} % of the validation split at best"
        names = [layer.name for layer in trainer.network]
        trainer.event(
            "info", f"{names[number]} has learnt for {standing.layer_epochs} epochs{kept}; {names[number + 1]} begins"
        )
        standing.layer, standing.layer_epochs, standing.best, standing.without_gain = number + 1, 0, None, 0
        standing.passes_per_sample = None
        return False
