"""Cascaded forward: random layers that are never trained, and a read-out of each.

Axis letters: N rows, I inputs, O outputs, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ..layer import Nonlinearity, PhysicalLayer, Presented
from .base import Batch, Learned, LearnSteps, Present
from .gradient import SinglePass, classified
from .heads import SoftmaxHead, unit
from .optimiser import Decay
from .ridge import RidgeHead


@dataclass(frozen=True, kw_only=True)
class CascadedForward(SinglePass):
    """Cascaded forward (CaFo): W and b stay random; a linear read-out of each layer is all that learns.

    Nothing is asked of the physics but to be measured, so it is the control that every other rule is to be held
    against: what they don't gain over it, training the layers did not bring. The classes' probabilities are summed over
    the layers. One pass per layer and sample in training, one to classify.

    With `head = "ridge"` the read-out solves `(A + ridge I) M = B`, where A and B are the mean products of the
    activity (and a constant) with itself and with the one-hot labels, over all samples presented since the run began:
    least squares in closed form, without a step size. One epoch holds all there is; further ones average the noise of
    the measurement. Minibatches of any size give the same. With `head = "gradient"` it is multinomial logistic
    regression on each layer's direction, by Adam.

    Args:
        head: Closed form or gradient.
        ridge: Pull of the read-out towards zero, as a part of the mean square of the activity; the constant is spared.
        learning_rate: Adam's step size. Gradient only.
        decay: Whether the step size falls to zero over the planned run. Gradient only.
        readout: Sum all layers' probabilities, or take the last layer's.

    Source:
        Zhao, Wang, Li, Jin, Lang, Ling, arXiv:2303.09728, with physical layers in the place of random convolutions.
    """

    head: Literal["ridge", "gradient"] = "ridge"
    ridge: Annotated[float, Field(gt=0)] = 1e-2
    learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    decay: Decay = "constant"
    readout: Literal["sum", "last"] = "sum"

    nonlinearity: ClassVar[Nonlinearity] = "relu"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> CascadedForwardLearner:
        """Start work on a layer."""
        return CascadedForwardLearner(self, layer, classes=classes)


class CascadedForwardLearner:
    """CaFo on one layer: its read-out. The layer's own tensors are left as they are."""

    def __init__(self, rule: CascadedForward, layer: PhysicalLayer, *, classes: int) -> None:
        self._layer, self._ridge = layer, rule.head == "ridge"
        self._head: RidgeHead | SoftmaxHead = (
            RidgeHead(layer, classes=classes, ridge=rule.ridge)
            if self._ridge
            else SoftmaxHead(layer, classes=classes, learning_rate=rule.learning_rate, decay=rule.decay)
        )

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present every sample once and let the read-out learn."""
        presented = yield Present(inputs_NI=inputs_NI)
        assert isinstance(presented, Presented)
        seen_NO = self._seen(self._layer.outputs(presented.features_NF))
        scores_NC = self._head.fit(seen_NO, batch.labels_N, batch.progress)
        return Learned(features_NF=presented.features_NF, metrics=classified(scores_NC, batch))

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return the softmax of the read-out's scores."""
        return torch.softmax(self._head.scores(self._seen(outputs_NO)), dim=1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the read-out's tensors, not copied."""
        return self._head.tensors()

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over saved tensors."""
        self._head.load(tensors)

    def _seen(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return what the read-out sees: the activity, or its direction for the step sizes of the gradient."""
        return outputs_NO if self._ridge else unit(outputs_NO)
