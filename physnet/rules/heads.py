"""Digital read-outs of a layer's output: one that sends nothing back into the layer, and one that does.

Axis letters: N rows, O outputs, H inputs of the last matrix, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch.nn import functional

from ..layer import PhysicalLayer
from ..seeding import torch_stream
from .labels import softmax_error
from .optimiser import Decay, LocalAdam

_TINY = 1e-12


def unit(values_NO: torch.Tensor) -> torch.Tensor:
    """Return rows of length one; a row of zeros stays as it is."""
    found: torch.Tensor = functional.normalize(values_NO, dim=1, eps=_TINY)
    return found


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

    def fit(self, activity_NO: torch.Tensor, labels_N: torch.Tensor, progress: float) -> torch.Tensor:
        """Take one step on a minibatch of directions; return the scores from before it, shape `(n, classes)`."""
        scaled = activity_NO * self._gain
        scores_NC = torch.addmm(self._bias_C, scaled, self._weight_OC)
        error_NC = softmax_error(scores_NC, labels_N)
        self._adam.gradients["head_weight"].copy_(scaled.T @ error_NC)
        self._adam.gradients["head_bias"].copy_(error_NC.sum(0))
        self._adam.set_progress(progress)
        self._adam.step()
        return scores_NC

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


class DeepHead:
    """A digital network of rectified layers between a layer's activity and its scores, whose gradient it sends back.

    With one layer it is a matrix. It trains nothing itself: the rule's optimiser holds its tensors.

    Args:
        layer: The layer whose activity it reads.
        classes: Number of classes.
        depth: Matrices, >= 1.
        width: Outputs of each but the last.
        seed: Seed of the initial weights: normal, of variance 1 / inputs for the last, 2 / inputs for the others.
    """

    def __init__(self, layer: PhysicalLayer, *, classes: int, depth: int, width: int, seed: int) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        """Every weight and bias by name; the last matrix is `head`."""
        inputs = layer.width
        for number in range(1, depth):
            start = torch.randn(inputs, width, generator=torch_stream(seed, "head", number)) * math.sqrt(2 / inputs)
            self.tensors[f"head_{number}_weight"] = start.to(layer.weight_FO)
            self.tensors[f"head_{number}_bias"] = layer.weight_FO.new_zeros(width)
            inputs = width
        start = torch.randn(inputs, classes, generator=torch_stream(seed, "head")) / math.sqrt(inputs)
        self._head_HC = self.tensors["head"] = start.to(layer.weight_FO)
        self._depth = depth

    def activities(self, activity_NO: torch.Tensor) -> list[torch.Tensor]:
        """Return the activity and what each layer but the last makes of it, for `scores` and `back`."""
        found = [activity_NO]
        for number in range(1, self._depth):
            weight, bias = self.tensors[f"head_{number}_weight"], self.tensors[f"head_{number}_bias"]
            found.append(torch.relu(torch.addmm(bias, found[-1], weight)))
        return found

    def scores(self, activities: list[torch.Tensor]) -> torch.Tensor:
        """Return the scores from what `activities` returned, shape `(n, classes)`."""
        return activities[-1] @ self._head_HC

    def back(
        self, activities: list[torch.Tensor], error_NC: torch.Tensor, gradients: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Write the gradients of all its tensors; return the derivative of the loss by the layer's activity.

        Args:
            activities: What `activities` returned.
            error_NC: Derivative of the loss by the scores.
            gradients: Where to write, by the names of `tensors`.
        """
        error = error_NC @ self._head_HC.T
        torch.mm(activities[-1].T, error_NC, out=gradients["head"])
        for number in reversed(range(1, self._depth)):
            error *= activities[number] > 0
            torch.mm(activities[number - 1].T, error, out=gradients[f"head_{number}_weight"])
            torch.sum(error, dim=0, out=gradients[f"head_{number}_bias"])
            error = error @ self.tensors[f"head_{number}_weight"].T
        return error
