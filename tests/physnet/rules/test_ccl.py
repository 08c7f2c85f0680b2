"""Counter-current learning against autograd on the losses of all layers, with constants where the rule has them."""

import pytest
import torch
from torch.nn import functional

from physnet.layer import NONLINEARITIES, Nonlinearity, activate
from physnet.rules.base import Need
from physnet.rules.ccl import CounterCurrent
from tests.physnet.rules.rehearsal import (
    CLASSES,
    CLEARLY_ABOVE_CHANCE,
    assert_goes_on_as_if_never_stopped,
    assert_same,
    copies,
    features_of,
    first_gradient,
    learn,
    learners_of,
    make_batch,
    make_network,
    train,
)


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("widths", [(9, 7, 8), (9,)])
def test_the_gradients_of_both_networks_are_autograds(nonlinearity: Nonlinearity, widths: tuple[int, ...]) -> None:
    rule, network = CounterCurrent(), make_network(nonlinearity, widths=widths)
    learners, batch = learners_of(rule, network), make_batch()
    leaves = [
        {"weight": layer.weight_FO, "bias": layer.bias_O, **learner.tensors()}
        for layer, learner in zip(network, learners, strict=True)
    ]
    leaves = [
        {name: own[name].clone().requires_grad_() for name in ("weight", "bias", "feedback", "labels") if name in own}
        for own in leaves
    ]
    activities, inputs = [], batch.features_NI
    for layer, own in zip(network, leaves, strict=True):
        z = features_of(layer, inputs) @ own["weight"] + own["bias"]
        activities.append(activate(z, nonlinearity))
        inputs = activities[-1].detach()
    one_hot = functional.one_hot(batch.labels_N, CLASSES)
    losses: list[torch.Tensor] = []
    b = activate(torch.eye(CLASSES, dtype=torch.float64) @ leaves[-1]["labels"], nonlinearity)
    for number in reversed(range(len(activities))):
        losses.insert(0, (activities[number] @ b.T - one_hot).square().mean())
        if number:
            b = activate(b.detach() @ leaves[number]["feedback"], nonlinearity)
    torch.autograd.backward(torch.stack(losses).sum())
    metrics = learn(network, rule, learners, batch)
    for learner, own in zip(learners, leaves, strict=True):
        for name, leaf in own.items():
            assert leaf.grad is not None
            assert_same(first_gradient(learner, name), leaf.grad)
    assert metrics["loss"] == pytest.approx([float(loss.detach()) for loss in losses], rel=1e-9)


def test_every_layer_but_the_lowest_sends_down_and_the_highest_reads_the_labels() -> None:
    rule = CounterCurrent()
    learners = learners_of(rule, make_network("tanh"))
    held = [{name: tuple(t.shape) for name, t in learner.tensors().items() if "/" not in name} for learner in learners]
    assert [own.get("feedback") for own in held] == [None, (7, 9), (8, 7)]
    assert [own.get("labels") for own in held] == [None, None, (CLASSES, 8)]
    assert rule.needs == {Need.TOP_DOWN}


def test_the_feedback_may_stay_random() -> None:
    rule, network = CounterCurrent(feedback_learning_rate=0.0), make_network("tanh")
    learners = learners_of(rule, network)
    drawn = [copies(learner.tensors()) for learner in learners]
    weight = network.layers[0].weight_FO.clone()
    learn(network, rule, learners, make_batch())
    for learner, before in zip(learners, drawn, strict=True):
        for name in {"feedback", "labels"} & set(before):
            assert torch.equal(learner.tensors()[name], before[name])
    assert not torch.equal(network.layers[0].weight_FO, weight)


def test_it_goes_on_from_saved_tensors_as_if_never_stopped() -> None:
    assert_goes_on_as_if_never_stopped(CounterCurrent(), "tanh")


def test_two_layers_learn_in_one_pass_a_sample() -> None:
    trained = train(CounterCurrent(), epochs=12)
    assert trained.after >= CLEARLY_ABOVE_CHANCE
    assert trained.train_passes == 2 * 120 * 12
    assert trained.test_passes == 2 * 80
