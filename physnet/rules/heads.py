"""A linear read-out that learns from a layer's output and sends nothing back into it.

Axis letters: N rows, O outputs, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ..layer import PhysicalLayer
from .optimiser import Decay, LocalAdam


class SoftmaxHead:
    """Multinomial logistic regression on activity, trained by Adam on the exact gradient of the cross-entropy.

    Args:
        layer: The layer whose output it reads; gives width, device and precision.
        classes: Number of classes.
        learning_rate: Adam's step size.
        decay: See `LocalAdam`.
    """

    def __init__(self, layer: PhysicalLayer, *, classes: int, learning_rate: float, decay: Decay) -> None:
        # Directions have entries of about 1 / sqrt(width): the gain brings them to order one for the step size.
        self._gain = math.sqrt(layer.width)
        self._weight_OC = layer.weight_FO.new_zeros(layer.width, classes)
        self._bias_C = layer.weight_FO.new_zeros(classes)
        self._adam = LocalAdam(
            {"head_weight": self._weight_OC, "head_bias": self._bias_C},
            learning_rate=learning_rate,
            decay=decay,
        )

    def fit(self, activity_NO: torch.Tensor, labels_N: torch.Tensor, progress: float) -> None:
        """Take one step on a minibatch."""
        scaled = activity_NO * self._gain
        error_NC = torch.softmax(torch.addmm(self._bias_C, scaled, self._weight_OC), dim=1)
        error_NC[torch.arange(len(labels_N), device=labels_N.device), labels_N] -= 1
        error_NC /= len(labels_N)
        self._adam.gradients["head_weight"].copy_(scaled.T @ error_NC)
        self._adam.gradients["head_bias"].copy_(error_NC.sum(0))
        self._adam.set_progress(progress)
        self._adam.step()

    def scores(self, activity_NO: torch.Tensor) -> torch.Tensor:
        """Return logarithmic probabilities, shape `(n, classes)`."""
        return torch.log_softmax(torch.addmm(self._bias_C, activity_NO * self._gain, self._weight_OC), dim=1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return weight, bias and optimiser state, not copied."""
        return {"head_weight": self._weight_OC, "head_bias": self._bias_C, **self._adam.tensors()}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over saved tensors."""
        self._weight_OC.copy_(tensors["head_weight"])
        self._bias_C.copy_(tensors["head_bias"])
        self._adam.load(tensors)
