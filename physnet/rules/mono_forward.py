"""Mono-Forward: a softmax over a local head of each layer, one pass, no negatives.

Axis letters: N rows, I inputs, F features, O outputs, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ..layer import Nonlinearity, PhysicalLayer
from .base import Batch
from .gradient import RecordedLearner, SinglePass, classified
from .heads import DeepHead
from .labels import softmax_error
from .optimiser import Decay
from .slopes import times_slope_


@dataclass(frozen=True, kw_only=True)
class MonoForward(SinglePass):
    """Mono-Forward: each layer classifies by a digital head of its own and learns from its own cross-entropy.

    With activity `a = s(W f + b)` and a linear head M, the scores are `a M` and the loss is the cross-entropy of their
    softmax. Its exact gradient, `delta = softmax(a M) - onehot`, gives `dM = a^T delta / n` and `dW = f^T ((delta M^T)
    * s'(z)) / n`. A deeper head puts rectified layers between; the gradient goes through them, and stays exact. One
    pass per layer and sample in training, one to classify.

    Args:
        learning_rate: Adam's step size for W, b and the head.
        decay: Whether the step size falls to zero over the planned run.
        inner_steps: Optimiser steps on one recorded response.
        weight_decay: Pulls W and the head's matrices towards zero by this fraction of the step size at each step
            (decoupled, as in AdamW).
        head_depth: Matrices of the head. With 1 it is linear; more let a layer keep what is not yet linearly
            separable, at a digital cost only.
        head_width: Outputs of each matrix of the head but the last. Only with a depth above 1.
        readout: Sum all layers' logarithmic probabilities, or take the last layer's.

    Source:
        Gong, Li, Abdulla, Mono-Forward, arXiv:2501.09238, with the exact gradient of its loss. Deeper heads: Ma, Wu,
        Si, Tan, AugLocal, arXiv:2402.17318, whose heads copy the shapes of later layers; these are dense and digital.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    inner_steps: Annotated[int, Field(ge=1)] = 1
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    head_depth: Annotated[int, Field(ge=1)] = 1
    head_width: Annotated[int, Field(ge=1)] = 128
    readout: Literal["sum", "last"] = "sum"

    nonlinearity: ClassVar[Nonlinearity] = "relu"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> MonoForwardLearner:
        """Start work on a layer."""
        return MonoForwardLearner(self, layer, classes=classes, seed=seed)


class MonoForwardLearner(RecordedLearner):
    """Mono-Forward on one layer: the head, and the optimiser of W, b and the head."""

    def __init__(self, rule: MonoForward, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        self._inner_steps = rule.inner_steps
        self._head_net = DeepHead(layer, classes=classes, depth=rule.head_depth, width=rule.head_width, seed=seed)
        matrices = ["weight", *(name for name in self._head_net.tensors if not name.endswith("bias"))]
        super().__init__(
            layer,
            learning_rate=rule.learning_rate,
            decay=rule.decay,
            trained=self._head_net.tensors,
            weight_decay=dict.fromkeys(matrices, rule.weight_decay),
        )

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return logarithmic probabilities of the layer's own head."""
        return torch.log_softmax(self._head_net.scores(self._head_net.activities(outputs_NO)), dim=1)

    def _descend(self, features_NF: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Take one step along the exact gradient; return the scores from before it."""
        z_NO, activity_NO = self._forward(features_NF)
        activities = self._head_net.activities(activity_NO)
        scores_NC = self._head_net.scores(activities)
        error_NO = self._head_net.back(activities, softmax_error(scores_NC, batch.labels_N), self._adam.gradients)
        self._move(features_NF, times_slope_(error_NO, activity_NO, z_NO, self._layer.nonlinearity))
        return scores_NC

    def _metrics(self, found: torch.Tensor, batch: Batch) -> dict[str, float]:
        return classified(found, batch)
