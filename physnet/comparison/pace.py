"""How long a rule trains, in steps and in passes, and where in that a step stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..errors import InputError
from ..rules.base import Batch, Learner, LearnSteps
from ..trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps of a training.

    Args:
        size: Samples of a full minibatch.
        last: Samples of the last minibatch of an epoch.
        per_epoch: Minibatches of an epoch.
        count: Steps of the whole training.
        passes_per_sample: Passes to learn from a sample, in all layers.
    """

    size: int
    last: int
    per_epoch: int
    count: int
    passes_per_sample: int

    @classmethod
    def of(cls, trainer: Trainer, passes_per_sample: int, *, epochs: int, budget: int | None) -> Steps:
        """Plan a training: whole epochs, or as many steps as a budget of training passes allows.

        Raises:
            InputError: The budget is too small for one step.
        """
        size, per_epoch, samples = trainer.batch_size, trainer.steps_per_epoch, len(trainer.data.train.y)
        plan = cls(
            size=size,
            last=samples - (per_epoch - 1) * size,
            per_epoch=per_epoch,
            count=epochs * per_epoch,
            passes_per_sample=passes_per_sample,
        )
        if budget is None:
            return plan
        whole, left = divmod(budget, samples * passes_per_sample)
        count = whole * per_epoch + min(left // (size * passes_per_sample), per_epoch - 1)
        if not count:
            raise InputError(
                f"budget_passes must be at least {plan.passes(1)}, the training passes of one minibatch of "
                f"{type(trainer.rule).__name__}, got {budget}. Raise it, or lower training.batch_size."
            )
        return dataclasses.replace(plan, count=count)

    def __len__(self) -> int:
        return self.count

    @property
    def sizes(self) -> tuple[int, int]:
        """Samples of a full minibatch, and of the last of an epoch."""
        return self.size, self.last

    def times(self, steps: int) -> tuple[int, int]:
        """Return how many of the first steps are of either size."""
        lasts = steps // self.per_epoch
        return steps - lasts, lasts

    def samples(self, steps: int) -> int:
        """Return how many samples the first steps present."""
        return sum(size * times for size, times in zip(self.sizes, self.times(steps), strict=True))

    def passes(self, steps: int) -> int:
        """Return the training passes of the first steps, retries not included."""
        return self.samples(steps) * self.passes_per_sample


class Pace:
    """Where a training stands in its plan.

    Args:
        steps: The plan.
    """

    def __init__(self, steps: Steps) -> None:
        self.steps, self.number = steps, 0

    @property
    def progress(self) -> float:
        """Part of the plan that is done, 0 to below 1."""
        epoch, place = divmod(self.number, self.steps.per_epoch)
        # In the order of operations in which the trainer itself counts whole epochs: the same to the bit.
        return (epoch + place / self.steps.per_epoch) / (len(self.steps) / self.steps.per_epoch)


class Paced:
    """A learner that hears where its training stands in a plan that need not end with an epoch.

    Args:
        learner: The learner.
        pace: Where the training stands.
    """

    def __init__(self, learner: Learner, pace: Pace) -> None:
        self._learner, self._pace = learner, pace

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Take one minibatch."""
        return self._learner.learn(inputs_NI, dataclasses.replace(batch, progress=self._pace.progress))

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return one score per class."""
        return self._learner.scores(outputs_NO)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the learner's tensors."""
        return self._learner.tensors()

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over saved tensors."""
        self._learner.load(tensors)
