"""Node perturbation: weights before the physics learn from what happens when the numbers behind them are shaken.

Axis letters: N rows, I inputs, E encoded numbers, F features, C classes, K directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional

from ..errors import InputError
from ..layer import Nonlinearity, PhysicalLayer, Presented
from ..seeding import torch_stream
from .base import Batch, Learned, LearnSteps, Placement, Present
from .gradient import SinglePass
from .mono_forward import MonoForward, MonoForwardLearner
from .optimiser import Decay, LocalAdam

_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class NodePerturbation(SinglePass):
    """Node perturbation: the weights before the physics learn without its derivative, those behind it exactly.

    What is encoded, `z = x V + v`, is shaken by normal numbers xi, both ways: with the loss l of a row, `g = (l(z + c
    xi) - l(z - c xi)) / (2 c) xi`, averaged over K directions, is an estimate of the derivative of its loss by z, and
    `dV = x^T g / n`. Every row has directions of its own, so that its variance grows with how many numbers are encoded,
    not with how many weights lead to them, and falls with K and with the rows of a minibatch. l is the cross-entropy of
    a digital head on the layer's output, as in `mono_forward`; W, b and the head follow its exact gradient. All rows of
    a minibatch are one presentation, and the port shuffles them.

    Args:
        directions: K: `2 K + 1` passes per sample and layer.
        size: c, as a part of the root mean square of z over the minibatch.
        before_learning_rate: Adam's step size for V and v.
        learning_rate: Adam's step size for W, b and the head.
        decay: Whether the step sizes fall to zero over the planned run.
        readout: Sum all layers' logarithmic probabilities, or take the last layer's.

    Source:
        Widrow and Lehr, Proc. IEEE 78, 1415 (1990), Madaline rule III; Fiete and Seung, Phys. Rev. Lett. 97, 048104
        (2006). The head is that of Mono-Forward, arXiv:2501.09238.
    """

    directions: Annotated[int, Field(ge=1)] = 8
    size: Annotated[float, Field(gt=0)] = 0.1
    before_learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    readout: Literal["sum", "last"] = "sum"

    placements: ClassVar[frozenset[Placement]] = frozenset({Placement.BEFORE, Placement.AFTER})
    nonlinearity: ClassVar[Nonlinearity] = "relu"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> NodePerturbationLearner:
        """Start work on a layer."""
        return NodePerturbationLearner(self, layer, classes=classes, seed=seed)


class NodePerturbationLearner(MonoForwardLearner):
    """Node perturbation on one layer: the optimiser of the map before, and Mono-Forward behind the physics.

    Raises:
        InputError: The layer has no map before the physics.
    """

    def __init__(self, rule: NodePerturbation, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        behind = MonoForward(learning_rate=rule.learning_rate, decay=rule.decay)
        super().__init__(behind, layer, classes=classes, seed=seed)
        self._shaken = rule
        self._before = map_before(
            layer, learning_rate=rule.before_learning_rate, decay=rule.decay, rule="node_perturbation"
        )

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present as it is and shaken, then take one step before and behind the physics."""
        count, rows, layer = self._shaken.directions, len(inputs_NI), self._layer
        assert layer.before is not None
        encoded_NE = layer.before(inputs_NI)
        size = self._shaken.size * float(encoded_NE.square().mean().sqrt().clamp_min(_TINY))
        random = torch_stream(batch.seed, f"nodes of {layer.name}", batch.epoch, batch.step)
        shape = (count, rows, encoded_NE.shape[1])
        shake_KNE = torch.randn(shape, generator=random, dtype=encoded_NE.dtype).to(encoded_NE.device)
        nudge = torch.cat([torch.zeros_like(encoded_NE)[None], size * shake_KNE, -size * shake_KNE]).flatten(0, 1)
        presented = yield Present(inputs_NI=inputs_NI.repeat(2 * count + 1, 1), nudge=nudge)
        assert isinstance(presented, Presented)
        features_NF = presented.features_NF[:rows]
        scores_MC = self.scores(layer.outputs(presented.features_NF[rows:]))
        losses = functional.nll_loss(scores_MC, batch.labels_N.repeat(2 * count), reduction="none")
        plus_KN, minus_KN = losses.reshape(2, count, rows)
        slope_KN = (plus_KN - minus_KN) / (2 * size)
        error_NE = torch.einsum("kn,kne->ne", slope_KN, shake_KNE) / (count * rows)
        torch.mm(inputs_NI.T, error_NE, out=self._before.gradients["before_weight"])
        torch.sum(error_NE, dim=0, out=self._before.gradients["before_bias"])
        self._adam.set_progress(batch.progress)
        self._before.set_progress(batch.progress)
        scores_NC = self._descend(features_NF, batch)
        self._before.step()
        return Learned(features_NF=features_NF, metrics=self._metrics(scores_NC, batch))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the head and the state of both optimisers; not copies."""
        return super().tensors() | self._before.tensors()


def map_before(layer: PhysicalLayer, *, learning_rate: float, decay: Decay, rule: str) -> LocalAdam:
    """Return an optimiser of a layer's map before the physics, as `before_weight` and `before_bias`.

    Raises:
        InputError: It has none.
    """
    if layer.before is None:
        raise InputError(
            f"{rule} trains weights before the physics, and {layer.name} has none. Set before = 'random', or use the "
            "rule mono_forward."
        )
    return LocalAdam(
        {"before_weight": layer.before.weight_IO, "before_bias": layer.before.bias_O},
        learning_rate=learning_rate,
        decay=decay,
    )
