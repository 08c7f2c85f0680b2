"""Adam on a layer's own tensors, with gradients that a rule writes down itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch.optim.adamw import adamw

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
        self._learning_rate, self._rate, self._decay = learning_rate, learning_rate, decay
        self.gradients = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
        pulls = {name: (weight_decay or {}).get(name, 0.0) for name in tensors}
        self._groups = [
            _Group(pull, {name: tensors[name] for name in tensors if pulls[name] == pull}, self.gradients)
            for pull in dict.fromkeys(pulls.values())
        ]

    def set_progress(self, progress: float) -> None:
        """Set the step size for a point of the planned run, 0 to 1."""
        factor = (1 + math.cos(math.pi * progress)) / 2 if self._decay == "cosine" else 1.0
        self._rate = self._learning_rate * factor

    def step(self) -> None:
        """Change the tensors by one step along `gradients`."""
        for group in self._groups:
            group.step(self._rate)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the optimiser's state by name, not copied."""
        return {name: value for group in self._groups for name, value in group.state().items()}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over a state saved by `tensors`."""
        for name, own in self.tensors().items():
            own.copy_(tensors[name])


class _Group:
    """Tensors with the same weight decay, and their moments."""

    def __init__(
        self, weight_decay: float, tensors: Mapping[str, torch.Tensor], gradients: Mapping[str, torch.Tensor]
    ) -> None:
        self._names, self._tensors = tuple(tensors), list(tensors.values())
        self._gradients = [gradients[name] for name in tensors]
        self._first = [torch.zeros_like(tensor) for tensor in self._tensors]
        self._second = [torch.zeros_like(tensor) for tensor in self._tensors]
        self._steps = [torch.zeros((), device=tensor.device) for tensor in self._tensors]
        self._weight_decay = weight_decay

    def step(self, rate: float) -> None:
        # The functional form in one fused kernel: on a small layer the time goes into calls, not into arithmetic,
        # and an Optimizer object costs more than the step itself.
        adamw(
            self._tensors,
            self._gradients,
            self._first,
            self._second,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def state(self) -> dict[str, torch.Tensor]:
        found = {}
        for number, name in enumerate(self._names):
            found[f"adam/{name}/step"] = self._steps[number]
            found[f"adam/{name}/first_moment"] = self._first[number]
            found[f"adam/{name}/second_moment"] = self._second[number]
        return found
