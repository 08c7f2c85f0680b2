"""How much digital arithmetic a rule takes: what it costs beside the passes through the physics.

A count is of multiply-adds as the code does them, not of what an ideal implementation could do with. Counted are matrix
products: maps before and after the physics, read-outs, gradients, every inner step, every hypothesis, and what the
trainer computes again when a rule awaits something. So are sums that compare each row with each class, however they are
written. Left out are operations on one element at a time (nonlinearities, norms, standardisation, encoders: fewer by
the width of a layer) and the optimiser, which takes about a dozen operations per trained number and step, whatever the
rule.

A rule of a third party declares its own count with a method `work`; without one it has none, and none is made up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch
from itertools import pairwise
from typing import Protocol, runtime_checkable

from ..layer import PhysicalLayer
from .augmented_dfa import AugmentedFeedbackAlignment
from .base import LocalRule, Need
from .cafo import CascadedForward
from .ccl import CounterCurrent
from .dfa import DirectFeedbackAlignment
from .drtp import RandomTargetProjection
from .ff import ForwardForward
from .ffzero import FFZero
from .mono_forward import MonoForward
from .node_perturbation import NodePerturbation
from .noprop import NoProp
from .pepita import Pepita
from .phyll import PhyLL
from .prototype import Prototype
from .scff import SelfContrastive
from .spsa import SimultaneousPerturbation
from .tpsgd import TargetProjection


@dataclass(frozen=True, kw_only=True)
class Work:
    """Digital multiply-adds of one layer, or of a network.

    Args:
        inference: To classify one sample, with all the hypotheses that takes.
        training: To learn from one minibatch.
    """

    inference: int
    training: int

    def __add__(self, other: Work) -> Work:
        return Work(inference=self.inference + other.inference, training=self.training + other.training)


@runtime_checkable
class CountsWork(Protocol):
    """A rule that says how much digital work it takes."""

    def work(self, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
        """Return the multiply-adds of one layer.

        Args:
            layer: The layer.
            classes: Number of classes.
            batch: Samples of a minibatch.
        """
        ...


@singledispatch
def layer_work(rule: object, layer: PhysicalLayer, *, classes: int, batch: int) -> Work | None:
    """Return the multiply-adds that a rule takes on a layer; None where nobody counted.

    Args:
        rule: The rule.
        layer: The layer, in its network.
        classes: Number of classes.
        batch: Samples of a minibatch.
    """
    return rule.work(layer, classes=classes, batch=batch) if isinstance(rule, CountsWork) else None


def network_work(rule: LocalRule, layers: Iterable[PhysicalLayer], *, classes: int, batch: int) -> Work | None:
    """Return the multiply-adds of all layers together; None where nobody counted.

    Args:
        rule: The rule.
        layers: The layers of the network.
        classes: Number of classes.
        batch: Samples of a minibatch.
    """
    total = Work(inference=0, training=0)
    for layer in layers:
        one = layer_work(rule, layer, classes=classes, batch=batch)
        if one is None:
            return None
        total += one
    return total


def presented(layer: PhysicalLayer) -> int:
    """Return what a row costs before the physics: the digital map there, as a matrix product whatever it holds."""
    return 0 if layer.before is None else layer.before.weight_IO.numel()


def sent_up(layer: PhysicalLayer) -> int:
    """Return what a row costs behind the physics: weight and features, whose product goes up or into a gradient."""
    return layer.weight_FO.numel()


def answers(layer: PhysicalLayer, readout: str, scores: int) -> int:
    """Return what the scores of a layer cost where the network's answer needs them, and 0 elsewhere."""
    return scores if readout == "sum" or layer.highest else 0


@layer_work.register
def _phyll(rule: PhyLL, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    labelled = rule.mode == "supervised"
    # Two rows a sample; each inner step is the output and the gradient, then the output goes up.
    training = 2 * batch * (before + weight * (2 * rule.inner_steps + 1))
    if not labelled:
        training += batch * (weight + 2 * head)  # the read-out: its input, its scores and its gradient
    return Work(
        inference=(classes if labelled else 1) * (before + weight) + answers(layer, rule.readout, head),
        training=training,
    )


@layer_work.register
def _mono_forward(rule: MonoForward, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight = presented(layer), sent_up(layer)
    widths = [layer.width, *[rule.head_width] * (rule.head_depth - 1), classes]
    head = sum(inputs * outputs for inputs, outputs in pairwise(widths))
    # Each inner step: output and head forward, the error back through the head, the gradients of both.
    return Work(
        inference=before + weight + answers(layer, rule.readout, head),
        training=batch * (before + weight + rule.inner_steps * (2 * weight + 3 * head)),
    )


@layer_work.register
def _prototype(rule: Prototype, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, cosines = presented(layer), sent_up(layer), layer.width * classes
    products = 3 if rule.prototypes == "learned" else 2
    return Work(
        inference=before + weight + answers(layer, rule.readout, cosines),
        training=batch * (before + weight + rule.inner_steps * (2 * weight + products * cosines)),
    )


@layer_work.register
def _forward_forward(rule: ForwardForward, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, labels = presented(layer), sent_up(layer), layer.width * classes
    digital = rule.label == "digital"
    rows = batch if digital else 2 * batch
    # A digital label is a one-hot product for the positive and the negative row; so is its gradient.
    activity = rows * weight + (2 * batch * labels if digital else 0)
    training = rows * (before + weight) + rule.inner_steps * 2 * activity
    if rule.collaboration:
        training += activity + rows * weight  # its report, and what goes up once more
    return Work(
        inference=(1 if digital else classes) * (before + weight) + answers(layer, rule.readout, labels),
        training=training,
    )


@layer_work.register
def _target_projection(rule: TargetProjection, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, distances = presented(layer), sent_up(layer), layer.width * classes
    return Work(
        inference=before + weight + answers(layer, rule.readout, distances),
        # The distance to every target is taken once, for the metrics.
        training=batch * (before + weight + rule.inner_steps * 2 * weight + distances),
    )


@layer_work.register(DirectFeedbackAlignment)
@layer_work.register(RandomTargetProjection)
def _feedback(
    rule: DirectFeedbackAlignment | RandomTargetProjection, layer: PhysicalLayer, *, classes: int, batch: int
) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    training = before + 3 * weight + 3 * head
    if Need.OUTPUT_ERROR in rule.needs:
        training += weight + (head if layer.highest else 0)  # up once more, and the scores behind the error
    return Work(
        inference=before + weight + answers(layer, rule.readout, head),
        training=batch * training,
    )


@layer_work.register
def _noprop(rule: NoProp, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    # While it learns, nothing goes up; to classify, the layer above needs the scores, whichever count.
    return Work(
        inference=before + weight + head,
        training=batch * (before + rule.inner_steps * (2 * weight + 3 * head)),
    )


@layer_work.register
def _node_perturbation(rule: NodePerturbation, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    ways = 2 * rule.directions
    # Rows presented go through both maps; what is encoded is taken once more, and so is the gradient of the map before.
    training = (ways + 3) * before + ways * (weight + head) + 3 * (weight + head)
    training += rule.directions * _encoded(layer)  # slopes times directions
    return Work(inference=before + weight + answers(layer, rule.readout, head), training=batch * training)


@layer_work.register
def _augmented_dfa(rule: AugmentedFeedbackAlignment, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    training = 3 * before + classes * _encoded(layer) + 3 * (weight + head)
    # The scores behind the error: once more up, or here alone.
    training += weight + (head if layer.highest or rule.error == "local" else 0)
    return Work(inference=before + weight + answers(layer, rule.readout, head), training=batch * training)


@layer_work.register
def _spsa(rule: SimultaneousPerturbation, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    training = batch * (2 * rule.directions * (weight + head) + 3 * (weight + head))
    return Work(
        inference=before + weight + answers(layer, rule.readout, head),
        training=training + _perturbed(rule, layer, batch),
    )


@layer_work.register
def _ffzero(rule: FFZero, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, cosines = presented(layer), sent_up(layer), layer.width * classes
    behind = 2 * weight + cosines if rule.after == "fixed" else 3 * weight + 2 * cosines
    return Work(
        inference=before + weight + answers(layer, rule.readout, cosines),
        training=batch * (2 * rule.directions * (weight + cosines) + behind) + _perturbed(rule, layer, batch),
    )


def _perturbed(rule: SimultaneousPerturbation | FFZero, layer: PhysicalLayer, batch: int) -> int:
    """Return what directions cost before and inside the physics."""
    before, directions, moved = presented(layer), rule.directions, 0
    training = batch * (2 * directions + 1) * before
    if rule.where != "inside" and layer.before is not None:
        training += batch * directions * before  # what a changed map adds to the drive
        moved += before + _encoded(layer)
    if rule.where != "before":
        moved += sum(spec.channels for spec in layer.port.parameters.values())
    return training + directions * moved


def _encoded(layer: PhysicalLayer) -> int:
    """Return how many numbers a map before the physics gives."""
    return 0 if layer.before is None else layer.before.weight_IO.shape[1]


@layer_work.register
def _pepita(rule: Pepita, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    # Two presentations. What goes up is taken three times, the activity twice, the gradient once.
    training = 2 * before + 6 * weight + 2 * head
    training += (classes * layer.inputs if layer.lowest else 0) + (2 * head if layer.highest else 0)
    return Work(
        inference=before + weight + answers(layer, rule.readout, head),
        training=batch * training,
    )


@layer_work.register
def _self_contrastive(rule: SelfContrastive, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    return Work(
        inference=before + weight + answers(layer, rule.readout, head),
        # Two pairs a sample in each inner step; then the read-out, on activities of its own.
        training=batch * (before + 2 * weight + 4 * rule.inner_steps * weight + 2 * head),
    )


@layer_work.register
def _counter_current(rule: CounterCurrent, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    training = batch * (before + 3 * weight + (5 if layer.highest else 4) * head)
    if not layer.lowest:
        # The way down and its gradient, once for each class; the match with what came from below, for each row.
        training += 2 * classes * layer.width * layer.inputs + 2 * batch * layer.inputs * classes
    return Work(
        inference=before + weight + answers(layer, rule.readout, head),
        training=training,
    )


@layer_work.register
def _cascaded_forward(rule: CascadedForward, layer: PhysicalLayer, *, classes: int, batch: int) -> Work:
    before, weight, head = presented(layer), sent_up(layer), layer.width * classes
    training = batch * (before + 2 * weight)
    if rule.head == "ridge":
        inputs = layer.width + 1
        # The sums over rows, and once a minibatch a Cholesky factor and its two triangles.
        training += batch * (head + inputs**2 + inputs * classes) + inputs**3 // 6 + inputs**2 * classes
    else:
        training += batch * 2 * head
    return Work(
        inference=before + weight + answers(layer, rule.readout, head),
        training=training,
    )
