"""What is trained, on what, and how far it has come: all of a run but its course."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from .data import Splits
from .learning import check_rule
from .live_weights import live_tensors, load_tensors
from .minibatches import Minibatches
from .network import Network
from .passes import Purpose
from .rules.base import Batch, Learner, LocalRule
from .seeding import derive_seed
from .standing import Standing, charge
from .training_options import TrainingOptions


class Training:
    """A rule at work on a network, its samples, and the counters of the run.

    Args:
        network: The network.
        rule: The rule.
        data: Training, validation and test samples, scaled as the network expects them.
        classes: Number of classes.
        options: How long to train.
        seed: Fixes data order, negatives, initial rule tensors and pass numbers.

    Raises:
        InputError: The rule can't train this network.
    """

    def __init__(
        self,
        network: Network,
        rule: LocalRule,
        data: Splits,
        *,
        classes: int,
        options: TrainingOptions | None = None,
        seed: int = 0,
    ) -> None:
        self.network, self.rule, self.data = network, rule, data
        self.classes, self.options, self.seed = classes, options or TrainingOptions(), seed
        check_rule(rule, network, data, classes=classes)
        self.learners: tuple[Learner, ...] = tuple(
            rule.learner(layer, classes=classes, seed=derive_seed(seed, "rule", number))
            for number, layer in enumerate(network)
        )
        self.minibatches = Minibatches(data, size=self.options.batch_size, seed=seed, like=network.layers[0].weight_FO)
        self.standing = Standing()
        self.ready = False
        """Whether the standardisation is fitted, or was loaded."""

    @property
    def batch_size(self) -> int:
        """Samples of a full minibatch."""
        return self.minibatches.size

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches of an epoch. The last may be smaller; a single sample that is left joins the one before it."""
        return self.minibatches.per_epoch

    @property
    def depth(self) -> int:
        """Layers that are driven in training: all of them, or those up to the one that learns."""
        return self.standing.layer + 1 if self.options.schedule == "greedy" else len(self.network)

    @property
    def epochs_planned(self) -> int:
        """Epochs of the run if nothing ends it, or a layer of the greedy schedule, before."""
        return self.options.epochs * (len(self.network) if self.options.schedule == "greedy" else 1)

    @property
    def steps_done(self) -> int:
        """Steps since the run began."""
        return self.standing.steps

    @property
    def epochs_done(self) -> int:
        """Epochs since the run began."""
        return self.standing.epochs

    @property
    def passes(self) -> dict[str, int]:
        """Rows presented, by purpose."""
        return self.standing.passes

    @property
    def stop_reason(self) -> str:
        """Why the run is to end; empty while it is not."""
        return self.standing.stop_reason

    def stop(self, reason: str) -> None:
        """End the run after the present step; `run` then tests and finishes as usual."""
        self.standing.stop_reason = self.stop_reason or reason

    def tensors(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return copies of every layer and rule tensor, as `layer/tensor` and `layer/rule/tensor`."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._live().items()}

    def load(self, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over tensors saved by `tensors`.

        Raises:
            InputError: A tensor is missing or has another shape.
        """
        load_tensors(self._live(), tensors)
        self.ready = True

    def minibatch(self, place: int) -> Batch:
        """Return a minibatch of the present epoch.

        Args:
            place: Step within the epoch.
        """
        return self.batch(self.minibatches.rows(self.epochs_done, place), place)

    def batch(self, rows: np.ndarray[Any, np.dtype[np.int64]], place: int) -> Batch:
        """Return a minibatch of some training samples.

        Args:
            rows: Their numbers in the split.
            place: Step within the epoch.
        """
        before = self.standing.layer_epochs if self.options.schedule == "greedy" else None
        epochs = self.options.epochs
        return self.minibatches.batch(rows, epoch=self.epochs_done, place=place, epochs=epochs, before=before)

    @contextmanager
    def charged(self, purpose: Purpose) -> Iterator[None]:
        """Count what is presented meanwhile as for a purpose, whatever happens."""
        before = self.network.count
        try:
            yield
        finally:
            charge(self.passes, purpose, self.network.count - before)

    def _live(self) -> dict[str, torch.Tensor]:
        return live_tensors(self.network, self.learners)
