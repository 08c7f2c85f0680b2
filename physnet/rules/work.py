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
from .base import LocalRule
from .mono_forward import MonoForward
from .phyll import PhyLL


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
