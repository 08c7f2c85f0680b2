"""Layer by layer: one learns, those below it are done, those above it wait.

Axis letters: N rows, I inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .errors import InputError
from .feeding import learning_rows
from .learning import Round
from .network import Network
from .passes import Purpose, pass_numbers
from .rules.base import Batch, Learner, LocalRule


def check_greedy(rule: LocalRule) -> None:
    """Refuse a rule that can't train one layer while those above it have never been driven.

    Raises:
        InputError: It needs something from other layers.
    """
    if rule.needs:
        raise InputError(
            f"{type(rule).__name__} needs {', '.join(sorted(need.value for need in rule.needs))}, and while the layers "
            "are trained one by one the others have nothing to tell. Set training.schedule = 'simultaneous'."
        )


def learn_layer(
    network: Network, rule: LocalRule, learners: Sequence[Learner], batch: Batch, *, place: int, number: int
) -> dict[str, tuple[float, ...]]:
    """Let one layer learn from a minibatch that comes through those below it.

    Args:
        network: The network, its systems open.
        rule: Its rule.
        learners: The rule at work on each layer.
        batch: Samples and labels.
        place: Step within the epoch; keys the pass numbers.
        number: The layer.

    Returns:
        For each metric the rule declares, one number per layer; NaN for those that did not learn.

    Raises:
        DriveError, ResponseError, MeasurementError: See `Port.measure`.
    """
    fed = learning_rows(network, rule, batch)
    rows_NI = fed[number if network.refed else 0]
    # A layer that is fed the sample itself needs none of those below it.
    for below in range(0 if network.refed else number):
        layer = network.layers[below]
        passes = pass_numbers(Purpose.TRAIN, epoch=batch.epoch, step=place, layer=below, rows=len(rows_NI))
        rows_NI = layer.outputs(layer.present(rows_NI, passes).features_NF)
    outcome = Round(network, number, place, batch).alone(learners[number].learn(rows_NI, batch), rule=rule)
    return {
        name: tuple(outcome.metrics[name] if layer == number else math.nan for layer in range(len(network)))
        for name in rule.metrics
    }
