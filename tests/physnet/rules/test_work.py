"""The declared multiply-adds are those that torch counts while the rule learns and classifies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from physnet.contracts import PhysicalSystem
from physnet.encoders import Split
from physnet.function_system import system
from physnet.layer import DigitalMap, Nonlinearity, PhysicalLayer
from physnet.learning import learn_minibatch
from physnet.network import LabelSlots, Network
from physnet.port import Port
from physnet.rules.base import Batch, Learner, LocalRule
from physnet.rules.mono_forward import MonoForward
from physnet.rules.phyll import PhyLL
from physnet.rules.work import Work, layer_work, network_work

FEATURES, CLASSES, SAMPLES = 6, 4, 40


def black_box(number: int, drives: int) -> PhysicalSystem:
    """A rectifying medium that mixes its inputs."""
    matrix = np.random.default_rng(number).standard_normal((drives, 12)).astype(np.float32)
    return system(lambda drive: np.abs(drive @ matrix), drives=drives, responses=12)


def make_network(rule: LocalRule, *, nonlinearity: Nonlinearity) -> Network:
    """Three layers of different widths, the middle one with a skip and a map before the physics."""
    inputs, layers = FEATURES + CLASSES * rule.labelled_inputs, []
    for number, width in enumerate((9, 7, 8)):
        before = DigitalMap.make("random", inputs, 11, seed=number) if number == 1 else None
        drives = 2 * (inputs if before is None else 11)
        layers.append(
            PhysicalLayer(
                port=Port(black_box(number, drives)),
                inputs=inputs,
                width=width,
                encoder=Split(),
                seed=number,
                skip=number == 1,
                before=before,
                nonlinearity=nonlinearity,
                name=f"layer{number}",
            )
        )
        inputs = width
    slots = LabelSlots(classes=CLASSES, amplitude=1.0) if rule.labelled_inputs else None
    return Network(layers, features=FEATURES, slots=slots)


def _vector_flops(matrix: tuple[int, ...], vector: tuple[int, ...], *_: Any, **__: Any) -> int:
    return 2 * matrix[0] * matrix[1]


def counted(function: Callable[[], object]) -> int:
    """Return the multiply-adds of what torch counts: matrix products, those with a vector included."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mv: _vector_flops}) as counter:
        function()
    flops: int = counter.get_total_flops()
    return flops // 2


def really(rule: LocalRule) -> tuple[Network, list[Learner], Work]:
    """Train a minibatch and classify a sample; count what torch did, all layers together."""
    network = make_network(rule, nonlinearity=rule.nonlinearity)
    learners = [rule.learner(layer, classes=CLASSES, seed=number) for number, layer in enumerate(network)]
    random = torch.Generator().manual_seed(1)
    batch = Batch(
        features_NI=torch.randn(SAMPLES, FEATURES, generator=random),
        labels_N=torch.arange(SAMPLES) % CLASSES,
        seed=0,
        epoch=0,
        step=0,
        progress=0.0,
    )

    def classify() -> None:
        inputs = rule.inference_rows(network, batch.features_NI[:1], classes=CLASSES)
        for layer, learner in zip(network, learners, strict=True):
            inputs = layer.outputs(layer.present(inputs, np.arange(len(inputs))).features_NF)
            if rule.readout == "sum" or layer.highest:
                learner.scores(inputs)

    with network:
        training = counted(lambda: learn_minibatch(network, rule, learners, batch, place=0))
        inference = counted(classify)
    return network, learners, Work(inference=inference, training=training)


RULES: Mapping[str, LocalRule] = {
    "phyll": PhyLL(inner_steps=3),
    "phyll of the last layer": PhyLL(inner_steps=2, readout="last"),
    "phyll unsupervised": PhyLL(mode="unsupervised", inner_steps=2),
    "mono_forward": MonoForward(),
    "mono_forward deep": MonoForward(head_depth=3, head_width=5, inner_steps=2, readout="last"),
}


@pytest.mark.parametrize("name", RULES)
def test_the_declared_work_is_what_torch_counts(name: str) -> None:
    rule = RULES[name]
    network, _, found = really(rule)
    assert network_work(rule, network, classes=CLASSES, batch=SAMPLES) == found


def test_more_inner_steps_cost_training_and_not_inference() -> None:
    few, many = (
        network_work(rule, make_network(rule, nonlinearity="relu"), classes=CLASSES, batch=SAMPLES)
        for rule in (MonoForward(inner_steps=1), MonoForward(inner_steps=5))
    )
    assert few is not None and many is not None
    assert few.inference == many.inference and many.training > 2 * few.training


def test_a_rule_of_somebody_else_counts_for_itself_or_not_at_all() -> None:
    class Own:
        def work(self, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
            return Work(inference=layer.width, training=batch * classes)

    layer = make_network(MonoForward(), nonlinearity="relu").layers[0]
    assert layer_work(Own(), layer, classes=2, batch=3) == Work(inference=9, training=6)
    assert layer_work(object(), layer, classes=2, batch=3) is None
