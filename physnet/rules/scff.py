"""Self-contrastive forward-forward: a sample with itself against a sample with another, without labels.

Axis letters: N rows, F features, O outputs, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ..errors import InputError
from ..layer import Nonlinearity, PhysicalLayer
from ..seeding import stream
from .base import Batch
from .gradient import RecordedLearner, SinglePass
from .heads import SoftmaxHead, unit
from .optimiser import Decay


@dataclass(frozen=True, kw_only=True)
class SelfContrastive(SinglePass):
    """Self-contrastive forward-forward (SCFF): tell a sample paired with itself from one paired with another.

    A pair of samples has `z = W (f1 + f2) + 2 b` and goodness `g = mean relu(z)^2`. Positive: a sample with itself;
    negative: with another of the minibatch, drawn anew at every step. The loss `mean softplus(alpha (theta_positive -
    g_pos)) + softplus(alpha (g_neg - theta_negative))` is minimised along its exact gradient. Since the sum is formed
    behind the physics, every pairing is made of responses that were measured once: negatives cost no passes. Labels
    serve only a softmax read-out of each layer's direction, which sends nothing back. One pass per layer and sample in
    training, one to classify.

    Args:
        theta_positive: Goodness that positive pairs are to exceed.
        theta_negative: Goodness that negative pairs are to stay below.
        alpha: Sharpness of the loss.
        learning_rate: Adam's step size for W and b.
        decay: Whether the step size falls to zero over the planned run.
        inner_steps: Optimiser steps on one recorded response.
        head_learning_rate: Adam's step size for the read-out, which takes one step a minibatch.
        readout: Sum all layers' logarithmic probabilities, or take the last layer's answer.

    Source:
        Chen, Liu, Laydevant, Grollier, Nat. Commun. 16, 5978 (2025). What goes up is the layer's nonlinearity here,
        where the paper subtracts the mean activity first.
    """

    theta_positive: Annotated[float, Field(gt=0)] = 2.0
    theta_negative: Annotated[float, Field(gt=0)] = 1.0
    alpha: Annotated[float, Field(gt=0)] = 1.0
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    inner_steps: Annotated[int, Field(ge=1)] = 1
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    readout: Literal["sum", "last"] = "sum"

    nonlinearity: ClassVar[Nonlinearity] = "relu"

    @property
    def metrics(self) -> Mapping[str, str]:
        """Loss before the update, and the share of samples whose positive pair has the higher goodness."""
        return {"loss": "1", "pair_accuracy": "1"}

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> SelfContrastiveLearner:
        """Start work on a layer."""
        return SelfContrastiveLearner(self, layer, classes=classes)


class SelfContrastiveLearner(RecordedLearner):
    """SCFF on one layer: the softmax read-out, and the optimiser of W and b."""

    def __init__(self, rule: SelfContrastive, layer: PhysicalLayer, *, classes: int) -> None:
        self._rule, self._inner_steps = rule, rule.inner_steps
        self._readout = SoftmaxHead(layer, classes=classes, learning_rate=rule.head_learning_rate, decay=rule.decay)
        super().__init__(layer, learning_rate=rule.learning_rate, decay=rule.decay, head=self._readout)

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return the read-out's logarithmic probabilities."""
        return self._readout.scores(unit(outputs_NO))

    def _descend(self, features_NF: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Take one step along the exact gradient; return the goodness of positive and negative pairs from before it."""
        layer, rule = self._layer, self._rule
        pairs_MF = features_NF.repeat(2, 1)
        pairs_MF[: len(features_NF)] += features_NF
        pairs_MF[len(features_NF) :] += features_NF[partners(batch, len(features_NF)).to(features_NF.device)]
        activity_MO = torch.relu(torch.addmm(layer.bias_O, pairs_MF, layer.weight_FO, beta=2))
        goodness_M = activity_MO.square().mean(1)
        positive, negative = goodness_M.chunk(2)
        slope_M = torch.cat(
            [
                -torch.sigmoid(rule.alpha * (rule.theta_positive - positive)),
                torch.sigmoid(rule.alpha * (negative - rule.theta_negative)),
            ]
        ) * (rule.alpha / len(features_NF))
        error_MO = activity_MO * (slope_M * (2 / layer.width)).unsqueeze(1)
        torch.mm(pairs_MF.T, error_MO, out=self._adam.gradients["weight"])
        torch.sum(2 * error_MO, dim=0, out=self._adam.gradients["bias"])
        self._adam.step()
        return goodness_M

    def _metrics(self, found: torch.Tensor, batch: Batch) -> dict[str, float]:
        rule, (positive, negative) = self._rule, found.chunk(2)
        loss = functional.softplus(rule.alpha * (rule.theta_positive - positive))
        loss = loss + functional.softplus(rule.alpha * (negative - rule.theta_negative))
        return {"loss": float(loss.mean()), "pair_accuracy": float((positive > negative).to(found.dtype).mean())}


def partners(batch: Batch, count: int) -> torch.Tensor:
    """Return another row for every row, new at every step."""
    if count < 2:
        raise InputError("scff needs at least 2 samples in a batch to pair, got 1. Use a larger batch.")
    random = stream(batch.seed, "partners", batch.epoch, batch.step)
    return torch.from_numpy((np.arange(count) + random.integers(1, count, count)) % count)
