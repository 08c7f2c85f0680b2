"""What a rule and the trainer say to each other.

A rule never touches the physics. For every layer it makes a `Learner`, whose `learn` is a generator: it yields the
presentations it wants (`Present`), is sent what they brought back (`Presented`), updates its layer, and returns the
features to send up (`Learned`). A rule that needs something from outside its layer yields `Await`, and the trainer
resumes it when every layer has got that far: that is how rules with an output error or a second pass fit without the
trainer knowing them. One that trains parameters inside the physics calls `layer.tune` when it starts, yields `Write` to
have a perturbed setting written before it presents, and changes the layer's tensors in place when it has decided.

Axis letters: N rows, I inputs, F features, O outputs, C classes.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch

from ..contracts import Passes
from ..layer import Nonlinearity, PhysicalLayer, Presented
from ..network import Network


class Need(enum.Enum):
    """What a rule may need beyond its own layer's response, weights and the labels."""

    OUTPUT_ERROR = "output_error"
    """Softmax of the top layer's scores minus the one-hot label, shape `(n, classes)`."""
    PEER_SCALARS = "peer_scalars"
    """Sum over the other layers of the scalars each reported, one per row."""
    TOP_DOWN = "top_down"
    """What the layer above returned as `Learned.down`; empty for the highest layer. Served from the top down."""


class Placement(enum.Enum):
    """Where the weights that a rule trains may sit."""

    AFTER = "after"
    BEFORE = "before"
    INSIDE = "inside"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A minibatch, and where in the run it stands.

    Args:
        features_NI: Samples, shape `(n, features)`.
        labels_N: Their labels, shape `(n,)`, int64.
        seed: The run's seed.
        epoch: From 0.
        step: Step since the run began, from 0.
        progress: Part of the planned run that is done, 0 to below 1: what a learning-rate schedule follows.
    """

    features_NI: torch.Tensor
    labels_N: torch.Tensor
    seed: int
    epoch: int
    step: int
    progress: float


@dataclass(frozen=True, kw_only=True)
class Present:
    """Please drive this layer's physics.

    Args:
        inputs_NI: Shape `(n, inputs)`; any number of rows.
        nudge: Added to the numbers that are encoded: shape `(n, encoded)`.
    """

    inputs_NI: torch.Tensor
    nudge: torch.Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Write:
    """Please set this layer's physics for the presentations that follow.

    It stands until the next `Write`, and at the latest until the layer has learnt: then its own parameters, as the rule
    has left them, are written again. A setting that is written already costs nothing.

    Args:
        values: Parameters in the place of the layer's own, by name, in their unit. None: the layer's own.
    """

    values: Mapping[str, torch.Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class Written:
    """The answer to `Write`.

    Args:
        changed: Whether anything had to be written: one write.
    """

    changed: bool


@dataclass(frozen=True, kw_only=True)
class Await:
    """Please go on with the layers above, and come back with what I need.

    Args:
        need: What for.
        features_NF: What to send up meanwhile, through the weights as they are.
        report: This layer's scalar per row, for `Need.PEER_SCALARS`.
    """

    need: Need
    features_NF: torch.Tensor
    report: torch.Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """The answer to `Await`.

    Args:
        value: What was needed.
        inputs_NI: What comes from below in this second round; the network's inputs for the lowest layer. With
            `Need.TOP_DOWN` the layers below have yet to learn, and it is what came in the first round.
    """

    value: torch.Tensor
    inputs_NI: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A layer is done with a minibatch.

    Args:
        features_NF: What to send up, through the updated weights. It must have been measured, never invented.
        metrics: One number for each metric the rule declares.
        down: What the layer below gets that awaits `Need.TOP_DOWN`. Digital: nothing of it is ever driven.
    """

    features_NF: torch.Tensor
    metrics: Mapping[str, float]
    down: torch.Tensor | None = None


LearnSteps = Generator[Present | Write | Await, Presented | Written | Resumed, Learned]


class Learner(Protocol):
    """A rule at work on one layer. It owns its named tensors; the layer owns weight and bias."""

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        """Take one minibatch.

        Args:
            inputs_NI: What comes from below: the rule's own training rows for the lowest layer.
            batch: The samples and labels behind them.
        """
        ...

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        """Return one score per class from the outputs of the rule's inference rows.

        Args:
            outputs_NO: Shape `(hypotheses * n, width)`, hypothesis by hypothesis.

        Returns:
            Shape `(n, classes)`; the largest is the layer's answer.
        """
        ...

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return every tensor the rule keeps for this layer, optimiser state included; not copies."""
        ...

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over tensors saved by `tensors`."""
        ...


class LocalRule(Protocol):
    """A rule's configuration, and what it does with a whole network. Constructed from the `[rule]` table."""

    @property
    def needs(self) -> frozenset[Need]:
        """What it needs from outside a layer."""
        ...

    @property
    def placements(self) -> frozenset[Placement]:
        """Where the weights it trains may sit."""
        ...

    @property
    def labelled_inputs(self) -> bool:
        """Whether the network must have label slots."""
        ...

    @property
    def nonlinearity(self) -> Nonlinearity:
        """Digital nonlinearity of a layer that asks for none in particular."""
        ...

    @property
    def readout(self) -> Literal["sum", "last"]:
        """Whether the network's answer sums all layers' scores or takes the last layer's."""
        ...

    @property
    def metrics(self) -> Mapping[str, str]:
        """Unit of each metric a learner returns, by name."""
        ...

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> Learner:
        """Start work on a layer.

        Args:
            layer: The layer.
            classes: Number of classes.
            seed: Seed of the rule's own tensors for this layer.

        Raises:
            InputError: The layer is not one this rule can train.
        """
        ...

    def training_rows(self, network: Network, batch: Batch) -> torch.Tensor:
        """Return the rows to present for a minibatch, hypothesis by hypothesis: shape `(hypotheses * n, inputs)`."""
        ...

    def inference_rows(self, network: Network, features_NI: torch.Tensor, *, classes: int) -> torch.Tensor:
        """Return the rows to present to classify samples, hypothesis by hypothesis."""
        ...


@runtime_checkable
class Refeeds(Protocol):
    """A rule whose layers all receive the sample itself, beside an estimate of its class that goes from layer to layer.

    The label slots hold the estimate, so that the rule's `labelled_inputs` is true. A rule without these methods trains
    a chain: each layer receives what the one below sends up.
    """

    def layer_rows(self, network: Network, batch: Batch, *, number: int) -> torch.Tensor:
        """Return the rows that a layer learns from; nothing in them was measured or computed by another layer.

        Args:
            network: The network.
            batch: Samples and labels.
            number: Number of the layer, from 0; for 0 these are the rule's `training_rows`.

        Returns:
            Shape `(n, inputs)`.
        """
        ...

    def first_estimate(self, network: Network, features_NI: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the estimate that the lowest layer receives beside samples to classify, shape `(n, classes)`.

        Args:
            network: The network.
            features_NI: Samples, shape `(n, features)`.
            passes: Pass numbers of the rows to be presented; what is random must follow from them alone.
        """
        ...

    def next_estimate(
        self,
        network: Network,
        estimate_NC: torch.Tensor,
        scores_NC: torch.Tensor,
        passes: Passes,
        *,
        number: int,
    ) -> torch.Tensor:
        """Return the estimate that a layer receives from the one below, shape `(n, classes)`.

        Args:
            network: The network.
            estimate_NC: What the layer below had received.
            scores_NC: Scores that the layer below made of it.
            passes: Pass numbers of the rows to be presented.
            number: Number of the layer that receives it, from 1.
        """
        ...

    def shares(self, estimate_NC: torch.Tensor) -> torch.Tensor:
        """Return what lies in the label slots for an estimate, as shares of a label from 0 to 1: the range of features.

        Encoders scale a sample and its slots as one. What exceeds the features would take the range of the drive.
        """
        ...
