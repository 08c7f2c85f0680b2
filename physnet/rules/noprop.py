"""NoProp: every layer learns by itself to take noise off a label, and together they refine an estimate of it.

Axis letters: N rows, I inputs, F features, O outputs, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ..contracts import Passes
from ..layer import Nonlinearity, PhysicalLayer
from ..network import Network
from ..seeding import torch_stream
from .base import Batch
from .gradient import RecordedLearner, SinglePass, classified
from .heads import DeepHead
from .labels import one_hot, softmax_error
from .optimiser import Decay
from .slopes import times_slope_

Schedule = Literal["cosine", "linear"]
Loss = Literal["cross_entropy", "snr_mse"]
_DEVIATIONS = 3.0  # of the noise that a drive has room for: beyond lie 3 numbers in 1000, which are cut off


def signal(layers: int, schedule: Schedule) -> tuple[float, ...]:
    """Return which part of the variance of an estimate is label, before the first layer and after each.

    `sin(pi t / (2 T + 2))^2` or `t / (T + 1)`: from 0, pure noise, to below 1, so that the ratio of signal to noise
    stays finite.

    Args:
        layers: T.
        schedule: Which.
    """
    times = [step / (layers + 1) for step in range(layers + 1)]
    return tuple(math.sin(math.pi / 2 * time) ** 2 if schedule == "cosine" else time for time in times)


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """How an estimate follows from the one before and from the label that a layer names.

    `mean = label * u + estimate * z`, and a standard deviation.
    """

    label: float
    estimate: float
    deviation: float

    @classmethod
    def of(cls, before: float, after: float) -> Posterior:
        """Return it for the parts of signal before and after a layer."""
        ratio = before / after
        left = (1 - after) / (1 - before)
        return cls(
            label=math.sqrt(after) * (1 - ratio) / (1 - before),
            estimate=math.sqrt(ratio) * left,
            deviation=math.sqrt(left * (1 - ratio)),
        )


@dataclass(frozen=True, kw_only=True)
class NoProp(SinglePass):
    """NoProp-DT: layer t is shown the sample and the label under noise, and learns to name the label.

    With T layers and parts of signal `abar_0 = 0 < ... < abar_T < 1`, layer t receives the sample beside

        z = sqrt(abar_(t-1)) u_y + sqrt(1 - abar_(t-1)) eps,        u_y = scale * onehot(y)

    drawn anew for every row and step, and classifies by a digital head of its own: `a = s(W f + b)`, scores `a M`. The
    gradients of the loss for W, b and M are exact. Nothing in it comes from another layer: all may learn at once, in
    any order, or on benches that never meet.

    To classify, the layers run one after the other, each fed the sample again. The lowest receives noise or zeros for
    z; what goes on from layer t is the mean of z given what the layer said, with or without its noise,

        z_t = A_t u + B_t z_(t-1) + sqrt(C_t) eps,       u = scale * softmax(scores)

    The paper's last read-out of `z_T` is here the answer of the last layer, from which z_T is made; its embedding of
    labels, learned or not, is the one-hot vector. One pass per layer and sample in training; to classify, one in each.

    The z of a sample lies in the network's label slots as a share, from 0 to 1, of `network.label_amplitude`: shifted
    and stretched so that three deviations of its noise have room, and cut off there. Encoders that scale over a sample
    would else give the range to the noise and leave the sample little: of 2 bits of a binary drive, less than one.

    Args:
        loss: `cross_entropy`, or the paper's `T / 2 (SNR_t - SNR_(t-1)) |u - u_y|^2` with `SNR = abar / (1 - abar)`.
        schedule: How the part of signal grows from layer to layer: `sin(pi t / (2 T + 2))^2`, or `t / (T + 1)`.
        scale: Length of u_y, in standard deviations of the noise of one entry.
        start: Whether the lowest layer receives noise or zeros when it classifies.
        inference: Whether z goes on without its noise (`mean`) or with it (`sampled`). Noise follows from the pass
            number alone.
        learning_rate: Adam's step size for W, b and the head.
        decay: Whether the step size falls to zero over the planned run.
        inner_steps: Optimiser steps on one recorded response.
        readout: Take the last layer's answer, or sum all layers' logarithmic probabilities.

    Source:
        Li, Teh, Pascanu, arXiv:2503.24322, discrete time: its loss (8) and its steps of inference. The schedule
        ends below 1, where the loss stays finite; the cross-entropy in its place is ours.
    """

    loss: Loss = "cross_entropy"
    schedule: Schedule = "cosine"
    scale: Annotated[float, Field(gt=0)] = 1.0
    start: Literal["noise", "zero"] = "zero"
    inference: Literal["mean", "sampled"] = "mean"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    inner_steps: Annotated[int, Field(ge=1)] = 5
    readout: Literal["sum", "last"] = "last"

    labelled_inputs: ClassVar[bool] = True
    nonlinearity: ClassVar[Nonlinearity] = "relu"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> NoPropLearner:
        """Start work on a layer."""
        return NoPropLearner(self, layer, classes=classes, seed=seed)

    def layer_rows(self, network: Network, batch: Batch, *, number: int) -> torch.Tensor:
        """Return every sample beside its label, under the noise that the layer is to take off."""
        assert network.slots is not None
        before = signal(len(network), self.schedule)[number]
        random = torch_stream(batch.seed, "label noise", batch.epoch, batch.step, number)
        label_NC = self.scale * one_hot(batch.labels_N, network.slots.classes, batch.features_NI)
        noise_NC = _normal(random, label_NC)
        estimate_NC = math.sqrt(before) * label_NC + math.sqrt(1 - before) * noise_NC
        return network.inputs(batch.features_NI, shares_NC=self.shares(estimate_NC))

    def shares(self, estimate_NC: torch.Tensor) -> torch.Tensor:
        """Return z as shares of a label: from three deviations of its noise below zero to three around any label."""
        # The largest of sqrt(abar) scale + 3 sqrt(1 - abar) over all parts of signal abar.
        highest = math.hypot(_DEVIATIONS, self.scale)
        return ((estimate_NC + _DEVIATIONS) / (highest + _DEVIATIONS)).clamp(0, 1)

    def training_rows(self, network: Network, batch: Batch) -> torch.Tensor:
        """Return what the lowest layer learns from."""
        return self.layer_rows(network, batch, number=0)

    def first_estimate(self, network: Network, features_NI: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return noise or zeros."""
        assert network.slots is not None
        empty_NC = features_NI.new_zeros(len(features_NI), network.slots.classes)
        return empty_NC if self.start == "zero" else _normal(_noise_of(passes), empty_NC)

    def next_estimate(
        self, network: Network, estimate_NC: torch.Tensor, scores_NC: torch.Tensor, passes: Passes, *, number: int
    ) -> torch.Tensor:
        """Return the mean of z behind the layer below, given what that layer named, or a sample around it."""
        levels = signal(len(network), self.schedule)
        posterior = Posterior.of(levels[number - 1], levels[number])
        label_NC = self.scale * torch.softmax(scores_NC, dim=1)
        found = posterior.label * label_NC + posterior.estimate * estimate_NC
        if self.inference == "sampled":
            found = found + posterior.deviation * _normal(_noise_of(passes), found)
        return found


class NoPropLearner(RecordedLearner):
    """NoProp on one layer: its head, and the optimiser of W, b and the head."""

    def __init__(self, rule: NoProp, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        self._rule, self._inner_steps = rule, rule.inner_steps
        layers = layer.below + 1 + layer.above
        before, after = (part / (1 - part) for part in signal(layers, rule.schedule)[layer.below : layer.below + 2])
        self._weight = layers / 2 * (after - before) * rule.scale**2
        self._head_net = DeepHead(layer, classes=classes, depth=1, width=0, seed=seed)
        super().__init__(layer, learning_rate=rule.learning_rate, decay=rule.decay, trained=self._head_net.tensors)

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return logarithmic probabilities of the layer's own head."""
        return torch.log_softmax(self._head_net.scores([outputs_NO]), dim=1)

    def _descend(self, features_NF: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Take one step along the exact gradient; return the scores from before it."""
        z_NO, activity_NO = self._forward(features_NF)
        scores_NC = self._head_net.scores([activity_NO])
        error_NC = softmax_error(scores_NC, batch.labels_N)
        if self._rule.loss == "snr_mse":
            # Through the softmax: d|p - y|^2 / d scores = 2 p * ((p - y) - <p, p - y>); the error is (p - y) / n.
            chances_NC = torch.softmax(scores_NC, dim=1)
            along_N1 = (chances_NC * error_NC).sum(1, keepdim=True)
            error_NC = 2 * self._weight * chances_NC * (error_NC - along_N1)
        error_NO = self._head_net.back([activity_NO], error_NC, self._adam.gradients)
        self._move(features_NF, times_slope_(error_NO, activity_NO, z_NO, self._layer.nonlinearity))
        return scores_NC

    def _metrics(self, found: torch.Tensor, batch: Batch) -> dict[str, float]:
        metrics = classified(found, batch)
        if self._rule.loss == "snr_mse":
            miss_NC = torch.softmax(found, dim=1) - one_hot(batch.labels_N, found.shape[1], found)
            metrics["loss"] = self._weight * float(miss_NC.square().sum(1).mean())
        return metrics


def _noise_of(passes: Passes) -> torch.Generator:
    """Return the random numbers of rows that are presented together, from the number of the first."""
    return torch_stream(0, "estimate", int(passes[0]))


def _normal(random: torch.Generator, like: torch.Tensor) -> torch.Tensor:
    """Return standard normal numbers in the shape of a tensor, the same on every device."""
    return torch.randn(like.shape, generator=random, dtype=torch.float32).to(like)
