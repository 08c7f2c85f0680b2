"""The steps of a run, in the order that its schedule asks for, and what of them is on its way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .errors import InputError
from .greedy import check_greedy, learn_layer
from .learning import learn_minibatch
from .passes import MOST_EPOCHS, Purpose
from .pipeline import Pipeline, Planned
from .records import PassCount
from .standing import charge

if TYPE_CHECKING:
    from .trainer import Trainer

Told = dict[str, tuple[float, ...]]


class Steps:
    """Lets the layers learn from one minibatch after the other; in the pipelined schedule, from several at once.

    Args:
        trainer: The run.

    Raises:
        InputError: The schedule can't serve the rule, or the epochs of all layers are more than can be told apart.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        schedule, network = trainer.options.schedule, trainer.network
        if schedule == "greedy":
            check_greedy(trainer.rule)
        if trainer.epochs_planned > MOST_EPOCHS:
            raise InputError(
                f"epochs of all {len(network)} layers together must be at most {MOST_EPOCHS}, got "
                f"{trainer.epochs_planned}. Set training.epochs lower."
            )
        self._pipeline = Pipeline(network, trainer.rule, trainer.learners) if schedule == "pipelined" else None
        self.draining = False
        """Whether no further step is to be begun."""
        self.aloft = 0
        """Passes taken by steps that are not over: they were begun with none on its way before."""
        self._counted, self._place = PassCount(), 0
        self._thread = threading.get_ident()

    @property
    def overlap(self) -> bool:
        """Whether several steps may be on their way at once."""
        return self._pipeline is not None

    @property
    def ahead(self) -> int:
        """Steps that were begun and are not over."""
        return self._pipeline.ahead if self._pipeline is not None else 0

    def learn(self, place: int) -> tuple[Told, PassCount]:
        """Let the layers learn from the next minibatch.

        Args:
            place: Step within the epoch.

        Returns:
            What each layer tells of it, by metric, and what was presented for it.

        Raises:
            PhysnetError: What a layer met. Nothing is on its way then.
        """
        trainer, network = self._trainer, self._trainer.network
        if self._pipeline is not None:
            if not self.ahead:
                self._counted, self._place, self.aloft = network.count, place, 0
            self._thread = threading.get_ident()
            flight = self._pipeline.next(self._plan, before=trainer.pauses.make_room)
            self.aloft -= flight.count.passes
            return {name: tuple(told[name] for told in flight.metrics) for name in trainer.rule.metrics}, flight.count
        before = network.count
        self._counted = before
        batch, rule, learners = trainer.minibatch(place), trainer.rule, trainer.learners
        if trainer.options.schedule == "greedy":
            told = learn_layer(network, rule, learners, batch, place=place, number=trainer.standing.layer)
        else:
            told = learn_minibatch(network, rule, learners, batch, place=place)
        return told, network.count - before

    def count(self) -> None:
        """Count what was presented since this was last looked at; in a pipeline it goes on between steps."""
        count = self._trainer.network.count
        charge(self._trainer.passes, Purpose.TRAIN, count - self._counted)
        self.aloft += (count - self._counted).passes
        self._counted = count

    def give_up(self) -> None:
        """Wait for what is on its way and leave it, so that weights and counts are final: the run can't go on."""
        if self._pipeline is not None and self.ahead:
            self._pipeline.close()
            self.count()

    def refuse_ahead(self, what: str) -> None:
        """Refuse what needs a network at rest.

        Raises:
            InputError: Something is on its way.
        """
        if self.ahead:
            raise InputError(f"{what} must wait until no minibatch is on its way, got {self.ahead}: call drain().")

    def settle(self) -> bool:
        """Wait until no system is driven, and return whether that can be: not from a thread that drives one itself."""
        if self._pipeline is None or not self.ahead:
            return True
        if threading.get_ident() != self._thread:
            return False
        self._pipeline.settle()
        return True

    def close(self) -> None:
        """End the threads that there are."""
        if self._pipeline is not None:
            self._pipeline.close()

    def _plan(self) -> Planned | None:
        """Return the next minibatch of this epoch that may be begun while earlier ones are on their way."""
        place, trainer = self._place, self._trainer
        full = self.ahead and (self.draining or trainer.budget.exceeded(self.ahead))
        if place >= trainer.steps_per_epoch or full:
            return None
        self._place += 1
        return Planned(batch=trainer.minibatch(place), place=place)
