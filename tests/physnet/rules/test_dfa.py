"""Direct feedback alignment against a reference of a few lines."""

import math

import pytest
import torch
from torch.nn import functional

from physnet.rules.base import Need
from physnet.rules.dfa import DirectFeedbackAlignment
from tests.physnet.rules.rehearsal import (
    CLASSES,
    CLEARLY_ABOVE_CHANCE,
    SAMPLES,
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


@pytest.mark.parametrize("error", ["true", "sign"])
def test_the_first_step_is_the_output_error_through_a_random_matrix(error: str) -> None:
    rule = DirectFeedbackAlignment(error=error)  # type: ignore[arg-type]
    network = make_network("tanh")
    learners, batch = learners_of(rule, network), make_batch()
    learn(network, rule, learners, make_batch(1))  # so that the read-out no longer answers the same to everything
    tensors = [copies(learner.tensors()) for learner in learners]
    inputs, measured = batch.features_NI, []
    for layer in network:
        f = features_of(layer, inputs)
        inputs = layer.outputs(f)
        measured.append((f, inputs))
    top = functional.normalize(inputs, dim=1) * math.sqrt(inputs.shape[1])
    e = torch.softmax(top @ tensors[-1]["head_weight"] + tensors[-1]["head_bias"], 1)
    e -= functional.one_hot(batch.labels_N, CLASSES)
    learn(network, rule, learners, batch)
    for learner, before, (f, a) in zip(learners, tensors, measured, strict=True):
        signal = e if error == "true" else e.sign()
        expected = f.T @ ((signal @ before["feedback"]) * (1 - a**2)) / SAMPLES
        moment = learner.tensors()["adam/weight/first_moment"] - 0.9 * before["adam/weight/first_moment"]
        assert_same(moment / (1 - 0.9), expected)


def test_the_read_out_follows_its_own_cross_entropy_and_sends_nothing_back() -> None:
    rule, network, batch = DirectFeedbackAlignment(), make_network("tanh", widths=(9,)), make_batch()
    (learner,) = learners_of(rule, network)
    layer = network.layers[0]
    a = layer.outputs(features_of(layer, batch.features_NI))
    head = torch.zeros(9, CLASSES, dtype=torch.float64, requires_grad=True)
    directions = functional.normalize(a, dim=1) * 3.0  # the square root of the width
    loss = functional.cross_entropy(directions @ head, batch.labels_N)
    torch.autograd.backward(loss)
    metrics = learn(network, rule, [learner], batch)
    assert head.grad is not None
    assert_same(first_gradient(learner, "head_weight"), head.grad)
    assert metrics["loss"][0] == pytest.approx(math.log(CLASSES), rel=1e-12)


def test_only_the_label_variant_waits_for_nothing() -> None:
    assert DirectFeedbackAlignment().needs == DirectFeedbackAlignment(error="sign").needs == {Need.OUTPUT_ERROR}
    assert DirectFeedbackAlignment(error="label").needs == frozenset()


def test_the_feedback_stays_as_it_was_drawn() -> None:
    rule, network = DirectFeedbackAlignment(), make_network("tanh")
    learners = learners_of(rule, network)
    drawn = [learner.tensors()["feedback"].clone() for learner in learners]
    learn(network, rule, learners, make_batch())
    for learner, feedback in zip(learners, drawn, strict=True):
        assert torch.equal(learner.tensors()["feedback"], feedback)


@pytest.mark.parametrize("error", ["true", "sign", "label"])
def test_it_goes_on_from_saved_tensors_as_if_never_stopped(error: str) -> None:
    assert_goes_on_as_if_never_stopped(DirectFeedbackAlignment(error=error), "tanh")  # type: ignore[arg-type]


def test_two_layers_learn_in_one_pass_a_sample() -> None:
    trained = train(DirectFeedbackAlignment(), epochs=12)
    assert trained.after >= CLEARLY_ABOVE_CHANCE
    assert trained.train_passes == 2 * 120 * 12
    assert trained.test_passes == 2 * 80
