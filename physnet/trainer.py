"""The trainer: takes a rule through a network, minibatch by minibatch, layers bottom up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch

from .budget import Budget
from .callbacks import Callback
from .checkpoints import Checkpoints
from .data import Splits
from .energy import EnergyMeter
from .errors import FaultError, InputError, MeasurementError, PhysnetError, ResponseError, Stopped
from .evaluation import Evaluation, evaluate
from .fault_notes import FaultNotes
from .feeding import learning_rows
from .learning import check_rule
from .minibatches import Minibatches
from .network import Network
from .passes import Purpose
from .pauses import Pauses
from .progression import Progression
from .records import (
    EpochRecord,
    Level,
    PassCount,
    Recorder,
    ResponseStatistics,
    RunResult,
    Snapshot,
    Status,
    StepRecord,
)
from .rules.base import Batch, Learner, LocalRule
from .seeding import derive_seed, stream
from .sentinels import Sentinels
from .standardisation import fit_standardisation
from .standing import REPEATED, Standing, charge
from .steps import Steps
from .stopwatch import Stopwatch
from .training_options import TrainingOptions
from .weights import live_tensors, load_tensors, sha256

# Longest time for which a step that has begun is gone on with after a stop was asked for, in s.
_PROMPT = 1.0


class Trainer:
    """Trains a network with a local rule.

    `run` does everything; `step` does one minibatch at a time, for a notebook. Enter the network first: the trainer
    opens and closes nothing. In the pipelined schedule further minibatches are on their way when `step` returns:
    `drain` ends that.

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
        interrupted: Called between steps, and in long ones between the parts of a measurement; raises `Stopped` to end
            the run. In the pipelined schedule the threads of the layers call it too, several at a time.

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
        check_rule(rule, network, data, classes=classes)
        self.learners: tuple[Learner, ...] = tuple(
            rule.learner(layer, classes=classes, seed=derive_seed(seed, "rule", number))
            for number, layer in enumerate(network)
        )
        self.steps, self.budget, self._faults = Steps(self), Budget(self), FaultNotes(self)
        self._progression = Progression(self)
        self._minibatches = Minibatches(data, size=self.options.batch_size, seed=seed, like=network.layers[0].weight_FO)
        self.standing = Standing()
        self._step_began: float | None = None
        self.ready = False
        for port in network.ports:
            port.on_fault = self.note
        self.interrupt_with(interrupted or (lambda: None))
        self.statistics: list[ResponseStatistics] = []
        self.stopwatch, self._energy = Stopwatch(), EnergyMeter(network)
        self.sentinels = Sentinels(network, rows=self._sentinel_rows(), seed=seed)
        self.pauses = Pauses(self)
        self._started = self._epoch_started = time.perf_counter()
        self._checkpoints = Checkpoints(self)
        self._begun = self._between_steps = False
        self._resumed_as: int | None = None
        self._steps_before = 0
        self._accept_change = False

    @property
    def batch_size(self) -> int:
        """Samples of a full minibatch."""
        return self._minibatches.size

    @property
    def steps_per_epoch(self) -> int:
        """Minibatches of an epoch. The last may be smaller; a single sample that is left joins the one before it."""
        return self._minibatches.per_epoch

    @property
    def depth(self) -> int:
        """Layers that are driven in training: all of them, or those up to the one that learns."""
        return self.standing.layer + 1 if self.options.schedule == "greedy" else len(self.network)

    @property
    def epochs_planned(self) -> int:
        """Epochs of the run if nothing ends it, or a layer of the greedy schedule, before."""
        return self.options.epochs * (len(self.network) if self.options.schedule == "greedy" else 1)

    @property
    def steps_done(self) -> int:
        """Steps since the run began."""
        return self.standing.steps

    @property
    def epochs_done(self) -> int:
        """Epochs since the run began."""
        return self.standing.epochs

    @property
    def passes(self) -> dict[str, int]:
        """Rows presented, by purpose."""
        return self.standing.passes

    @property
    def stop_reason(self) -> str:
        """Why the run is to end; empty while it is not."""
        return self.standing.stop_reason

    @property
    def seconds(self) -> float:
        """Duration of the run so far, in s, earlier processes included."""
        return self.standing.seconds + time.perf_counter() - self._started

    def interrupt_with(self, check: Callable[[], None]) -> None:
        """Have a function called between steps and between the chunks of a measurement; it raises `Stopped` to end.

        A step that is quick is done first, so that the run can go on from exactly there. In the pipelined schedule
        the function is called by the threads of the layers too, several at a time: it should do no more than look.
        """
        self.check_interrupt = check
        for port in self.network.ports:
            port.interrupted = self._check_in_step

    def _check_in_step(self) -> None:
        began = self._step_began  # once: in a pipeline another thread sets it
        if began is None or time.perf_counter() - began >= _PROMPT:
            self.check_interrupt()

    def stop(self, reason: str) -> None:
        """End the run after the present step; `run` then tests and finishes as usual."""
        self.standing.stop_reason = self.stop_reason or reason

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

    def snapshot(self, *, complete: bool = False) -> Snapshot:
        """Return all that the run needs to go on from here. Between two steps only.

        Args:
            complete: Whether an epoch has just ended.
        """
        self.steps.refuse_ahead("a snapshot")
        tensors = self.tensors()
        state = self.standing.state()
        state["seconds"] = self.seconds
        state["epoch_seconds"] = self.standing.epoch_seconds + time.perf_counter() - self._epoch_started
        network = self.network
        arrays = {**self.standing.arrays(tensors), **self.sentinels.arrays(), **network.placed(), **network.memories()}
        return Snapshot(
            epoch=self.epochs_done,
            step=self.steps_done,
            complete=complete,
            tensors=tensors,
            state=state,
            arrays=arrays,
        )

    def restore(self, snapshot: Snapshot, *, attempt: int = 1, repeated: int = 0, accept_change: bool = False) -> None:
        """Go on from a snapshot. Call it before `run`; what systems remember is put back when they are open.

        Args:
            snapshot: From `snapshot`, of a trainer made alike.
            attempt: How many times the run was resumed, this one included.
            repeated: Passes of all steps that were lost and are done again, in this attempt or earlier ones.
            accept_change: Go on although the sentinels' answers changed by more than the tolerance.

        Raises:
            SessionError, InputError: The snapshot belongs to another network or rule.
        """
        self.load(snapshot.tensors)
        self.standing = Standing.restored(snapshot.state, snapshot.arrays, snapshot.tensors)
        self.standing.passes[REPEATED] = repeated
        self.sentinels.restore(snapshot.arrays)
        self.network.restore_placed(snapshot.arrays)
        self._memories = dict(snapshot.arrays)
        self._resumed_as, self._accept_change = attempt, accept_change
        self._steps_before = self.steps_done

    def prepare(self) -> None:
        """Fit the standardisation, bottom up, on training rows only. Called by the first `step`; does nothing later.

        Raises:
            DriveError, ResponseError, MeasurementError: See `Port.measure`.
        """
        if not self._begun:
            self._started = time.perf_counter()
            self._checkpoints.begin()
            self._describe_systems()
        if not self.ready:
            self._standardise()
        if self._begun:
            return
        self._begun = True
        if self._resumed_as is not None:
            self.network.restore_memories(self._memories)
            self._memories = {}
        self.network.write_parameters()
        self._look(check=self._resumed_as is not None)
        self._epoch_started = time.perf_counter()
        for callback in self.callbacks:
            callback.on_start(self)
        if self._resumed_as is None:
            self._checkpoints.make(complete=False)

    def _describe_systems(self) -> None:
        """Keep what systems found out since they were opened, where any looks for something."""
        specs = [port.spec for port in self.network.ports]
        if self.recorder and any(spec.found for spec in specs):
            self.recorder.describe([spec.plain() for spec in specs])

    def _standardise(self) -> None:
        hypotheses = len(self.rule.training_rows(self.network, self._batch(np.arange(2), 0))) // 2
        count = min(max(2, self.options.standardise_rows // hypotheses), len(self.data.train.y))
        sample = stream(self.seed, "standardisation").permutation(len(self.data.train.y))[:count]
        rows = learning_rows(self.network, self.rule, self._batch(sample, 0))
        try:
            with self._charged(Purpose.STANDARDISE):
                self.statistics = fit_standardisation(self.network, *rows)
        except MeasurementError as error:
            # Nothing has been trained: to the user this is a system that does not work yet, not a run that broke.
            raise ResponseError(f"before the first step, {error}") from error
        if self.recorder:
            with self.stopwatch.section("log"):
                self.recorder.responses(*self.statistics)
            for statistics in self.statistics:
                if statistics.dead_channels:
                    name = self.network.layers[statistics.layer].name
                    self.event("warning", f"{name}: {statistics.dead_channels} response channels are dead")
        self.ready = True

    def step(self) -> StepRecord:
        """Train on the next minibatch, and validate when it ends an epoch.

        Returns:
            The record of the step.

        Raises:
            FaultError: A measurement failed for good, or training diverged.
            Stopped: Ctrl-C or SIGTERM.
        """
        self.prepare()
        self._wait_between_steps()
        log_before, idle_before = self.stopwatch.take()
        self._step_began = began = time.perf_counter()
        place = self.steps_done % self.steps_per_epoch
        try:
            metrics, count = self.steps.learn(place)
        except BaseException:
            self.steps.give_up()
            raise
        finally:
            self._step_began = time.perf_counter() if self.steps.ahead else None
            self.steps.count()
            self._faults.tell()
        self.standing.passes_per_sample = count.asked / self._minibatches.length(place)
        self.standing.placed_per_step = count.passes - count.asked
        learning = range(self.standing.layer, self.depth)
        wrong = [name for name, values in metrics.items() if not all(math.isfinite(values[n]) for n in learning)]
        if wrong:
            self.steps.give_up()
            raise FaultError(
                f"training diverged: {wrong[0]} must be finite, got {metrics[wrong[0]]} at step {self.steps_done}. "
                "Lower the learning rate; the checkpoints hold the weights of earlier epochs."
            )
        record = self._record(metrics, count, began=began, before=(log_before, idle_before))
        self.standing.steps += 1
        try:
            with self.stopwatch.section("log"):
                if self.recorder:
                    self.recorder.step(record)
                for callback in self.callbacks:
                    callback.on_step(self, record)
        except BaseException:
            self.steps.give_up()
            raise
        if place == self.steps_per_epoch - 1:
            self._end_epoch()
        else:
            self._checkpoints.make_if_due(complete=False)
        return record

    def _record(
        self, metrics: Mapping[str, tuple[float, ...]], count: PassCount, *, began: float, before: tuple[float, float]
    ) -> StepRecord:
        """Describe the step that has just been done; `before` are the seconds of logging and waiting ahead of it."""
        seconds = time.perf_counter() - began
        log, idle = self.stopwatch.take()
        return StepRecord(
            step=self.steps_done,
            attempt=self._resumed_as or 0,
            epoch=self.epochs_done,
            time=time.time(),
            metrics=metrics,
            count=count,
            seconds=seconds,
            # In a pipeline several systems measure at once, and what is left of a step's time says nothing.
            digital_seconds=max(0.0, seconds - count.seconds - log - idle) if not self.steps.overlap else math.nan,
            log_seconds=before[0] + log,
            idle_seconds=before[1] + idle,
            joules=self._energy.joules(),
        )

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
            while not self._progression.done:
                self._wait_between_steps()
                if self._should_stop() and not self.steps.ahead:
                    break
                self.step()
            return self._finish(baselines or {})
        except Stopped as stopped:
            if self._between_steps and self.ready:
                self._checkpoints.make_if_possible()
            self._abort("interrupted" if stopped.signal_number == 2 else "terminated", str(stopped))
            raise
        except InputError as error:
            if self.steps_done == self._steps_before:
                raise  # nothing was trained: what is wrong is what was asked for
            self._abort("fault", str(error))
            raise FaultError(f"stopped at step {self.steps_done}: {error}") from error
        except FaultError as error:
            self._abort("fault", f"step {self.steps_done}: {error}")
            raise
        finally:
            self.steps.close()

    def drain(self) -> None:
        """Do the steps that have been begun, and begin no other. Only the pipelined schedule has any between steps.

        Raises:
            FaultError, Stopped: As `step`.
        """
        while self.steps.ahead:
            self.steps.draining = True
            self.step()

    def evaluate(self, split: Literal["validation", "test"], *, depth: int | None = None) -> Evaluation:
        """Classify a split with the weights as they are.

        Args:
            split: Which.
            depth: Layers that take part, from the lowest up; all when None.

        Returns:
            Predictions, accuracy, and each layer's own.
        """
        self.steps.refuse_ahead("an evaluation")
        purpose = Purpose.VALIDATE if split == "validation" else Purpose.TEST
        with self._charged(purpose):
            return evaluate(
                self.network,
                self.rule,
                self.learners,
                self._minibatches.features[split],
                self._minibatches.labels[split],
                purpose=purpose,
                epoch=self.epochs_done if purpose is Purpose.VALIDATE else 0,
                batch=self.options.evaluation_batch,
                classes=self.classes,
                interrupted=self.check_interrupt,
                depth=depth,
            )

    @contextmanager
    def _charged(self, purpose: Purpose) -> Iterator[None]:
        """Count what is presented meanwhile, whatever happens."""
        before = self.network.count
        try:
            yield
        finally:
            charge(self.passes, purpose, self.network.count - before)

    def event(self, level: Level, message: str) -> None:
        """Put a line of text into the record."""
        if self.recorder:
            self.recorder.event(level, message)
        for callback in self.callbacks:
            callback.on_event(self, level, message)

    def wait_for_room(self, reason: str, has_room: Callable[[], bool]) -> bool:
        """Wait, outputs safe, until the disk has room again: what a session calls when the disk is full.

        A layer of a pipelined run, which can't wait for itself, is told at once to go on. What it keeps must wait in
        memory: the run's own thread waits for room before it lets any layer begin anything more.

        Args:
            reason: What is wrong, for people.
            has_room: Asked ten times a second.

        Returns:
            Whether there is room; False after `wait_for_room` seconds without.

        Raises:
            Stopped: Ctrl-C or SIGTERM meanwhile.
        """
        if not self.steps.settle():
            self.pauses.postpone(reason, has_room)
            return True
        return self.pauses.until(has_room, reason=reason, seconds=self.options.wait_for_room)

    def _wait_between_steps(self) -> None:
        """Stop here if that was asked for, and wait here while a callback says so: once no step is on its way."""
        if self.steps.ahead:
            self.steps.draining = self.steps.draining or self._is_wanted()
            return
        self.steps.draining = False
        self._between_steps = True
        self.check_interrupt()
        self.pauses.hold()
        self._between_steps = False

    def _is_wanted(self) -> bool:
        """Whether something is to be done that needs the run to stand still."""
        try:
            self.check_interrupt()
        except Stopped:
            return True
        return self.pauses.wanted or self._should_stop() or self._checkpoints.due

    def _look(self, *, check: bool = False) -> None:
        """Measure the sentinels, and compare them with what they were before a resumed run is let go on."""
        look = self._resumed_as or 0 if check else 0
        with self._charged(Purpose.SENTINEL):
            records = self.sentinels.look(epoch=self.epochs_done, step=self.steps_done, look=look)
        for record in records:
            if self.recorder:
                self.recorder.sentinel(record)
        for text in self.sentinels.changed(records, self.options.sentinel_tolerance) if check else ():
            if not self._accept_change:
                raise ResponseError(
                    f"{text} Bring the bench back to what it was, or accept the change with --accept-changes."
                )
            self.event("warning", f"{text} Accepted.")

    def _sentinel_rows(self) -> int:
        if self.options.sentinels == "auto":
            return 8 if any(port.spec.kind == "measured" for port in self.network.ports) else 0
        return self.options.sentinels

    def note(self, text: str) -> None:
        """Put a warning into the record: now, or after the step where others are on their way. From any thread."""
        self._faults.add(text)
        if not self.steps.ahead:
            self._faults.tell()

    def _end_epoch(self) -> None:
        validate = self._progression.validates
        accuracy, layers = math.nan, (math.nan,) * len(self.network)
        # The epoch is over, whatever becomes of its validation: going on after a fault there starts the next one.
        self.standing.epochs += 1
        if validate:
            result = self.evaluate("validation", depth=self.depth)
            accuracy, layers = result.accuracy, result.layer_accuracy
        self._progression.end_epoch(accuracy)
        self._look()
        for port in self.network.ports:
            if told := port.placed.tell():
                self.event("info", told)
        self._faults.tell_kinds()
        record = EpochRecord(
            epoch=self.epochs_done - 1,
            step=self.steps_done,
            time=time.time(),
            seconds=self.standing.epoch_seconds + time.perf_counter() - self._epoch_started,
            passes=sum(count for purpose, count in self.passes.items() if purpose != REPEATED),
            validation_accuracy=accuracy,
            layer_accuracy=layers,
        )
        self._epoch_started, self.standing.epoch_seconds = time.perf_counter(), 0.0
        with self.stopwatch.section("log"):
            if self.recorder:
                self.recorder.epoch(record)
            self._checkpoints.make_if_due(complete=True)
            for callback in self.callbacks:
                callback.on_epoch(self, record)

    def _should_stop(self) -> bool:
        if spent := self.budget.spent():
            self.stop(spent)
        return bool(self.stop_reason)

    def passes_ahead(self, ahead: int) -> int:
        """Passes of the next step, of as many more as are on their way, and of the validation if that ends an epoch."""
        place = self.steps_done % self.steps_per_epoch
        places = range(place, min(place + ahead + 1, self.steps_per_epoch))
        one, placed = self.standing.passes_per_sample, self.standing.placed_per_step
        presented = sum(layer.port.placed.rows for layer in self.network.layers[: self.depth])
        if one is None:
            # No step has told yet: what one presentation of every row costs.
            pair = self.rule.training_rows(self.network, self._batch(np.arange(2), 0))
            one, placed = len(pair) / 2 * self.depth, presented
        passes = round(one * sum(map(self._minibatches.length, places))) + placed * len(places)
        if self.steps_per_epoch - 1 in places and self._progression.validates:
            held = self._minibatches.features["validation"]
            rows = self.rule.inference_rows(self.network, held[:1], classes=self.classes)
            batches = math.ceil(len(held) / self.options.evaluation_batch)
            passes += len(rows) * len(held) * self.depth + batches * presented
        return passes

    def _finish(self, baselines: Mapping[str, float]) -> RunResult:
        validation, kept = math.nan, self.epochs_done - 1
        if (best := self.standing.best) is not None:
            validation, kept = best.accuracy, best.epoch
            self.load(best.tensors)
        reached, message = self._progression.learnt, self.stop_reason or "all epochs done"
        if left := [layer.name for layer in self.network.layers[reached:]]:
            message += f"; not learnt, and left out of the test: {', '.join(left)}"
            self.event("warning", message)
        test = self.evaluate("test", depth=reached) if len(self.data.test.y) else None
        return self._end("done", message, kept, validation, test, baselines)

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
            seconds=self.seconds,
            epochs=self.epochs_done,
            steps=self.steps_done,
            kept_epoch=kept,
            weights_sha256=sha256(tensors),
            baselines=dict(baselines),
            message=message,
        )
        if self.recorder:
            with self.stopwatch.section("log"):
                self._describe_systems()
                self.recorder.finish(result, tensors)
        for callback in self.callbacks:
            callback.on_end(self, result)
        return result

    def minibatch(self, place: int) -> Batch:
        """Return a minibatch of the present epoch.

        Args:
            place: Step within the epoch.
        """
        return self._batch(self._minibatches.rows(self.epochs_done, place), place)

    def _batch(self, rows: np.ndarray[Any, np.dtype[np.int64]], place: int) -> Batch:
        before = self.standing.layer_epochs if self.options.schedule == "greedy" else None
        epochs = self.options.epochs
        return self._minibatches.batch(rows, epoch=self.epochs_done, place=place, epochs=epochs, before=before)

    def _live(self) -> dict[str, torch.Tensor]:
        return live_tensors(self.network, self.learners)
