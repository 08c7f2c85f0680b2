"""One training: a rule with its validations at equal distances in training passes, or a baseline."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..assembly import Samples, build_network, build_rule, load_samples, training_options
from ..baselines import raw_logistic_regression
from ..controls.training import rows_of, train_one
from ..data import Splits, Subset
from ..errors import DriveError, FaultError
from ..evaluation import evaluate
from ..experiment import Experiment
from ..fingerprint import code_of
from ..passes import MOST_EPOCHS, Purpose
from ..rules.work import network_work
from ..standing import charge
from ..trainer import Trainer
from .digital import train_digital
from .end_to_end import train_end_to_end
from .pace import Pace, Paced, Steps
from .store import Outcome
from .tasks import Task

Check = Callable[[], None]
_NEVER = MOST_EPOCHS + 1
# No weight of standardised features comes near: the fourth power of it has no place in single precision.
_RUNAWAY = torch.finfo(torch.float32).max ** 0.25
# What torch raises where a matrix that a rule solves for has run away.
_NOT_SOLVED: type[Exception] = getattr(torch.linalg, "LinAlgError", RuntimeError)


def perform(task: Task, *, device: str = "cpu", interrupted: Check | None = None, alone: bool = True) -> Outcome:
    """Do a training.

    The test split is measured once, at the very end, and only where the task says so.

    Args:
        task: What to do.
        device: torch device of the digital part.
        interrupted: Called between steps; raises to end.
        alone: Whether nothing else is trained meanwhile: else no energy is told.

    Raises:
        PhysnetError: As `Trainer.run`.
    """
    experiment, check = without_placed_rows(Experiment.from_dict(task.experiment)), interrupted or (lambda: None)
    samples = _samples(experiment)
    began = time.perf_counter()
    match task.kind:
        case "rule":
            outcome = _rule(task, experiment, samples, device, check)
        case "digital_network":
            outcome = train_digital(task, samples, interrupted=check)
        case "backpropagation" | "physics_aware" | "in_silico":
            outcome = train_end_to_end(task, experiment, samples, device=device, interrupted=check)
        case "raw_logistic_regression":
            outcome = _baseline(task, samples, accuracy=raw_logistic_regression(samples.splits))
        case "linear_readout":
            found = train_one(task.kind, experiment, samples, device=device, interrupted=interrupted)
            passes = {"train": len(samples.splits.train), "test": found.passes - len(samples.splits.train)}
            outcome = _baseline(task, samples, accuracy=found.test_accuracy, passes=passes, passes_per_inference=1)
    return dataclasses.replace(
        outcome,
        seconds=time.perf_counter() - began,
        joules=outcome.joules if alone else math.nan,
        made_by={"code": code_of(experiment)["physnet"], "threads": torch.get_num_threads(), "device": device},
    )


def without_placed_rows(experiment: Experiment) -> Experiment:
    """Return an experiment without dark and reference rows: in a comparison nobody looks at them."""
    session = experiment.session.model_copy(update={"dark_rows": 0, "reference_rows": 0})
    return experiment.model_copy(update={"session": session})


def _rule(task: Task, experiment: Experiment, samples: Samples, device: str, check: Check) -> Outcome:
    rule = build_rule(experiment)
    network = build_network(experiment, samples.frame, rule, device=device)
    classes = len(samples.frame.classes)
    options = dataclasses.replace(
        training_options(experiment),
        schedule="simultaneous",
        validate_every=_NEVER,
        patience=None,
        budget_passes=None,
        budget_minutes=None,
    )
    # The trainer is not even given the test samples: nothing that happens while it learns can look at them.
    trainer = Trainer(
        network,
        rule,
        dataclasses.replace(samples.splits, test=_nothing(samples.splits.test)),
        classes=classes,
        options=options,
        seed=experiment.seed,
        interrupted=check,
    )
    steps = Steps.of(trainer, task.passes_per_sample, epochs=options.epochs, budget=task.budget)
    pace = Pace(steps)
    trainer.learners = tuple(Paced(learner, pace) for learner in trainer.learners)
    course = _Course(task, trainer, samples.splits, pace, check)
    with network:
        course.run()
        rows = len(rule.inference_rows(network, _tensor(samples.splits.train, trainer)[0][:1], classes=classes))
        test = course.test()
        work = [network_work(rule, network, classes=classes, batch=size) for size in steps.sizes]
    counted = [(one, often) for one, often in zip(work, steps.times(course.steps), strict=True) if one is not None]
    return Outcome(
        test_accuracy=test,
        validation_accuracy=course.best,
        seconds=0.0,
        curve=tuple(course.curve),
        passes=dict(trainer.passes),
        passes_per_inference=rows * len(network),
        parameter_writes=network.count.parameter_writes,
        inference_work=work[0].inference if work[0] else None,
        training_work=sum(one.training * often for one, often in counted) if len(counted) == len(work) else None,
        digital_seconds=course.digital_seconds,
        joules=course.joules,
        diverged=course.diverged,
        physics=tuple(sorted({port.spec.kind for port in network.ports})),
        drives=tuple(layer.port.spec.drive.channels for layer in network),
        about={"options": dict(experiment.rule.options), "kept_passes": course.kept_passes},
        **rows_of(samples),
    )


class _Course:
    """A training on its way: what was reached so far, and the weights to keep."""

    def __init__(self, task: Task, trainer: Trainer, splits: Splits, pace: Pace, check: Check) -> None:
        self._task, self._trainer, self._splits, self._pace, self._check = task, trainer, splits, pace, check
        self._kept: dict[str, NDArray[Any]] | None = None
        self._validations = 0
        self.best, self.kept_passes = math.nan, 0
        self.curve: list[tuple[int, float]] = []
        self.steps, self.diverged = 0, ""
        self.digital_seconds, self.joules = 0.0, math.nan

    def run(self) -> None:
        """Train to the end of the plan, and put the best weights back."""
        self._trainer.prepare()
        total = len(self._pace.steps)
        for number in range(total):
            self._pace.number = number
            try:
                self._step(number, last=number == total - 1)
            except (FaultError, DriveError, _NOT_SOLVED) as error:
                if not self._is_divergence(error):
                    raise
                self.diverged = " ".join(str(error).split())
                break
        if self._kept is not None:
            self._trainer.load(self._kept)

    def _step(self, number: int, *, last: bool) -> None:
        record = self._trainer.step()
        self.steps += 1
        self.digital_seconds += record.digital_seconds
        if math.isfinite(record.joules):
            self.joules = record.joules + (self.joules if math.isfinite(self.joules) else 0.0)
        every, steps = self._task.every, self._pace.steps
        before, after = steps.passes(number), steps.passes(number + 1)
        if len(self._splits.validation) and (last or before // every < after // every):
            self._validate(after)

    def _is_divergence(self, error: Exception) -> bool:
        """Whether it is the training that went wrong, and not the system."""
        if isinstance(error, DriveError):
            # Bounded encoders make nothing that can't be driven but of numbers that are none any more.
            return any(not bool((weight.abs() <= _RUNAWAY).all()) for weight in self._weights())
        return type(error) is FaultError or not isinstance(error, FaultError)

    def _weights(self) -> Iterator[torch.Tensor]:
        for layer in self._trainer.network:
            yield from (layer.weight_FO, layer.bias_O)
            if layer.before is not None:
                yield from (layer.before.weight_IO, layer.before.bias_O)

    def _validate(self, passes: int) -> None:
        self._validations += 1
        accuracy = self.evaluate("validation", self._validations)
        self.curve.append((passes, accuracy))
        if self._kept is None or accuracy > self.best:
            self.best, self.kept_passes, self._kept = accuracy, passes, self._trainer.tensors()

    def test(self) -> float:
        """Measure the test split with the weights kept, if that is asked for and there are any; else NaN."""
        if not (self._task.test and len(self._splits.test)) or (self.diverged and self._kept is None):
            return math.nan
        try:
            return self.evaluate("test", 0)
        except DriveError as error:
            if not self._is_divergence(error):
                raise
            self.diverged = " ".join(str(error).split())
            return math.nan

    def evaluate(self, part: str, number: int) -> float:
        """Classify a split with the weights as they are; `number` tells validations apart."""
        trainer, before = self._trainer, self._trainer.network.count
        purpose = Purpose.TEST if part == "test" else Purpose.VALIDATE
        features, labels = _tensor(getattr(self._splits, part), trainer)
        found = evaluate(
            trainer.network,
            trainer.rule,
            trainer.learners,
            features,
            labels,
            purpose=purpose,
            epoch=number,
            batch=trainer.options.evaluation_batch,
            classes=trainer.classes,
            interrupted=self._check,
        )
        charge(trainer.passes, purpose, trainer.network.count - before)
        return found.accuracy


def _baseline(task: Task, samples: Samples, *, accuracy: float, **more: Any) -> Outcome:
    return Outcome(
        test_accuracy=accuracy,
        validation_accuracy=math.nan,
        seconds=0.0,
        inference_work=task.work,
        **rows_of(samples),
        **more,
    )


_last: dict[str, Samples] = {}


def _samples(experiment: Experiment) -> Samples:
    """Return the samples of an experiment; the last ones are kept, since tasks come seed by seed."""
    table = [experiment.data.model_dump(mode="json"), experiment.seed, str(experiment.base)]
    key = json.dumps([*table, str(experiment.network.label_amplitude)])
    if key not in _last:
        _last.clear()
        _last[key] = load_samples(experiment)
    return _last[key]


def _nothing(part: Subset) -> Subset:
    return Subset(x=part.x[:0], y=part.y[:0], index=part.index[:0])


def _tensor(part: Subset, trainer: Trainer) -> tuple[torch.Tensor, torch.Tensor]:
    like = trainer.network.layers[0].weight_FO
    features = torch.from_numpy(np.ascontiguousarray(part.x)).to(like.device, like.dtype)
    return features, torch.from_numpy(part.y).to(like.device)
