"""PhyLL: model-free forward-forward training with a cosine goodness.

Axis letters: N rows, I inputs, F features, O outputs, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ..errors import InputError
from ..layer import Nonlinearity, PhysicalLayer, Presented
from ..network import Network
from ..seeding import stream, torch_stream
from .base import Batch, Learned, LearnSteps, Need, Placement, Present
from .heads import SoftmaxHead, unit
from .labels import every_label, labelled_pairs
from .optimiser import Decay, LocalAdam

_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class PhyLL:
    """Physical local learning: tell true samples from false ones by the direction of each layer's output.

    Goodness of a row is `g = cos(|W f + b|, xi)` with `xi` a fixed random unit vector of the layer. The loss pairs a
    positive with a negative row of the same sample, `mean log(1 + exp(-theta (g_pos - g_neg)))`, and its exact gradient
    moves W and b `inner_steps` times on the same recorded response, so that a sample costs two passes per layer and
    epoch however many steps are taken. The signed `W f + b` goes up.

    Supervised: the label sits in reserved input slots; the negative carries a random wrong one, new each epoch. To
    classify, every label is tried and the goodness summed over the layers: as many passes per layer and sample as there
    are classes.

    Unsupervised: the negative is a hybrid of two samples of the batch, half of the features from each; labels serve
    only a linear read-out of each layer's signed output, which sends nothing back into W. To classify takes one pass.

    Args:
        mode: Where negatives come from.
        theta: Sharpness of the loss, > 0.
        inner_steps: Optimiser steps on one recorded response.
        learning_rate: Adam's step size for W and b.
        decay: Whether the step size falls to zero over the planned run.
        readout: Sum the scores of all layers, or take the last layer's.
        head_learning_rate: Adam's step size for the read-out of the unsupervised mode.

    Source:
        Momeni, Rahmani, Mallejac, del Hougne, Fleury, arXiv:2304.11042, Science 382, 1297 (2023). Hybrid negatives:
        Hinton, arXiv:2212.13345, section 3.2, with independent features instead of a blurred mask, since a drive need
        not be an image.
    """

    mode: Literal["supervised", "unsupervised"] = "supervised"
    theta: Annotated[float, Field(gt=0)] = 4.0
    inner_steps: Annotated[int, Field(ge=1)] = 10
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    decay: Decay = "constant"
    readout: Literal["sum", "last"] = "sum"
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-2

    needs: ClassVar[frozenset[Need]] = frozenset()
    placements: ClassVar[frozenset[Placement]] = frozenset({Placement.AFTER})
    nonlinearity: ClassVar[Nonlinearity] = "none"

    @property
    def labelled_inputs(self) -> bool:
        """Whether the label is presented to the physics."""
        return self.mode == "supervised"

    @property
    def metrics(self) -> Mapping[str, str]:
        """Loss before the update, and the share of pairs in the right order."""
        return {"loss": "1", "pair_accuracy": "1"}

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> PhyLLLearner:
        """Start work on a layer."""
        return PhyLLLearner(self, layer, classes=classes, seed=seed)

    def training_rows(self, network: Network, batch: Batch) -> torch.Tensor:
        """Return the positive rows, then the negative rows of the same samples."""
        if self.mode == "supervised":
            return labelled_pairs(network, batch, rule="supervised PhyLL")
        random = stream(batch.seed, "negatives", batch.epoch, batch.step)
        return torch.cat([batch.features_NI, _hybrids(batch.features_NI, random)])

    def inference_rows(self, network: Network, features_NI: torch.Tensor, *, classes: int) -> torch.Tensor:
        """Return every sample once per class, or once when unsupervised."""
        return features_NI if self.mode == "unsupervised" else every_label(network, features_NI, classes=classes)


class PhyLLLearner:
    """PhyLL on one layer: the fixed direction `xi`, and the optimiser of W and b."""

    def __init__(self, rule: PhyLL, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        if layer.nonlinearity != "none":
            raise InputError(
                f"PhyLL hands the signed output up, so {layer.name} must have nonlinearity 'none', got "
                f"'{layer.nonlinearity}'. Leave it out, or use the rule mono_forward."
            )
        self._rule, self._layer, self._classes = rule, layer, classes
        direction = torch.randn(layer.width, generator=torch_stream(seed, "xi"))
        self._xi_O = functional.normalize(direction.to(layer.weight_FO), dim=0)
        self._adam = LocalAdam(
            {"weight": layer.weight_FO, "bias": layer.bias_O},
            learning_rate=rule.learning_rate,
            decay=rule.decay,
        )
        self._head = (
            None
            if rule.mode == "supervised"
            else SoftmaxHead(layer, classes=classes, learning_rate=rule.head_learning_rate, decay=rule.decay)
        )

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present the pairs once, then take the inner steps on what was recorded."""
        presented = yield Present(inputs_NI=inputs_NI)
        assert isinstance(presented, Presented)
        features = presented.features_NF
        self._adam.set_progress(batch.progress)
        gap = self._descend(features)
        for _ in range(self._rule.inner_steps - 1):
            self._descend(features)
        if self._head is not None:
            count = len(batch.labels_N)
            # With their signs: the goodness pulls the absolute values of all positive rows to one direction, so that
            # what tells samples apart is in the signs.
            self._head.fit(unit(self._layer.outputs(features[:count])), batch.labels_N, batch.progress)
        metrics = {
            "loss": float(functional.softplus(-self._rule.theta * gap).mean()),
            "pair_accuracy": float((gap > 0).to(gap.dtype).mean()),
        }
        return Learned(features_NF=features, metrics=metrics)

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return the goodness of every label, or the read-out's logarithmic probabilities."""
        if self._head is not None:
            return self._head.scores(unit(outputs_NO))
        return (unit(outputs_NO.abs()) @ self._xi_O).reshape(self._classes, -1).T

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return `xi`, the optimiser's state, and the read-out where there is one."""
        return {"xi": self._xi_O, **self._adam.tensors(), **(self._head.tensors() if self._head else {})}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over saved tensors."""
        self._xi_O.copy_(tensors["xi"])
        self._adam.load(tensors)
        if self._head:
            self._head.load(tensors)

    def _descend(self, features_NF: torch.Tensor) -> torch.Tensor:
        """Take one step along the exact gradient; return `g_pos - g_neg` from before it."""
        layer, theta, pairs = self._layer, self._rule.theta, len(features_NF) // 2
        output_NO = torch.addmm(layer.bias_O, features_NF, layer.weight_FO)
        norm_N1 = torch.linalg.vector_norm(output_NO, dim=1, keepdim=True).clamp_min_(_TINY)
        unit_NO = output_NO / norm_N1
        sign_NO = torch.sign(unit_NO)
        aligned_NO = sign_NO * self._xi_O
        goodness_N: torch.Tensor = torch.linalg.vecdot(unit_NO, aligned_NO)
        gap = goodness_N[:pairs] - goodness_N[pairs:]
        # dL/dg_pos = -theta sigmoid(-theta gap) / pairs, dL/dg_neg is its opposite; dg/dz = (sign(z) xi - g z / |z|) /
        # |z|.
        slope = torch.sigmoid(gap * -theta) * (-theta / pairs)
        slope_N1 = torch.cat([slope, -slope]).unsqueeze_(1).div_(norm_N1)
        error_NO = torch.addcmul(aligned_NO, unit_NO, goodness_N.unsqueeze(1), value=-1).mul_(slope_N1)
        torch.mm(features_NF.T, error_NO, out=self._adam.gradients["weight"])
        torch.sum(error_NO, dim=0, out=self._adam.gradients["bias"])
        self._adam.step()
        return gap


def _hybrids(features_NI: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Mix each sample with another of the batch: half of the features, at random places, come from the other."""
    count, inputs = features_NI.shape
    if count < 2:
        raise InputError("unsupervised PhyLL needs at least 2 samples in a batch to mix, got 1. Use a larger batch.")
    partner = (np.arange(count) + random.integers(1, count, count)) % count
    own = random.random((count, inputs)).argsort(axis=1) < (inputs + 1) // 2
    index = torch.from_numpy(partner).to(features_NI.device)
    return torch.where(torch.from_numpy(own).to(features_NI.device), features_NI, features_NI[index])
