"""Baselines that are trained end to end, through a model of the physics: the simulator itself, or a fitted twin.

- `backpropagation`: the system answers, the gradient is the simulator's.
- `in_silico`: a twin is fitted to the system; the network is trained and validated on the twin alone, and tested on
  the system.
- `physics_aware`: the system answers, the gradient is the twin's.

Source:
    Wright et al., Deep physical neural networks trained with backpropagation, Nature 601, 549 (2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..assembly import Samples, build_network, build_rule
from ..contracts import Differentiable
from ..controls.training import rows_of
from ..end_to_end import EndToEnd, check_gradients, multiply_adds, simulator_of
from ..errors import InputError
from ..experiment import Experiment
from ..minibatches import Minibatches
from ..network import Network
from ..passes import Purpose
from ..port import Port
from ..rules.optimiser import LocalAdam
from ..seeding import derive_seed, stream
from ..standardisation import fit_standardisation
from ..twins import LEAST, Twin, TwinSystem
from ..twins.gather import twins_of
from .digital import RATES, USUAL_RATE
from .store import Outcome
from .tasks import Task

Check = Callable[[], None]
_MOST_ROWS = 2048
"""Training samples that a twin is fitted to, at most: one pass each in every layer."""


def plain_network(experiment: Experiment) -> Experiment:
    """Return an experiment whose network is the same whatever rules are compared: that of `mono_forward`.

    No label slots, and rectified where a layer leaves that open.
    """
    return Experiment.from_dict({**experiment.as_dict(), "rule": {"name": "mono_forward"}})


def why_not(kind: str, experiment: Experiment, samples: Samples) -> str:
    """Return why a baseline can't be trained on a network; empty where it can. Nothing is opened."""
    try:
        network = build_network(experiment, samples.frame, build_rule(experiment))
        check_gradients(network)
        if kind == "backpropagation":
            for port in network.ports:
                simulator_of(port.system)
        elif len(samples.splits.train) < LEAST:
            raise InputError(f"a twin needs at least {LEAST} training samples, got {len(samples.splits.train)}.")
    except InputError as error:
        return " ".join(str(error).split()).rstrip(".")
    return ""


def train_end_to_end(
    task: Task, experiment: Experiment, samples: Samples, *, device: str, interrupted: Check
) -> Outcome:
    """Train once per step size, and test the one that the validation split chose, on the physics.

    The step size falls to zero as a cosine, as it does for rules with `decay = "cosine"`.

    Minibatches are those of the rules; weights are those of the best validation. Passes of the step sizes that were not
    kept are told as `search`.

    Args:
        task: Epochs, distance between validations, seed.
        experiment: Its experiment.
        samples: The samples.
        device: torch device of the digital part.
        interrupted: Called between steps.

    Raises:
        PhysnetError: As `Port.measure`; or the network is not one that can be trained so.
    """
    network = build_network(experiment, samples.frame, build_rule(experiment), device=device)
    course = _Course(task, experiment, samples, network, interrupted)
    with network:
        return course.outcome()


@dataclass(frozen=True, kw_only=True)
class _Try:
    """What came of one step size.

    Args:
        rate: The step size.
        accuracy: Best validation accuracy; NaN without validation.
        kept: The weights of it.
        curve: Training passes and validation accuracy of each validation.
        samples: Samples learnt from, until it ended or diverged.
        passes: Rows presented to the physics, by purpose.
        diverged: Why it ended early; empty otherwise.
    """

    rate: float
    accuracy: float
    kept: Mapping[str, torch.Tensor] | None
    curve: tuple[tuple[int, float], ...]
    samples: int
    passes: Mapping[str, int]
    diverged: str


class _Course:
    """A training with all its step sizes, and what it cost."""

    def __init__(
        self, task: Task, experiment: Experiment, samples: Samples, network: Network, interrupted: Check
    ) -> None:
        self._task, self._experiment, self._samples, self._network = task, experiment, samples, network
        self._check, self._classes = interrupted, len(samples.frame.classes)
        training, like = experiment.training, network.layers[0].weight_FO
        self._minibatches = Minibatches(samples.splits, size=training.batch_size, seed=experiment.seed, like=like)
        self._ports = tuple(layer.port for layer in network)
        for port in network.ports:
            port.interrupted = interrupted
        self._counted = 0

    def outcome(self) -> Outcome:
        """Train with every step size, and test the best once."""
        silico = self._task.kind == "in_silico"
        passes = {"standardise": self._standardise()}
        twins = self._twins()
        passes["calibrate"] = self._new_passes()
        subject = self._subject(twins, silico=silico)
        tries = self._tries(subject)
        best = _best(tries)
        for layer, port in zip(self._network, self._ports, strict=True):
            layer.port = port
        passes |= best.passes
        passes["search"] = sum(sum(one.passes.values()) for one in tries if one is not best)
        test = math.nan
        if best.kept is not None:
            subject.load(best.kept)
            test = self._accuracy(subject, "test", 0) if self._task.test and len(self._samples.splits.test) else test
        passes["test"] = self._new_passes()
        products = [_products(twins[port]) if twins else 0 for port in self._ports]
        inference, training = multiply_adds(self._network, products, classes=self._classes, answering=silico)
        return Outcome(
            test_accuracy=test,
            validation_accuracy=best.accuracy,
            seconds=0.0,
            curve=() if silico else best.curve,
            passes={purpose: count for purpose, count in passes.items() if count},
            passes_per_inference=len(self._network),
            inference_work=inference,
            # What the gradient of a simulator takes, nobody counted.
            training_work=training * best.samples if twins else None,
            diverged=best.diverged,
            physics=tuple(sorted({port.spec.kind for port in self._ports})),
            drives=tuple(port.spec.drive.channels for port in self._ports),
            about={
                "learning_rate": best.rate,
                "tried": len(tries),
                "epochs": self._task.epochs,
                **({"validated_on": "twins"} if silico else {}),
                **_told(twins),
            },
            **rows_of(self._samples),
        )

    def _standardise(self) -> int:
        """Fit the standardisation as a trainer does, on as many rows; return the passes."""
        features, rows = self._minibatches.features["train"], self._experiment.training.standardise_rows
        count = min(max(2, rows), len(features))
        sample = stream(self._experiment.seed, "standardisation").permutation(len(features))[:count]
        fit_standardisation(self._network, self._network.inputs(features[torch.from_numpy(sample)]))
        return self._new_passes()

    def _twins(self) -> dict[Port, Twin]:
        """Fit a twin to every system that needs one."""
        if self._task.kind == "backpropagation":
            return {}
        features, seed = self._minibatches.features["train"], self._experiment.seed
        sample = stream(seed, "twin rows").permutation(len(features))[:_MOST_ROWS]
        rows = self._network.inputs(features[torch.from_numpy(sample)])
        return twins_of(self._network, rows, seed=derive_seed(seed, "twins"))

    def _subject(self, twins: Mapping[Port, Twin], *, silico: bool) -> EndToEnd:
        """Return the network with what is differentiated; in silico, with what answers, too."""
        models: dict[Port, Differentiable] = {}
        stand_ins: dict[Port, Port] = {}
        for port in self._network.ports:
            if not twins:
                models[port] = simulator_of(port.system)
                continue
            twin = TwinSystem.of(twins[port], device=str(port.device), name=f"twin of {port.spec.name}")
            real = port.dtype.to_real() if port.dtype.is_complex else port.dtype
            stand_ins[port] = Port(twin, seed=port.seed, device=port.device, dtype=real) if silico else port
            models[stand_ins[port]] = twin
        for layer in self._network:
            layer.port = stand_ins.get(layer.port, layer.port)
        seed = derive_seed(self._experiment.seed, "end to end")
        return EndToEnd(self._network, models, classes=self._classes, seed=seed)

    def _tries(self, subject: EndToEnd) -> list[_Try]:
        """Train with each step size, from the same start."""
        start = {name: tensor.clone() for name, tensor in subject.trained.items()}
        memories, found = self._network.memories(), []
        for rate in RATES if len(self._samples.splits.validation) else (USUAL_RATE,):
            subject.load(start)
            self._network.restore_memories(memories)
            found.append(self._try(subject, rate))
        return found

    def _try(self, subject: EndToEnd, rate: float) -> _Try:
        adam, minibatches = LocalAdam(subject.trained, learning_rate=rate, decay="cosine"), self._minibatches
        steps, depth = self._task.epochs * minibatches.per_epoch, len(self._network)
        samples, passes, diverged = 0, {"train": 0, "validate": 0}, ""
        curve, accuracy, kept = list[tuple[int, float]](), math.nan, None
        for number in range(steps):
            self._check()
            epoch, place = divmod(number, minibatches.per_epoch)
            batch = minibatches.batch(
                minibatches.rows(epoch, place), epoch=epoch, place=place, epochs=self._task.epochs
            )
            loss, gradients = subject.gradient(batch.features_NI, batch.labels_N, epoch=epoch, step=place)
            passes["train"] += self._new_passes()
            if not all(math.isfinite(float(gradient.abs().sum())) for gradient in gradients.values()):
                diverged = f"its loss was {loss:g} at step {number}"
                break
            for name, gradient in gradients.items():
                adam.gradients[name].copy_(gradient)
            adam.set_progress(number / steps)
            adam.step()
            before, samples = samples * depth, samples + len(batch.labels_N)
            due = number == steps - 1 or before // self._task.every < samples * depth // self._task.every
            if due and len(self._samples.splits.validation):
                curve.append((samples * depth, self._accuracy(subject, "validation", len(curve) + 1)))
                passes["validate"] += self._new_passes()
                if not curve[-1][1] <= accuracy:
                    accuracy, kept = curve[-1][1], {name: tensor.clone() for name, tensor in subject.trained.items()}
        if not len(self._samples.splits.validation) and not diverged:
            kept = {name: tensor.clone() for name, tensor in subject.trained.items()}
        return _Try(
            rate=rate,
            accuracy=accuracy,
            kept=kept,
            curve=tuple(curve),
            samples=samples,
            passes=passes,
            diverged=diverged,
        )

    def _accuracy(self, subject: EndToEnd, part: Literal["validation", "test"], number: int) -> float:
        """Classify a split with the weights as they are; `number` tells validations apart."""
        purpose = Purpose.TEST if part == "test" else Purpose.VALIDATE
        features, labels = self._minibatches.features[part], self._minibatches.labels[part]
        found = subject.answers(
            features, purpose=purpose, epoch=number, batch=self._experiment.training.evaluation_batch
        )
        return float((found == labels).to(torch.float64).mean())

    def _new_passes(self) -> int:
        """Return the passes of the physics since the last time."""
        before, self._counted = self._counted, sum(port.count.passes for port in dict.fromkeys(self._ports))
        return self._counted - before


def _best(tries: Sequence[_Try]) -> _Try:
    """Return the step size with the best validation, the first of equals; one that did not diverge without any."""
    return max(tries, key=lambda one: -1.0 if math.isnan(one.accuracy) else one.accuracy)


def _products(twin: Twin) -> int:
    """Return the multiply-adds of a twin for a row."""
    return sum(weight.size for weight, _ in twin.model.maps)


def _told(twins: Mapping[Port, Twin]) -> dict[str, Any]:
    """Return how good the twins are."""
    if not twins:
        return {}
    table = [
        {
            "system": twin.system,
            "kind": twin.model.kind,
            "held_out_error": twin.report.error,
            "rows": twin.report.rows,
        }
        for twin in twins.values()
    ]
    return {"twins": table}
