"""What the rules have in common that go down along random directions before and inside the physics: their options."""

# Annotations are objects here, not text: the registry reads the options of a rule in the namespace of its own file.
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from ..layer import PhysicalLayer
from .base import Placement
from .directional import PLACEMENTS, Directions, Law, Where
from .gradient import SinglePass
from .optimiser import Decay


@dataclass(frozen=True, kw_only=True)
class RandomDirections(SinglePass):
    """Options of the directions, and of what follows its exact gradient behind the physics.

    Args:
        where: What is trained: the map before the physics, parameters inside it, or both.
        directions: K: `2 K + 1` passes per sample and layer.
        size: Of a perturbation of weights before the physics.
        inside_size: Of one of parameters, as a part of their range.
        learning_rate: Step along the gradient of the weights before.
        inside_learning_rate: The same for parameters, as parts of their range.
        after_learning_rate: Adam's step size behind the physics.
        decay: Whether all step sizes fall to zero over the planned run.
        readout: Sum over all layers, or take the last layer's.
    """

    where: Where = "before"
    directions: Annotated[int, Field(ge=1)] = 4
    size: Annotated[float, Field(gt=0)] = 0.1
    inside_size: Annotated[float, Field(gt=0, lt=0.25)] = 0.02
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    inside_learning_rate: Annotated[float, Field(gt=0)] = 1e-2
    after_learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    decay: Decay = "constant"
    readout: Literal["sum", "last"] = "sum"

    @property
    def placements(self) -> frozenset[Placement]:  # type: ignore[override]
        """Where `where` says."""
        return PLACEMENTS[self.where]

    def directions_of(self, layer: PhysicalLayer, *, law: Law, rule: str, **more: Any) -> Directions:
        """Return the directions of a layer.

        Args:
            layer: The layer.
            law: How they are drawn.
            rule: Name of the rule, for messages.
            more: Further options of `Directions`.

        Raises:
            InputError: The layer has nothing to train there.
        """
        return Directions(
            layer,
            where=self.where,
            law=law,
            directions=self.directions,
            size=self.size,
            inside_size=self.inside_size,
            learning_rate=self.learning_rate,
            inside_learning_rate=self.inside_learning_rate,
            decay=self.decay,
            rule=rule,
            **more,
        )
