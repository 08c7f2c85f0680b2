"""PhyLL against a reference of a few lines, written from its equations with autograd and torch's own Adam."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from physnet.encoders import Split
from physnet.errors import InputError
from physnet.function_system import system
from physnet.layer import PhysicalLayer, Presented
from physnet.network import LabelSlots, Network
from physnet.port import Port
from physnet.rules.base import Batch, Learned, Present
from physnet.rules.phyll import PhyLL, PhyLLLearner

INPUTS, WIDTH, CLASSES, SAMPLES = 6, 9, 3, 40


def make_layer(*, skip: bool = True, dtype: torch.dtype = torch.float64, width: int = WIDTH) -> PhysicalLayer:
    black_box = system(lambda drive: drive, drives=2 * INPUTS, responses=2 * INPUTS, name="identity")
    port = Port(black_box, dtype=dtype)
    return PhysicalLayer(port=port, inputs=INPUTS, width=width, encoder=Split(), seed=3, skip=skip, name="layer0")


def make_batch(seed: int = 0, step: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    return Batch(
        features_NI=torch.randn(SAMPLES, INPUTS - CLASSES, generator=random, dtype=torch.float64),
        labels_N=torch.randint(0, CLASSES, (SAMPLES,), generator=random),
        seed=0,
        epoch=0,
        step=step,
        progress=0.0,
    )


def feed(learner: PhyLLLearner, layer: PhysicalLayer, features: torch.Tensor, batch: Batch) -> Learned:
    """Answer the one presentation of a step with recorded features."""
    steps = learner.learn(torch.zeros(len(features), INPUTS, dtype=features.dtype), batch)
    assert isinstance(next(steps), Present)
    reading = layer.port.measure(torch.zeros(len(features), 2 * INPUTS), np.arange(len(features)))
    with pytest.raises(StopIteration) as stop:
        steps.send(Presented(features_NF=features, reading=reading, clipped=0))
    learned = stop.value.value
    assert isinstance(learned, Learned)
    return learned


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("inner", [1, 10])
def test_it_matches_the_reference_on_the_same_recorded_responses(dtype: torch.dtype, inner: int) -> None:
    theta, rate, steps = 4.0, 5e-4, 50
    layer = make_layer(dtype=dtype)
    learner = PhyLL(theta=theta, inner_steps=inner, learning_rate=rate).learner(layer, classes=CLASSES, seed=1)
    weight = layer.weight_FO.clone().requires_grad_()
    bias = layer.bias_O.clone().requires_grad_()
    xi = learner.tensors()["xi"].clone()
    adam = torch.optim.Adam([weight, bias], lr=rate)
    random = torch.Generator().manual_seed(5)
    for step in range(steps):
        recorded = torch.randn(2 * SAMPLES, layer.features, generator=random, dtype=torch.float64).to(dtype)
        feed(learner, layer, recorded, make_batch(step=step))
        for _ in range(inner):
            goodness = functional.cosine_similarity((recorded @ weight + bias).abs(), xi, dim=1)
            loss = torch.log(1 + torch.exp(-theta * (goodness[:SAMPLES] - goodness[SAMPLES:]))).mean()
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
    # Adam divides by the root of the mean square gradient, so a relative rounding error e of a gradient moves a weight
    # by at most about rate * e per step: 500 steps * 5e-4 * 2^-24 * a few dozen roundings is below 1e-6 in single
    # precision; 1e-5 is what we promise. In double precision nothing but 1e-12 is left.
    tolerance = 1e-5 if dtype == torch.float32 else 1e-11
    assert float((layer.weight_FO - weight.detach()).abs().max()) <= tolerance
    assert float((layer.bias_O - bias.detach()).abs().max()) <= tolerance
    # and it has moved: agreement of two things that stand still would prove nothing
    assert float((layer.weight_FO - make_layer(dtype=dtype).weight_FO).abs().max()) > 10 * 1e-5


def test_the_metrics_are_those_from_before_the_update() -> None:
    layer = make_layer()
    learner = PhyLL(theta=4.0).learner(layer, classes=CLASSES, seed=1)
    recorded = torch.randn(2 * SAMPLES, layer.features, dtype=torch.float64)
    goodness = functional.cosine_similarity(layer.outputs(recorded).abs(), learner.tensors()["xi"], dim=1)
    gap = goodness[:SAMPLES] - goodness[SAMPLES:]
    learned = feed(learner, layer, recorded, make_batch())
    assert learned.metrics["loss"] == pytest.approx(float(functional.softplus(-4 * gap).mean()), rel=1e-12)
    assert learned.metrics["pair_accuracy"] == pytest.approx(float((gap > 0).double().mean()), rel=1e-12)


def test_every_layer_and_seed_has_its_own_unit_direction() -> None:
    directions = [PhyLL().learner(make_layer(), classes=CLASSES, seed=seed).tensors()["xi"] for seed in (1, 2)]
    assert all(float(xi.norm()) == pytest.approx(1, abs=1e-6) for xi in directions)
    assert not torch.equal(*directions)


def test_rows_are_true_labels_first_and_a_wrong_one_for_each_sample_after() -> None:
    layer = make_layer()
    network = Network([layer], features=INPUTS - CLASSES, slots=LabelSlots(classes=CLASSES, amplitude=2.5))
    batch = make_batch()
    rows = PhyLL().training_rows(network, batch)
    shown = rows[:, INPUTS - CLASSES :]
    assert torch.equal(rows[:SAMPLES, : INPUTS - CLASSES], rows[SAMPLES:, : INPUTS - CLASSES])
    assert torch.equal(shown[:SAMPLES].argmax(1), batch.labels_N)
    assert not bool((shown[SAMPLES:].argmax(1) == batch.labels_N).any())
    assert set(shown.flatten().tolist()) == {0.0, 2.5}


def test_wrong_labels_are_uniform_and_new_every_epoch() -> None:
    network = Network([make_layer()], features=INPUTS - CLASSES, slots=LabelSlots(classes=CLASSES, amplitude=1.0))
    count = 30_000
    drawn = []
    for epoch in (0, 1):
        batch = Batch(
            features_NI=torch.zeros(count, INPUTS - CLASSES),
            labels_N=torch.zeros(count, dtype=torch.int64),
            seed=0,
            epoch=epoch,
            step=0,
            progress=0.0,
        )
        drawn.append(PhyLL().training_rows(network, batch)[count:, INPUTS - CLASSES :].argmax(1))
    share = float((drawn[0] == 1).double().mean())
    # a binomial share of 1/2 over 30 000 draws has a standard deviation of 0.0029; five of them
    assert share == pytest.approx(0.5, abs=0.0145)
    assert not torch.equal(*drawn)


def test_inference_tries_every_label_and_the_score_is_the_goodness() -> None:
    layer = make_layer()
    network = Network([layer], features=INPUTS - CLASSES, slots=LabelSlots(classes=CLASSES, amplitude=1.0))
    rule = PhyLL()
    learner = rule.learner(layer, classes=CLASSES, seed=1)
    samples = torch.randn(5, INPUTS - CLASSES, dtype=torch.float64)
    rows = rule.inference_rows(network, samples, classes=CLASSES)
    assert rows.shape == (5 * CLASSES, INPUTS)
    outputs = layer.outputs(torch.randn(len(rows), layer.features, dtype=torch.float64))
    scores = learner.scores(outputs)
    expected = functional.cosine_similarity(outputs.abs(), learner.tensors()["xi"], dim=1)
    for label in range(CLASSES):
        for sample in range(5):
            assert rows[label * 5 + sample, INPUTS - CLASSES :].argmax() == label
            assert float(scores[sample, label]) == pytest.approx(float(expected[label * 5 + sample]), abs=1e-12)


def test_a_row_of_zeros_gives_finite_weights() -> None:
    layer = make_layer(skip=False)
    learner = PhyLL().learner(layer, classes=CLASSES, seed=1)
    feed(learner, layer, torch.zeros(2 * SAMPLES, layer.features, dtype=torch.float64), make_batch())
    assert bool(torch.isfinite(layer.weight_FO).all() & torch.isfinite(layer.bias_O).all())


def test_unsupervised_negatives_mix_two_samples_and_the_head_alone_sees_labels() -> None:
    layer = make_layer()
    network = Network([layer], features=INPUTS)
    rule = PhyLL(mode="unsupervised")
    assert not rule.labelled_inputs
    random = torch.Generator().manual_seed(0)
    batch = Batch(
        features_NI=torch.randn(SAMPLES, INPUTS, generator=random, dtype=torch.float64),
        labels_N=torch.randint(0, CLASSES, (SAMPLES,), generator=random),
        seed=0,
        epoch=0,
        step=0,
        progress=0.0,
    )
    rows = rule.training_rows(network, batch)
    positive, negative = rows[:SAMPLES], rows[SAMPLES:]
    assert torch.equal(positive, batch.features_NI)
    for sample in range(SAMPLES):
        others = batch.features_NI[torch.arange(SAMPLES) != sample]
        own = negative[sample] == positive[sample]
        from_one = ((others == negative[sample]) | own).all(1)
        assert bool(from_one.any()), "every feature comes from the sample or from one and the same partner"
        assert bool(own.any()) and not bool(own.all())
    weights = []
    for labels in (batch.labels_N, (batch.labels_N + 1) % CLASSES):
        layer = make_layer()
        learner = rule.learner(layer, classes=CLASSES, seed=1)
        features = torch.randn(
            2 * SAMPLES, layer.features, generator=torch.Generator().manual_seed(1), dtype=torch.float64
        )
        relabelled = Batch(features_NI=batch.features_NI, labels_N=labels, seed=0, epoch=0, step=0, progress=0.0)
        feed(learner, layer, features, relabelled)
        weights.append((layer.weight_FO.clone(), learner.tensors()["head_weight"].clone()))
    assert torch.equal(weights[0][0], weights[1][0])
    assert not torch.equal(weights[0][1], weights[1][1])


def test_a_layer_whose_output_is_rectified_is_refused() -> None:
    layer = make_layer()
    layer.nonlinearity = "relu"
    with pytest.raises(InputError, match="signed output"):
        PhyLL().learner(layer, classes=CLASSES, seed=0)


def test_one_sample_cannot_be_mixed() -> None:
    network = Network([make_layer()], features=INPUTS)
    batch = Batch(
        features_NI=torch.zeros(1, INPUTS),
        labels_N=torch.zeros(1, dtype=torch.int64),
        seed=0,
        epoch=0,
        step=0,
        progress=0,
    )
    with pytest.raises(InputError, match="at least 2 samples"):
        PhyLL(mode="unsupervised").training_rows(network, batch)
