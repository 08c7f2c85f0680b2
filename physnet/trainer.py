"""The trainer: takes a rule through a network, minibatch by minibatch, layers bottom up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from .callbacks import Callback
from .data import Splits, Subset
from .errors import FaultError, InputError, MeasurementError, PhysnetError, ResponseError, Stopped
from .evaluation import Evaluation, evaluate
from .learning import SERVED, learn_minibatch
from .network import Network
from .passes import MOST_EPOCHS, Purpose
from .records import EpochRecord, Recorder, ResponseStatistics, RunResult, Status, StepRecord, Tensors
from .rules.base import Batch, Learner, LocalRule, Placement
from .seeding import derive_seed, stream
from .standardisation import fit_standardisation
from .weights import live_tensors, load_tensors, sha256

# Events of one text, and of all, that faults may fill a session with.
_SAME_FAULT, _FAULTS = 3, 100


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long and in what portions to train.

    Args:
        epochs: Times through the training split.
        batch_size: Samples of a minibatch, or `all`.
        validate_every: Epochs between two validations.
        patience: Stop when the validation accuracy has not improved for this many validations. None: never.
        budget_passes: Stop before a step that would take the passes of standardisation, training and validation beyond
            this. The test that ends every run is not part of it.
        budget_minutes: Stop after the step that passes this time.
        standardise_rows: Rows measured per layer to fit the standardisation, at most 1 024; at least 2 samples are.
        evaluation_batch: Samples classified at once.

    Raises:
        InputError: A value is out of its range.
    """

    epochs: int = 20
    batch_size: int | Literal["all"] = 128
    validate_every: int = 1
    patience: int | None = None
    budget_passes: int | None = None
    budget_minutes: float | None = None
    standardise_rows: int = 1024
    evaluation_batch: int = 2000

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float | None, float]] = {
            "epochs": (self.epochs, MOST_EPOCHS),
            "batch_size": (None if self.batch_size == "all" else self.batch_size, math.inf),
            "validate_every": (self.validate_every, math.inf),
            "patience": (self.patience, math.inf),
            "budget_passes": (self.budget_passes, math.inf),
            "standardise_rows": (self.standardise_rows, 1024),
            "evaluation_batch": (self.evaluation_batch, math.inf),
        }
        for name, (value, high) in limits.items():
            if value is not None and not 1 <= value <= high:
                upper = "" if math.isinf(high) else f" and at most {high:g}"
                raise InputError(f"{name} must be at least 1{upper}, got {value}.")
        if self.budget_minutes is not None and not self.budget_minutes > 0:
            raise InputError(f"budget_minutes must be > 0, got {self.budget_minutes}.")


@dataclass(frozen=True, kw_only=True)
class _Kept:
    """The weights with the best validation accuracy so far."""

    accuracy: float
    epoch: int
    tensors: Tensors


class Trainer:
    """Trains a network with a local rule.

    `run` does everything; `step` does one minibatch at a time, for a notebook. Enter the network first: the trainer
    opens and closes nothing.

    Weights are kept from the epoch with the best validation accuracy; without a validation split, from the last. The
    test split is measured once, at the end, with the weights kept.

    Args:
        network: The network, its systems open.
        rule: The rule.
        data: Training, validation and test samples, scaled as the network expects them.
        classes: Number of classes.
        options: How long to train.
        seed: Fixes data order, negatives, initial rule tensors and pass numbers.
        recorder: Keeps the record; None keeps none.
        callbacks: Look on.
        interrupted: Called between steps; raises `Stopped` to end the run.

    Raises:
        InputError: The rule can't train this network.
    """

    def __init__(
        self,
        network: Network,
        rule: LocalRule,
        data: Splits,
        *,
        classes: int,
        options: TrainingOptions | None = None,
        seed: int = 0,
        recorder: Recorder | None = None,
        callbacks: Sequence[Callback] = (),
        interrupted: Callable[[], None] | None = None,
    ) -> None:
        self.network, self.rule, self.data = network, rule, data
        self.classes, self.options, self.seed = classes, options or TrainingOptions(), seed
        self.recorder, self.callbacks = recorder, tuple(callbacks)
        self._interrupted = interrupted or (lambda: None)
        self._check_rule()
        self.learners: tuple[Learner, ...] = tuple(
            rule.learner(layer, classes=classes, seed=derive_seed(seed, "rule", number))
            for number, layer in enumerate(network)
        )
        self._features = {name: self._tensor(getattr(data, name)) for name in ("train", "validation", "test")}
        self._labels = {
            name: torch.from_numpy(getattr(data, name).y).to(network.device) for name in ("train", "validation", "test")
        }
        self.steps_done = self.epochs_done = 0
        self.ready = False
        self.stop_reason = ""
        for port in network.ports:
            port.interrupted, port.on_fault = self._interrupted, self._note_fault
        self._faults: dict[str, int] = {}
        self.statistics: list[ResponseStatistics] = []
        self.passes: dict[str, int] = {purpose.name.lower(): 0 for purpose in Purpose}
        self._order = np.empty(0, np.int64)
        self._best: _Kept | None = None
        self._validations_without_gain = 0
        self._started = self._epoch_started = time.perf_counter()
        self._passes_per_sample = 0.0

    @property
    def batch_size(self) -> int:
        """Samples of a full minibatch."""
        size, rows = self.options.batch_size, len(self.data.train.y)
        return rows if size == "all" else min(size, rows)

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches of an epoch. The last may be smaller; a single sample that is left joins the one before it."""
        full, left = divmod(len(self.data.train.y), self.batch_size)
        return max(1, full + (left > 1 or (left == 1 and self.batch_size == 1)))

    def stop(self, reason: str) -> None:
        """End the run after the present step; `run` then tests and finishes as usual."""
        self.stop_reason = self.stop_reason or reason

    def tensors(self) -> dict[str, np.ndarray[Any, Any]]:
        """Return copies of every layer and rule tensor, as `layer/tensor` and `layer/rule/tensor`."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._live().items()}

    def load(self, tensors: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over tensors saved by `tensors`.

        Raises:
            InputError: A tensor is missing or has another shape.
        """
        load_tensors(self._live(), tensors)
        self.ready = True

    def prepare(self) -> None:
        """Fit the standardisation, bottom up, on training rows only. Called by the first `step`; does nothing later.

        Raises:
            DriveError, ResponseError, MeasurementError: See `Port.measure`.
        """
        if self.ready:
            return
        hypotheses = len(self.rule.training_rows(self.network, self._batch(np.arange(2), 0))) // 2
        count = min(max(2, self.options.standardise_rows // hypotheses), len(self.data.train.y))
        sample = stream(self.seed, "standardisation").permutation(len(self.data.train.y))[:count]
        before = self.network.count.passes
        rows = self.rule.training_rows(self.network, self._batch(sample, 0))
        try:
            self.statistics = fit_standardisation(self.network, rows)
        except MeasurementError as error:
            # Nothing has been trained: to the user this is a system that does not work yet, not a run that broke.
            raise ResponseError(f"before the first step, {error}") from error
        finally:
            self.passes["standardise"] += self.network.count.passes - before
        if self.recorder:
            for statistics in self.statistics:
                self.recorder.responses(statistics)
                if statistics.dead_channels:
                    name = self.network.layers[statistics.layer].name
                    self.recorder.event("warning", f"{name}: {statistics.dead_channels} response channels are dead")
        self.ready = True
        self._epoch_started = time.perf_counter()
        for callback in self.callbacks:
            callback.on_start(self)

    def step(self) -> StepRecord:
        """Train on the next minibatch, and validate when it ends an epoch.

        Returns:
            The record of the step.

        Raises:
            FaultError: A measurement failed for good, or training diverged.
            Stopped: Ctrl-C or SIGTERM.
        """
        self._interrupted()
        self.prepare()
        began, before = time.perf_counter(), self.network.count
        place = self.steps_done % self.steps_per_epoch
        if place == 0:
            self._order = stream(self.seed, "data order", self.epochs_done).permutation(len(self.data.train.y))
        rows = self._rows(self._order, place)
        try:
            metrics = learn_minibatch(self.network, self.rule, self.learners, self._batch(rows, place), place=place)
        finally:
            count = self.network.count - before
            self.passes["train"] += count.passes
        self._passes_per_sample = count.passes / len(rows)
        wrong = [name for name, values in metrics.items() if not all(map(math.isfinite, values))]
        if wrong:
            raise FaultError(
                f"training diverged: {wrong[0]} must be finite, got {metrics[wrong[0]]} at step {self.steps_done}. "
                "Lower the learning rate; the checkpoints hold the weights of earlier epochs."
            )
        record = StepRecord(
            step=self.steps_done,
            epoch=self.epochs_done,
            time=time.time(),
            metrics=metrics,
            count=count,
            seconds=time.perf_counter() - began,
        )
        self.steps_done += 1
        if self.recorder:
            self.recorder.step(record)
        for callback in self.callbacks:
            callback.on_step(self, record)
        if place == self.steps_per_epoch - 1:
            self._end_epoch()
        return record

    def run(self, *, baselines: Mapping[str, float] | None = None) -> RunResult:
        """Train to the end, test once, and say how it went.

        Args:
            baselines: Test accuracies of digital neighbours, to keep beside the result.

        Returns:
            The result, of status `done`.

        Raises:
            FaultError: The run stopped on a fault; what was learnt up to there is recorded.
            Stopped: Ctrl-C or SIGTERM; likewise.
        """
        try:
            self.prepare()
            while self.epochs_done < self.options.epochs and not self._should_stop():
                self.step()
            return self._finish(baselines or {})
        except Stopped as stopped:
            self._abort("interrupted" if stopped.signal_number == 2 else "terminated", str(stopped))
            raise
        except InputError as error:
            if self.steps_done == 0:
                raise
            self._abort("fault", str(error))
            raise FaultError(f"stopped at step {self.steps_done}: {error}") from error
        except FaultError as error:
            self._abort("fault", f"step {self.steps_done}: {error}")
            raise

    def evaluate(self, split: Literal["validation", "test"]) -> Evaluation:
        """Classify a split with the weights as they are.

        Args:
            split: Which.

        Returns:
            Predictions, accuracy, and each layer's own.
        """
        purpose = Purpose.VALIDATE if split == "validation" else Purpose.TEST
        before = self.network.count.passes
        try:
            return evaluate(
                self.network,
                self.rule,
                self.learners,
                self._features[split],
                self._labels[split],
                purpose=purpose,
                epoch=self.epochs_done if purpose is Purpose.VALIDATE else 0,
                batch=self.options.evaluation_batch,
                classes=self.classes,
                interrupted=self._interrupted,
            )
        finally:
            self.passes[purpose.name.lower()] += self.network.count.passes - before

    def _note_fault(self, text: str) -> None:
        """Keep what a fault was, though a retry may mend it; the same text at most a few times."""
        self._faults[text] = self._faults.get(text, 0) + 1
        if self.recorder and self._faults[text] <= _SAME_FAULT and sum(self._faults.values()) <= _FAULTS:
            self.recorder.event("warning", text)

    def _end_epoch(self) -> None:
        validate = self._validates()
        accuracy, layers = math.nan, (math.nan,) * len(self.network)
        # The epoch is over, whatever becomes of its validation: going on after a fault there starts the next one.
        self.epochs_done += 1
        if validate:
            result = self.evaluate("validation")
            accuracy, layers = result.accuracy, result.layer_accuracy
        self._keep_best(accuracy)
        record = EpochRecord(
            epoch=self.epochs_done - 1,
            step=self.steps_done,
            time=time.time(),
            seconds=time.perf_counter() - self._epoch_started,
            passes=sum(self.passes.values()),
            validation_accuracy=accuracy,
            layer_accuracy=layers,
        )
        self._epoch_started = time.perf_counter()
        if self.recorder:
            self.recorder.epoch(record)
            self.recorder.checkpoint(self.tensors(), epoch=record.epoch, step=self.steps_done)
        for callback in self.callbacks:
            callback.on_epoch(self, record)

    def _keep_best(self, accuracy: float) -> None:
        if math.isnan(accuracy):
            return
        if self._best is None or accuracy > self._best.accuracy:
            self._best = _Kept(accuracy=accuracy, epoch=self.epochs_done - 1, tensors=self.tensors())
            self._validations_without_gain = 0
            return
        self._validations_without_gain += 1
        patience = self.options.patience
        if patience is not None and self._validations_without_gain >= patience:
            self.stop(f"validation accuracy did not improve for {patience} validations")

    def _should_stop(self) -> bool:
        options = self.options
        # A characterisation before the run is not part of the budget.
        spent = sum(self.passes.values()) - self.passes["calibrate"]
        if options.budget_passes is not None and spent + self._passes_ahead() > options.budget_passes:
            self.stop(f"the budget of {options.budget_passes} passes is used up")
        minutes = (time.perf_counter() - self._started) / 60
        if options.budget_minutes is not None and minutes >= options.budget_minutes:
            self.stop(f"the budget of {options.budget_minutes:g} minutes is used up")
        return bool(self.stop_reason)

    def _passes_ahead(self) -> int:
        """Passes of the next step, and of the validation when it ends an epoch."""
        place = self.steps_done % self.steps_per_epoch
        one = self._passes_per_sample
        if not one:
            # No step has told yet: what one presentation of every row costs.
            pair = self.rule.training_rows(self.network, self._batch(np.arange(2), 0))
            one = len(pair) / 2 * len(self.network)
        ahead = round(one * len(self._rows(np.arange(len(self.data.train.y)), place)))
        if place == self.steps_per_epoch - 1 and self._validates():
            held = self._features["validation"]
            rows = self.rule.inference_rows(self.network, held[:1], classes=self.classes)
            ahead += len(rows) * len(held) * len(self.network)
        return ahead

    def _validates(self) -> bool:
        """Whether the present epoch ends with a validation."""
        return (self.epochs_done + 1) % self.options.validate_every == 0 and len(self.data.validation.y) > 0

    def _rows(self, order: NDArray[np.int64], place: int) -> NDArray[np.int64]:
        """Return the rows of a step; the last of an epoch takes all that are left."""
        last = place == self.steps_per_epoch - 1
        return order[place * self.batch_size : len(order) if last else (place + 1) * self.batch_size]

    def _finish(self, baselines: Mapping[str, float]) -> RunResult:
        validation, kept = math.nan, self.epochs_done - 1
        if self._best is not None:
            validation, kept = self._best.accuracy, self._best.epoch
            self.load(self._best.tensors)
        test = self.evaluate("test") if len(self.data.test.y) else None
        return self._end("done", self.stop_reason or "all epochs done", kept, validation, test, baselines)

    def _abort(self, status: Status, message: str) -> None:
        # The test split stays unmeasured: nobody asked for more passes on a bench that was told to stop, or broke.
        # The weights are those of the moment, so no validation accuracy belongs to them.
        try:
            self._end(status, message, -1, math.nan, None, {})
        except PhysnetError:
            # The disk is what failed: the session has already closed itself, and the fault that got us here is the one
            # to tell.
            return

    def _end(
        self,
        status: Status,
        message: str,
        kept: int,
        validation: float,
        test: Evaluation | None,
        baselines: Mapping[str, float],
    ) -> RunResult:
        tensors = self.tensors()
        result = RunResult(
            status=status,
            test_accuracy=test.accuracy if test else math.nan,
            validation_accuracy=validation,
            layer_accuracy=test.layer_accuracy if test else (math.nan,) * len(self.network),
            confusion=test.confusion if test else np.zeros((self.classes, self.classes), np.int64),
            physical_passes=sum(self.passes.values()),
            passes=dict(self.passes),
            seconds=time.perf_counter() - self._started,
            epochs=self.epochs_done,
            steps=self.steps_done,
            kept_epoch=kept,
            weights_sha256=sha256(tensors),
            baselines=dict(baselines),
            message=message,
        )
        if self.recorder:
            self.recorder.finish(result, tensors)
        for callback in self.callbacks:
            callback.on_end(self, result)
        return result

    def _batch(self, rows: np.ndarray[Any, np.dtype[np.int64]], place: int) -> Batch:
        index = torch.from_numpy(rows).to(self.network.device)
        return Batch(
            features_NI=self._features["train"][index],
            labels_N=self._labels["train"][index],
            seed=self.seed,
            epoch=self.epochs_done,
            step=place,
            progress=min(1.0, (self.epochs_done + place / self.steps_per_epoch) / self.options.epochs),
        )

    def _tensor(self, subset: Subset) -> torch.Tensor:
        weight = self.network.layers[0].weight_FO
        return torch.from_numpy(np.ascontiguousarray(subset.x)).to(weight.device, weight.dtype)

    def _live(self) -> dict[str, torch.Tensor]:
        return live_tensors(self.network, self.learners)

    def _check_rule(self) -> None:
        name = type(self.rule).__name__
        unserved = self.rule.needs - SERVED
        if unserved:
            raise InputError(
                f"{name} needs {', '.join(sorted(need.value for need in unserved))}, which this trainer can't give."
            )
        if Placement.AFTER not in self.rule.placements and not any(layer.before for layer in self.network):
            raise InputError(f"{name} trains weights before or inside the physics, and no layer has any. Set `before`.")
        if self.rule.labelled_inputs and self.network.slots is None:
            raise InputError(f"{name} presents labels, so the network must have label slots.")
        if self.network.slots is not None and self.network.slots.classes != self.classes:
            raise InputError(f"label slots must be one per class, {self.classes}, got {self.network.slots.classes}.")
        if self.data.train.x.shape[1] != self.network.features:
            raise InputError(f"samples must have {self.network.features} features, got {self.data.train.x.shape[1]}.")
        if len(self.data.train.y) < 2:
            raise InputError(f"training needs at least 2 samples, got {len(self.data.train.y)}.")
