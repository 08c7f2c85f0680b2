"""Training as a whole, on digits through small random media.

Axis letters: N rows, D drive channels, R response channels.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physnet import data, learning
from physnet.callbacks import Callback
from physnet.contracts import DriveSpec, Passes, Reading, ResponseSpec, SystemSpec
from physnet.encoders import Absolute, Affine, Split
from physnet.errors import DriveError, FaultError, InputError, MeasurementError, Stopped
from physnet.layer import Nonlinearity, PhysicalLayer, Presented
from physnet.learning import output_error
from physnet.network import LabelSlots, Network
from physnet.passes import Purpose
from physnet.port import Port
from physnet.records import (
    EpochRecord,
    RunResult,
    StepRecord,
)
from physnet.rules.base import Await, Batch, Learned, LearnSteps, LocalRule, Need, Placement, Present, Resumed
from physnet.rules.mono_forward import MonoForward
from physnet.rules.phyll import PhyLL
from physnet.trainer import Trainer
from physnet.training_options import TrainingOptions
from physnet.weights import sha256

from .notes import Notes

WIDTH = 12
SHORT = TrainingOptions(epochs=2, batch_size=64)


@functools.cache
def splits() -> data.Splits:
    """204 rows to train on, 36 to validate, 60 to test."""
    return data.split(data.load("digits"), seed=0, train_limit=240, test_limit=60)


class Cavity:
    """A random complex medium in plain NumPy that reads out a modulus; each row is computed by itself.

    One matrix product over all rows would be summed in another order for another number of rows.
    """

    def __init__(self, channels: int, *, seed: int = 0, faulty: Callable[[Cavity, Passes], bool] | None = None) -> None:
        random = np.random.default_rng(seed)
        size = (channels, 20)
        self._matrix_DR = (random.normal(size=size) + 1j * random.normal(size=size)) / math.sqrt(2 * channels)
        self._faulty = faulty
        self.passes: list[int] = []
        self._spec = SystemSpec(
            name="cavity",
            kind="simulated",
            drive=DriveSpec(shape=(channels,)),
            response=ResponseSpec(shape=(20,)),
            reproducible=True,
        )

    @property
    def spec(self) -> SystemSpec:
        return self._spec

    def measure(self, drive: Any, passes: Passes) -> Reading:
        assert isinstance(drive, np.ndarray)
        assert drive.dtype == np.float64
        self.passes += passes.tolist()
        if self._faulty and self._faulty(self, passes):
            raise MeasurementError("the cavity fell off the bench")
        return Reading(response=np.stack([np.abs(row_D @ self._matrix_DR) for row_D in drive]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


@dataclass(kw_only=True)
class Bench:
    """A trainer and what it works on."""

    trainer: Trainer
    cavities: list[Cavity]
    notes: Notes = field(default_factory=Notes)

    def run(self) -> RunResult:
        with self.trainer.network:
            return self.trainer.run()

    @property
    def passes(self) -> list[int]:
        return [number for cavity in self.cavities for number in cavity.passes]


def network(
    rule: LocalRule,
    *,
    layers: int = 2,
    chunk: int | None = None,
    faulty: Callable[[Cavity, Passes], bool] | None = None,
    slots: bool | None = None,
    encoder: Any = None,
) -> tuple[Network, list[Cavity]]:
    labelled = rule.labelled_inputs if slots is None else slots
    parts, cavities, inputs = [], [], 64 + 10 * labelled
    for number in range(layers):
        codec = (encoder or Absolute()) if number == 0 else Split()
        cavities.append(Cavity(codec.channels(inputs), seed=number, faulty=faulty))
        parts.append(
            PhysicalLayer(
                port=Port(cavities[-1], chunk=chunk, retries=1),
                inputs=inputs,
                width=WIDTH,
                encoder=codec,
                seed=number,
                nonlinearity=rule.nonlinearity,
                name=f"layer{number}",
            )
        )
        inputs = WIDTH
    return Network(parts, features=64, slots=LabelSlots(classes=10, amplitude=1.0) if labelled else None), cavities


def bench(
    rule: LocalRule | None = None,
    *,
    options: TrainingOptions = SHORT,
    rows: data.Splits | None = None,
    seed: int = 0,
    callbacks: tuple[Callback, ...] = (),
    interrupted: Callable[[], None] | None = None,
    **layout: Any,
) -> Bench:
    rule = rule or MonoForward(learning_rate=1e-2)
    built, cavities = network(rule, **layout)
    notes = Notes()
    subject = Trainer(
        built,
        rule,
        rows or splits(),
        classes=10,
        options=options,
        seed=seed,
        recorder=notes,
        callbacks=callbacks,
        interrupted=interrupted,
    )
    return Bench(trainer=subject, cavities=cavities, notes=notes)


def with_split(name: Literal["train", "validation", "test"], rows: int | None = None, **arrays: Any) -> data.Splits:
    """The splits with one of them cut short, or changed."""
    subset = getattr(splits(), name)
    subset = dataclasses.replace(subset, x=subset.x[:rows], y=subset.y[:rows], index=subset.index[:rows])
    return dataclasses.replace(splits(), **{name: dataclasses.replace(subset, **arrays)})


RULES: list[LocalRule] = [PhyLL(), PhyLL(mode="unsupervised"), MonoForward()]
each_rule = pytest.mark.parametrize("rule", RULES, ids=["phyll", "phyll-unsupervised", "mono_forward"])


@each_rule
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(rule: LocalRule) -> None:
    results = [bench(rule, seed=seed, options=TrainingOptions(epochs=1)).run() for seed in (5, 5, 6)]
    digests = [result.weights_sha256 for result in results]
    assert digests[0] == digests[1] != digests[2]
    assert results[0].test_accuracy == results[1].test_accuracy
    np.testing.assert_array_equal(results[0].confusion, results[1].confusion)


@each_rule
def test_the_chunk_size_does_not_change_a_bit(rule: LocalRule) -> None:
    once, chunked = (bench(rule, chunk=chunk, options=TrainingOptions(epochs=1)).run() for chunk in (None, 7))
    assert once.weights_sha256 == chunked.weights_sha256
    assert once.passes == chunked.passes


def test_training_learns_something() -> None:
    # Chance is 0.1 with a standard error of sqrt(0.1 * 0.9 / 60) = 0.04 on 60 test rows: 0.4 is 7 of them away.
    result = bench(MonoForward(learning_rate=1e-2), options=TrainingOptions(epochs=6, batch_size=32)).run()
    assert result.status == "done"
    assert result.test_accuracy > 0.4
    assert result.confusion.sum() == 60
    assert result.test_accuracy == np.trace(result.confusion) / 60
    assert result.epochs == 6
    assert result.steps == 6 * math.ceil(204 / 32)
    assert len(result.layer_accuracy) == 2


@each_rule
def test_passes_are_counted_by_purpose_and_no_number_serves_two(rule: LocalRule) -> None:
    subject = bench(rule)
    result = subject.run()
    assert sum(result.passes.values()) == result.physical_passes == subject.trainer.network.count.passes
    assert len(subject.passes) == result.physical_passes
    by_purpose = Counter(Purpose(number >> 59).name.lower() for number in subject.passes)
    assert {name: count for name, count in result.passes.items() if count} == by_purpose
    # Without retries every row has a number of its own, so neither validation nor test can share one with training.
    assert len(set(subject.passes)) == len(subject.passes)
    hypotheses, tried = (1, 1) if isinstance(rule, MonoForward) else (2, 10 if rule.labelled_inputs else 1)
    assert result.passes["standardise"] == 2 * hypotheses * 204
    assert result.passes["train"] == 2 * 2 * hypotheses * 204
    assert result.passes["validate"] == 2 * 2 * tried * 36
    assert result.passes["test"] == 2 * tried * 60


def test_step_by_step_gives_what_a_run_gives() -> None:
    rows = with_split("validation", rows=0)
    whole, by_hand = bench(rows=rows), bench(rows=rows)
    result = whole.run()
    with by_hand.trainer.network:
        records = [by_hand.trainer.step() for _ in range(2 * by_hand.trainer.steps_per_epoch)]
    assert sha256(by_hand.trainer.tensors()) == result.weights_sha256
    assert [record.metrics for record in records] == [record.metrics for record in whole.notes.steps]
    assert by_hand.notes.steps == records
    assert by_hand.trainer.epochs_done == 2


def test_a_step_record_holds_the_declared_metrics_for_each_layer() -> None:
    subject = bench()
    subject.run()
    steps = subject.notes.steps
    assert [record.step for record in steps] == list(range(8))
    assert [record.epoch for record in steps] == [0] * 4 + [1] * 4
    assert [record.count.passes for record in steps] == [128, 128, 128, 24] * 2
    for record in steps:
        assert set(record.metrics) == set(subject.trainer.rule.metrics)
        assert all(len(values) == 2 and all(map(math.isfinite, values)) for values in record.metrics.values())


def test_the_record_of_a_run_is_complete() -> None:
    subject = bench()
    result = subject.run()
    notes = subject.notes
    assert [(record.epoch, record.step) for record in notes.epochs] == [(0, 4), (1, 8)]
    assert [(epoch, step) for epoch, step, _ in notes.checkpoints] == [(0, 4), (1, 8)]
    assert notes.epochs[-1].passes == result.physical_passes - result.passes["test"]
    assert [statistics.rows for statistics in notes.statistics] == [204, 204]
    assert notes.finished[0][0] is result
    assert sha256(notes.finished[0][1]) == result.weights_sha256 == sha256(subject.trainer.tensors())
    assert result.message == "all epochs done"


def test_the_weights_with_the_best_validation_are_the_ones_kept() -> None:
    # A step size far too large makes the accuracy jump, so that the best epoch is not the last.
    subject = bench(MonoForward(learning_rate=0.5), options=TrainingOptions(epochs=8, batch_size=64))
    result = subject.run()
    accuracies = [record.validation_accuracy for record in subject.notes.epochs]
    best = int(np.argmax(accuracies))
    assert best != 7, "choose another step size: the last epoch is the best here"
    assert result.kept_epoch == best
    assert result.validation_accuracy == max(accuracies)
    assert result.weights_sha256 == sha256(subject.notes.checkpoints[best][2])
    assert result.weights_sha256 == sha256(subject.trainer.tensors()) != sha256(subject.notes.checkpoints[7][2])


def test_without_validation_the_last_weights_are_kept() -> None:
    subject = bench(rows=with_split("validation", rows=0))
    result = subject.run()
    assert result.kept_epoch == 1
    assert math.isnan(result.validation_accuracy)
    assert result.passes["validate"] == 0
    assert result.weights_sha256 == sha256(subject.notes.checkpoints[-1][2])


def test_validation_happens_as_often_as_asked() -> None:
    subject = bench(options=TrainingOptions(epochs=5, validate_every=2))
    subject.run()
    assert [math.isnan(record.validation_accuracy) for record in subject.notes.epochs] == [True, False] * 2 + [True]


@pytest.mark.parametrize(("every", "expected"), [(1, 3), (2, 6)])
def test_patience_counts_validations_without_gain(every: int, expected: int) -> None:
    # With a vanishing step size the first validation is never beaten.
    still = MonoForward(learning_rate=1e-30)
    result = bench(still, options=TrainingOptions(epochs=9, patience=2, validate_every=every)).run()
    assert result.epochs == expected
    assert result.kept_epoch == every - 1
    assert "did not improve for 2 validations" in result.message
    assert result.status == "done"


def test_patience_looks_at_validation_and_never_at_the_test_split() -> None:
    options = TrainingOptions(epochs=6, patience=1)
    rule = MonoForward(learning_rate=0.2)
    straight = bench(rule, options=options).run()
    turned = bench(rule, options=options, rows=with_split("test", y=(splits().test.y + 1) % 10)).run()
    assert (straight.epochs, straight.weights_sha256) == (turned.epochs, turned.weights_sha256)
    unvalidated = bench(rule, options=options, rows=with_split("validation", rows=0)).run()
    assert unvalidated.epochs == 6


def test_nothing_of_the_test_split_reaches_the_weights() -> None:
    garbage = np.random.default_rng(0).random(splits().test.x.shape, dtype=np.float32) * 1e6
    straight = bench()
    changed = bench(rows=with_split("test", x=garbage))
    assert straight.run().weights_sha256 == changed.run().weights_sha256
    for ours, theirs in zip(straight.notes.statistics, changed.notes.statistics, strict=True):
        np.testing.assert_array_equal(ours.mean, theirs.mean)


def test_nothing_of_the_validation_split_reaches_the_standardisation() -> None:
    garbage = np.random.default_rng(0).random(splits().validation.x.shape, dtype=np.float32) * 1e6
    first, second = bench(), bench(rows=with_split("validation", x=garbage))
    for subject in (first, second):
        subject.run()
    # Weights of every epoch agree; which epoch is kept may not.
    for ours, theirs in zip(first.notes.checkpoints, second.notes.checkpoints, strict=True):
        assert sha256(ours[2]) == sha256(theirs[2])


def test_the_standardisation_takes_no_more_rows_than_asked_for() -> None:
    for rule, rows in ((MonoForward(), 50), (PhyLL(), 50)):
        subject = bench(rule, options=TrainingOptions(epochs=1, standardise_rows=50))
        result = subject.run()
        assert result.passes["standardise"] == 2 * rows
        assert [statistics.rows for statistics in subject.notes.statistics] == [rows, rows]


def budgeted(budget: int, size: int | Literal["all"]) -> RunResult:
    # The standardisation takes 20 passes, and can't be left out; an epoch takes 408, and its validation 72.
    options = TrainingOptions(epochs=2, batch_size=size, budget_passes=budget, standardise_rows=10)
    return bench(options=options).run()


@pytest.mark.parametrize(
    ("budget", "size"),
    [
        (1, 64),
        (276, 64),
        (500, 64),
        (700, 64),
        (980, 64),
        (5000, 64),
        (5000, "all"),
        (100, 64),
        (600, 64),
        (450, "all"),
        (910, "all"),
    ],
)
def test_the_budget_of_passes_is_used_as_far_as_it_goes_and_never_exceeded(
    budget: int, size: int | Literal["all"]
) -> None:
    result = budgeted(budget, size)
    spent = result.physical_passes - result.passes["test"]
    assert spent <= max(budget, 20)
    assert result.passes["test"] == 120
    assert result.status == "done"
    if result.epochs < 2:
        assert f"budget of {budget} passes" in result.message
        # The next step, with the validation at its end, would not have fitted.
        ahead = 408 + 72 if size == "all" else (128, 128, 128, 24 + 72)[result.steps % 4]
        assert spent + ahead > budget


def test_a_run_stops_after_the_step_that_passes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Minute(Callback):
        def on_step(self, trainer: Trainer, record: StepRecord) -> None:
            now[0] += 60

    now = [1000.0]
    monkeypatch.setattr("physnet.trainer.time.perf_counter", lambda: now[0])
    result = bench(options=TrainingOptions(epochs=3, batch_size=64, budget_minutes=5.5), callbacks=(Minute(),)).run()
    assert result.steps == 6
    assert "5.5 minutes" in result.message
    assert result.seconds == 360
    assert result.passes["test"] == 120


def after(passes: int) -> Callable[[Cavity, Passes], bool]:
    return lambda cavity, numbers: len(cavity.passes) > passes


def test_a_fault_after_the_first_step_ends_the_run_and_is_recorded() -> None:
    # 204 rows of standardisation and 64 of the first step, per cavity.
    subject = bench(faulty=after(204 + 64))
    with pytest.raises(FaultError, match="fell off the bench"):
        subject.run()
    result = subject.notes.result
    assert result.status == "fault"
    assert "fell off the bench" in result.message
    assert result.steps == len(subject.notes.steps) == 1
    assert math.isnan(result.test_accuracy)
    assert result.passes["test"] == 0
    assert result.weights_sha256 == sha256(subject.notes.finished[0][1])


def test_rows_spent_on_a_step_that_failed_are_counted_too() -> None:
    subject = bench(faulty=after(204 + 64))
    with pytest.raises(FaultError):
        subject.run()
    assert subject.notes.result.physical_passes == len(subject.passes)
    assert subject.notes.result.passes["train"] == len(subject.passes) - 2 * 204


def test_a_fault_before_the_first_step_is_a_mistake_in_the_setup() -> None:
    subject = bench(faulty=after(0))
    with pytest.raises(InputError, match=r"before the first step.*fell off the bench") as caught:
        subject.run()
    assert isinstance(caught.value.__cause__, MeasurementError)
    assert caught.value.exit_code == 2
    assert subject.notes.steps == []
    assert subject.trainer.steps_done == 0


def test_a_response_of_another_shape_after_the_first_step_is_a_fault() -> None:
    def break_spec(cavity: Cavity, passes: Passes) -> bool:
        if len(cavity.passes) > 204 + 64:
            cavity._matrix_DR = cavity._matrix_DR[:, :7]
        return False

    subject = bench(faulty=break_spec)
    with pytest.raises(FaultError, match=r"stopped at step 1: response of cavity must have shape"):
        subject.run()
    assert subject.notes.result.status == "fault"


def test_a_drive_that_can_not_be_sent_after_the_first_step_is_a_fault() -> None:
    # The encoder of the first layer takes 0 to 1, and the test split holds more.
    rows = with_split("test", x=splits().test.x + 1)
    subject = bench(rows=rows, encoder=Affine())
    with pytest.raises(FaultError, match="encoder 'affine' takes 0 to 1") as caught:
        subject.run()
    assert isinstance(caught.value.__cause__, DriveError)
    assert subject.notes.result.status == "fault"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_a_signal_ends_the_run_between_two_steps(number: signal.Signals, status: str) -> None:
    subject: Bench

    def interrupted() -> None:
        if subject.trainer.steps_done == 3:
            raise Stopped(number)

    subject = bench(interrupted=interrupted)
    with pytest.raises(Stopped):
        subject.run()
    result = subject.notes.result
    assert (result.status, result.steps, result.passes["test"]) == (status, 3, 0)
    assert number.name in result.message
    assert result.physical_passes == len(subject.passes)
    assert sha256(subject.notes.finished[0][1]) == result.weights_sha256


def test_a_signal_during_an_evaluation_ends_it_between_two_batches() -> None:
    subject: Bench

    def interrupted() -> None:
        if any(number >> 59 == Purpose.VALIDATE for number in subject.passes):
            raise Stopped(signal.SIGINT)

    options = TrainingOptions(epochs=1, evaluation_batch=10)
    subject = bench(options=options, interrupted=interrupted)
    with pytest.raises(Stopped):
        subject.run()
    # 10 samples of the first layer: the second layer's chunk is not begun.
    assert subject.notes.result.passes["validate"] == 10
    assert subject.notes.result.physical_passes == len(subject.passes)


def test_an_accuracy_in_the_result_belongs_to_the_weights_in_the_result() -> None:
    # Stopped in the middle of an epoch, the weights are not those of the best validation unless they are put back.
    subject: Bench

    def interrupted() -> None:
        if subject.trainer.steps_done == 6:
            raise Stopped(signal.SIGINT)

    subject = bench(interrupted=interrupted)
    with pytest.raises(Stopped):
        subject.run()
    result = subject.notes.result
    assert math.isnan(result.validation_accuracy) or result.weights_sha256 == sha256(subject.notes.checkpoints[0][2])


class Journal(Callback):
    def __init__(self, name: str, log: list[str], *, stop_at: str = "") -> None:
        self.name, self.log, self.stop_at = name, log, stop_at

    def note(self, trainer: Trainer, event: str) -> None:
        self.log.append(f"{self.name} {event}")
        if event == self.stop_at:
            trainer.stop("the journal is full")

    def on_start(self, trainer: Trainer) -> None:
        self.note(trainer, "start")

    def on_step(self, trainer: Trainer, record: StepRecord) -> None:
        self.note(trainer, f"step {record.step}")

    def on_epoch(self, trainer: Trainer, record: EpochRecord) -> None:
        self.note(trainer, f"epoch {record.epoch}")

    def on_end(self, trainer: Trainer, result: RunResult) -> None:
        self.note(trainer, f"end {result.status}")


def test_callbacks_are_called_in_order() -> None:
    log: list[str] = []
    options = TrainingOptions(epochs=2, batch_size=128)
    bench(options=options, callbacks=(Journal("a", log), Journal("b", log))).run()
    events = ["start", "step 0", "step 1", "epoch 0", "step 2", "step 3", "epoch 1", "end done"]
    assert log == [f"{name} {event}" for event in events for name in "ab"]


@pytest.mark.parametrize(("stop_at", "steps"), [("start", 0), ("step 1", 2), ("step 3", 4), ("epoch 0", 4)])
def test_a_callback_can_end_the_run_which_is_tested_as_usual(stop_at: str, steps: int) -> None:
    subject = bench(callbacks=(Journal("a", [], stop_at=stop_at), Journal("b", [], stop_at="epoch 0")))
    result = subject.run()
    assert (result.status, result.steps, result.message) == ("done", steps, "the journal is full")
    assert result.passes["test"] == 120
    assert result.kept_epoch == (0 if steps == 4 else -1)


def test_callbacks_hear_of_the_end_after_a_fault_too() -> None:
    log: list[str] = []
    with pytest.raises(FaultError):
        bench(faulty=after(204 + 64), callbacks=(Journal("a", log),)).run()
    assert log == ["a start", "a step 0", "a end fault"]


def test_dead_channels_are_told() -> None:
    subject = bench()
    subject.cavities[1]._matrix_DR[:, :3] = 0
    subject.run()
    assert subject.notes.events == [("warning", "layer1: 3 response channels are dead")]


def test_saved_tensors_make_another_trainer_the_same() -> None:
    first, second = bench(), bench(seed=3)
    result = first.run()
    saved = first.trainer.tensors()
    assert saved["layer0/weight"].shape == (20, WIDTH)
    assert "layer1/rule/head" in saved
    with second.trainer.network:
        second.trainer.load(saved)
        evaluation = second.trainer.evaluate("test")
    assert evaluation.accuracy == result.test_accuracy
    assert sha256(second.trainer.tensors()) == result.weights_sha256
    # Loading brings the standardisation along: nothing is measured for it.
    assert second.trainer.passes["standardise"] == 0
    saved["layer0/weight"][:] = 0
    assert sha256(second.trainer.tensors()) == result.weights_sha256


def test_tensors_of_another_network_are_refused() -> None:
    saved = bench().trainer.tensors()
    with pytest.raises(InputError, match=r"hold layer1/"):
        bench(layers=1).trainer.load(saved)


def test_a_rule_that_presents_labels_is_refused_without_slots() -> None:
    with pytest.raises(InputError, match="PhyLL presents labels, so the network must have label slots"):
        bench(PhyLL(), slots=False)


@pytest.mark.parametrize("slots", [True, False])
def test_a_rule_without_labels_needs_no_slots_and_leaves_them_empty(slots: bool) -> None:
    result = bench(MonoForward(), slots=slots, options=TrainingOptions(epochs=1)).run()
    assert result.status == "done"


def test_a_single_training_row_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 samples, got 1"):
        bench(rows=with_split("train", rows=1))


@pytest.mark.parametrize("size", ["all", 10_000])
def test_a_batch_of_everything_is_one_step(size: Any) -> None:
    result = bench(options=TrainingOptions(epochs=2, batch_size=size)).run()
    assert result.steps == 2


def test_no_test_rows_are_no_test_result() -> None:
    result = bench(rows=with_split("test", rows=0)).run()
    assert math.isnan(result.test_accuracy)
    assert result.passes["test"] == 0
    assert result.confusion.sum() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"validate_every": 0},
        {"patience": 0},
        {"budget_passes": -1},
        {"budget_minutes": math.nan},
        {"standardise_rows": 0},
        {"standardise_rows": 1025},
        {"evaluation_batch": 0},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused_before_anything_is_touched(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        TrainingOptions(**wrong)


def test_a_last_minibatch_of_one_sample_does_not_end_an_unsupervised_run() -> None:
    # 204 = 7 * 29 + 1: nothing to mix the last sample with.
    result = bench(PhyLL(mode="unsupervised"), options=TrainingOptions(epochs=1, batch_size=29)).run()
    assert result.status == "done"


def test_slots_for_another_number_of_classes_are_refused() -> None:
    built, _ = network(PhyLL())
    with pytest.raises(InputError, match="slots"):
        Trainer(built, PhyLL(), splits(), classes=7)


def test_samples_of_another_width_are_refused() -> None:
    built, _ = network(MonoForward())
    rows = dataclasses.replace(
        splits(),
        **{
            name: dataclasses.replace(getattr(splits(), name), x=getattr(splits(), name).x[:, :60])
            for name in ("train", "validation", "test")
        },
    )
    with pytest.raises(InputError, match="features"):
        Trainer(built, MonoForward(), rows, classes=10)


@dataclass(frozen=True, kw_only=True)
class TwoRounds:
    """A rule that waits for something from outside its layer, then presents once more."""

    need: Need = Need.OUTPUT_ERROR
    placements: frozenset[Placement] = frozenset({Placement.AFTER})
    readout: Literal["sum", "last"] = "last"

    labelled_inputs: ClassVar[bool] = False
    nonlinearity: ClassVar[Nonlinearity] = "none"
    seen: list[tuple[str, torch.Tensor, torch.Tensor]] = field(default_factory=list)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({self.need})

    @property
    def metrics(self) -> Mapping[str, str]:
        return {"loss": "1"}

    def learner(self, layer: PhysicalLayer, *, classes: int, seed: int) -> TwoRoundsLearner:
        return TwoRoundsLearner(self, layer)

    def training_rows(self, network: Network, batch: Batch) -> torch.Tensor:
        return network.inputs(batch.features_NI)

    def inference_rows(self, network: Network, features_NI: torch.Tensor, *, classes: int) -> torch.Tensor:
        return network.inputs(features_NI)


class TwoRoundsLearner:
    def __init__(self, rule: TwoRounds, layer: PhysicalLayer) -> None:
        self.rule, self.layer = rule, layer

    def learn(self, inputs_NI: torch.Tensor, batch: Batch) -> LearnSteps:
        first = yield Present(inputs_NI=inputs_NI)
        assert isinstance(first, Presented)
        report = first.features_NF.sum(1) if self.rule.need is Need.PEER_SCALARS else None
        resumed = yield Await(need=self.rule.need, features_NF=first.features_NF, report=report)
        assert isinstance(resumed, Resumed)
        self.rule.seen.append((self.layer.name, resumed.value, first.features_NF))
        self.layer.bias_O += 0.5
        second = yield Present(inputs_NI=resumed.inputs_NI)
        assert isinstance(second, Presented)
        return Learned(features_NF=second.features_NF, metrics={"loss": 1.0}, down=first.features_NF)

    def scores(self, outputs_NO: torch.Tensor) -> torch.Tensor:
        return outputs_NO[:, :10]

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        return None


def test_a_rule_that_needs_the_output_error_gets_it_after_all_layers_and_goes_on() -> None:
    rule = TwoRounds()
    subject = bench(rule, options=TrainingOptions(epochs=1, batch_size=204), rows=with_split("validation", rows=0))
    with subject.trainer.network:
        subject.trainer.prepare()
        order = subject.trainer
        top = subject.trainer.network.layers[1]
        before = top.bias_O.clone()
        record = order.step()
    assert [name for name, _, _ in rule.seen] == ["layer0", "layer1"]
    assert record.metrics == {"loss": (1.0, 1.0)}
    assert record.count.passes == 2 * 2 * 204
    # Both layers are told the error of the top layer's scores, one per class, as they were in the first round.
    features = rule.seen[1][2]
    output = torch.addmm(before, features, top.weight_FO)
    labels = torch.from_numpy(splits().train.y)[torch.from_numpy(subject.trainer.minibatches.rows(0, 0))]
    for _, value, _ in rule.seen:
        assert torch.equal(value, output_error(output[:, :10], labels))
    # The second round has pass numbers of its own.
    train = [number for number in subject.passes if number >> 59 == Purpose.TRAIN]
    assert len(set(train)) == len(train) == 4 * 204


def test_a_rule_that_needs_its_peers_gets_the_sum_over_the_others() -> None:
    rule = TwoRounds(need=Need.PEER_SCALARS)
    subject = bench(rule, layers=3, options=TrainingOptions(epochs=1, batch_size=204))
    with subject.trainer.network:
        subject.trainer.step()
    reports = [features.sum(1) for _, _, features in rule.seen]
    for number, (_, value, _) in enumerate(rule.seen):
        others = torch.stack([report for other, report in enumerate(reports) if other != number]).sum(0)
        # A total less one's own: three roundings of 2^-24 of sums of 20 features of order one.
        torch.testing.assert_close(value, others, rtol=0, atol=3 * 60 * 2.0**-24)


def test_what_goes_down_reaches_the_layer_below_before_that_has_learnt() -> None:
    rule = TwoRounds(need=Need.TOP_DOWN)
    subject = bench(rule, layers=3, options=TrainingOptions(epochs=1, batch_size=204))
    with subject.trainer.network:
        record = subject.trainer.step()
    assert [name for name, _, _ in rule.seen] == ["layer2", "layer1", "layer0"]
    assert rule.seen[0][1].numel() == 0
    for above, (_, value, _) in zip(rule.seen, rule.seen[1:], strict=False):
        assert torch.equal(value, above[2])
    assert record.metrics == {"loss": (1.0, 1.0, 1.0)}


def test_an_output_error_is_softmax_minus_one_hot() -> None:
    error = output_error(torch.log(torch.tensor([[1.0, 1.0, 2.0], [3.0, 1.0, 4.0]])), torch.tensor([2, 0]))
    expected = torch.tensor([[0.25, 0.25, -0.5], [-0.625, 0.125, 0.5]])
    # A logarithm, an exponential and a division: some five roundings of 2^-24.
    torch.testing.assert_close(error, expected, rtol=0, atol=5 * 2.0**-24)


def test_a_rule_whose_needs_can_not_be_served_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "SERVED", frozenset[Need]())
    with pytest.raises(InputError, match="TwoRounds needs output_error"):
        bench(TwoRounds())


def test_a_rule_for_weights_that_no_layer_has_is_refused() -> None:
    with pytest.raises(InputError, match="no layer has any"):
        bench(TwoRounds(placements=frozenset({Placement.BEFORE})))


@pytest.mark.parametrize("readout", ["sum", "last"])
def test_the_answer_sums_the_layers_or_takes_the_last(readout: Any) -> None:
    subject = bench(TwoRounds(readout=readout))
    scores: list[NDArray[np.float32]] = []
    for learner in subject.trainer.learners:
        assert isinstance(learner, TwoRoundsLearner)
        original = learner.scores

        def spy(outputs: torch.Tensor, original: Any = original) -> torch.Tensor:
            found: torch.Tensor = original(outputs)
            scores.append(found.numpy())
            return found

        learner.scores = spy  # type: ignore[method-assign,assignment]
    with subject.trainer.network:
        evaluation = subject.trainer.evaluate("test")
    total = scores[0] + scores[1] if readout == "sum" else scores[1]
    np.testing.assert_array_equal(evaluation.predicted, total.argmax(1))
    labels = splits().test.y
    assert evaluation.layer_accuracy == tuple(float(np.mean(own.argmax(1) == labels)) for own in scores)
    assert evaluation.accuracy == float(np.mean(total.argmax(1) == labels))
    assert evaluation.confusion.sum() == 60
    assert evaluation.confusion[3].sum() == np.count_nonzero(labels == 3)


def test_samples_are_classified_in_batches_of_any_size_alike() -> None:
    answers = []
    for size in (7, 60):
        subject = bench(options=TrainingOptions(evaluation_batch=size))
        with subject.trainer.network:
            answers.append(subject.trainer.evaluate("test").predicted)
    np.testing.assert_array_equal(answers[0], answers[1])


def test_a_run_that_diverges_is_a_fault_and_says_so() -> None:
    subject = bench(MonoForward(learning_rate=1e38), options=TrainingOptions(epochs=3), layers=1)
    with pytest.raises(FaultError, match=r"diverged.*learning rate"):
        subject.run()
    assert subject.notes.result.status == "fault"


def test_more_epochs_than_pass_numbers_can_tell_apart_are_refused() -> None:
    with pytest.raises(InputError, match="16384"):
        TrainingOptions(epochs=16_385)


def test_a_fault_in_a_validation_does_not_make_the_epoch_happen_twice() -> None:
    subject: Bench
    fail = True

    def interrupted() -> None:
        if fail and any(number >> 59 == Purpose.VALIDATE for number in subject.passes):
            raise Stopped(signal.SIGINT)

    subject = bench(options=TrainingOptions(epochs=2, evaluation_batch=10), interrupted=interrupted)
    with pytest.raises(Stopped):
        while True:
            subject.trainer.step()
    fail = False
    while subject.trainer.epochs_done < 2:
        subject.trainer.step()
    trained = [number for number in subject.passes if number >> 59 == Purpose.TRAIN]
    assert len(trained) == len(set(trained))


def test_what_a_retry_mended_is_in_the_record() -> None:
    subject = bench()
    subject.trainer.network.ports[0].on_fault("bench: TRIGGER LOST (3 rows are presented again)")
    assert ("warning", "bench: TRIGGER LOST (3 rows are presented again)") in subject.notes.events
