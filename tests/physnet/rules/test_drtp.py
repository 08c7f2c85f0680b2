"""Direct random target projection against a reference of a few lines."""

import pytest
import torch
from torch.nn import functional

from physnet.errors import InputError
from physnet.rules.dfa import DirectFeedbackAlignment
from physnet.rules.drtp import RandomTargetProjection
from tests.physnet.rules.rehearsal import (
    CLASSES,
    CLEARLY_ABOVE_CHANCE,
    SAMPLES,
    assert_goes_on_as_if_never_stopped,
    assert_same,
    copies,
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


def test_the_first_step_is_the_label_through_a_random_matrix() -> None:
    layer, batch = make_layer("tanh"), make_batch()
    learner = RandomTargetProjection().learner(layer, classes=CLASSES, seed=1)
    f = recorded(layer)
    a = torch.tanh(f @ layer.weight_FO + layer.bias_O)
    drive = functional.one_hot(batch.labels_N, CLASSES).double() @ learner.tensors()["feedback"] * (1 - a**2)
    feed(learner, layer, f, batch)
    assert_same(first_gradient(learner, "weight"), -f.T @ drive / SAMPLES)
    assert_same(first_gradient(learner, "bias"), -drive.mean(0))


def test_it_is_direct_feedback_alignment_with_the_label_for_the_error() -> None:
    weights = []
    for rule in (RandomTargetProjection(), DirectFeedbackAlignment(error="label", decay="cosine")):
        network = make_network("tanh")
        learners = learners_of(rule, network)
        learn(network, rule, learners, make_batch())
        weights.append(copies(network.tensors()))
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_the_drive_never_ends_so_that_only_a_bounded_layer_is_taken() -> None:
    layer, batch = make_layer("tanh"), make_batch()
    learner = RandomTargetProjection().learner(layer, classes=CLASSES, seed=1)
    before = layer.weight_FO.clone()
    for _ in range(20):
        feed(learner, layer, recorded(layer), batch)
    half = float((layer.weight_FO - before).norm())
    for _ in range(20):
        feed(learner, layer, recorded(layer), batch)
    assert float((layer.weight_FO - before).norm()) > 1.5 * half
    with pytest.raises(InputError, match="bounded"):
        RandomTargetProjection().learner(make_layer("relu"), classes=CLASSES, seed=1)


def test_it_goes_on_from_saved_tensors_as_if_never_stopped() -> None:
    assert_goes_on_as_if_never_stopped(RandomTargetProjection(), "tanh")


def test_two_layers_learn_in_one_pass_a_sample() -> None:
    trained = train(RandomTargetProjection(), epochs=12)
    assert trained.after >= CLEARLY_ABOVE_CHANCE
    assert trained.train_passes == 2 * 120 * 12
    assert trained.test_passes == 2 * 80
