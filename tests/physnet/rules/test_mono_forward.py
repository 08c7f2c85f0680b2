"""Mono-Forward against the closed form of its gradient, against autograd, and against a plain Adam."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from physnet.encoders import Split
from physnet.function_system import system
from physnet.layer import NONLINEARITIES, Nonlinearity, PhysicalLayer, Presented, activate
from physnet.network import Network
from physnet.port import Port
from physnet.rules.base import Batch, Learned, Present
from physnet.rules.mono_forward import MonoForward, MonoForwardLearner
from tests.physnet.rules.rehearsal import assert_goes_on_as_if_never_stopped, assert_same, first_gradient

INPUTS, WIDTH, CLASSES, SAMPLES = 6, 9, 3, 40


def make_layer(nonlinearity: Nonlinearity = "relu") -> PhysicalLayer:
    black_box = system(lambda drive: drive, drives=2 * INPUTS, responses=2 * INPUTS, name="identity")
    return PhysicalLayer(
        port=Port(black_box, dtype=torch.float64),
        inputs=INPUTS,
        width=WIDTH,
        encoder=Split(),
        seed=3,
        nonlinearity=nonlinearity,
        name="layer0",
    )


def make_batch(progress: float = 0.0) -> Batch:
    random = torch.Generator().manual_seed(0)
    return Batch(
        features_NI=torch.randn(SAMPLES, INPUTS, generator=random, dtype=torch.float64),
        labels_N=torch.randint(0, CLASSES, (SAMPLES,), generator=random),
        seed=0,
        epoch=0,
        step=0,
        progress=progress,
    )


def feed(learner: MonoForwardLearner, layer: PhysicalLayer, features: torch.Tensor, batch: Batch) -> Learned:
    steps = learner.learn(batch.features_NI, batch)
    assert isinstance(next(steps), Present)
    reading = layer.port.measure(torch.zeros(len(features), 2 * INPUTS), np.arange(len(features)))
    with pytest.raises(StopIteration) as stop:
        steps.send(Presented(features_NF=features, reading=reading, clipped=0))
    learned = stop.value.value
    assert isinstance(learned, Learned)
    return learned


def recorded(layer: PhysicalLayer, seed: int = 5) -> torch.Tensor:
    return torch.randn(SAMPLES, layer.features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_first_update_is_the_closed_form_one() -> None:
    layer, batch, rate = make_layer(), make_batch(), 1e-3
    learner = MonoForward(learning_rate=rate).learner(layer, classes=CLASSES, seed=1)
    f, weight, head = recorded(layer), layer.weight_FO.clone(), learner.tensors()["head"].clone()
    activity = torch.relu(f @ weight)
    delta = torch.softmax(activity @ head, 1) - functional.one_hot(batch.labels_N, CLASSES)
    gradient_head = activity.T @ delta / SAMPLES
    gradient_weight = f.T @ ((delta @ head.T) * (f @ weight > 0)) / SAMPLES
    feed(learner, layer, f, batch)
    # Adam's first step is rate * g / (|g| + 1e-8): both moments are corrected to g and g^2.
    for new, old, gradient in (
        (layer.weight_FO, weight, gradient_weight),
        (learner.tensors()["head"], head, gradient_head),
    ):
        expected = old - rate * gradient / (gradient.abs() + 1e-8)
        # double precision leaves 1e-16 of the weights (order one) and 1e-12 of the update where g is as small as 1e-8
        assert float((new - expected).abs().max()) <= 1e-12
        assert float((new - old).abs().max()) > 0.5 * rate


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
def test_fifty_steps_match_autograd_with_torchs_adam(nonlinearity: Nonlinearity) -> None:
    layer, batch, rate = make_layer(nonlinearity), make_batch(), 1e-3
    learner = MonoForward(learning_rate=rate, inner_steps=2).learner(layer, classes=CLASSES, seed=1)
    tensors = [t.clone().requires_grad_() for t in (layer.weight_FO, layer.bias_O, learner.tensors()["head"])]
    weight, bias, head = tensors
    adam = torch.optim.Adam(tensors, lr=rate)
    for step in range(50):
        f = recorded(layer, seed=step)
        feed(learner, layer, f, batch)
        for _ in range(2):
            loss = functional.cross_entropy(activate(f @ weight + bias, nonlinearity) @ head, batch.labels_N)
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
    # 100 steps in double precision: 100 * rate * 1e-16 * a few dozen roundings, amplified where a gradient is near
    # Adam's 1e-8
    for own, reference in zip((layer.weight_FO, layer.bias_O, learner.tensors()["head"]), tensors, strict=True):
        assert float((own - reference.detach()).abs().max()) <= 1e-10


def test_weight_decay_is_decoupled_and_spares_the_bias() -> None:
    layer, batch, rate, pull = make_layer(), make_batch(), 1e-3, 0.5
    learner = MonoForward(learning_rate=rate, weight_decay=pull).learner(layer, classes=CLASSES, seed=1)
    plain = make_layer()
    other = MonoForward(learning_rate=rate).learner(plain, classes=CLASSES, seed=1)
    before = layer.weight_FO.clone()
    f = recorded(layer)
    feed(learner, layer, f, batch)
    feed(other, plain, f, batch)
    # the same gradient step, and before it the weights shrunk by rate * pull; one rounding of numbers of order one
    assert torch.allclose(plain.weight_FO - layer.weight_FO, rate * pull * before, atol=1e-15, rtol=0)
    assert torch.equal(plain.bias_O, layer.bias_O)


def test_cosine_decay_ends_at_zero_step_size() -> None:
    layer = make_layer()
    learner = MonoForward(decay="cosine").learner(layer, classes=CLASSES, seed=1)
    before = layer.weight_FO.clone()
    feed(learner, layer, recorded(layer), make_batch(progress=1.0))
    assert torch.equal(layer.weight_FO, before)


def test_it_needs_one_pass_and_no_label_slots() -> None:
    layer = make_layer()
    network = Network([layer], features=INPUTS)
    rule, batch = MonoForward(), make_batch()
    assert not rule.labelled_inputs
    assert torch.equal(rule.training_rows(network, batch), batch.features_NI)
    assert torch.equal(rule.inference_rows(network, batch.features_NI, classes=CLASSES), batch.features_NI)


def test_a_learner_goes_on_from_saved_tensors_as_if_never_stopped() -> None:
    rule, batch = MonoForward(weight_decay=0.1), make_batch()
    layer = make_layer()
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    feed(learner, layer, recorded(layer, 5), batch)
    other = make_layer()
    resumed = rule.learner(other, classes=CLASSES, seed=99)
    other.load(layer.tensors())
    resumed.load(learner.tensors())
    feed(learner, layer, recorded(layer, 6), batch)
    feed(resumed, other, recorded(layer, 6), batch)
    assert torch.equal(layer.weight_FO, other.weight_FO)
    assert all(torch.equal(tensor, resumed.tensors()[name]) for name, tensor in learner.tensors().items())


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("depth", [2, 3])
def test_the_gradient_through_a_deeper_head_is_autograds(nonlinearity: Nonlinearity, depth: int) -> None:
    layer, batch = make_layer(nonlinearity), make_batch()
    learner = MonoForward(head_depth=depth, head_width=7).learner(layer, classes=CLASSES, seed=1)
    f = recorded(layer)
    names = [name for name in learner.tensors() if name.startswith("head")]
    assert len(names) == 2 * depth - 1
    leaves = {name: learner.tensors()[name].clone().requires_grad_() for name in names}
    leaves |= {
        "weight": layer.weight_FO.clone().requires_grad_(),
        "bias": layer.bias_O.clone().requires_grad_(),
    }
    activity = activate(f @ leaves["weight"] + leaves["bias"], nonlinearity)
    for number in range(1, depth):
        activity = torch.relu(activity @ leaves[f"head_{number}_weight"] + leaves[f"head_{number}_bias"])
    torch.autograd.backward(functional.cross_entropy(activity @ leaves["head"], batch.labels_N))
    feed(learner, layer, f, batch)
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        assert_same(first_gradient(learner, name), leaf.grad)


def test_a_deeper_head_goes_on_from_saved_tensors_as_if_never_stopped() -> None:
    assert_goes_on_as_if_never_stopped(MonoForward(head_depth=3, head_width=5, inner_steps=2), "relu")


def test_a_head_of_one_matrix_is_the_linear_one_whatever_the_width() -> None:
    layer = make_layer()
    narrow, wide = (MonoForward(head_width=w).learner(layer, classes=CLASSES, seed=1) for w in (1, 500))
    assert set(narrow.tensors()) == set(wide.tensors())
    assert torch.equal(narrow.tensors()["head"], wide.tensors()["head"])
    assert narrow.tensors()["head"].shape == (WIDTH, CLASSES)
