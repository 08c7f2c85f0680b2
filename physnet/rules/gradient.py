"""What rules have in common that move weight and bias along a gradient written in closed form.

Axis letters: N rows, I inputs, F features, O outputs, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch

from ..layer import PhysicalLayer, Presented, activate
from ..network import Network
from .base import Batch, Learned, LearnSteps, Need, Placement, Present
from .heads import SoftmaxHead, unit
from .optimiser import Decay, LocalAdam


class SinglePass:
    """Common part of rules that present every sample once, without its label, in training and to classify."""

    placements: ClassVar[frozenset[Placement]] = frozenset({Placement.AFTER})
    labelled_inputs: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[Need]:
        """Nothing, unless a rule says otherwise."""
        return frozenset()

    @property
    def metrics(self) -> Mapping[str, str]:
        """Loss of the layer before the update, and the share of the minibatch it classifies rightly."""
        return {"loss": "1", "batch_accuracy": "1"}

    def training_rows(self, network: Network, batch: Batch) -> torch.Tensor:
        """Return every sample once."""
        return network.inputs(batch.features_NI)

    def inference_rows(self, network: Network, features_NI: torch.Tensor, *, classes: int) -> torch.Tensor:
        """Return every sample once."""
        return network.inputs(features_NI)


class GradientLearner:
    """Common part of learners: the optimiser of a layer's weight and bias, and every tensor by name.

    Args:
        layer: The layer.
        learning_rate: Adam's step size.
        decay: See `LocalAdam`.
        trained: The rule's own tensors that the same optimiser moves.
        fixed: The rule's own tensors that it does not move.
        weight_decay: See `LocalAdam`.
        head: Read-out that sends nothing back, with an optimiser of its own.
    """

    def __init__(
        self,
        layer: PhysicalLayer,
        *,
        learning_rate: float,
        decay: Decay,
        trained: Mapping[str, torch.Tensor] | None = None,
        fixed: Mapping[str, torch.Tensor] | None = None,
        weight_decay: Mapping[str, float] | None = None,
        head: SoftmaxHead | None = None,
    ) -> None:
        self._layer, self._head = layer, head
        self._own = {**(trained or {}), **(fixed or {})}
        self._adam = LocalAdam(
            {"weight": layer.weight_FO, "bias": layer.bias_O, **(trained or {})},
            learning_rate=learning_rate,
            decay=decay,
            weight_decay=weight_decay,
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the rule's tensors, the optimiser's state, and the read-out where there is one; not copies."""
        return {**self._own, **self._adam.tensors(), **(self._head.tensors() if self._head else {})}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over saved tensors."""
        for name, own in self.tensors().items():
            own.copy_(tensors[name])

    def _forward(self, features_NF: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `z = features weight + bias` and the activity, both of shape `(n, width)`."""
        z_NO = self._layer.linear(features_NF)
        return z_NO, activate(z_NO, self._layer.nonlinearity)

    def _move(self, features_NF: torch.Tensor, error_NO: torch.Tensor) -> None:
        """Take one step; gradients of the rule's own tensors must have been written.

        Args:
            features_NF: What the weight saw.
            error_NO: Derivative of the loss by `z = features weight + bias`.
        """
        torch.mm(features_NF.T, error_NO, out=self._adam.gradients["weight"])
        torch.sum(error_NO, dim=0, out=self._adam.gradients["bias"])
        self._adam.step()


class RecordedLearner(GradientLearner, ABC):
    """Common part of learners that present once and then take all their steps on what was recorded.

    A read-out, where there is one, takes one step after them.
    """

    _inner_steps: int = 1

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present every sample once, then take the inner steps on what was recorded."""
        presented = yield Present(inputs_NI=inputs_NI)
        assert isinstance(presented, Presented)
        self._adam.set_progress(batch.progress)
        found = self._descend(presented.features_NF, batch)
        for _ in range(self._inner_steps - 1):
            self._descend(presented.features_NF, batch)
        if self._head is not None:
            # on what goes up now
            self._head.fit(unit(self._layer.outputs(presented.features_NF)), batch.labels_N, batch.progress)
        return Learned(features_NF=presented.features_NF, metrics=self._metrics(found, batch))

    @abstractmethod
    def _descend(self, features_NF: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Take one step along the exact gradient; return what the metrics are made of, from before it."""

    @abstractmethod
    def _metrics(self, found: torch.Tensor, batch: Batch) -> dict[str, float]:
        """Return the declared metrics from what the first step returned."""


def classified(scores_NC: torch.Tensor, batch: Batch) -> dict[str, float]:
    """Return the cross-entropy of scores, and the share of rows that they classify rightly."""
    return {
        "loss": float(torch.nn.functional.cross_entropy(scores_NC, batch.labels_N)),
        "batch_accuracy": float((scores_NC.argmax(1) == batch.labels_N).to(scores_NC.dtype).mean()),
    }
