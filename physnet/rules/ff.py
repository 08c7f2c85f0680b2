"""Forward-forward: high goodness for a sample with its own label, low goodness with a wrong one.

Axis letters: N rows, M rows with a hypothesis (the true labels of all samples, then wrong ones), I inputs, F features,
O outputs, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch.nn import functional

from ..errors import InputError
from ..layer import Nonlinearity, PhysicalLayer, Presented
from ..network import Network
from ..seeding import torch_stream
from .base import Await, Batch, Learned, LearnSteps, Need, Placement, Present, Resumed
from .gradient import GradientLearner
from .labels import every_label, labelled_pairs, one_hot, wrong_labels
from .optimiser import Decay
from .slopes import times_slope_


@dataclass(frozen=True, kw_only=True)
class ForwardForward:
    """Forward-forward: the squared activity of a layer tells a true label from a wrong one.

    The goodness of a row is `G = sum a^2` over the layer's outputs, or their mean. The threshold loss is `mean of
    softplus(theta - G_pos) + softplus(G_neg - theta)`, the symmetric one `mean of softplus(-alpha (G_pos - G_neg))`
    over pairs of a sample with its label and with a random wrong one, new at every step. W and b follow the exact
    gradient `inner_steps` times on the same recorded response.

    With `label = "drive"` the label sits in reserved input slots and goes through the physics: two passes per layer and
    sample in training, and as many as there are classes to classify.

    With `label = "digital"` the physics never sees it. Each layer has a matrix V with one row per class, and the
    activity under a hypothesis is `a_c = relu(W f + b + V_c)`: what a weight on a label appended to the measured
    features would give. The negative of every layer is made from the same measured features, and to classify, all
    classes are scored from the one response. One pass per layer and sample in training, one to classify. What goes up
    is `W f + b`, which holds no label.

    With `collaboration` a layer adds to its own goodness what the other layers found of the same row, as a constant:
    `theta - G` becomes `theta - G - gamma`, with gamma the sum of the others' goodness over their thresholds.

    Where the encoder keeps the scale of what a layer receives (`affine`), or with a skip, the layer above can read the
    goodness of the one below from the length alone, and learns little else. The other encoders remove it.

    Args:
        label: Where the label enters.
        goodness: Sum or mean of the squares.
        loss: Threshold or symmetric.
        theta: Threshold; one per output when None: the width for the sum, 1 for the mean. Threshold loss only.
        alpha: Sharpness of the symmetric loss.
        collaboration: Whether layers pool their goodness.
        learning_rate: Adam's step size for W, b and V.
        decay: Whether the step size falls to zero over the planned run.
        inner_steps: Optimiser steps on one recorded response.
        readout: Sum the goodness of all layers, or take the last layer's.

    Raises:
        InputError: A threshold for the symmetric loss.

    Source:
        Hinton, arXiv:2212.13345. Symmetric loss: Lee and Song, SymBa, arXiv:2303.08418. Collaboration: Lorberbom,
        Gat, Adi, Schwing, Hazan, arXiv:2305.12393, here over the layers' own thresholds.
    """

    label: Literal["drive", "digital"] = "digital"
    goodness: Literal["sum", "mean"] = "mean"
    loss: Literal["threshold", "symmetric"] = "threshold"
    theta: Annotated[float, Field(gt=0)] | None = None
    alpha: Annotated[float, Field(gt=0)] = 4.0
    collaboration: bool = False
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    inner_steps: Annotated[int, Field(ge=1)] = 5
    readout: Literal["sum", "last"] = "sum"

    placements: ClassVar[frozenset[Placement]] = frozenset({Placement.AFTER})

    def __post_init__(self) -> None:
        if self.theta is not None and self.loss == "symmetric":
            raise InputError(
                f"theta must be left out with loss = 'symmetric', which has no threshold, got {self.theta:g}."
            )

    @property
    def needs(self) -> frozenset[Need]:
        """The others' goodness, with collaboration."""
        return frozenset({Need.PEER_SCALARS}) if self.collaboration else frozenset()

    @property
    def labelled_inputs(self) -> bool:
        """Whether the label is presented to the physics."""
        return self.label == "drive"

    @property
    def nonlinearity(self) -> Nonlinearity:
        """None with a digital label: the rule rectifies once the label is there."""
        return "relu" if self.label == "drive" else "none"

    @property
    def metrics(self) -> Mapping[str, str]:
        """Loss before the update, and the share of pairs in the right order."""
        return {"loss": "1", "pair_accuracy": "1"}

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> ForwardForwardLearner:
        """Start work on a layer."""
        return ForwardForwardLearner(self, layer, classes=classes, seed=seed)

    def training_rows(self, network: Network, batch: Batch) -> torch.Tensor:
        """Return the positive rows, then the negative ones; with a digital label, every sample once."""
        if self.label == "digital":
            return network.inputs(batch.features_NI)
        return labelled_pairs(network, batch, rule="forward-forward")

    def inference_rows(self, network: Network, features_NI: torch.Tensor, *, classes: int) -> torch.Tensor:
        """Return every sample once per class, or once with a digital label."""
        if self.label == "digital":
            return network.inputs(features_NI)
        return every_label(network, features_NI, classes=classes)


class ForwardForwardLearner(GradientLearner):
    """Forward-forward on one layer: the matrix V of a digital label, and the optimiser of W, b and V."""

    def __init__(self, rule: ForwardForward, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        self._rule, self._classes, self._digital = rule, classes, rule.label == "digital"
        if self._digital and (layer.nonlinearity != "none" or classes < 2):
            raise InputError(
                "ff with a digital label rectifies once the label is there, and needs a wrong one: "
                f"{layer.name} must have nonlinearity 'none' and at least 2 classes, got '{layer.nonlinearity}' and "
                f"{classes}. Leave the nonlinearity out, or use label = 'drive'."
            )
        mean = rule.goodness == "mean"
        # G = a^2 * share, summed over the outputs
        self._share = 1 / layer.width if mean else 1.0
        self._theta = rule.theta if rule.theta is not None else 1.0 if mean else float(layer.width)
        # As large as W f of standardised features: a label that weighs less is drowned at first.
        start = torch.randn(classes, layer.width, generator=torch_stream(seed, "labels"))
        self._labels_CO = start.to(layer.weight_FO)
        trained = {"labels": self._labels_CO} if self._digital else None
        super().__init__(layer, learning_rate=rule.learning_rate, decay=rule.decay, trained=trained)

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present once, hear what the others found where asked to, then take the inner steps on what was recorded."""
        presented = yield Present(inputs_NI=inputs_NI)
        assert isinstance(presented, Presented)
        features_NF = presented.features_NF
        shown_MC = self._shown(batch)
        peers_M = features_NF.new_zeros(2 * len(batch.labels_N))
        if self._rule.collaboration:
            over_M = self._goodness(self._activity(features_NF, shown_MC)[1]) - self._theta
            resumed = yield Await(need=Need.PEER_SCALARS, features_NF=features_NF, report=over_M)
            assert isinstance(resumed, Resumed)
            peers_M = resumed.value
        self._adam.set_progress(batch.progress)
        over_M = self._descend(features_NF, shown_MC, peers_M)
        for _ in range(self._rule.inner_steps - 1):
            self._descend(features_NF, shown_MC, peers_M)
        positive, negative = over_M.chunk(2)
        metrics = {
            "loss": float(self._loss(positive, negative)),
            "pair_accuracy": float((positive > negative).to(over_M.dtype).mean()),
        }
        return Learned(features_NF=features_NF, metrics=metrics)

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return the goodness of every label."""
        if not self._digital:
            return self._goodness(outputs_NO).reshape(self._classes, -1).T
        each = [self._goodness(torch.relu(outputs_NO + label_O)) for label_O in self._labels_CO]
        return torch.stack(each, dim=1)

    def _shown(self, batch: Batch) -> torch.Tensor | None:
        """Return the labels of the positive and the negative rows as one-hot, where they are digital."""
        if not self._digital:
            return None
        labels_M = torch.cat([batch.labels_N, wrong_labels(batch, self._classes)])
        return one_hot(labels_M, self._classes, self._labels_CO)

    def _activity(self, features_NF: torch.Tensor, shown_MC: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `z` and the activity of the positive rows, then of the negative ones."""
        z_NO, outputs_NO = self._forward(features_NF)
        if shown_MC is None:
            return z_NO, outputs_NO
        z_MO = torch.addmm(outputs_NO.repeat(2, 1), shown_MC, self._labels_CO)
        return z_MO, z_MO.relu()

    def _goodness(self, activity_MO: torch.Tensor) -> torch.Tensor:
        return activity_MO.square().sum(1) * self._share

    def _descend(self, features_NF: torch.Tensor, shown_MC: torch.Tensor | None, peers_M: torch.Tensor) -> torch.Tensor:
        """Take one step along the exact gradient; return the pooled goodness over the threshold from before it."""
        z_MO, activity_MO = self._activity(features_NF, shown_MC)
        over_M = self._goodness(activity_MO) - self._theta + peers_M
        error_MO = activity_MO * (self._slope(over_M) * (2 * self._share)).unsqueeze(1)
        if shown_MC is None:
            self._move(features_NF, times_slope_(error_MO, activity_MO, z_MO, self._layer.nonlinearity))
            return over_M
        # The slope of the rectification is in the activity already: it is zero where that is zero.
        torch.mm(shown_MC.T, error_MO, out=self._adam.gradients["labels"])
        positive_NO, negative_NO = error_MO.chunk(2)
        self._move(features_NF, positive_NO + negative_NO)
        return over_M

    def _slope(self, over_M: torch.Tensor) -> torch.Tensor:
        """Return the derivative of the loss by the goodness of every row."""
        positive, negative = over_M.chunk(2)
        if self._rule.loss == "threshold":
            return torch.cat([-torch.sigmoid(-positive), torch.sigmoid(negative)]) / len(positive)
        slope = torch.sigmoid(-self._rule.alpha * (positive - negative)) * (self._rule.alpha / len(positive))
        return torch.cat([-slope, slope])

    def _loss(self, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        if self._rule.loss == "threshold":
            return (functional.softplus(-positive) + functional.softplus(negative)).mean()
        return functional.softplus(-self._rule.alpha * (positive - negative)).mean()
