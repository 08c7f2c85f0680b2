"""Prototypes against autograd on the cosine, and the geometry of the simplex."""

import pytest
import torch
from torch.nn import functional

from physnet.errors import InputError
from physnet.layer import NONLINEARITIES, Nonlinearity, activate
from physnet.rules.prototype import Prototype
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


def objective(rule: Prototype, cosines: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The loss, written from its definition."""
    if rule.loss == "cross_entropy":
        return functional.cross_entropy(cosines / rule.temperature, labels)
    total = torch.zeros((), dtype=cosines.dtype)
    for row, label in enumerate(labels.tolist()):
        for other in range(CLASSES):
            if other != label:
                total = total + torch.relu(rule.margin + cosines[row, other] - cosines[row, label])
    return total / len(labels)


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
@pytest.mark.parametrize("prototypes", ["simplex", "learned"])
def test_the_gradient_is_autograds(prototypes: str, loss: str, nonlinearity: Nonlinearity) -> None:
    rule = Prototype(prototypes=prototypes, loss=loss, temperature=0.3)  # type: ignore[arg-type]
    layer, batch = make_layer(nonlinearity), make_batch()
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    f = recorded(layer)
    leaves = [t.clone().requires_grad_() for t in (layer.weight_FO, layer.bias_O, learner.tensors()["prototypes"])]
    weight, bias, directions = leaves
    activity = activate(f @ weight + bias, nonlinearity)
    cosines = functional.cosine_similarity(activity.unsqueeze(1), directions.unsqueeze(0), dim=2)
    loss_value = objective(rule, cosines, batch.labels_N)
    torch.autograd.backward(loss_value)
    learned = feed(learner, layer, f, batch)
    names = ("weight", "bias", "prototypes") if prototypes == "learned" else ("weight", "bias")
    for name, leaf in zip(names, leaves, strict=False):
        assert leaf.grad is not None
        assert_same(first_gradient(learner, name), leaf.grad)
    assert learned.metrics["loss"] == pytest.approx(float(loss_value.detach()), rel=1e-9)
    if prototypes == "simplex":
        assert torch.equal(learner.tensors()["prototypes"], directions.detach())


def test_a_simplex_has_unit_corners_equally_far_apart_at_an_orientation_of_its_own() -> None:
    corners = [
        Prototype(prototypes="simplex").learner(make_layer(), classes=CLASSES, seed=seed).tensors()["prototypes"]
        for seed in (1, 2)
    ]
    for found in corners:
        expected = torch.full((CLASSES, CLASSES), -1 / (CLASSES - 1), dtype=torch.float64).fill_diagonal_(1.0)
        # a dozen roundings of 1e-16 of numbers of order one
        torch.testing.assert_close(found @ found.T, expected, rtol=0, atol=1e-13)
    assert float((corners[0] - corners[1]).abs().max()) > 0.1


def test_a_simplex_that_does_not_fit_is_refused_and_learned_ones_are_not() -> None:
    layer = make_layer(width=2)
    with pytest.raises(InputError, match="learned"):
        Prototype(prototypes="simplex").learner(layer, classes=3, seed=0)
    Prototype(prototypes="learned").learner(layer, classes=3, seed=0)


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_the_nearest_prototype_is_the_answer(loss: str) -> None:
    layer = make_layer("none")
    learner = Prototype(loss=loss).learner(layer, classes=CLASSES, seed=1)  # type: ignore[arg-type]
    directions = learner.tensors()["prototypes"]
    outputs = torch.cat([3 * directions, 0.1 * directions])
    assert learner.scores(outputs).argmax(1).tolist() == 2 * list(range(CLASSES))


def test_a_row_of_zeros_gives_finite_weights() -> None:
    layer, batch = make_layer("none"), make_batch()
    learner = Prototype().learner(layer, classes=CLASSES, seed=1)
    feed(learner, layer, torch.zeros(SAMPLES, layer.features, dtype=torch.float64), batch)
    assert bool(torch.isfinite(layer.weight_FO).all() & torch.isfinite(layer.bias_O).all())


@pytest.mark.parametrize("prototypes", ["simplex", "learned"])
def test_it_goes_on_from_saved_tensors_as_if_never_stopped(prototypes: str) -> None:
    rule = Prototype(prototypes=prototypes, inner_steps=2)  # type: ignore[arg-type]
    assert_goes_on_as_if_never_stopped(rule, "none")


def test_two_layers_learn_in_one_pass_a_sample() -> None:
    trained = train(Prototype(learning_rate=1e-2), epochs=8)
    assert trained.after >= CLEARLY_ABOVE_CHANCE
    assert trained.train_passes == 2 * 120 * 8
    assert trained.test_passes == 2 * 80
