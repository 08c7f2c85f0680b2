"""Forward-forward against autograd, and what a digital label saves."""

import pytest
import torch
from torch.nn import functional

from physnet.errors import InputError
from physnet.layer import NONLINEARITIES, Nonlinearity, activate
from physnet.rules.base import Need
from physnet.rules.ff import ForwardForward
from physnet.rules.labels import wrong_labels
from tests.physnet.rules.rehearsal import (
    CLASSES,
    CLEARLY_ABOVE_CHANCE,
    SAMPLES,
    WIDTH,
    assert_goes_on_as_if_never_stopped,
    assert_same,
    features_of,
    feed,
    first_gradient,
    learn,
    learners_of,
    make_batch,
    make_layer,
    make_network,
    recorded,
    train,
)


def pair_loss(rule: ForwardForward, positive: torch.Tensor, negative: torch.Tensor, theta: float) -> torch.Tensor:
    """The loss, written from its definition."""
    if rule.loss == "threshold":
        return (functional.softplus(theta - positive) + functional.softplus(negative - theta)).mean()
    return functional.softplus(-rule.alpha * (positive - negative)).mean()


def goodness_of(rule: ForwardForward, activity: torch.Tensor) -> torch.Tensor:
    return activity.square().sum(1) if rule.goodness == "sum" else activity.square().mean(1)


CASES = [(goodness, loss) for goodness in ("sum", "mean") for loss in ("threshold", "symmetric")]


@pytest.mark.parametrize(("goodness", "loss"), CASES)
@pytest.mark.parametrize("nonlinearity", NONLINEARITIES[1:])
def test_with_the_label_in_the_drive_the_gradient_is_autograds(
    goodness: str, loss: str, nonlinearity: Nonlinearity
) -> None:
    rule = ForwardForward(label="drive", goodness=goodness, loss=loss, inner_steps=1)  # type: ignore[arg-type]
    layer, batch = make_layer(nonlinearity), make_batch()
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    f = recorded(layer, rows=2 * SAMPLES)
    weight, bias = (t.clone().requires_grad_() for t in (layer.weight_FO, layer.bias_O))
    z = f @ weight + bias
    found = goodness_of(rule, activate(z, nonlinearity))
    theta = float(WIDTH) if goodness == "sum" else 1.0
    value = pair_loss(rule, found[:SAMPLES], found[SAMPLES:], theta)
    torch.autograd.backward(value)
    learned = feed(learner, layer, f, batch)
    assert weight.grad is not None and bias.grad is not None
    assert_same(first_gradient(learner, "weight"), weight.grad)
    assert_same(first_gradient(learner, "bias"), bias.grad)
    assert learned.metrics["loss"] == pytest.approx(float(value.detach()), rel=1e-9)


@pytest.mark.parametrize(("goodness", "loss"), CASES)
def test_a_digital_label_is_a_weight_on_a_label_behind_the_features(goodness: str, loss: str) -> None:
    theta = 0.7 if loss == "threshold" else None
    rule = ForwardForward(goodness=goodness, loss=loss, theta=theta, inner_steps=1)  # type: ignore[arg-type]
    layer, batch = make_layer("none"), make_batch()
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    f = recorded(layer)
    both = torch.cat([layer.weight_FO, learner.tensors()["labels"]]).requires_grad_()
    bias = layer.bias_O.clone().requires_grad_()
    wrong = wrong_labels(batch, CLASSES)
    shown = [torch.cat([f, functional.one_hot(y, CLASSES)], dim=1) for y in (batch.labels_N, wrong)]
    found = [goodness_of(rule, torch.relu(rows @ both + bias)) for rows in shown]
    torch.autograd.backward(pair_loss(rule, found[0], found[1], 0.7))
    feed(learner, layer, f, batch)
    assert both.grad is not None and bias.grad is not None
    assert_same(first_gradient(learner, "weight"), both.grad[: layer.features])
    assert_same(first_gradient(learner, "labels"), both.grad[layer.features :])
    assert_same(first_gradient(learner, "bias"), bias.grad)


@pytest.mark.parametrize("label", ["digital", "drive"])
@pytest.mark.parametrize("loss", ["threshold", "symmetric"])
def test_with_collaboration_the_others_goodness_counts_as_a_constant(label: str, loss: str) -> None:
    rule = ForwardForward(label=label, loss=loss, collaboration=True, inner_steps=1)  # type: ignore[arg-type]
    assert rule.needs == {Need.PEER_SCALARS}
    network = make_network(rule.nonlinearity, slots=label == "drive")
    learners, batch = learners_of(rule, network), make_batch()
    inputs, found, leaves = rule.training_rows(network, batch), [], []
    wrong = wrong_labels(batch, CLASSES)
    for layer, learner in zip(network, learners, strict=True):
        f = features_of(layer, inputs)
        inputs = layer.outputs(f)
        weight = layer.weight_FO.clone().requires_grad_()
        z = f @ weight + layer.bias_O
        if label == "digital":
            shown = learner.tensors()["labels"]
            z = torch.cat([z + shown[batch.labels_N], z + shown[wrong]])
        found.append(goodness_of(rule, torch.relu(z)) - 1.0)
        leaves.append(weight)
    learn(network, rule, learners, batch)
    for number, (learner, weight) in enumerate(zip(learners, leaves, strict=True)):
        others = sum(g.detach() for n, g in enumerate(found) if n != number)
        pooled = found[number] + others
        torch.autograd.backward(pair_loss(rule, pooled[:SAMPLES], pooled[SAMPLES:], 0.0))
        assert weight.grad is not None
        assert_same(first_gradient(learner, "weight"), weight.grad)


def test_a_digital_label_costs_no_passes_for_negatives_nor_for_hypotheses() -> None:
    digital, drive = (
        train(ForwardForward(label=label, learning_rate=1e-2), epochs=5) for label in ("digital", "drive")
    )
    assert digital.train_passes == 2 * 120 * 5
    assert drive.train_passes == 2 * digital.train_passes
    assert digital.test_passes == 2 * 80
    assert drive.test_passes == CLASSES * digital.test_passes
    assert min(digital.after, drive.after) >= CLEARLY_ABOVE_CHANCE


def test_digital_scores_are_the_goodness_under_every_label() -> None:
    rule, layer = ForwardForward(), make_layer("none")
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    outputs = layer.outputs(recorded(layer))
    scores = learner.scores(outputs)
    for label in range(CLASSES):
        own = goodness_of(rule, torch.relu(outputs + learner.tensors()["labels"][label]))
        # a mean of nine squares: a dozen roundings of 1e-16
        torch.testing.assert_close(scores[:, label], own, rtol=1e-14, atol=0)


def test_scores_of_presented_labels_go_back_to_their_samples() -> None:
    rule, network = ForwardForward(label="drive"), make_network(slots=True, widths=(9,))
    learner = learners_of(rule, network)[0]
    samples = make_batch().features_NI[:5]
    rows = rule.inference_rows(network, samples, classes=CLASSES)
    outputs = network.layers[0].outputs(features_of(network.layers[0], rows))
    scores = learner.scores(outputs)
    for sample in range(5):
        for label in range(CLASSES):
            alone = network.inputs(samples[sample : sample + 1], torch.tensor([label]))
            own = goodness_of(rule, network.layers[0].outputs(features_of(network.layers[0], alone)))
            assert float(scores[sample, label]) == pytest.approx(float(own), rel=1e-12)


def test_a_digital_label_refuses_a_layer_that_has_rectified_already() -> None:
    with pytest.raises(InputError, match="label = 'drive'"):
        ForwardForward().learner(make_layer("relu"), classes=CLASSES, seed=0)


def test_a_threshold_for_a_loss_without_one_is_refused() -> None:
    with pytest.raises(InputError, match="theta"):
        ForwardForward(loss="symmetric", theta=2.0)


def test_a_presented_label_needs_slots() -> None:
    with pytest.raises(InputError, match="label slots"):
        ForwardForward(label="drive").training_rows(make_network(), make_batch())


@pytest.mark.parametrize("label", ["digital", "drive"])
@pytest.mark.parametrize("collaboration", [False, True])
def test_it_goes_on_from_saved_tensors_as_if_never_stopped(label: str, collaboration: bool) -> None:
    rule = ForwardForward(label=label, collaboration=collaboration, inner_steps=2)  # type: ignore[arg-type]
    assert_goes_on_as_if_never_stopped(rule, rule.nonlinearity, slots=label == "drive")
