"""PEPITA: a second pass, on samples that carry the output error, in the place of a backward pass.

Axis letters: N rows, I inputs, F features, O outputs, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ..layer import Nonlinearity, PhysicalLayer, Presented
from ..seeding import torch_stream
from .base import Await, Batch, Learned, LearnSteps, Need, Present, Resumed
from .gradient import GradientLearner, SinglePass, classified
from .heads import SoftmaxHead, unit
from .optimiser import Decay


@dataclass(frozen=True, kw_only=True)
class Pepita(SinglePass):
    """PEPITA: present, then present again with the output error added to the sample, and learn from the difference.

    A fixed random matrix F projects the output error `e = softmax(scores) - onehot` onto the network's inputs: `x' = x
    + e F`. With activity a and features f of the first pass, and a' and f' of the second, `dW = f^T (a - a') / n`. No
    derivative of anything is needed, neither of the physics nor of the digital nonlinearity. The output layer is a
    digital softmax read-out of the highest layer's direction, trained on its own cross-entropy in the first pass. Two
    passes per layer and sample in training, one to classify. Both go through the weights of before.

    The signal is the difference of two measurements. With independent noise of standard deviation sigma on every
    standardised feature, f and f' differ by `sqrt(2) sigma` though nothing was added. The metric `modulation` is the
    root mean square of `f - f'` over that of f: compare it with `sqrt(2) sigma`, which it can't fall below, and raise
    `scale` where it is no larger. As e fades, so does the signal, and the noise stays: let the step size fall too.

    The paper puts f' in the place of f. Its noise is then the noise of a', and the step grows W by `sigma^2 W` on
    average, without end; with f it shrinks W by as much. An encoder that drops the sign of its inputs (`abs`, the
    default for samples without a sign) folds x': use `split`.

    Args:
        scale: Size of F: uniform in `+-scale sqrt(6 / inputs)`, in the unit of the samples.
        features: Which pass gives the features of the step. `second` is the paper's, for media without noise.
        learning_rate: Adam's step size for W and b.
        decay: Whether the step size falls to zero over the planned run.
        head_learning_rate: Adam's step size for the read-out.
        readout: Sum all layers' logarithmic probabilities, or take the last layer's answer, as the paper does.

    Source:
        Dellaferrera and Kreiman, ICML 2022, arXiv:2201.11665.
    """

    scale: Annotated[float, Field(gt=0)] = 1.0
    features: Literal["first", "second"] = "first"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "cosine"
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    readout: Literal["sum", "last"] = "sum"

    nonlinearity: ClassVar[Nonlinearity] = "tanh"

    @property
    def needs(self) -> frozenset[Need]:
        """The output error."""
        return frozenset({Need.OUTPUT_ERROR})

    @property
    def metrics(self) -> Mapping[str, str]:
        """Cross-entropy and accuracy of the read-out in the first pass, and how far the second is from it."""
        return {"loss": "1", "batch_accuracy": "1", "modulation": "1"}

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> PepitaLearner:
        """Start work on a layer."""
        return PepitaLearner(self, layer, classes=classes, seed=seed)


class PepitaLearner(GradientLearner):
    """PEPITA on one layer: the matrix F of the lowest one, a softmax read-out, and the optimiser of W and b."""

    def __init__(self, rule: Pepita, layer: PhysicalLayer, *, classes: int, seed: int) -> None:
        self._rule = rule
        bound = rule.scale * math.sqrt(6 / layer.inputs)
        uniform = torch.rand(classes, layer.inputs, generator=torch_stream(seed, "projection"))
        self._projection_CI = ((2 * uniform - 1) * bound).to(layer.weight_FO)
        self._readout = SoftmaxHead(layer, classes=classes, learning_rate=rule.head_learning_rate, decay=rule.decay)
        super().__init__(
            layer,
            learning_rate=rule.learning_rate,
            decay=rule.decay,
            fixed={"projection": self._projection_CI} if layer.lowest else None,
            head=self._readout,
        )

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Present twice, and take one step once every layer has been presented twice."""
        first = yield Present(inputs_NI=inputs_NI)
        assert isinstance(first, Presented)
        answer = yield Await(need=Need.OUTPUT_ERROR, features_NF=first.features_NF)
        assert isinstance(answer, Resumed)
        below_NI = answer.inputs_NI
        if self._layer.lowest:
            below_NI = torch.addmm(below_NI, answer.value, self._projection_CI)
        second = yield Present(inputs_NI=below_NI)
        assert isinstance(second, Presented)
        # The layers above are to see the second pass through these weights, not through the updated ones.
        yield Await(need=Need.OUTPUT_ERROR, features_NF=second.features_NF)
        activity_NO, modulated_NO = (self._layer.outputs(p.features_NF) for p in (first, second))
        scores_NC = self._readout.fit(unit(activity_NO), batch.labels_N, batch.progress)
        self._adam.set_progress(batch.progress)
        learning = first if self._rule.features == "first" else second
        self._move(learning.features_NF, (activity_NO - modulated_NO) / len(batch.labels_N))
        change = (first.features_NF - second.features_NF).norm() / first.features_NF.norm().clamp_min(1e-12)
        return Learned(
            features_NF=second.features_NF,
            metrics={**classified(scores_NC, batch), "modulation": float(change)},
        )

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return the read-out's logarithmic probabilities."""
        return self._readout.scores(unit(outputs_NO))
