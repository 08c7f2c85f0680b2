"""Augmented direct feedback alignment: random feedback to weights before the physics, with a stand-in for its slope.

Axis letters: N rows, I inputs, E encoded numbers, F features, O outputs, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ..layer import Nonlinearity, PhysicalLayer, Presented
from ..seeding import torch_stream
from .base import Await, Batch, Learned, LearnSteps, Need, Placement, Present, Resumed
from .gradient import SinglePass
from .labels import one_hot
from .mono_forward import MonoForward, MonoForwardLearner
from .node_perturbation import map_before
from .optimiser import Decay

Surrogate = Literal["one", "tanh", "cos", "relu"]
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class AugmentedFeedbackAlignment(SinglePass):
    """Augmented direct feedback alignment: weights before the physics learn from the error through a random matrix.

    What is encoded is `z = x V + v`. With an error e, one number per class, and a fixed random B, `dV = x^T ((e B) *
    g(z)) / n`, where any g may stand for the slope of the physics, which nobody knows. It works as far as what is
    trained behind the physics comes to make the feedback useful: W, b and a digital head follow the exact gradient of
    the layer's own cross-entropy, as in `mono_forward`. One pass per layer and sample in training, one to classify.

    Args:
        error: `local`: that of the layer's own head, `softmax(scores) - onehot`. `output`: that of the highest layer's,
            for which every layer waits.
        surrogate: g of z over its root mean square: `one`; `tanh`, `1 - tanh(z)^2`; `cos`; `relu`, `z > 0`.
        before_learning_rate: Adam's step size for V and v.
        learning_rate: Adam's step size for W, b and the head.
        decay: Whether the step sizes fall to zero over the planned run.
        readout: Sum all layers' logarithmic probabilities, or take the last layer's.

    Source:
        Nakajima et al., Nat. Commun. 13, 7847 (2022), with weights before the physics and exact ones behind. The head
        is that of Mono-Forward, arXiv:2501.09238.
    """

    error: Literal["local", "output"] = "output"
    surrogate: Surrogate = "one"
    before_learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    readout: Literal["sum", "last"] = "sum"

    placements: ClassVar[frozenset[Placement]] = frozenset({Placement.BEFORE, Placement.AFTER})
    nonlinearity: ClassVar[Nonlinearity] = "relu"

    @property
    def needs(self) -> frozenset[Need]:
        """The output error, unless the layer's own stands for it."""
        return frozenset({Need.OUTPUT_ERROR}) if self.error == "output" else frozenset()

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> AugmentedFeedbackLearner:
        """Start work on a layer."""
        return AugmentedFeedbackLearner(self, layer, classes=classes, seed=seed)


class AugmentedFeedbackLearner(MonoForwardLearner):
    """Augmented feedback on one layer: the matrix B, the optimiser of the map before, and Mono-Forward behind."""

    def __init__(self, rule: AugmentedFeedbackAlignment, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        behind = MonoForward(learning_rate=rule.learning_rate, decay=rule.decay)
        super().__init__(behind, layer, classes=classes, seed=seed)
        self._fed, self._classes = rule, classes
        self._before = map_before(
            layer, learning_rate=rule.before_learning_rate, decay=rule.decay, rule="augmented_dfa"
        )
        assert layer.before is not None
        start = torch.randn(classes, len(layer.before.bias_O), generator=torch_stream(seed, "feedback"))
        self._feedback_CE = (start / math.sqrt(classes)).to(layer.weight_FO)

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present every sample once, hear the error, and take one step before and behind the physics."""
        layer = self._layer
        assert layer.before is not None
        presented = yield Present(inputs_NI=inputs_NI)
        assert isinstance(presented, Presented)
        features_NF = presented.features_NF
        if self._fed.error == "output":
            resumed = yield Await(need=Need.OUTPUT_ERROR, features_NF=features_NF)
            assert isinstance(resumed, Resumed)
            error_NC = resumed.value
        else:
            scores_NC = self.scores(layer.outputs(features_NF))
            error_NC = torch.softmax(scores_NC, dim=1) - one_hot(batch.labels_N, self._classes, features_NF)
        # The inputs of the first round: those that the response belongs to.
        slope_NE = surrogate_slope(layer.before(inputs_NI), self._fed.surrogate)
        error_NE = (error_NC @ self._feedback_CE) * slope_NE / len(inputs_NI)
        torch.mm(inputs_NI.T, error_NE, out=self._before.gradients["before_weight"])
        torch.sum(error_NE, dim=0, out=self._before.gradients["before_bias"])
        self._adam.set_progress(batch.progress)
        self._before.set_progress(batch.progress)
        found_NC = self._descend(features_NF, batch)
        self._before.step()
        return Learned(features_NF=features_NF, metrics=self._metrics(found_NC, batch))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return B, the head and the state of both optimisers; not copies."""
        return super().tensors() | {"feedback": self._feedback_CE} | self._before.tensors()


def surrogate_slope(encoded_NE: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
    """Return what stands for the slope of the physics, from the numbers that are encoded."""
    scaled_NE = encoded_NE / encoded_NE.square().mean().sqrt().clamp_min(_TINY)
    match surrogate:
        case "one":
            return torch.ones_like(scaled_NE)
        case "tanh":
            return 1 - torch.tanh(scaled_NE).square()
        case "cos":
            return torch.cos(scaled_NE)
        case "relu":
            return (scaled_NE > 0).to(scaled_NE.dtype)
