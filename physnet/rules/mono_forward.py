"""Mono-Forward: a softmax over a local head of each layer, one pass, no negatives.

Axis letters: N rows, I inputs, F features, O outputs, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ..errors import InputError
from ..layer import Nonlinearity, PhysicalLayer, Presented
from ..network import Network
from ..seeding import torch_stream
from .base import Batch, Learned, LearnSteps, Need, Placement, Present
from .optimiser import Decay, LocalAdam

_SLOPES: dict[str, str] = {"none": "1", "relu": "z > 0", "tanh": "1 - a^2"}


@dataclass(frozen=True, kw_only=True)
class MonoForward:
    """Mono-Forward: each layer classifies by a linear head of its own and learns from its own cross-entropy.

    With activity `a = s(W f + b)` and head M, the scores are `a M` and the loss is the cross-entropy of their softmax.
    Its exact gradient, `delta = softmax(a M) - onehot`, gives `dM = a^T delta / n` and `dW = f^T ((delta M^T) * s'(z))
    / n`. One pass per layer and sample in training, one to classify.

    Args:
        learning_rate: Adam's step size for W, b and M.
        decay: Whether the step size falls to zero over the planned run.
        inner_steps: Optimiser steps on one recorded response.
        weight_decay: Pulls W and M towards zero by this fraction of the step size at each step (decoupled, as in
            AdamW).
        readout: Take the last layer's scores, or sum all layers' logarithmic probabilities.

    Source:
        Gong, Li, Abdulla, Mono-Forward, arXiv:2501.09238, with the exact gradient of its loss.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    inner_steps: Annotated[int, Field(ge=1)] = 1
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    readout: Literal["sum", "last"] = "sum"

    needs: ClassVar[frozenset[Need]] = frozenset()
    placements: ClassVar[frozenset[Placement]] = frozenset({Placement.AFTER})
    nonlinearity: ClassVar[Nonlinearity] = "relu"
    labelled_inputs: ClassVar[bool] = False

    @property
    def metrics(self) -> Mapping[str, str]:
        """Cross-entropy before the update, and accuracy on the minibatch."""
        return {"loss": "1", "batch_accuracy": "1"}

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> MonoForwardLearner:
        """Start work on a layer."""
        return MonoForwardLearner(self, layer, classes=classes, seed=seed)

    def training_rows(self, network: Network, batch: Batch) -> torch.Tensor:
        """Return every sample once, without its label."""
        return network.inputs(batch.features_NI)

    def inference_rows(self, network: Network, features_NI: torch.Tensor, *, classes: int) -> torch.Tensor:
        """Return every sample once."""
        return network.inputs(features_NI)


class MonoForwardLearner:
    """Mono-Forward on one layer: the head M, and the optimiser of W, b and M."""

    def __init__(self, rule: MonoForward, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        if layer.nonlinearity not in _SLOPES:
            raise InputError(
                f"mono_forward needs a nonlinearity whose slope it knows in {layer.name}: one of "
                f"{', '.join(_SLOPES)}; got '{layer.nonlinearity}'."
            )
        self._rule, self._layer = rule, layer
        start = torch.randn(layer.width, classes, generator=torch_stream(seed, "head")) / math.sqrt(layer.width)
        self._head_OC = start.to(layer.weight_FO)
        self._adam = LocalAdam(
            {"weight": layer.weight_FO, "bias": layer.bias_O, "head": self._head_OC},
            learning_rate=rule.learning_rate,
            decay=rule.decay,
            weight_decay={"weight": rule.weight_decay, "head": rule.weight_decay},
        )

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present every sample once, then take the inner steps on what was recorded."""
        presented = yield Present(inputs_NI=inputs_NI)
        assert isinstance(presented, Presented)
        self._adam.set_progress(batch.progress)
        scores_NC = self._descend(presented.features_NF, batch.labels_N)
        for _ in range(self._rule.inner_steps - 1):
            self._descend(presented.features_NF, batch.labels_N)
        metrics = {
            "loss": float(torch.nn.functional.cross_entropy(scores_NC, batch.labels_N)),
            "batch_accuracy": float((scores_NC.argmax(1) == batch.labels_N).to(scores_NC.dtype).mean()),
        }
        return Learned(features_NF=presented.features_NF, metrics=metrics)

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return logarithmic probabilities of the layer's own head."""
        return torch.log_softmax(outputs_NO @ self._head_OC, dim=1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the head and the optimiser's state."""
        return {"head": self._head_OC, **self._adam.tensors()}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over saved tensors."""
        self._head_OC.copy_(tensors["head"])
        self._adam.load(tensors)

    def _descend(self, features_NF: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        """Take one step along the exact gradient; return the scores from before it."""
        activity_NO = self._layer.outputs(features_NF)
        scores_NC = activity_NO @ self._head_OC
        delta_NC = torch.softmax(scores_NC, dim=1)
        delta_NC[torch.arange(len(labels_N), device=labels_N.device), labels_N] -= 1
        delta_NC /= len(labels_N)
        error_NO = delta_NC @ self._head_OC.T
        if self._layer.nonlinearity == "relu":
            error_NO *= activity_NO > 0
        elif self._layer.nonlinearity == "tanh":
            error_NO *= 1 - activity_NO.square()
        gradients = self._adam.gradients
        torch.mm(activity_NO.T, delta_NC, out=gradients["head"])
        torch.mm(features_NF.T, error_NO, out=gradients["weight"])
        torch.sum(error_NO, dim=0, out=gradients["bias"])
        self._adam.step()
        return scores_NC
