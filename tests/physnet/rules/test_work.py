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
from physnet.rules.augmented_dfa import AugmentedFeedbackAlignment
from physnet.rules.base import Batch, Learner, LocalRule, Placement, Refeeds
from physnet.rules.cafo import CascadedForward
from physnet.rules.ccl import CounterCurrent
from physnet.rules.dfa import DirectFeedbackAlignment
from physnet.rules.drtp import RandomTargetProjection
from physnet.rules.ff import ForwardForward
from physnet.rules.ffzero import FFZero
from physnet.rules.mono_forward import MonoForward
from physnet.rules.node_perturbation import NodePerturbation
from physnet.rules.noprop import NoProp
from physnet.rules.pepita import Pepita
from physnet.rules.phyll import PhyLL
from physnet.rules.prototype import Prototype
from physnet.rules.scff import SelfContrastive
from physnet.rules.spsa import SimultaneousPerturbation
from physnet.rules.tpsgd import TargetProjection
from physnet.rules.work import Work, layer_work, network_work

FEATURES, CLASSES, SAMPLES = 6, 4, 40


def black_box(number: int, drives: int) -> PhysicalSystem:
    """A rectifying medium that mixes its inputs."""
    matrix = np.random.default_rng(number).standard_normal((drives, 12)).astype(np.float32)
    return system(lambda drive: np.abs(drive @ matrix), drives=drives, responses=12)


def make_network(rule: LocalRule, *, nonlinearity: Nonlinearity) -> Network:
    """Three layers of different widths, the middle one with a skip and a map before the physics.

    A rule that trains such maps finds one in all of them.
    """
    everywhere = Placement.BEFORE in rule.placements
    refed = isinstance(rule, Refeeds)
    inputs, layers = FEATURES + CLASSES * rule.labelled_inputs, []
    for number, width in enumerate((9, 7, 8)):
        before = DigitalMap.make("random", inputs, 11, seed=number) if number == 1 or everywhere else None
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
        inputs = inputs if refed else width
    slots = LabelSlots(classes=CLASSES, amplitude=1.0) if rule.labelled_inputs else None
    return Network(layers, features=FEATURES, slots=slots, refed=refed)


def _vector_flops(matrix: tuple[int, ...], vector: tuple[int, ...], *_: Any, **__: Any) -> int:
    return 2 * matrix[0] * matrix[1]


def _sum_flops(total: tuple[int, ...], left: tuple[int, ...], right: tuple[int, ...], *_: Any, **__: Any) -> int:
    return 2 * left[0] * left[1] * right[1]


# What torch knows of, but does not count by itself: a matrix with a vector, and a product added in place.
MORE = {torch.ops.aten.mv: _vector_flops, torch.ops.aten.addmm_: _sum_flops}


def counted(function: Callable[[], object]) -> int:
    """Return the multiply-adds of all matrix products."""
    with FlopCounterMode(display=False, custom_mapping=MORE) as counter:
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
            outputs = layer.outputs(layer.present(inputs, np.arange(len(inputs))).features_NF)
            if not network.refed:
                inputs = outputs
            if rule.readout == "sum" or layer.highest or network.refed:
                learner.scores(outputs)

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
    "prototype": Prototype(inner_steps=2),
    "prototype learned": Prototype(prototypes="learned", inner_steps=3, readout="last"),
    "dfa": DirectFeedbackAlignment(),
    "dfa of the sign": DirectFeedbackAlignment(error="sign", readout="sum"),
    "dfa of the label": DirectFeedbackAlignment(error="label"),
    "drtp": RandomTargetProjection(),
    "noprop": NoProp(inner_steps=3),
    "noprop of all layers": NoProp(loss="snr_mse", readout="sum"),
    "node_perturbation": NodePerturbation(directions=3),
    "augmented_dfa": AugmentedFeedbackAlignment(),
    "augmented_dfa of its own error": AugmentedFeedbackAlignment(error="local", readout="last"),
    "spsa": SimultaneousPerturbation(directions=2),
    "ffzero": FFZero(directions=2),
    "ffzero, fixed behind": FFZero(directions=1, after="fixed", loss="cross_entropy"),
    "pepita": Pepita(),
    "scff": SelfContrastive(inner_steps=2),
    "ccl": CounterCurrent(),
    "ccl of all layers": CounterCurrent(readout="sum"),
    "cafo by gradient": CascadedForward(head="gradient"),
}


def _classes_per_row(layer: PhysicalLayer) -> int:
    """What it costs to compare a row with each class element by element, which torch does not count."""
    return layer.width * CLASSES


def _factor(layer: PhysicalLayer) -> int:
    """A Cholesky factor and its two triangles, which it does not count either."""
    inputs = layer.width + 1
    return inputs**3 // 6 + inputs**2 * CLASSES


PARTLY: Mapping[str, tuple[LocalRule, Callable[[PhysicalLayer], Work]]] = {
    "ff": (ForwardForward(inner_steps=2), lambda layer: Work(inference=_classes_per_row(layer), training=0)),
    "ff with its neighbours": (
        ForwardForward(inner_steps=3, collaboration=True),
        lambda layer: Work(inference=_classes_per_row(layer), training=0),
    ),
    "ff with labels in the drive": (
        ForwardForward(label="drive", inner_steps=2),
        lambda layer: Work(inference=_classes_per_row(layer), training=0),
    ),
    "ff of both": (
        ForwardForward(label="drive", collaboration=True),
        lambda layer: Work(inference=_classes_per_row(layer), training=0),
    ),
    "tpsgd": (
        TargetProjection(inner_steps=2),
        lambda layer: Work(inference=_classes_per_row(layer), training=SAMPLES * _classes_per_row(layer)),
    ),
    "cafo": (CascadedForward(), lambda layer: Work(inference=0, training=_factor(layer))),
}


@pytest.mark.parametrize("name", RULES)
def test_the_declared_work_is_what_torch_counts(name: str) -> None:
    rule = RULES[name]
    network, _, found = really(rule)
    assert network_work(rule, network, classes=CLASSES, batch=SAMPLES) == found


@pytest.mark.parametrize("name", PARTLY)
def test_what_torch_does_not_count_is_declared_as_well(name: str) -> None:
    rule, uncounted = PARTLY[name]
    network, _, found = really(rule)
    for layer in network:
        found += uncounted(layer)
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
