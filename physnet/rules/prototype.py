"""Prototypes: a layer's output is to point where its class does.

Axis letters: N rows, F features, O outputs, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ..errors import InputError
from ..layer import Nonlinearity, PhysicalLayer
from ..seeding import torch_stream
from .base import Batch
from .gradient import RecordedLearner, SinglePass, classified
from .heads import unit
from .labels import softmax_error
from .optimiser import Decay
from .slopes import times_slope_

_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Prototype(SinglePass):
    """Prototypes: each layer classifies by the cosine between its output and one direction per class.

    The scores are `s_c = <a/|a|, p_c> / T` with unit vectors p_c. Fixed ones are a random simplex: all pairs of classes
    lie equally far apart, `<p_c, p_d> = -1 / (C - 1)`. Learned ones start as random directions and follow the same
    gradient as the weight. The loss is the cross-entropy of the scores' softmax, or the hinge `sum over c != y of
    max(0, margin + cos_c - cos_y)` on the cosines themselves; its mean over the rows is minimised along its exact
    gradient. The loss does not see the length of a, and the prototypes can't be outgrown. One pass per layer and
    sample in training, one to classify.

    Args:
        prototypes: `simplex`: fixed and random. `learned`: trained with the weight.
        loss: Cross-entropy or hinge.
        temperature: T of the cross-entropy: cosines end at 1, and a softmax of them as they are stays nearly even.
        margin: By how much the cosine of the true class is to exceed the others. Hinge only.
        learning_rate: Adam's step size for W, b and learned prototypes.
        decay: Whether the step size falls to zero over the planned run.
        inner_steps: Optimiser steps on one recorded response.
        readout: Sum the scores of all layers, or take the last layer's.

    Source:
        Fixed simplex and hinge: Guo et al., FFzero, arXiv:2603.24790, with exact gradients in the place of directional
        derivatives. Learned directions and cross-entropy: Sarode et al., hyperspherical forward-forward,
        arXiv:2605.00082.
    """

    prototypes: Literal["simplex", "learned"] = "learned"
    loss: Literal["cross_entropy", "hinge"] = "cross_entropy"
    temperature: Annotated[float, Field(gt=0)] = 0.1
    margin: Annotated[float, Field(gt=0)] = 0.3
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    inner_steps: Annotated[int, Field(ge=1)] = 1
    readout: Literal["sum", "last"] = "sum"

    nonlinearity: ClassVar[Nonlinearity] = "relu"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> PrototypeLearner:
        """Start work on a layer."""
        return PrototypeLearner(self, layer, classes=classes, seed=seed)


class PrototypeLearner(RecordedLearner):
    """Prototypes on one layer: their directions, and the optimiser of W, b and of learned ones."""

    def __init__(self, rule: Prototype, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        self._rule, self._inner_steps = rule, rule.inner_steps
        self._learned = rule.prototypes == "learned"
        random = torch_stream(seed, "prototypes")
        start = torch.randn(classes, layer.width, generator=random) if self._learned else None
        start = simplex(layer, classes=classes, random=random) if start is None else start / math.sqrt(layer.width)
        # Learned prototypes are kept at any length, and only their direction is used.
        self._prototypes_CO = start.to(layer.weight_FO)
        own = {"prototypes": self._prototypes_CO}
        super().__init__(
            layer,
            learning_rate=rule.learning_rate,
            decay=rule.decay,
            trained=own if self._learned else None,
            fixed=None if self._learned else own,
        )

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return logarithmic probabilities; with the hinge, the cosines."""
        cosines_NC = unit(outputs_NO) @ unit(self._prototypes_CO).T
        if self._is_softmax:
            return torch.log_softmax(cosines_NC / self._rule.temperature, dim=1)
        return cosines_NC

    def _descend(self, features_NF: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Take one step along the exact gradient; return the cosines from before it."""
        z_NO, activity_NO = self._forward(features_NF)
        norm_N1 = _lengths(activity_NO)
        unit_NO, unit_CO = activity_NO / norm_N1, unit(self._prototypes_CO)
        cosines_NC = unit_NO @ unit_CO.T
        slope_NC = self._slope(cosines_NC, batch.labels_N)
        if self._learned:
            towards_CO = across(slope_NC.T @ unit_NO, unit_CO, _lengths(self._prototypes_CO))
            self._adam.gradients["prototypes"].copy_(towards_CO)
        error_NO = across(slope_NC @ unit_CO, unit_NO, norm_N1)
        self._move(features_NF, times_slope_(error_NO, activity_NO, z_NO, self._layer.nonlinearity))
        return cosines_NC

    @property
    def _is_softmax(self) -> bool:
        return self._rule.loss == "cross_entropy"

    def _slope(self, cosines_NC: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        """Return the derivative of the loss by the cosines."""
        if self._is_softmax:
            return softmax_error(cosines_NC / self._rule.temperature, labels_N) / self._rule.temperature
        slope_NC = (self._excess(cosines_NC, labels_N) > 0).to(cosines_NC.dtype)
        slope_NC.scatter_(1, labels_N[:, None], -slope_NC.sum(1, keepdim=True))
        return slope_NC / len(labels_N)

    def _excess(self, cosines_NC: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        """Return by how much every wrong class is too close; below zero for the true one."""
        excess_NC = self._rule.margin + cosines_NC - cosines_NC.gather(1, labels_N[:, None])
        return excess_NC.scatter_(1, labels_N[:, None], -1.0)

    def _metrics(self, found: torch.Tensor, batch: Batch) -> dict[str, float]:
        if self._is_softmax:
            return classified(found / self._rule.temperature, batch)
        excess = self._excess(found, batch.labels_N).clamp_min_(0).sum(1).mean()
        return {**classified(found, batch), "loss": float(excess)}


def simplex(layer: PhysicalLayer, *, classes: int, random: torch.Generator) -> torch.Tensor:
    """Return the corners of a regular simplex around zero, at a random orientation: unit rows, `(classes, width)`.

    Raises:
        InputError: There are fewer than two classes, or the layer is narrower than there are classes.
    """
    if not 2 <= classes <= layer.width:
        raise InputError(
            f"a simplex needs 2 to {layer.width} classes in {layer.name}, got {classes}: one output for each. Make the "
            "layer wider, or use prototypes = 'learned'."
        )
    corners_CC = torch.eye(classes, dtype=torch.float64) - 1 / classes
    corners_CC /= torch.linalg.vector_norm(corners_CC, dim=1, keepdim=True)
    # The first rows of a rotation drawn from the Haar measure: Q of a normal matrix, its signs made unique by R's.
    normal_OC = torch.randn(layer.width, classes, generator=random, dtype=torch.float64)
    turn_OC, triangle_CC = torch.linalg.qr(normal_OC)
    turned_CO: torch.Tensor = corners_CC @ (turn_OC * torch.sign(triangle_CC.diagonal())).T
    return turned_CO


def across(error: torch.Tensor, direction: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """Return the derivative of a loss by vectors from that by their directions, row by row.

    Args:
        error: Derivative by the unit vectors.
        direction: The unit vectors.
        norm: Lengths of the vectors, one column.
    """
    along = torch.linalg.vecdot(error, direction).unsqueeze(1)
    return torch.addcmul(error, along, direction, value=-1).div_(norm)


def _lengths(vectors: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min_(_TINY)
    return found
