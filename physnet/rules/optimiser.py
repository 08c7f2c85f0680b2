"""Adam on a layer's own tensors, with gradients that a rule writes down itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch

Decay = Literal["constant", "cosine"]


class LocalAdam:
    """Adam with decoupled weight decay, in torch's own implementation.

    No graph is ever built: a rule writes its closed-form gradients into `gradients` and calls `step`.

    Args:
        tensors: The tensors to train, by name. They are changed in place.
        learning_rate: Step size, > 0.
        decay: `cosine` lowers the step size to zero over the planned run.
        weight_decay: For some names, the part of the step size by which that tensor is pulled to zero at each step.

    Source:
        Kingma and Ba, arXiv:1412.6980; Loshchilov and Hutter, arXiv:1711.05101.
    """

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        *,
        learning_rate: float,
        decay: Decay = "constant",
        weight_decay: Mapping[str, float] | None = None,
    ) -> None:
        self._own = dict(tensors)
        self._learning_rate, self._decay = learning_rate, decay
        self.gradients = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            tensor.grad = self.gradients[name]
        pulls = {name: (weight_decay or {}).get(name, 0.0) for name in tensors}
        groups = [
            {"params": [tensors[name] for name in tensors if pulls[name] == pull], "weight_decay": pull}
            for pull in dict.fromkeys(pulls.values())
        ]
        # One kernel for all tensors of a group: on a small layer the time goes into calls, not into arithmetic.
        self._adam = torch.optim.AdamW(groups, lr=learning_rate, fused=True)
        for tensor in tensors.values():
            self._adam.state[tensor] = {
                "step": torch.zeros((), dtype=torch.float32, device=tensor.device),
                "exp_avg": torch.zeros_like(tensor),
                "exp_avg_sq": torch.zeros_like(tensor),
            }

    def set_progress(self, progress: float) -> None:
        """Set the step size for a point of the planned run, 0 to 1."""
        factor = (1 + math.cos(math.pi * progress)) / 2 if self._decay == "cosine" else 1.0
        for group in self._adam.param_groups:
            group["lr"] = self._learning_rate * factor

    def step(self) -> None:
        """Change the tensors by one step along `gradients`."""
        self._adam.step()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the optimiser's state by name, not copied."""
        return {
            f"adam/{name}/{key}": value
            for name, tensor in self._own.items()
            for key, value in self._adam.state[tensor].items()
        }

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over a state saved by `tensors`."""
        for name, own in self.tensors().items():
            own.copy_(tensors[name])
