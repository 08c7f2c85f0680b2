"""Augmented direct feedback alignment against its formula, written down a second time, and on a small task."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional

from physnet.learning import learn_minibatch
from physnet.network import Network
from physnet.rules.augmented_dfa import AugmentedFeedbackAlignment, Surrogate
from physnet.rules.base import LocalRule
from physnet.rules.mono_forward import MonoForward
from tests.physnet.rules.rehearsal import CLASSES, assert_same, first_gradient, make_batch
from tests.physnet.rules.trained import assert_a_resumed_run_is_the_same_to_the_bit, trained
from tests.physnet.rules.tunable import ENCODED, MixingMedium, make_layer


def reference(rule: AugmentedFeedbackAlignment, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient of weight and bias of the map before the physics, as the paper has it, in ten lines."""
    layer, batch = make_layer(MixingMedium(), before=True), make_batch()
    tensors = rule.learner(layer, classes=CLASSES, seed=seed).tensors()
    x, weight = batch.features_NI, layer.tensors()["before_weight"]
    z = x @ weight + layer.tensors()["before_bias"]
    drive = z / z.abs().max(1, keepdim=True).values
    f = layer.port.system.forward(drive, np.arange(len(x)))  # type: ignore[attr-defined]
    a = torch.relu(f @ layer.weight_FO + layer.bias_O)
    e = torch.softmax(a @ tensors["head"], 1) - functional.one_hot(batch.labels_N, CLASSES)
    s = z / z.pow(2).mean().sqrt()
    g = {"one": s**0, "tanh": 1 / torch.cosh(s) ** 2, "cos": torch.cos(s), "relu": torch.heaviside(s, 0 * s)}
    fed = (e @ tensors["feedback"]) * g[rule.surrogate]
    return x.T @ fed / len(x), fed.sum(0) / len(x)


@pytest.mark.parametrize("surrogate", get_args(Surrogate))
@pytest.mark.parametrize("error", ["local", "output"])
def test_the_update_is_that_of_the_formula(surrogate: Surrogate, error: str) -> None:
    # One layer: its own error is the output error.
    rule = AugmentedFeedbackAlignment(surrogate=surrogate, error=error)  # type: ignore[arg-type]
    layer = make_layer(MixingMedium(), before=True)
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    with Network([layer], features=layer.inputs) as network:
        learn_minibatch(network, rule, [learner], make_batch(), place=0)
    for name, expected in zip(("before_weight", "before_bias"), reference(rule), strict=True):
        assert_same(first_gradient(learner, name), expected)
    assert layer.port.count.passes == len(make_batch().labels_N)  # one pass a sample


def test_behind_the_physics_it_is_mono_forward() -> None:
    layers = [make_layer(MixingMedium(), before=True) for _ in range(2)]
    learners = []
    rules: list[LocalRule] = [AugmentedFeedbackAlignment(), MonoForward()]
    for layer, rule in zip(layers, rules, strict=True):
        learners.append(rule.learner(layer, classes=CLASSES, seed=1))
        with Network([layer], features=layer.inputs) as network:
            learn_minibatch(network, rule, learners[-1:], make_batch(), place=0)
    for name in ("weight", "bias", "head"):
        assert torch.equal(first_gradient(learners[0], name), first_gradient(learners[1], name))


def test_the_feedback_is_fixed_random_and_as_wide_as_what_is_encoded() -> None:
    layer = make_layer(MixingMedium(), before=True)
    learner = AugmentedFeedbackAlignment().learner(layer, classes=CLASSES, seed=1)
    other = AugmentedFeedbackAlignment().learner(layer, classes=CLASSES, seed=2)
    matrix = learner.tensors()["feedback"].clone()
    assert matrix.shape == (CLASSES, ENCODED) and not torch.equal(matrix, other.tensors()["feedback"])
    with Network([layer], features=layer.inputs) as network:
        learn_minibatch(network, AugmentedFeedbackAlignment(), [learner], make_batch(), place=0)
    assert torch.equal(learner.tensors()["feedback"], matrix)


def test_it_learns_what_the_frozen_map_can_not() -> None:
    rule = AugmentedFeedbackAlignment(before_learning_rate=3e-2, learning_rate=1e-2)
    frozen = AugmentedFeedbackAlignment(before_learning_rate=1e-12, learning_rate=1e-2)
    learnt, control = (trained(one, MixingMedium(2), seed=0, epochs=20).test_accuracy for one in (rule, frozen))
    # Of 240 test samples: a standard error of the difference of at most 4.6 points; two of them.
    assert learnt > control + 0.09, (learnt, control)


@pytest.mark.parametrize("error", ["local", "output"])
def test_a_resumed_run_is_the_same_to_the_bit(error: str) -> None:
    rule = AugmentedFeedbackAlignment(error=error)  # type: ignore[arg-type]
    assert_a_resumed_run_is_the_same_to_the_bit(rule, MixingMedium)
