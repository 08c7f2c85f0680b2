"""Target projection against a reference of a few lines."""

from collections.abc import Callable

import pytest
import torch

from physnet.layer import NONLINEARITIES, Nonlinearity, activate
from physnet.rules.tpsgd import TargetProjection
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

SLOPES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda z: torch.ones_like(z),
    "relu": lambda z: (z > 0).to(z.dtype),
    "tanh": lambda z: 1 / torch.cosh(z) ** 2,
    "abs": torch.sign,
    "gelu": lambda z: (1 + torch.erf(z / 2**0.5)) / 2 + z * torch.exp(-(z**2) / 2) / (2 * torch.pi) ** 0.5,
    "silu": lambda z: (1 + torch.exp(-z) * (1 + z)) / (1 + torch.exp(-z)) ** 2,
}


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("loss", ["l2", "l1"])
def test_the_first_step_is_the_closed_form_one(loss: str, nonlinearity: Nonlinearity) -> None:
    layer, batch = make_layer(nonlinearity), make_batch()
    rule = TargetProjection(loss=loss, inner_steps=1)  # type: ignore[arg-type]
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    f = recorded(layer)
    z = f @ layer.weight_FO + layer.bias_O
    missing = learner.tensors()["targets"][batch.labels_N] - activate(z, nonlinearity)
    pull = (missing if loss == "l2" else missing.sign()) * SLOPES[nonlinearity](z)
    value = missing.square().sum(1).mean() / 2 if loss == "l2" else missing.abs().sum(1).mean()
    learned = feed(learner, layer, f, batch)
    assert_same(first_gradient(learner, "weight"), -f.T @ pull / SAMPLES)
    assert_same(first_gradient(learner, "bias"), -pull.mean(0))
    assert learned.metrics["loss"] == pytest.approx(float(value), rel=1e-9)


def test_the_drive_ends_where_the_target_is_met() -> None:
    layer, batch = make_layer("none"), make_batch()
    learner = TargetProjection(inner_steps=1).learner(layer, classes=CLASSES, seed=1)
    layer.weight_FO.zero_()
    layer.bias_O.copy_(learner.tensors()["targets"][0])
    before = layer.bias_O.clone()
    batch.labels_N.zero_()
    feed(learner, layer, recorded(layer), batch)
    assert torch.equal(layer.bias_O, before) and not bool(layer.weight_FO.any())


@pytest.mark.parametrize("loss", ["l2", "l1"])
def test_the_nearest_target_is_the_answer(loss: str) -> None:
    layer = make_layer("tanh")
    learner = TargetProjection(loss=loss).learner(layer, classes=CLASSES, seed=1)  # type: ignore[arg-type]
    targets = learner.tensors()["targets"]
    assert learner.scores(targets + 0.01).argmax(1).tolist() == list(range(CLASSES))


def test_every_layer_and_seed_has_targets_of_its_own_within_the_amplitude() -> None:
    rule = TargetProjection(amplitude=0.25)
    targets = [rule.learner(make_layer("tanh"), classes=CLASSES, seed=s).tensors()["targets"] for s in (1, 2)]
    assert not torch.equal(*targets)
    assert 0.1 < float(torch.stack(targets).abs().max()) <= 0.25


def test_it_goes_on_from_saved_tensors_as_if_never_stopped() -> None:
    assert_goes_on_as_if_never_stopped(TargetProjection(inner_steps=2), "tanh")


def test_two_layers_learn_in_one_pass_a_sample() -> None:
    trained = train(TargetProjection(learning_rate=1e-2), epochs=8)
    assert trained.after >= CLEARLY_ABOVE_CHANCE
    assert trained.train_passes == 2 * 120 * 8
    assert trained.test_passes == 2 * 80
