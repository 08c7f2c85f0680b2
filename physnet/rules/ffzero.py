"""FFzero: each layer goes down its own loss along random directions, without any gradient of the physics.

Axis letters: N rows, I inputs, F features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional

from ..layer import Nonlinearity, PhysicalLayer
from .base import Batch, Learned, LearnSteps
from .heads import unit
from .prototype import Prototype, PrototypeLearner
from .random_directions import RandomDirections


@dataclass(frozen=True, kw_only=True)
class FFZero(RandomDirections):
    """FFzero: descent along random directions on a layer's whole parameter vector, towards fixed prototypes.

    With a direction u of unit length in the space of all D numbers that are trained before and inside the physics, `g =
    D (L(p + e u) - L(p - e u)) / (2 e) u` is an estimate of the gradient, averaged over K directions; p moves by plain
    descent. L is the loss of `prototype` with a fixed random simplex: the hinge `sum over c != y of max(0, margin +
    cos_c - cos_y)` on the cosines between the layer's output and one direction per class, or the cross-entropy of the
    cosines over T. Its variance grows with D,
    whatever is measured. The prototypes are fixed; W and b follow their exact gradient, or stay as they were drawn.

    Parameters inside cost two writes per direction, and one more at the end of a step; weights before need none.

    Args:
        where: What is trained: the map before the physics, parameters inside it, or both.
        after: `exact`: W and b follow their exact gradient, by Adam. `fixed`: they stay random.
        loss: Hinge or cross-entropy.
        margin: By how much the cosine of the true class is to exceed the others. Hinge only.
        temperature: T of the cross-entropy.
        directions: K: `2 K + 1` passes per sample and layer.
        size: e times `sqrt(D)` for weights before the physics, as a part of the root mean square of the numbers that
            reach the layer.
        inside_size: The same for parameters, as a part of their range.
        learning_rate: Step along the gradient of the weights before.
        inside_learning_rate: The same for parameters, as parts of their range.
        after_learning_rate: Adam's step size for W and b.
        decay: Whether all step sizes fall to zero over the planned run.
        readout: Sum the scores of all layers, or take the last layer's.

    Source:
        Guo et al., FFzero, arXiv:2603.24790, whose networks vote; here their scores are summed. Its directions for
        phases, amplitudes and the like are drawn apart from each other; here all numbers share one direction.
    """

    after: Literal["exact", "fixed"] = "exact"
    loss: Literal["hinge", "cross_entropy"] = "hinge"
    margin: Annotated[float, Field(gt=0)] = 0.3
    temperature: Annotated[float, Field(gt=0)] = 0.1
    inside_size: Annotated[float, Field(gt=0, lt=0.1)] = 0.02

    nonlinearity: ClassVar[Nonlinearity] = "none"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> FFZeroLearner:
        """Start work on a layer."""
        return FFZeroLearner(self, layer, classes=classes, seed=seed)


class FFZeroLearner(PrototypeLearner):
    """FFzero on one layer: the simplex, the directions, and the optimiser of W and b."""

    def __init__(self, rule: FFZero, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        towards = Prototype(
            prototypes="simplex",
            loss=rule.loss,
            margin=rule.margin,
            temperature=rule.temperature,
            learning_rate=rule.after_learning_rate,
            decay=rule.decay,
        )
        super().__init__(towards, layer, classes=classes, seed=seed)
        self._is_fixed = rule.after == "fixed"
        self._directions = rule.directions_of(layer, law="sphere", rule="ffzero")

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present as it is and along every direction both ways, then take one step of everything."""

        def losses(features_MF: torch.Tensor) -> torch.Tensor:
            cosines_MC = self._cosines(features_MF)
            labels_M = batch.labels_N.repeat(len(features_MF) // len(batch.labels_N))
            if self._is_softmax:
                return functional.cross_entropy(cosines_MC / self._rule.temperature, labels_M, reduction="none")
            return self._excess(cosines_MC, labels_M).clamp_min_(0).sum(1)

        found = yield from self._directions.measure(inputs_NI, losses, batch)
        self._adam.set_progress(batch.progress)
        features_NF = found.features_NF
        cosines_NC = self._cosines(features_NF) if self._is_fixed else self._descend(features_NF, batch)
        self._directions.move(found, batch.progress)
        return Learned(features_NF=features_NF, metrics=self._metrics(cosines_NC, batch))

    def _cosines(self, features_MF: torch.Tensor) -> torch.Tensor:
        return unit(self._layer.outputs(features_MF)) @ unit(self._prototypes_CO).T
