"""Counter-current learning: a digital network runs from the labels down, beside the physical one that runs up.

Axis letters: N rows, I inputs, F features, O outputs, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ..layer import Nonlinearity, PhysicalLayer, Presented, activate
from ..seeding import torch_stream
from .base import Await, Batch, Learned, LearnSteps, Need, Present, Resumed
from .gradient import GradientLearner, SinglePass, classified
from .heads import SoftmaxHead, unit
from .labels import one_hot
from .optimiser import Decay, LocalAdam
from .slopes import times_slope_


@dataclass(frozen=True, kw_only=True)
class CounterCurrent(SinglePass):
    """Counter-current learning (CCL): activity going up is to match what a digital network makes of its label.

    The digital network starts from the one-hot labels, once for every class, not for every sample: `b_L = s(onehot E)`
    meets the highest layer, and each layer sends `b_below = s(b V)` to the one below. The loss of a layer is the mean
    of `(<a, b_c> - [c = y])^2` over rows and classes; its exact gradients move W and the bias of the layer, and the
    matrix that made its b, with what reached either held constant. All steps of a minibatch start from the weights of
    before. The output layer is a digital softmax read-out of the highest layer's direction, trained on its own
    cross-entropy. One pass per layer and sample in training, one to classify; the feedback costs none.

    Args:
        learning_rate: Adam's step size for W and the bias.
        feedback_learning_rate: Adam's step size for V and E; 0 leaves the feedback random.
        decay: Whether the step size falls to zero over the planned run.
        head_learning_rate: Adam's step size for the read-out.
        readout: Sum all layers' logarithmic probabilities, or take the last layer's answer, as the paper does.

    Source:
        Kao and Hariharan, NeurIPS 2024, arXiv:2409.19841, in the form of its published code for dense networks, with
        Adam for its clipped gradient descent.
    """

    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    feedback_learning_rate: Annotated[float, Field(ge=0)] = 1e-3
    decay: Decay = "constant"
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    readout: Literal["sum", "last"] = "sum"

    nonlinearity: ClassVar[Nonlinearity] = "tanh"

    @property
    def needs(self) -> frozenset[Need]:
        """What the layer above made of the labels."""
        return frozenset({Need.TOP_DOWN})

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> CounterCurrentLearner:
        """Start work on a layer."""
        return CounterCurrentLearner(self, layer, classes=classes, seed=seed)


class CounterCurrentLearner(GradientLearner):
    """CCL on one layer: what it sends down, a softmax read-out, and the optimisers.

    A layer owns the matrix V of what it sends to the layer below. That layer's activity is this one's input, so that
    the gradient of V is known here. The highest layer also owns E, the lowest has no V. What a layer sends down goes
    through its own nonlinearity.
    """

    def __init__(self, rule: CounterCurrent, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        self._classes = classes
        shapes = {} if layer.lowest else {"feedback": (layer.width, layer.inputs)}
        shapes |= {"labels": (classes, layer.width)} if layer.highest else {}
        self._feedback: dict[str, torch.Tensor] = {}
        for name, (rows, columns) in shapes.items():
            # One-hot rows pick one row of E: of variance 1 / classes it would start far smaller than V's outputs.
            scale = 1.0 if name == "labels" else 1 / math.sqrt(rows)
            start = torch.randn(rows, columns, generator=torch_stream(seed, name)) * scale
            self._feedback[name] = start.to(layer.weight_FO)
        self._feedback_adam = LocalAdam(self._feedback, learning_rate=rule.feedback_learning_rate, decay=rule.decay)
        self._readout = SoftmaxHead(layer, classes=classes, learning_rate=rule.head_learning_rate, decay=rule.decay)
        super().__init__(
            layer,
            learning_rate=rule.learning_rate,
            decay=rule.decay,
            fixed={**self._feedback, **self._feedback_adam.tensors()},
            head=self._readout,
        )

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present every sample once, wait for what comes down, send it further, and take one step."""
        presented = yield Present(inputs_NI=inputs_NI)
        assert isinstance(presented, Presented)
        features_NF = presented.features_NF
        resumed = yield Await(need=Need.TOP_DOWN, features_NF=features_NF)
        assert isinstance(resumed, Resumed)
        target_NC = one_hot(batch.labels_N, self._classes, features_NF)
        z_NO, activity_NO = self._forward(features_NF)
        above_CO = self._activate(self._feedback["labels"]) if self._layer.highest else resumed.value
        slope_NC, loss = _mismatch(activity_NO, above_CO, target_NC)
        # All gradients before any step: without a nonlinearity, above_CO is E itself.
        error_NO = self._times_slope(slope_NC @ above_CO, activity_NO, z_NO)
        if self._layer.highest:
            labels = self._times_slope(slope_NC.T @ activity_NO, above_CO, self._feedback["labels"])
            self._feedback_adam.gradients["labels"].copy_(labels)
        down_CI = None if self._layer.lowest else self._send_down(above_CO, resumed.inputs_NI, target_NC)
        self._feedback_adam.set_progress(batch.progress)
        self._feedback_adam.step()
        scores_NC = self._readout.fit(unit(activity_NO), batch.labels_N, batch.progress)
        self._adam.set_progress(batch.progress)
        self._move(features_NF, error_NO)
        metrics = {**classified(scores_NC, batch), "loss": float(loss)}
        return Learned(features_NF=features_NF, metrics=metrics, down=down_CI)

    def _send_down(self, above_CO: torch.Tensor, below_NI: torch.Tensor, target_NC: torch.Tensor) -> torch.Tensor:
        """Return what the layer below gets, and write the gradient of V from the loss that it makes there."""
        z_CI = above_CO @ self._feedback["feedback"]
        down_CI = self._activate(z_CI)
        slope_NC, _ = _mismatch(below_NI, down_CI, target_NC)
        error_CI = self._times_slope(slope_NC.T @ below_NI, down_CI, z_CI)
        torch.mm(above_CO.T, error_CI, out=self._feedback_adam.gradients["feedback"])
        return down_CI

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return the read-out's logarithmic probabilities."""
        return self._readout.scores(unit(outputs_NO))

    def _activate(self, values: torch.Tensor) -> torch.Tensor:
        return activate(values, self._layer.nonlinearity)

    def _times_slope(self, error: torch.Tensor, activity: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return times_slope_(error, activity, z, self._layer.nonlinearity)


def _mismatch(
    activity_NO: torch.Tensor, feedback_CO: torch.Tensor, target_NC: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the derivative of a layer's loss by its products `<a, b_c>`, and the loss."""
    wrong_NC = activity_NO @ feedback_CO.T - target_NC
    return wrong_NC * (2 / wrong_NC.numel()), wrong_NC.square().mean()
