"""The trainer: takes a rule through a network, minibatch by minibatch, layers bottom up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from .accounts import Accounts
from .budget import Budget
from .callbacks import Callback
from .checkpoints import Checkpoints
from .data import Splits
from .ending import Ending
from .errors import FaultError, InputError, Stopped
from .evaluation import Evaluation, evaluate
from .fault_notes import FaultNotes
from .looks import Looks
from .network import Network
from .passes import Purpose
from .pauses import Pauses
from .progression import Progression
from .records import (
    Level,
    Recorder,
    RunResult,
    Snapshot,
    StepRecord,
)
from .rules.base import LocalRule
from .standing import REPEATED, Standing
from .steps import Steps
from .stopwatch import Stopwatch
from .training import Training
from .training_options import TrainingOptions

# Longest time for which a step that has begun is gone on with after a stop was asked for, in s.
_PROMPT = 1.0


class Trainer(Training):
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
        super().__init__(network, rule, data, classes=classes, options=options, seed=seed)
        self.recorder, self.callbacks = recorder, tuple(callbacks)
        self.steps, self.budget, self._faults = Steps(self), Budget(self), FaultNotes(self)
        self.progression = Progression(self)
        self._step_began: float | None = None
        for port in network.ports:
            port.on_fault = self.note
        self.interrupt_with(interrupted or (lambda: None))
        self.stopwatch, self._accounts = Stopwatch(), Accounts(self)
        self.looks, self.pauses, self.checkpoints = Looks(self), Pauses(self), Checkpoints(self)
        self._ending = Ending(self)
        self._begun = False
        self.resumed_as: int | None = None
        """How many times the run was resumed; None for one that began here."""
        self._steps_before = 0
        self._accept_change = False

    @property
    def seconds(self) -> float:
        """Duration of the run so far, in s, earlier processes included."""
        return self._accounts.seconds

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

    def snapshot(self, *, complete: bool = False) -> Snapshot:
        """Return all that the run needs to go on from here. Between two steps only.

        Args:
            complete: Whether an epoch has just ended.
        """
        self.steps.refuse_ahead("a snapshot")
        tensors = self.tensors()
        state = self.standing.state()
        state["seconds"] = self.seconds
        state["epoch_seconds"] = self._accounts.epoch_seconds
        network, sentinels = self.network, self.looks.sentinels
        arrays = {**self.standing.arrays(tensors), **sentinels.arrays(), **network.placed(), **network.memories()}
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
        self.looks.sentinels.restore(snapshot.arrays)
        self.network.restore_placed(snapshot.arrays)
        self._memories = dict(snapshot.arrays)
        self.resumed_as, self._accept_change = attempt, accept_change
        self._steps_before = self.steps_done

    def prepare(self) -> None:
        """Fit the standardisation, bottom up, on training rows only. Called by the first `step`; does nothing later.

        Raises:
            DriveError, ResponseError, MeasurementError: See `Port.measure`.
        """
        if not self._begun:
            self._accounts.begin()
            self.checkpoints.begin()
            self.looks.describe_systems()
        if not self.ready:
            self.looks.standardise()
            self.ready = True
        if self._begun:
            return
        self._begun = True
        if self.resumed_as is not None:
            self.network.restore_memories(self._memories)
            self._memories = {}
        self.network.write_parameters()
        self.looks.at_sentinels(attempt=self.resumed_as or 0, accept_change=self._accept_change)
        self._accounts.begin_epochs()
        for callback in self.callbacks:
            callback.on_start(self)
        if self.resumed_as is None:
            self.checkpoints.make(complete=False)

    def step(self) -> StepRecord:
        """Train on the next minibatch, and validate when it ends an epoch.

        Returns:
            The record of the step.

        Raises:
            FaultError: A measurement failed for good, or training diverged.
            Stopped: Ctrl-C or SIGTERM.
        """
        self.prepare()
        self.pauses.between_steps()
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
        self.standing.passes_per_sample = count.asked / self.minibatches.length(place)
        self.standing.placed_per_step = count.passes - count.asked
        learning = range(self.standing.layer, self.depth)
        wrong = [name for name, values in metrics.items() if not all(math.isfinite(values[n]) for n in learning)]
        if wrong:
            self.steps.give_up()
            raise FaultError(
                f"training diverged: {wrong[0]} must be finite, got {metrics[wrong[0]]} at step {self.steps_done}. "
                "Lower the learning rate; the checkpoints hold the weights of earlier epochs."
            )
        record = self._accounts.step(metrics, count, began=began, before=(log_before, idle_before))
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
            self.checkpoints.make_if_due(complete=False)
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
            while not self.progression.done:
                self.pauses.between_steps()
                if self.budget.ends_run() and not self.steps.ahead:
                    break
                self.step()
            return self._ending.finish(baselines or {})
        except Stopped as stopped:
            if self.pauses.at_rest and self.ready:
                self.checkpoints.make_if_possible()
            self._ending.abort("interrupted" if stopped.signal_number == 2 else "terminated", str(stopped))
            raise
        except InputError as error:
            if self.steps_done == self._steps_before:
                raise  # nothing was trained: what is wrong is what was asked for
            self._ending.abort("fault", str(error))
            raise FaultError(f"stopped at step {self.steps_done}: {error}") from error
        except FaultError as error:
            self._ending.abort("fault", f"step {self.steps_done}: {error}")
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
        with self.charged(purpose):
            return evaluate(
                self.network,
                self.rule,
                self.learners,
                self.minibatches.features[split],
                self.minibatches.labels[split],
                purpose=purpose,
                epoch=self.epochs_done if purpose is Purpose.VALIDATE else 0,
                batch=self.options.evaluation_batch,
                classes=self.classes,
                interrupted=self.check_interrupt,
                depth=depth,
            )

    def event(self, level: Level, message: str) -> None:
        """Put a line of text into the record."""
        if self.recorder:
            self.recorder.event(level, message)
        for callback in self.callbacks:
            callback.on_event(self, level, message)

    def note(self, text: str) -> None:
        """Put a warning into the record: now, or after the step where others are on their way. From any thread."""
        self._faults.add(text)
        if not self.steps.ahead:
            self._faults.tell()

    def _end_epoch(self) -> None:
        validate = self.progression.validates
        accuracy, layers = math.nan, (math.nan,) * len(self.network)
        # The epoch is over, whatever becomes of its validation: going on after a fault there starts the next one.
        self.standing.epochs += 1
        if validate:
            result = self.evaluate("validation", depth=self.depth)
            accuracy, layers = result.accuracy, result.layer_accuracy
        self.progression.end_epoch(accuracy)
        self.looks.at_sentinels()
        self.looks.at_placed_rows()
        self._faults.tell_kinds()
        record = self._accounts.epoch(accuracy, layers)
        with self.stopwatch.section("log"):
            if self.recorder:
                self.recorder.epoch(record)
            self.checkpoints.make_if_due(complete=True)
            for callback in self.callbacks:
                callback.on_epoch(self, record)
