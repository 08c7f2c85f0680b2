"""Node perturbation: one presentation, the exact part behind the physics, and a map that learns. The estimate itself is
compared with the gradient in `test_directional`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from physnet.exchange import Exchange
from physnet.layer import PhysicalLayer
from physnet.learning import learn_minibatch
from physnet.network import Network
from physnet.rules.mono_forward import MonoForward
from physnet.rules.node_perturbation import NodePerturbation
from tests.physnet.rules.rehearsal import CLASSES, SAMPLES, first_gradient, make_batch
from tests.physnet.rules.trained import assert_a_resumed_run_is_the_same_to_the_bit, trained
from tests.physnet.rules.tunable import MixingMedium, make_layer


def step(rule: NodePerturbation | MonoForward, layer: PhysicalLayer) -> object:
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    with Network([layer], features=layer.inputs) as network:
        learn_minibatch(network, rule, [learner], make_batch(), place=0)
    return learner


def test_all_rows_of_a_minibatch_are_one_presentation_and_shuffled() -> None:
    layer = make_layer(MixingMedium(), before=True)
    seen: list[Exchange] = []
    layer.port.on_exchange = seen.append
    step(NodePerturbation(directions=3), layer)
    [exchange] = seen
    assert len(exchange.passes) == 7 * SAMPLES == layer.port.count.passes
    assert len(np.unique(exchange.passes)) == 7 * SAMPLES  # no two rows share their noise
    assert not np.array_equal(exchange.passes, np.sort(exchange.passes))


def test_what_is_shaken_is_what_is_encoded_both_ways_and_in_proportion_to_it() -> None:
    layer = make_layer(MixingMedium(), before=True)
    nudges: list[torch.Tensor] = []
    present = layer.present

    def spy(*arguments: object, nudge: torch.Tensor, **more: object) -> object:
        nudges.append(nudge)
        return present(*arguments, nudge=nudge, **more)  # type: ignore[arg-type]

    layer.present = spy  # type: ignore[assignment,method-assign]
    assert layer.before is not None
    root = float(layer.before(make_batch().features_NI).square().mean().sqrt())
    step(NodePerturbation(directions=50, size=0.2), layer)
    rest, plus, minus = nudges[0][:SAMPLES], *nudges[0][SAMPLES:].chunk(2)
    assert bool((rest == 0).all()) and torch.equal(plus, -minus)
    # 50 * 40 * 5 normal numbers: their root mean square is known to 1 / sqrt(2 * 10^4) = 0.7 %, times four.
    assert float(plus.square().mean().sqrt()) == pytest.approx(0.2 * root, rel=0.028)


def test_behind_the_physics_it_is_mono_forward_to_the_bit() -> None:
    subject, reference = (make_layer(MixingMedium(), before=True) for _ in range(2))
    own, other = step(NodePerturbation(learning_rate=1e-3), subject), step(MonoForward(), reference)
    for name in ("weight", "bias", "head"):
        torch.testing.assert_close(
            first_gradient(own, name),  # type: ignore[arg-type]
            first_gradient(other, name),  # type: ignore[arg-type]
            # a matrix product of another number of rows may round another way
            rtol=1e-12,
            atol=1e-14,
        )
    assert not torch.equal(subject.tensors()["before_weight"], reference.tensors()["before_weight"])


def test_it_learns_what_the_frozen_map_can_not() -> None:
    rule = NodePerturbation(before_learning_rate=3e-2, learning_rate=1e-2)
    frozen = NodePerturbation(before_learning_rate=1e-12, learning_rate=1e-2)
    learnt, control = (trained(one, MixingMedium(2), seed=0, epochs=20).test_accuracy for one in (rule, frozen))
    # Of 240 test samples: a standard error of the difference of at most 4.6 points; two of them.
    assert learnt > control + 0.09 and learnt > 0.8, (learnt, control)


def test_a_resumed_run_is_the_same_to_the_bit() -> None:
    assert_a_resumed_run_is_the_same_to_the_bit(NodePerturbation(directions=2), MixingMedium)
