"""Cascaded forward: layers that stay as they are, and read-outs against their closed form and autograd."""

import pytest
import torch
from torch.nn import functional

from physnet.rules.cafo import CascadedForward
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


@pytest.mark.parametrize("head", ["ridge", "gradient"])
def test_the_layers_are_never_trained(head: str) -> None:
    rule, network = CascadedForward(head=head), make_network()  # type: ignore[arg-type]
    before = copies(network.tensors())
    learn(network, rule, learners_of(rule, network), make_batch())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.tensors().items())


def test_the_ridge_read_out_is_the_least_squares_of_all_rows_presented() -> None:
    layer, pull = make_layer(), 0.05
    learner = CascadedForward(ridge=pull).learner(layer, classes=CLASSES, seed=1)
    rows, targets = [], []
    for step in range(3):
        batch, f = make_batch(step, step=step), recorded(layer, seed=step)
        feed(learner, layer, f, batch)
        rows.append(layer.outputs(f))
        targets.append(functional.one_hot(batch.labels_N, CLASSES).double())
    a, y = torch.cat(rows), torch.cat(targets)
    # As an ordinary least-squares problem: one row more for each output, which asks for zero with the pull's weight.
    weight = (pull * a.square().mean() * len(a)).sqrt()
    asked = torch.cat([a, weight * torch.eye(layer.width, dtype=torch.float64)])
    constant = torch.cat([torch.ones(len(a), 1), torch.zeros(layer.width, 1)]).double()
    known = torch.cat([y, torch.zeros(layer.width, CLASSES, dtype=torch.float64)])
    expected = torch.linalg.lstsq(torch.cat([asked, constant], dim=1), known).solution
    assert_same(learner.tensors()["head"], expected)
    scores = learner.scores(a)
    # a softmax of a product of ten terms, conditioned to some 100: far below
    torch.testing.assert_close(scores, torch.softmax(a @ expected[:-1] + expected[-1], 1), rtol=0, atol=1e-9)


def test_minibatches_of_any_size_give_the_same_ridge_read_out() -> None:
    layer, batch = make_layer(), make_batch()
    f, heads = recorded(layer), []
    for size in (SAMPLES, 7):
        learner = CascadedForward().learner(layer, classes=CLASSES, seed=1)
        for start in range(0, SAMPLES, size):
            part = slice(start, start + size)
            some = type(batch)(**{**vars(batch), "labels_N": batch.labels_N[part], "features_NI": f[part]})
            feed(learner, layer, f[part], some)
        heads.append(learner.tensors()["head"])
    # sums of 40 rows in another order, 1e-14, times a condition of at most 100
    torch.testing.assert_close(heads[0], heads[1], rtol=0, atol=1e-11)


def test_a_medium_that_answers_nothing_gives_a_finite_read_out() -> None:
    layer, batch = make_layer(), make_batch()
    learner = CascadedForward().learner(layer, classes=CLASSES, seed=1)
    feed(learner, layer, torch.zeros(SAMPLES, layer.features, dtype=torch.float64), batch)
    shares = functional.one_hot(batch.labels_N, CLASSES).double().mean(0)
    # all that is left is the constant: how frequent every class is, pulled by 1e-12
    torch.testing.assert_close(learner.tensors()["head"][-1], shares, rtol=0, atol=1e-11)


def test_the_gradient_read_out_follows_its_cross_entropy() -> None:
    layer, batch = make_layer(), make_batch()
    learner = CascadedForward(head="gradient").learner(layer, classes=CLASSES, seed=1)
    f = recorded(layer)
    head = torch.zeros(layer.width, CLASSES, dtype=torch.float64, requires_grad=True)
    directions = functional.normalize(layer.outputs(f), dim=1) * 3.0  # the square root of the width
    torch.autograd.backward(functional.cross_entropy(directions @ head, batch.labels_N))
    feed(learner, layer, f, batch)
    assert head.grad is not None
    assert_same(first_gradient(learner, "head_weight"), head.grad)


@pytest.mark.parametrize("head", ["ridge", "gradient"])
def test_it_goes_on_from_saved_tensors_as_if_never_stopped(head: str) -> None:
    assert_goes_on_as_if_never_stopped(CascadedForward(head=head), "relu")  # type: ignore[arg-type]


def test_one_epoch_of_one_pass_a_sample_is_enough() -> None:
    trained = train(CascadedForward(), epochs=1)
    assert trained.after >= CLEARLY_ABOVE_CHANCE
    assert trained.train_passes == 2 * 120
    assert trained.test_passes == 2 * 80
