"""Direct random target projection: the label, through a fixed random matrix, drives every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..layer import Nonlinearity, PhysicalLayer
from .gradient import SinglePass
from .optimiser import Decay
from .random_feedback import FeedbackLearner


@dataclass(frozen=True, kw_only=True)
class RandomTargetProjection(SinglePass):
    """Direct random target projection (DRTP): the label alone drives every layer, through a fixed random matrix.

    `dW = -f^T ((Y B) * s'(z)) / n` with one-hot labels Y and a fixed random B per layer: the label stands for the sign
    of the output error. Nothing comes back from above, so a layer can learn as soon as it was measured. The drive never
    switches off; the bound of tanh is what ends it, and other nonlinearities are refused. The output layer is a digital
    softmax read-out of the highest layer's direction, trained on its own cross-entropy. One pass per layer and sample
    in training, one to classify.

    Args:
        learning_rate: Adam's step size for W and b. Adam undoes the size of a drive that never fades: with a constant
            step size, saturation grows with every epoch.
        decay: Whether the step size falls to zero over the planned run.
        head_learning_rate: Adam's step size for the read-out.
        readout: Sum all layers' logarithmic probabilities, or take the last layer's answer, as the paper does.

    Source:
        Frenkel, Lefebvre, Bol, Front. Neurosci. 15, 629892 (2021).
    """

    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    decay: Decay = "cosine"
    head_learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    readout: Literal["sum", "last"] = "sum"

    nonlinearity: ClassVar[Nonlinearity] = "tanh"

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> FeedbackLearner:
        """Start work on a layer."""
        return FeedbackLearner(
            layer,
            signal="label",
            rule="drtp",
            classes=classes,
            seed=seed,
            learning_rate=self.learning_rate,
            head_learning_rate=self.head_learning_rate,
            decay=self.decay,
        )
