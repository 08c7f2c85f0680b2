"""Target projection: every class has a fixed random target in every layer.

Axis letters: N rows, F features, O outputs, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ..layer import Nonlinearity, PhysicalLayer
from ..seeding import torch_stream
from .base import Batch
from .gradient import RecordedLearner, SinglePass
from .optimiser import Decay
from .slopes import times_slope_


@dataclass(frozen=True, kw_only=True)
class TargetProjection(SinglePass):
    """Target projection (tpSGD): each layer regresses on a fixed random vector per class.

    With targets `t_c`, uniform in `-amplitude` to `amplitude`, the loss of a row is `sum (t_y - a)^2 / 2` or `sum |t_y
    - a|` over the outputs. Its exact gradient, `(a - t_y) * s'(z)` or `sign(a - t_y) * s'(z)`, vanishes once the target
    is met: unlike in `drtp`, the drive switches itself off. A layer answers by the nearest target, in the norm of the
    loss. One pass per layer and sample in training, one to classify.

    The paper gives the last layer the one-hot labels as targets. Here all layers have random ones, since the last is
    wider than there are classes: what is nearest does not depend on where the targets lie.

    Args:
        loss: Squared or absolute distance.
        amplitude: Largest target. With `tanh` nothing above 1 is ever met.
        learning_rate: Adam's step size for W and b.
        decay: Whether the step size falls to zero over the planned run.
        inner_steps: Optimiser steps on one recorded response.
        readout: Sum the distances of all layers, each as a mean over its outputs, or take the last layer's.

    Source:
        Lomnitz, Daniels, Zhang, Piacentino, arXiv:2208.08503.
    """

    loss: Literal["l2", "l1"] = "l2"
    amplitude: Annotated[float, Field(gt=0)] = 1.0
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    inner_steps: Annotated[int, Field(ge=1)] = 5
    readout: Literal["sum", "last"] = "sum"

    nonlinearity: ClassVar[Nonlinearity] = "tanh"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> TargetProjectionLearner:
        """Start work on a layer."""
        return TargetProjectionLearner(self, layer, classes=classes, seed=seed)


class TargetProjectionLearner(RecordedLearner):
    """Target projection on one layer: its targets, and the optimiser of W and b."""

    def __init__(self, rule: TargetProjection, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        self._rule, self._inner_steps = rule, rule.inner_steps
        uniform = torch.rand(classes, layer.width, generator=torch_stream(seed, "targets"))
        self._targets_CO = ((2 * uniform - 1) * rule.amplitude).to(layer.weight_FO)
        super().__init__(layer, learning_rate=rule.learning_rate, decay=rule.decay, fixed={"targets": self._targets_CO})

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return the distance to every target, negative, as a mean over the outputs."""
        return -torch.stack([self._distance(outputs_NO - target_O) for target_O in self._targets_CO], dim=1)

    def _distance(self, difference_NO: torch.Tensor) -> torch.Tensor:
        return (difference_NO.abs() if self._rule.loss == "l1" else difference_NO.square() / 2).mean(1)

    def _descend(self, features_NF: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Take one step along the exact gradient; return the activity from before it."""
        z_NO, activity_NO = self._forward(features_NF)
        difference_NO = activity_NO - self._targets_CO[batch.labels_N]
        error_NO = (difference_NO.sign() if self._rule.loss == "l1" else difference_NO) / len(features_NF)
        self._move(features_NF, times_slope_(error_NO, activity_NO, z_NO, self._layer.nonlinearity))
        return activity_NO

    def _metrics(self, found: torch.Tensor, batch: Batch) -> dict[str, float]:
        scores_NC = self.scores(found)
        own = -scores_NC.gather(1, batch.labels_N[:, None])
        return {
            "loss": float(own.mean()) * self._layer.width,
            "batch_accuracy": float((scores_NC.argmax(1) == batch.labels_N).to(found.dtype).mean()),
        }
