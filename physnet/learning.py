"""One minibatch through every layer of a network, in as many rounds as the rule asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch

from .data import Splits
from .errors import InputError, PhysnetError
from .feeding import learning_rows
from .layer import Presented
from .network import Network
from .passes import Purpose, pass_numbers
from .records import PassCount
from .rules.base import (
    Await,
    Batch,
    Learned,
    Learner,
    LearnSteps,
    LocalRule,
    Need,
    Placement,
    Present,
    Refeeds,
    Resumed,
    Write,
    Written,
)

SERVED = frozenset({Need.OUTPUT_ERROR, Need.PEER_SCALARS, Need.TOP_DOWN})
"""What `learn_minibatch` can give a rule beyond its own layer."""


def check_rule(rule: LocalRule, network: Network, data: Splits, *, classes: int) -> None:
    """Refuse a rule that can't train a network on these samples.

    Raises:
        InputError: It needs what the trainer, the network or the data don't have.
    """
    name = type(rule).__name__
    unserved = rule.needs - SERVED
    if unserved:
        raise InputError(
            f"{name} needs {', '.join(sorted(need.value for need in unserved))}, which this trainer can't give."
        )
    _check_placements(name, rule.placements, network)
    if rule.labelled_inputs and network.slots is None:
        raise InputError(f"{name} presents labels, so the network must have label slots.")
    if network.refed is not isinstance(rule, Refeeds) or (network.refed and rule.needs):
        raise InputError(
            f"a network must feed its layers the sample again for rules that ask for it and need nothing else, got "
            f"refed = {network.refed} with {name}."
        )
    if network.slots is not None and network.slots.classes != classes:
        raise InputError(f"label slots must be one per class, {classes}, got {network.slots.classes}.")
    if data.train.x.shape[1] != network.features:
        raise InputError(f"samples must have {network.features} features, got {data.train.x.shape[1]}.")
    if len(data.train.y) < 2:
        raise InputError(f"training needs at least 2 samples, got {len(data.train.y)}.")


def _check_placements(name: str, placements: frozenset[Placement], network: Network) -> None:
    """Refuse a rule that finds nothing to train where it trains."""
    before = Placement.BEFORE in placements and any(layer.before for layer in network)
    inside = Placement.INSIDE in placements and any(layer.port.parameters for layer in network)
    if Placement.AFTER not in placements and not before and not inside:
        raise InputError(
            f"{name} trains weights before or parameters inside the physics, and no layer has any. Set `before`, or "
            "use a system with parameters."
        )
    for port in network.ports if Placement.INSIDE in placements else ():
        sharing = [layer.name for layer in network if layer.port is port]
        if port.parameters and len(sharing) > 1:
            raise InputError(
                f"{name} trains the parameters of {port.spec.name}, which must serve one layer, got "
                f"{', '.join(sharing)}: what one layer learns would change the others. Give each a system of its own."
            )


def learn_minibatch(
    network: Network, rule: LocalRule, learners: Sequence[Learner], batch: Batch, *, place: int
) -> dict[str, tuple[float, ...]]:
    """Let every layer learn from a minibatch, bottom up, each on what the updated layer below it sends.

    Args:
        network: The network, its systems open.
        rule: Its rule.
        learners: The rule at work on each layer.
        batch: Samples and labels.
        place: Step within the epoch; keys the pass numbers.

    Returns:
        For each metric the rule declares, one number per layer.

    Raises:
        DriveError, ResponseError, MeasurementError: See `Port.measure`. The layers below the one that failed have
            learnt.
    """
    rounds = [Round(network, number, place, batch) for number in range(len(network))]
    try:
        done = _converse(network, learners, rounds, learning_rows(network, rule, batch), batch)
    except BaseException:
        for one in rounds:
            # The bench may be what broke; whatever comes next writes what it needs.
            with contextlib.suppress(PhysnetError):
                one.end()
        raise
    return {name: tuple(outcome.metrics[name] for outcome in done) for name in rule.metrics}


def _converse(
    network: Network, learners: Sequence[Learner], rounds: Sequence[Round], below: list[torch.Tensor], batch: Batch
) -> list[Learned]:
    """Let every layer learn, in as many rounds as are awaited."""
    outcomes = list[Await | Learned]()
    for number, learner in enumerate(learners):
        outcomes.append(rounds[number].start(learner.learn(below[number], batch)))
        if not network.refed:
            below.append(network.layers[number].outputs(outcomes[number].features_NF))
    while waiting := [outcome for outcome in outcomes if isinstance(outcome, Await)]:
        if any(outcome.need is Need.TOP_DOWN for outcome in waiting):
            _go_down(rounds, outcomes, below)
            continue
        values = _resolve(outcomes, highest=learners[-1], top_NO=below[-1], labels=batch.labels_N)
        for number, outcome in enumerate(outcomes):
            if isinstance(outcome, Await):
                outcomes[number] = rounds[number].resume(Resumed(value=values[number], inputs_NI=below[number]))
            below[number + 1] = network.layers[number].outputs(outcomes[number].features_NF)
    return [outcome for outcome in outcomes if isinstance(outcome, Learned)]


def output_error(scores_NC: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """Return softmax minus one-hot of the top layer's scores, shape `(n, classes)`."""
    error = torch.softmax(scores_NC, dim=1)
    error[torch.arange(len(labels_N), device=labels_N.device), labels_N] -= 1
    return error


class Round:
    """One layer's conversation with its learner during a minibatch.

    Args:
        network: The network, its systems open.
        number: The layer.
        place: Step within the epoch.
        batch: Samples and labels.
        turn: Entered for each presentation: whoever shares the system waits meanwhile.
    """

    def __init__(
        self,
        network: Network,
        number: int,
        place: int,
        batch: Batch,
        *,
        turn: contextlib.AbstractContextManager[object] | None = None,
    ) -> None:
        self.count = PassCount()
        """What this conversation has presented so far."""
        self._turn = turn or contextlib.nullcontext()
        self._layer, self._number, self._place, self._epoch = (
            network.layers[number],
            number,
            place,
            batch.epoch,
        )
        self._presented = 0
        self._parameters: Mapping[str, torch.Tensor] | None = None
        self._steps: LearnSteps | None = None

    def start(self, steps: LearnSteps) -> Await | Learned:
        """Begin the conversation; return what the learner awaits from other layers, or what it has learnt."""
        self._steps = steps
        return self._advance(None)

    def resume(self, reply: Resumed) -> Await | Learned:
        """Go on with what was awaited."""
        return self._advance(reply)

    def alone(self, steps: LearnSteps, *, rule: LocalRule) -> Learned:
        """Have the whole conversation, with a learner that awaits nothing.

        Raises:
            InputError: It does, and its rule does not say so.
            PhysnetError: See `Port.measure`. No perturbed setting is left behind.
        """
        try:
            outcome = self.start(steps)
            if not isinstance(outcome, Learned):
                name = type(rule).__name__
                raise InputError(f"{name} awaits {outcome.need.value}, and does not say so in its needs.")
        except BaseException:
            with contextlib.suppress(PhysnetError):
                self.end()
            raise
        return outcome

    def end(self) -> None:
        """Leave no perturbed setting behind: write the layer's own parameters where others are written."""
        self._parameters = None
        with self._counted():
            self._layer.write_parameters()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Have the system to itself, and count what it is asked."""
        with self._turn:
            before = self._layer.port.count
            try:
                yield
            finally:
                self.count += self._layer.port.count - before

    def _advance(self, answer: Presented | Written | Resumed | None) -> Await | Learned:
        """Serve presentations until the learner is done or awaits something."""
        assert self._steps is not None
        while True:
            try:
                request = next(self._steps) if answer is None else self._steps.send(answer)
            except StopIteration as stop:
                learned: Learned = stop.value
                self.end()
                return learned
            if isinstance(request, Await):
                return request
            answer = self._write(request) if isinstance(request, Write) else self._present(request)

    def _write(self, request: Write) -> Written:
        self._parameters = request.values
        with self._counted():
            return Written(changed=self._layer.write_parameters(request.values))

    def _present(self, request: Present) -> Presented:
        rows = len(request.inputs_NI)
        passes = pass_numbers(
            Purpose.TRAIN,
            epoch=self._epoch,
            step=self._place,
            layer=self._number,
            first_row=self._presented,
            rows=rows,
        )
        self._presented += rows
        with self._counted():
            return self._layer.present(request.inputs_NI, passes, nudge=request.nudge, parameters=self._parameters)


def _go_down(rounds: Sequence[Round], outcomes: list[Await | Learned], below: Sequence[torch.Tensor]) -> None:
    """Resume every waiting layer, the highest first, each with what the layer above it sends down."""
    down = empty = below[0].new_empty(0)
    for number, outcome in reversed(list(enumerate(outcomes))):
        if isinstance(outcome, Await):
            outcome = outcomes[number] = rounds[number].resume(Resumed(value=down, inputs_NI=below[number]))
        down = outcome.down if isinstance(outcome, Learned) and outcome.down is not None else empty


def _resolve(
    outcomes: Sequence[Await | Learned], *, highest: Learner, top_NO: torch.Tensor, labels: torch.Tensor
) -> list[torch.Tensor]:
    """Compute what the waiting layers need; an empty tensor for the others."""
    waiting = [outcome for outcome in outcomes if isinstance(outcome, Await)]
    reports = [outcome.report for outcome in waiting if outcome.report is not None]
    total = torch.stack(reports).sum(0) if reports else torch.zeros(())
    needed = any(outcome.need is Need.OUTPUT_ERROR for outcome in waiting)
    error = output_error(highest.scores(top_NO), labels) if needed else top_NO.new_empty(0)
    values = []
    for outcome in outcomes:
        if not isinstance(outcome, Await):
            values.append(top_NO.new_empty(0))
        elif outcome.need is Need.OUTPUT_ERROR:
            values.append(error)
        else:
            values.append(total if outcome.report is None else total - outcome.report)
    return values
