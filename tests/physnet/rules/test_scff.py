"""Self-contrastive forward-forward against autograd, and what it may know of the labels."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from physnet.errors import InputError
from physnet.layer import Nonlinearity
from physnet.rules.base import Batch
from physnet.rules.scff import SelfContrastive, partners
from tests.physnet.rules.rehearsal import (
    CLASSES,
    CLEARLY_ABOVE_CHANCE,
    SAMPLES,
    assert_goes_on_as_if_never_stopped,
    assert_same,
    feed,
    first_gradient,
    make_batch,
    make_layer,
    recorded,
    train,
)


@pytest.mark.parametrize("nonlinearity", ["none", "relu", "gelu"])
def test_the_gradient_is_autograds(nonlinearity: Nonlinearity) -> None:
    rule = SelfContrastive(theta_positive=3.0, theta_negative=0.5, alpha=1.7)
    layer, batch = make_layer(nonlinearity), make_batch()
    layer.bias_O.copy_(torch.linspace(-1, 1, layer.width))
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    f = recorded(layer)
    weight, bias = (t.clone().requires_grad_() for t in (layer.weight_FO, layer.bias_O))
    other = f[partners(batch, SAMPLES)]
    goodness = [torch.relu((f + g) @ weight + 2 * bias).square().mean(1) for g in (f, other)]
    loss = functional.softplus(1.7 * (3.0 - goodness[0])) + functional.softplus(1.7 * (goodness[1] - 0.5))
    torch.autograd.backward(loss.mean())
    learned = feed(learner, layer, f, batch)
    assert weight.grad is not None and bias.grad is not None
    assert_same(first_gradient(learner, "weight"), weight.grad)
    assert_same(first_gradient(learner, "bias"), bias.grad)
    assert learned.metrics["loss"] == pytest.approx(float(loss.detach().mean()), rel=1e-9)


def test_labels_reach_the_read_out_and_nothing_else() -> None:
    rule, found = SelfContrastive(inner_steps=3), []
    for shift in (0, 1):
        batch = make_batch()
        batch = dataclasses.replace(batch, labels_N=(batch.labels_N + shift) % CLASSES)
        layer = make_layer()
        learner = rule.learner(layer, classes=CLASSES, seed=1)
        metrics = feed(learner, layer, recorded(layer), batch).metrics
        found.append((layer.weight_FO, layer.bias_O, metrics, learner.tensors()["head_weight"]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert found[0][2] == found[1][2]
    assert not torch.equal(found[0][3], found[1][3])


def test_the_read_out_learns_from_what_goes_up_after_the_update() -> None:
    layer, batch = make_layer(), make_batch()
    learner = SelfContrastive(learning_rate=0.1).learner(layer, classes=CLASSES, seed=1)
    f = recorded(layer)
    before = layer.outputs(f)
    feed(learner, layer, f, batch)
    gradients = []
    for outputs in (before, layer.outputs(f)):
        head = torch.zeros(layer.width, CLASSES, dtype=torch.float64, requires_grad=True)
        directions = functional.normalize(outputs, dim=1) * 3.0  # the square root of the width
        torch.autograd.backward(functional.cross_entropy(directions @ head, batch.labels_N))
        assert head.grad is not None
        gradients.append(head.grad)
    assert_same(first_gradient(learner, "head_weight"), gradients[1])
    assert float((gradients[0] - gradients[1]).abs().max()) > 1e-3


def test_partners_are_others_and_new_at_every_step() -> None:
    drawn = [partners(make_batch(step=step), SAMPLES) for step in (0, 1)]
    for found in drawn:
        assert not bool((found == torch.arange(SAMPLES)).any())
    assert not torch.equal(*drawn)


def test_one_sample_has_nobody_to_be_paired_with() -> None:
    layer = make_layer()
    learner = SelfContrastive().learner(layer, classes=CLASSES, seed=1)
    batch = Batch(
        features_NI=torch.zeros(1, layer.inputs, dtype=torch.float64),
        labels_N=torch.zeros(1, dtype=torch.int64),
        seed=0,
        epoch=0,
        step=0,
        progress=0.0,
    )
    with pytest.raises(InputError, match="at least 2 samples"):
        feed(learner, layer, recorded(layer, rows=1), batch)


def test_it_goes_on_from_saved_tensors_as_if_never_stopped() -> None:
    assert_goes_on_as_if_never_stopped(SelfContrastive(inner_steps=2), "relu")


def test_two_layers_learn_in_one_pass_a_sample_negatives_included() -> None:
    trained = train(SelfContrastive(), epochs=12)
    assert trained.after >= CLEARLY_ABOVE_CHANCE
    assert trained.train_passes == 2 * 120 * 12
    assert trained.test_passes == 2 * 80
