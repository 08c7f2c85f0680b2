"""NoProp against autograd, against Bayes' rule on Gaussians, and what its layers know of each other: nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.nn import functional

from physnet.assembly import load_samples
from physnet.cli import main
from physnet.contracts import DriveSpec
from physnet.controls.training import train_one
from physnet.encoders import Levels
from physnet.errors import InputError, SpecError
from physnet.evaluation import classify
from physnet.experiment import load_experiment
from physnet.feeding import learning_rows
from physnet.layer import NONLINEARITIES, Nonlinearity, activate
from physnet.learning import check_rule
from physnet.network import Network
from physnet.passes import Purpose
from physnet.rules.base import Present, Refeeds
from physnet.rules.mono_forward import MonoForward
from physnet.rules.noprop import NoProp, Posterior, Schedule, signal
from physnet.trainer import Trainer
from physnet.training_options import TrainingOptions
from physnet.weights import sha256
from tests.physnet.rules.rehearsal import (
    CLASSES,
    CLEARLY_ABOVE_CHANCE,
    INPUTS,
    SAMPLES,
    assert_goes_on_as_if_never_stopped,
    assert_same,
    blobs,
    copies,
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

LAYERS = 3
Loss = Literal["cross_entropy", "snr_mse"]


def refed() -> Network:
    return make_network(slots=True, refed=True)


@pytest.mark.parametrize("nonlinearity", NONLINEARITIES)
@pytest.mark.parametrize("loss", ["cross_entropy", "snr_mse"])
def test_the_first_step_follows_the_gradient_of_autograd(loss: Loss, nonlinearity: Nonlinearity) -> None:
    layer, batch = make_layer(nonlinearity), make_batch()
    layer.below, layer.above = 1, 2
    learner = NoProp(loss=loss, schedule="linear", scale=1.5, inner_steps=1).learner(layer, classes=CLASSES, seed=1)
    tensors = [t.clone().requires_grad_() for t in (layer.weight_FO, layer.bias_O, learner.tensors()["head"])]
    f = recorded(layer)
    scores = activate(f @ tensors[0] + tensors[1], nonlinearity) @ tensors[2]
    if loss == "cross_entropy":
        value = functional.cross_entropy(scores, batch.labels_N)
    else:
        # Block 2 of 4: signal 1/5 and 2/5, so that the ratios of signal to noise are 1/4 and 2/3.
        miss = 1.5 * (torch.softmax(scores, 1) - functional.one_hot(batch.labels_N, CLASSES))
        value = 4 / 2 * (2 / 3 - 1 / 4) * miss.square().sum(1).mean()
    torch.autograd.backward(value)
    learned = feed(learner, layer, f, batch)
    for name, reference in zip(("weight", "bias", "head"), tensors, strict=True):
        assert reference.grad is not None
        assert_same(first_gradient(learner, name), reference.grad)
    assert learned.metrics["loss"] == pytest.approx(value.item(), rel=1e-9)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_signal_grows_from_nothing_and_never_is_all(schedule: Schedule) -> None:
    levels = signal(5, schedule)
    assert len(levels) == 6 and levels[0] == 0 and levels[-1] < 1
    assert all(before < after for before, after in itertools.pairwise(levels))


def test_the_posterior_is_that_of_two_gaussians() -> None:
    # z_after given u is normal around sqrt(after) u with variance 1 - after, and z_before given z_after around
    # sqrt(ratio) z_after with variance 1 - ratio: precisions add.
    before, after, u, z = 0.3, 0.7, 1.4, -0.6
    ratio = before / after
    precision = 1 / (1 - after) + ratio / (1 - ratio)
    mean = (math.sqrt(after) * u / (1 - after) + math.sqrt(ratio) * z / (1 - ratio)) / precision
    found = Posterior.of(before, after)
    assert found.label * u + found.estimate * z == pytest.approx(mean, rel=1e-12)
    assert found.deviation**2 == pytest.approx(1 / precision, rel=1e-12)
    first = Posterior.of(0.0, after)  # noise tells nothing
    assert first.estimate == 0 and first.label == math.sqrt(after)


def test_a_layer_is_shown_the_sample_and_its_label_under_noise() -> None:
    network, rule = refed(), NoProp(scale=2.0)
    labels = torch.arange(3000) % CLASSES
    features = torch.randn(3000, INPUTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    batch = dataclasses.replace(make_batch(), features_NI=features, labels_N=labels)
    rows = learning_rows(network, rule, batch)
    assert torch.equal(rows[0], rule.training_rows(network, batch)) and len(rows) == LAYERS
    for level, row in zip(signal(LAYERS, "cosine"), rows, strict=False):
        assert torch.equal(row[:, :INPUTS], features)
        share = row[:, INPUTS:] / 1.5  # the amplitude of the label slots
        assert float(share.min()) >= 0 and float(share.max()) <= 1
        z = share * (3 + math.hypot(3, 2)) - 3
        noise = z - math.sqrt(level) * 2 * functional.one_hot(labels, CLASSES)
        # 9000 normal numbers: their variance deviates by sqrt(2 / 9000) = 0.015, their mean by 0.0105; five times that.
        # What is cut off at three deviations has a hundredth of the variance at most.
        assert abs(float(noise.square().mean()) / (1 - level) - 1) <= 0.075
        assert abs(float(noise.mean())) <= 0.053
    assert not torch.equal(rows[1][:, INPUTS:] - rows[0][:, INPUTS:], torch.zeros_like(rows[0][:, INPUTS:]))


def test_the_estimate_leaves_the_range_of_the_drive_to_the_sample() -> None:
    rule, network = NoProp(), refed()
    assert rule.shares(torch.tensor([-3.0, math.sqrt(10)])).tolist() == pytest.approx([0, 1])
    assert rule.shares(torch.tensor([-50.0, 50.0])).tolist() == [0, 1]
    batch = dataclasses.replace(make_batch(), features_NI=torch.rand(SAMPLES, INPUTS, dtype=torch.float64))
    amplitude = 1.5
    for row in learning_rows(network, rule, batch):
        assert float(row.min()) >= 0 and float(row.max()) <= amplitude
    # Two bits of a binary drive, scaled over the row: a feature that fills the range has all four levels in every row.
    ramp = torch.linspace(0, amplitude, INPUTS, dtype=torch.float64).repeat(SAMPLES, 1)
    spec = DriveSpec(shape=(2 * (INPUTS + CLASSES),), domain="binary")
    for row in learning_rows(network, rule, dataclasses.replace(batch, features_NI=ramp)):
        bits = Levels()(row, spec).drive[:, : 2 * INPUTS].reshape(SAMPLES, INPUTS, 2)
        level = 2 * bits[..., 0] + bits[..., 1]
        assert torch.equal(level, (torch.linspace(0, 3, INPUTS, dtype=torch.float64)).round().repeat(SAMPLES, 1))


def test_no_layer_learns_anything_from_another() -> None:
    rule, ways = NoProp(inner_steps=2), []
    for order in ((0, 1, 2), (2, 0, 1)):
        network = refed()
        learners = learners_of(rule, network)
        with network:
            for step in range(3):
                batch = make_batch(step, step=step)
                rows = learning_rows(network, rule, batch)
                for number in order:
                    steps = learners[number].learn(rows[number], batch)
                    request = next(steps)
                    assert isinstance(request, Present)
                    passes = np.arange(SAMPLES) + SAMPLES * number
                    with pytest.raises(StopIteration):
                        steps.send(network.layers[number].present(request.inputs_NI, passes))
        ways.append(copies(network.tensors()))
    for name, tensor in ways[0].items():
        assert torch.equal(ways[1][name], tensor), name


def test_the_trainer_leaves_the_layers_apart_too() -> None:
    rule, (alone, together) = NoProp(), (refed(), refed())
    learn(together, rule, learners_of(rule, together), make_batch())
    learners = learners_of(rule, alone)
    for layer in alone.layers[:2]:
        layer.weight_FO.zero_()  # the layers below the highest are others now
    learn(alone, rule, learners, make_batch())
    assert torch.equal(alone.layers[2].weight_FO, together.layers[2].weight_FO)
    assert not torch.equal(alone.layers[1].weight_FO, together.layers[1].weight_FO)


@pytest.mark.parametrize("inference", ["mean", "sampled"])
@pytest.mark.parametrize("start", ["zero", "noise"])
def test_classifying_takes_one_pass_a_layer_and_is_reproducible(
    start: Literal["zero", "noise"], inference: Literal["mean", "sampled"]
) -> None:
    network, rule = refed(), NoProp(start=start, inference=inference)
    learners = learners_of(rule, network)
    features = 0.1 * make_batch().features_NI  # small, so that answers depend on what lies in the slots
    with network:
        first, again, later = (
            classify(
                network, rule, learners, features, purpose=Purpose.TEST, classes=CLASSES, batch=SAMPLES, epoch=epoch
            )
            for epoch in (0, 0, 1)
        )
        assert network.count.passes == 3 * LAYERS * SAMPLES
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert torch.equal(first[-1], first[-2])  # the last layer's answer is the network's
    random = start == "noise" or inference == "sampled"
    # of 40 samples in 3 untrained layers, noise moves some across a border; without noise nothing may move
    assert random is not all(torch.equal(one, other) for one, other in zip(first, later, strict=True))


def test_each_layer_refines_what_the_one_below_said() -> None:
    network, rule = refed(), NoProp()
    learners = learners_of(rule, network)
    learn(network, rule, learners, make_batch())
    x = make_batch(3).features_NI
    levels, z, answers = signal(LAYERS, "cosine"), torch.zeros(SAMPLES, CLASSES, dtype=torch.float64), []
    for number, (layer, learner) in enumerate(zip(network, learners, strict=True)):
        scores = learner.scores(layer.outputs(features_of(layer, torch.cat([x, 1.5 * rule.shares(z)], 1))))
        answers.append(scores.argmax(1))
        step = Posterior.of(*levels[number : number + 2])
        z = step.label * scores.exp() + step.estimate * z
    with network:
        found = classify(network, rule, learners, x, purpose=Purpose.TEST, classes=CLASSES, batch=SAMPLES)
    assert all(torch.equal(one, other) for one, other in zip(found, answers, strict=False))


@pytest.mark.parametrize("loss", ["cross_entropy", "snr_mse"])
def test_it_goes_on_from_saved_tensors_as_if_never_stopped(loss: Loss) -> None:
    assert_goes_on_as_if_never_stopped(NoProp(loss=loss, inner_steps=2), "relu", slots=True)


def test_two_layers_learn_in_one_pass_a_sample() -> None:
    trained = train(NoProp(learning_rate=1e-2), epochs=12)
    assert trained.after >= CLEARLY_ABOVE_CHANCE
    assert trained.train_passes == 2 * 120 * 12
    assert trained.test_passes == 2 * 80


def test_a_network_and_a_rule_that_do_not_fit_are_refused() -> None:
    assert isinstance(NoProp(), Refeeds) and not isinstance(MonoForward(), Refeeds)
    with pytest.raises(InputError, match="feed its layers the sample again"):
        check_rule(NoProp(), make_network(slots=True), blobs(), classes=CLASSES)
    with pytest.raises(InputError, match="feed its layers the sample again"):
        check_rule(MonoForward(), refed(), blobs(), classes=CLASSES)
    with pytest.raises(SpecError, match="must have label slots"):
        Network([make_layer()], features=INPUTS, refed=True)
    with pytest.raises(SpecError, match="must take the 9 numbers"):
        Network(refed().layers[:1] + make_network().layers[1:], features=INPUTS, slots=refed().slots, refed=True)


ONE_SYSTEM = """\
[data]
name = "digits"
train_limit = 400
test_limit = 100

[systems.medium]
type = "scattering"
responses = 60

[systems.medium.impairments]
noise = 0.02

[[layers]]
system = "medium"
width = 30

[[layers]]
system = "medium"
width = 20

[[layers]]
system = "medium"
width = 40

[rule]
name = "noprop"
learning_rate = 3e-3
inner_steps = 3
start = "noise"
inference = "sampled"

[training]
epochs = 6
batch_size = 50

[session]
sentinels = 4
"""


def call(*words: object) -> str:
    out, err, threads = io.StringIO(), io.StringIO(), torch.get_num_threads()
    torch.set_num_threads(1)  # on layers this small, threads wait for each other
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    torch.set_num_threads(threads)
    assert code == 0, err.getvalue()
    return out.getvalue()


def last(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def test_three_layers_on_one_system_learn_and_a_run_of_them_serves_for_everything(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(ONE_SYSTEM, encoding="utf-8")
    forecast = last(call("check", file, "--json"))
    trained = last(call("train", file, "--output", tmp_path / "runs", "--json"))
    # Ten classes: 0.1 by chance, with a standard error of 0.03 on 100 samples; 0.5 is 13 of them above.
    assert trained["test_accuracy"] > 0.5
    assert trained["physical_passes"] == sum(forecast["passes"].values())
    (run,) = (tmp_path / "runs").iterdir()
    evaluated = last(call("evaluate", run, "--dataset", "test", "--json"))
    # The same pass numbers: the same noise in medium and estimate, and so the very same answers.
    assert evaluated["accuracy"] == trained["test_accuracy"] and evaluated["physical_passes"] == 3 * 100


@pytest.mark.parametrize(
    ("control", "layers"), [("physics_zeroed", 0), ("responses_shuffled", 3), ("one_layer_less", 2)]
)
def test_it_has_its_controls(tmp_path: Path, control: str, layers: int) -> None:
    file = tmp_path / "one.toml"
    file.write_text(ONE_SYSTEM, encoding="utf-8")
    experiment = load_experiment(file, overrides=("training.epochs=1", "data.train_limit=100"))
    found = train_one(control, experiment, load_samples(experiment))
    # 85 rows to learn from, standardised on too; 15 to validate with once, and 100 to test.
    assert found.passes == layers * (2 * 85 + 15 + 100)


def test_it_is_compared_like_other_rules(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(
        ONE_SYSTEM.replace("epochs = 6", "epochs = 1").replace("train_limit = 400", "train_limit = 100"),
        encoding="utf-8",
    )
    other = ("--set", "rules.squared.name=noprop", "--set", "rules.squared.loss=snr_mse")
    text = call("compare", file, "--rules", "noprop,squared", *other, "--seeds", 1, "--output", tmp_path / "out")
    assert "squared" in text and "NO VERDICT" in text


def test_a_trainer_goes_on_from_a_snapshot_to_the_same_bit() -> None:
    rule, options = NoProp(start="noise", inference="sampled"), TrainingOptions(epochs=3, batch_size=40)
    trainers = [Trainer(refed(), rule, blobs(), classes=CLASSES, options=options) for _ in range(2)]
    with trainers[0].network:
        for step in range(9):
            if step == 4:
                snapshot = trainers[0].snapshot()
            trainers[0].step()
    with trainers[1].network:
        trainers[1].restore(snapshot)
        for _ in range(5):
            trainers[1].step()
    assert sha256(trainers[0].tensors()) == sha256(trainers[1].tensors())
