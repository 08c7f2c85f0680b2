"""Several minibatches on their way at once: while a layer learns from one, the layer below learns from the next.

A layer needs the one below it and its own past, and nothing from above, as long as its rule awaits nothing. So each
takes the minibatches in their order, and the numbers are those of one minibatch after the other, to the bit, wherever
the noise of a system is keyed by the pass and not by the time. Systems that share a resource take turns; while one
measures, other layers do their digital work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Lock

import torch

from .errors import InputError
from .feeding import learning_rows
from .learning import Round
from .network import Network
from .records import PassCount
from .rules.base import Batch, Learner, LocalRule

_LOOK = 0.2  # s between two looks at whether a signal came, where waiting itself can't be interrupted


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A minibatch that may be begun.

    Args:
        batch: Samples and labels.
        place: Step within the epoch.
    """

    batch: Batch
    place: int


@dataclass(kw_only=True, eq=False)
class Flight:
    """A minibatch on its way up.

    Args:
        planned: What it is.
        fed: What reaches the lowest layer, or every one where all are fed the sample.
        below: What the layer below sent up last.
        learnt: Layers that have learnt from it, from the lowest up.
        metrics: What each of them told.
        count: What was presented for it.
    """

    planned: Planned
    fed: Sequence[torch.Tensor]
    below: torch.Tensor
    learnt: int = 0
    metrics: list[dict[str, float]] = field(default_factory=list)
    count: PassCount = field(default_factory=PassCount)


class Pipeline:
    """Takes minibatches through a network, as many at once as it has layers.

    Args:
        network: The network, its systems open.
        rule: Its rule, one that needs nothing from other layers.
        learners: The rule at work on each layer.

    Raises:
        InputError: The rule needs what a layer does not have yet when it learns.
    """

    def __init__(self, network: Network, rule: LocalRule, learners: Sequence[Learner]) -> None:
        if rule.needs:
            needs = ", ".join(sorted(need.value for need in rule.needs))
            raise InputError(
                f"{type(rule).__name__} needs {needs}, and in a pipeline the layers above are still at an earlier "
                "minibatch. Set training.schedule = 'simultaneous'."
            )
        self._network, self._rule, self._learners = network, rule, tuple(learners)
        locks: dict[object, Lock] = {}
        for layer in network:
            locks.setdefault(_resource(layer.port.spec.resource, layer.port.system), Lock())
        self._turns = [locks[_resource(layer.port.spec.resource, layer.port.system)] for layer in network]
        self._flights: deque[Flight] = deque()
        self._running: dict[Future[None], int] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._cores = torch.get_num_threads()

    @property
    def ahead(self) -> int:
        """Minibatches that were begun and not yet returned."""
        return len(self._flights)

    def settle(self) -> None:
        """Wait for what runs, and let nothing begin meanwhile. What it met is told by `next`."""
        wait(self._running)

    def next(self, more: Callable[[], Planned | None], *, before: Callable[[], None] = lambda: None) -> Flight:
        """Return the next minibatch, in order, when every layer has learnt from it.

        Args:
            more: Asked for further minibatches as long as a layer is idle; None where there is none for now. At least
                one must be on its way or to be had.
            before: Called each time before layers are given something to do, in the calling thread; it may `settle`.

        Raises:
            PhysnetError: What a layer or `before` met. Nothing runs any more then, and what was on its way is given up.
        """
        try:
            while True:
                before()
                self._begin(more)
                if self._flights and self._flights[0].learnt == len(self._network):
                    return self._land()
                done, _ = wait(self._running, timeout=_LOOK, return_when=FIRST_COMPLETED)
                for future in done:
                    del self._running[future]
                    future.result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Wait for what runs, and give up what is on its way."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None
        self._running.clear()
        self._flights.clear()

    def _begin(self, more: Callable[[], Planned | None]) -> None:
        """Give every idle layer the minibatch that is next for it, the highest layer first."""
        busy = set(self._running.values())
        for number in reversed(range(len(self._network))):
            if number in busy:
                continue
            flight = next((one for one in self._flights if one.learnt == number), None)
            if flight is None and number == 0 and len(self._flights) <= len(self._network):
                flight = self._take(more())
            if flight is None:
                continue
            if self._threads is None:
                self._threads = ThreadPoolExecutor(
                    len(self._network), thread_name_prefix="layer", initializer=_compute_with, initargs=(self._cores,)
                )
            self._running[self._threads.submit(self._learn, number, flight)] = number

    def _take(self, planned: Planned | None) -> Flight | None:
        if planned is None:
            return None
        fed = learning_rows(self._network, self._rule, planned.batch)
        flight = Flight(planned=planned, fed=fed, below=fed[0])
        self._flights.append(flight)
        return flight

    def _land(self) -> Flight:
        landed = self._flights.popleft()
        if not self._flights:
            self.close()
        return landed

    def _learn(self, number: int, flight: Flight) -> None:
        """Let a layer learn from a minibatch. Runs in a thread; nobody else has this flight or this layer meanwhile."""
        planned, layer = flight.planned, self._network.layers[number]
        conversation = Round(self._network, number, planned.place, planned.batch, turn=self._turns[number])
        try:
            inputs = flight.fed[number] if self._network.refed else flight.below
            outcome = conversation.alone(self._learners[number].learn(inputs, planned.batch), rule=self._rule)
        finally:
            flight.count += conversation.count
        if not self._network.refed:
            flight.below = layer.outputs(outcome.features_NF)
        flight.metrics.append(dict(outcome.metrics))
        flight.learnt += 1


def _resource(name: str, system: object) -> object:
    """Return what tells resources apart: a name, or where there is none the system itself."""
    return name or id(system)


def _compute_with(cores: int) -> None:
    """Have torch compute in the calling thread with as many threads as elsewhere, or its sums would differ.

    A thread takes what is set at the moment of its first look, and some simulator may have set 1 for a while.
    """
    torch.get_num_threads()
    torch.set_num_threads(cores)
