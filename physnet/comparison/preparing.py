"""What is known of each rule before anything is trained: that it can train this network, and what a sample costs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from ..assembly import Samples, build_network, build_rule, training_options
from ..errors import InputError
from ..experiment import Experiment
from ..forecast import count_passes
from ..passes import MOST_EPOCHS
from ..rules.work import network_work
from ..trainer import Trainer
from .pace import Steps


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A rule on its network, before training.

    Args:
        experiment: The experiment.
        passes_per_sample: Passes to learn from a sample, in all layers.
        samples: Training samples.
        steps: Steps of its training.
        presented: Samples that its training presents.
        inference_work: Multiply-adds to classify a sample; None where nobody counted.
        readout_work: Those of a linear read-out of the first layer.
        labelled: Whether it presents labels to the physics.
        drives: Drive channels of each layer's system.
        depth: Layers.
        measured: Whether a system is a real one.
    """

    experiment: Experiment
    passes_per_sample: int
    samples: int
    steps: int
    presented: int
    inference_work: int | None
    readout_work: int
    labelled: bool
    drives: tuple[int, ...]
    depth: int
    measured: bool


def prepare(experiment: Experiment, samples: Samples, *, budget: int | None = None) -> Prepared:
    """Make a rule and its network, and count what a sample costs. Nothing is opened.

    Args:
        experiment: The experiment.
        samples: Its samples.
        budget: Most training passes; None for the experiment's epochs.

    Raises:
        PhysnetError: A system or the rule can't be had, the rule can't train this network, or the budget is too small.
    """
    if experiment.training.schedule == "greedy":
        raise InputError(
            "training.schedule must be 'simultaneous' where rules are compared, for not every rule can train one layer "
            "after the other, got 'greedy'. Leave it out."
        )
    if experiment.training.cache_megabytes:
        raise InputError(
            "training.cache_megabytes must be 0 where rules are compared, for rows from a cache are no passes, got "
            f"{experiment.training.cache_megabytes:g} MB. Leave it out."
        )
    rule = build_rule(experiment)
    network = build_network(experiment, samples.frame, rule)
    # What a pipeline changes is the time, which is nothing that rules are compared by.
    options = dataclasses.replace(training_options(experiment), schedule="simultaneous")
    classes = len(samples.frame.classes)
    trainer = Trainer(network, rule, samples.splits, classes=classes, options=options, seed=experiment.seed)
    names = {port: str(number) for number, port in enumerate(network.ports)}
    rows, epochs = len(samples.splits.train), experiment.training.epochs
    passes = count_passes(trainer, names).purposes["train"] // (epochs * rows)
    steps = Steps.of(trainer, passes, epochs=epochs, budget=budget)
    if len(steps) > steps.per_epoch * MOST_EPOCHS:
        raise InputError(f"budget_passes must be at most {MOST_EPOCHS} epochs, got {budget}. Lower it.")
    work = network_work(rule, network, classes=classes, batch=trainer.batch_size)
    return Prepared(
        experiment=experiment,
        passes_per_sample=passes,
        samples=rows,
        steps=len(steps),
        presented=steps.samples(len(steps)),
        inference_work=work.inference if work else None,
        readout_work=network.layers[0].features * classes,
        labelled=rule.labelled_inputs,
        drives=tuple(layer.port.spec.drive.channels for layer in network),
        depth=len(network),
        measured=any(port.spec.kind == "measured" for port in network.ports),
    )


def common_distance(prepared: Mapping[str, Prepared], *, budget: int | None, every: int | None) -> int:
    """Return the training passes between two validations, the same for all rules.

    As asked for; else a twentieth of the budget; else an epoch of a rule with two rows per sample and layer, times the
    experiment's `validate_every`, and at most a tenth of its epochs. It does not depend on which rules are compared, so
    that a further one leaves the trainings of the others as they are.

    Raises:
        InputError: It is below 1, or there would be more validations than can be numbered.
    """
    found = every
    if found is None and budget is not None:
        found = max(1, budget // 20)
    if found is None:
        found = max(map(_usual_distance, prepared.values()))
    if found < 1:
        raise InputError(f"validate_every must be >= 1 training pass, got {every}.")
    most = max(one.presented * one.passes_per_sample for one in prepared.values())
    if most // found + 1 >= MOST_EPOCHS:
        raise InputError(
            f"validate_every must leave fewer than {MOST_EPOCHS} validations of {most} training passes, got {found}. "
            "Raise it."
        )
    return found


def _usual_distance(one: Prepared) -> int:
    training, epoch = one.experiment.training, 2 * one.samples * one.depth
    return max(1, min(epoch * training.validate_every, epoch * training.epochs // 10))
