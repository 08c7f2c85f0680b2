"""A learning signal that reaches every layer through a fixed random matrix of its own.

Axis letters: N rows, I inputs, F features, O outputs, C classes.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from ..errors import InputError
from ..layer import PhysicalLayer, Presented
from ..seeding import torch_stream
from .base import Await, Batch, Learned, LearnSteps, Need, Present, Resumed
from .gradient import GradientLearner, classified
from .heads import SoftmaxHead, unit
from .labels import one_hot
from .optimiser import Decay
from .slopes import times_slope_

Signal = Literal["true", "sign", "label"]


class FeedbackLearner(GradientLearner):
    """Random feedback on one layer: its matrix B, a softmax read-out, and the optimiser of W and b.

    Every layer, the highest one too, is a hidden layer: its error is `(signal B) * s'(z)`. The output layer is the
    read-out of the highest layer's direction `a / |a|`, on its own cross-entropy. The layers below have such a
    read-out too, which serves their own answers.

    Args:
        layer: The layer.
        signal: The output error, its sign, or minus the one-hot label, which needs no output.
        rule: Name of the rule, for messages.
        classes: Number of classes.
        seed: Seed of B.
        learning_rate: Adam's step size for W and b.
        head_learning_rate: Adam's step size for the read-out.
        decay: See `LocalAdam`.

    Raises:
        InputError: The slope of the nonlinearity is not known; or the signal is the label, which never falls silent,
            and the nonlinearity has no bound.
    """

    def __init__(
        self,
        layer: PhysicalLayer,
        *,
        signal: Signal,
        rule: str,
        classes: int,
        seed: int,
        learning_rate: float,
        head_learning_rate: float,
        decay: Decay,
    ) -> None:
        if signal == "label" and layer.nonlinearity != "tanh":
            raise InputError(
                f"{rule} pushes on however well a layer has learnt: {layer.name} must have a bounded nonlinearity, "
                f"'tanh', got '{layer.nonlinearity}'. Leave it out, or use the rule tpsgd."
            )
        self._signal, self._classes = signal, classes
        start = torch.randn(classes, layer.width, generator=torch_stream(seed, "feedback")) / math.sqrt(classes)
        self._feedback_CO = start.to(layer.weight_FO)
        self._readout = SoftmaxHead(layer, classes=classes, learning_rate=head_learning_rate, decay=decay)
        super().__init__(
            layer,
            learning_rate=learning_rate,
            decay=decay,
            fixed={"feedback": self._feedback_CO},
            head=self._readout,
        )

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present every sample once, hear the output error unless the label stands for it, and take one step."""
        presented = yield Present(inputs_NI=inputs_NI)
        assert isinstance(presented, Presented)
        features_NF = presented.features_NF
        if self._signal == "label":
            signal_NC = -one_hot(batch.labels_N, self._classes, features_NF)
        else:
            resumed = yield Await(need=Need.OUTPUT_ERROR, features_NF=features_NF)
            assert isinstance(resumed, Resumed)
            signal_NC = resumed.value.sign() if self._signal == "sign" else resumed.value
        z_NO, activity_NO = self._forward(features_NF)
        error_NO = signal_NC @ self._feedback_CO / len(features_NF)
        scores_NC = self._readout.fit(unit(activity_NO), batch.labels_N, batch.progress)
        self._adam.set_progress(batch.progress)
        self._move(features_NF, times_slope_(error_NO, activity_NO, z_NO, self._layer.nonlinearity))
        return Learned(features_NF=features_NF, metrics=classified(scores_NC, batch))

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return the read-out's logarithmic probabilities."""
        return self._readout.scores(unit(outputs_NO))
