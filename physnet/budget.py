"""What a run may spend: passes and minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        return spent + trainer.passes_ahead(ahead) > budget
