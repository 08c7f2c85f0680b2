"""Layers, minibatches and networks small enough to check a rule by, in double precision.

The black boxes are fixed and noiseless, so that a reference sees the very responses that the rule saw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from physnet.data import Splits, Subset
from physnet.encoders import Split
from physnet.function_system import system
from physnet.layer import Nonlinearity, PhysicalLayer, Presented
from physnet.learning import learn_minibatch
from physnet.network import LabelSlots, Network
from physnet.port import Port
from physnet.rules.base import Batch, Learned, Learner, LocalRule, Present, Refeeds
from physnet.trainer import Trainer
from physnet.training_options import TrainingOptions

INPUTS, WIDTH, CLASSES, SAMPLES = 6, 9, 3, 40
TOLERANCE = 1e-6
"""Largest difference of two gradients, as a part of the largest entry: what the project promises of a closed form.

Double precision leaves some 1e-13 of it.
"""

CLEARLY_ABOVE_CHANCE = 0.6
"""Accuracy of `train`: a third by chance, five standard deviations of 0.053 over 80 test samples above it."""


def make_layer(
    nonlinearity: Nonlinearity = "relu",
    *,
    number: int = 0,
    inputs: int = INPUTS,
    width: int = WIDTH,
    responses: int = 12,
) -> PhysicalLayer:
    """A rectifying medium that mixes its inputs, and a digital map."""
    matrix = np.random.default_rng(number).standard_normal((2 * inputs, responses)) / np.sqrt(inputs)
    black_box = system(
        lambda drive: np.abs(drive @ matrix), drives=2 * inputs, responses=responses, name=f"box{number}"
    )
    return PhysicalLayer(
        port=Port(black_box, dtype=torch.float64),
        inputs=inputs,
        width=width,
        encoder=Split(),
        seed=3 + number,
        nonlinearity=nonlinearity,
        name=f"layer{number}",
    )


def make_network(
    nonlinearity: Nonlinearity = "relu",
    *,
    slots: bool = False,
    refed: bool = False,
    widths: Sequence[int] = (9, 7, 8),
    responses: int = 12,
) -> Network:
    """Layers of different widths on top of each other, none as wide as there are classes."""
    inputs, stack = INPUTS + CLASSES * slots, []
    for number, width in enumerate(widths):
        stack.append(make_layer(nonlinearity, number=number, inputs=inputs, width=width, responses=responses))
        inputs = inputs if refed else width
    label = LabelSlots(classes=CLASSES, amplitude=1.5) if slots else None
    return Network(stack, features=INPUTS, slots=label, refed=refed)


def make_batch(seed: int = 0, *, step: int = 0, progress: float = 0.0) -> Batch:
    """Normal features and random labels."""
    random = torch.Generator().manual_seed(seed)
    return Batch(
        features_NI=torch.randn(SAMPLES, INPUTS, generator=random, dtype=torch.float64),
        labels_N=torch.randint(0, CLASSES, (SAMPLES,), generator=random),
        seed=0,
        epoch=0,
        step=step,
        progress=progress,
    )


def recorded(layer: PhysicalLayer, seed: int = 5, rows: int = SAMPLES) -> torch.Tensor:
    """Features as a medium might have answered."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(rows, layer.features, generator=random, dtype=torch.float64)


def feed(learner: Learner, layer: PhysicalLayer, features: torch.Tensor, batch: Batch) -> Learned:
    """Answer the one presentation of a step with recorded features."""
    steps = learner.learn(batch.features_NI, batch)
    assert isinstance(next(steps), Present)
    reading = layer.port.measure(torch.zeros(len(features), layer.port.spec.drive.channels), np.arange(len(features)))
    with pytest.raises(StopIteration) as stop:
        steps.send(Presented(features_NF=features, reading=reading, clipped=0))
    learned = stop.value.value
    assert isinstance(learned, Learned)
    return learned


def learners_of(rule: LocalRule, network: Network) -> list[Any]:
    """The rule at work on each layer of a network."""
    return [rule.learner(layer, classes=CLASSES, seed=number) for number, layer in enumerate(network)]


def learn(network: Network, rule: LocalRule, learners: Sequence[Learner], batch: Batch) -> Mapping[str, Any]:
    """One minibatch through a whole network, as the trainer takes it."""
    with network:
        return learn_minibatch(network, rule, learners, batch, place=batch.step)


def features_of(layer: PhysicalLayer, inputs: torch.Tensor) -> torch.Tensor:
    """What a layer measures for inputs; the medium is noiseless, so that it is what the rule saw too."""
    with layer.port:
        return layer.present(inputs, np.arange(len(inputs))).features_NF


def first_gradient(learner: Learner, name: str) -> torch.Tensor:
    """The gradient that a learner's first step followed: Adam's first moment is then (1 - 0.9) of it."""
    return learner.tensors()[f"adam/{name}/first_moment"] / (1 - 0.9)


def assert_same(own: torch.Tensor, reference: torch.Tensor, *, tolerance: float = TOLERANCE) -> None:
    """Two gradients agree, and there is something to agree on."""
    reference = reference.detach()
    assert float(reference.abs().max()) > 0
    assert float((own - reference).abs().max()) <= tolerance * float(reference.abs().max())


def blobs(rows: int = 240) -> Splits:
    """Three Gaussian classes around a circle, in six features of which two matter."""
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, rows)
    angle = 2 * np.pi * labels / CLASSES
    circle = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.3 * random.standard_normal((rows, 2))
    x = np.hstack([circle, 0.5 * random.standard_normal((rows, INPUTS - 2))]).astype(np.float32)
    parts = np.split(np.arange(rows), [rows // 2, rows // 2 + rows // 6])
    names = ("train", "validation", "test")
    return Splits(
        **{n: Subset(x=x[p], y=labels[p].astype(np.int64), index=p) for n, p in zip(names, parts, strict=True)}
    )


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What became of a small training."""

    before: float
    after: float
    layers: tuple[float, ...]
    train_passes: int
    test_passes: int
    steps: int


def train(rule: LocalRule, *, epochs: int) -> Trained:
    """Train two layers on `blobs`: 120 training samples in minibatches of 40, 80 test samples."""
    network = make_network(
        rule.nonlinearity,
        widths=(20, 20),
        responses=40,
        slots=rule.labelled_inputs,
        refed=isinstance(rule, Refeeds),
    )
    options = TrainingOptions(epochs=epochs, batch_size=40, validate_every=epochs)
    with network:
        trainer = Trainer(network, rule, blobs(), classes=CLASSES, options=options)
        trainer.prepare()
        before = trainer.evaluate("test").accuracy
        for _ in range(epochs * trainer.steps_per_epoch):
            trainer.step()
        passes = trainer.passes["test"]
        result = trainer.evaluate("test")
    return Trained(
        before=before,
        after=result.accuracy,
        layers=result.layer_accuracy,
        train_passes=trainer.passes["train"],
        test_passes=trainer.passes["test"] - passes,
        steps=trainer.steps_done,
    )


def copies(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies of named tensors."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def assert_goes_on_as_if_never_stopped(rule: LocalRule, nonlinearity: Nonlinearity, *, slots: bool = False) -> None:
    """Train, move to a fresh network with other initial tensors, train both: every bit must be the same."""
    refed = isinstance(rule, Refeeds)
    network, other = (make_network(nonlinearity, slots=slots, refed=refed) for _ in range(2))
    learners = learners_of(rule, network)
    for step in range(2):
        learn(network, rule, learners, make_batch(step, step=step))
    resumed = [rule.learner(layer, classes=CLASSES, seed=99) for layer in other]
    other.load(copies(network.tensors()))
    for own, source in zip(resumed, learners, strict=True):
        assert set(own.tensors()) == set(source.tensors())
        own.load(copies(source.tensors()))
    metrics = [learn(n, rule, ls, make_batch(7, step=2)) for n, ls in ((network, learners), (other, resumed))]
    assert metrics[0] == metrics[1]
    for own, source in zip(resumed, learners, strict=True):
        for name, tensor in source.tensors().items():
            assert torch.equal(own.tensors()[name], tensor), name
    for name, tensor in network.tensors().items():
        assert torch.equal(other.tensors()[name], tensor), name
