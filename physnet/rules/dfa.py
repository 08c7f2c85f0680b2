"""Direct feedback alignment: the output error, through a fixed random matrix, straight to every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..layer import Nonlinearity, PhysicalLayer
from .base import Need
from .gradient import SinglePass
from .optimiser import Decay
from .random_feedback import FeedbackLearner, Signal


@dataclass(frozen=True, kw_only=True)
class DirectFeedbackAlignment(SinglePass):
    """Direct feedback alignment: the output error reaches every layer through a fixed random matrix of its own.

    With the output error `e = softmax(scores) - onehot` and a fixed random B per layer, `dW = f^T ((e B) * s'(z)) / n`.
    The output layer is a digital softmax read-out of the highest layer's direction, trained on its own cross-entropy;
    all physical layers are hidden layers. B does not follow the read-out: it is the layers that learn to make the
    feedback useful. W sits behind the physics, so that s' is known and no surrogate is needed. One pass per layer and
    sample in training, one to classify; a layer can't learn before the highest one has been measured.

    Args:
        error: `true`: e. `sign`: its sign, which hardware can broadcast as bits. `label`: minus the one-hot label, so
            that nothing waits for the output, as in `drtp`.
        learning_rate: Adam's step size for W and b.
        decay: Whether the step size falls to zero over the planned run.
        head_learning_rate: Adam's step size for the read-out.
        readout: Sum all layers' logarithmic probabilities, or take the last layer's answer, as the paper does.

    Source:
        Noekland, arXiv:1609.01596. On physical layers: Nakajima et al., Nat. Commun. 13, 7847 (2022), where the weight
        sits before the physics. Sign: Frenkel, Lefebvre, Bol, Front. Neurosci. 15, 629892 (2021).
    """

    error: Signal = "true"
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    decay: Decay = "constant"
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    readout: Literal["sum", "last"] = "sum"

    nonlinearity: ClassVar[Nonlinearity] = "tanh"

    @property
    def needs(self) -> frozenset[Need]:
        """The output error, unless the label stands for it."""
        return frozenset() if self.error == "label" else frozenset({Need.OUTPUT_ERROR})

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> FeedbackLearner:
        """Start work on a layer."""
        return FeedbackLearner(
            layer,
            signal=self.error,
            rule="dfa",
            classes=classes,
            seed=seed,
            learning_rate=self.learning_rate,
            head_learning_rate=self.head_learning_rate,
            decay=self.decay,
        )
