"""Simultaneous perturbation: all numbers before and inside the physics change at once, by random signs.

Axis letters: N rows, I inputs, F features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from ..layer import Nonlinearity, PhysicalLayer
from .base import Batch, Learned, LearnSteps
from .mono_forward import MonoForward, MonoForwardLearner
from .random_directions import RandomDirections


@dataclass(frozen=True, kw_only=True)
class SimultaneousPerturbation(RandomDirections):
    """Simultaneous perturbation: all that is trained before and inside the physics is changed at once, both ways.

    With random signs d and the mean loss L of the minibatch, `g = (L(p + c d) - L(p - c d)) / (2 c) d`, averaged over K
    directions, is an estimate of the gradient by p, and p moves by plain descent. Its variance grows with how many
    numbers p has, whatever is measured: it suits hundreds of phases or bits better than tens of thousands of weights.
    L is the cross-entropy of a digital head on the layer's output, as in `mono_forward`, and everything behind the
    physics (W, b and the head) follows its exact gradient.

    Weights before the physics need no writes. Continuous parameters inside it cost two writes per direction, and one
    more at the end of a step. Binary parameters are drawn: each bit has a logit, and pairs of settings tell how the
    loss depends on it (see `Directions`). What is written outside the perturbations is the more likely value.

    Args:
        where: What is trained: the map before the physics, parameters inside it, or both.
        directions: K: `2 K + 1` passes per sample and layer.
        size: c for weights before the physics, as a part of the root mean square of the numbers that reach the layer.
        inside_size: c for parameters, as a part of their range.
        learning_rate: Step along the gradient of the weights before.
        inside_learning_rate: The same for parameters, as parts of their range.
        logit_learning_rate: The same for the logits of binary parameters, on which a loss depends weakly: one bit of
            many seldom changes it by as much as 0.1.
        after_learning_rate: Adam's step size for W, b and the head.
        decay: Whether all step sizes fall to zero over the planned run.
        readout: Sum all layers' logarithmic probabilities, or take the last layer's.

    Source:
        Spall, IEEE Trans. Autom. Control 37, 332 (1992). Binary: Dong, Mnih, Tucker (DisARM), arXiv:2006.10680.
    """

    logit_learning_rate: Annotated[float, Field(gt=0)] = 30.0

    nonlinearity: ClassVar[Nonlinearity] = "relu"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> SimultaneousPerturbationLearner:
        """Start work on a layer."""
        return SimultaneousPerturbationLearner(self, layer, classes=classes, seed=seed)


class SimultaneousPerturbationLearner(MonoForwardLearner):
    """Simultaneous perturbation on one layer: the directions, and Mono-Forward behind the physics."""

    def __init__(self, rule: SimultaneousPerturbation, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        behind = MonoForward(learning_rate=rule.after_learning_rate, decay=rule.decay)
        super().__init__(behind, layer, classes=classes, seed=seed)
        self._directions = rule.directions_of(
            layer, law="signs", rule="spsa", logit_learning_rate=rule.logit_learning_rate
        )

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present as it is and along every direction both ways, then take one step of everything."""

        def losses(features_MF: torch.Tensor) -> torch.Tensor:
            scores_MC = self.scores(self._layer.outputs(features_MF))
            labels_M = batch.labels_N.repeat(len(features_MF) // len(batch.labels_N))
            return functional.nll_loss(scores_MC, labels_M, reduction="none")

        found = yield from self._directions.measure(inputs_NI, losses, batch)
        self._adam.set_progress(batch.progress)
        scores_NC = self._descend(found.features_NF, batch)
        self._directions.move(found, batch.progress)
        return Learned(features_NF=found.features_NF, metrics=self._metrics(scores_NC, batch))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the head, the optimiser's state, and the logits of bits; not copies."""
        return super().tensors() | self._directions.tensors()
