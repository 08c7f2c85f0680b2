"""In which order layers learn: the same numbers in a pipeline, one layer after the other in the greedy schedule.

Axis letters: D drive channels.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest

from physnet import data
from physnet import trainer as trainer_module
from physnet.contracts import DriveSpec, Passes, Reading, ResponseSpec, SystemSpec
from physnet.encoders import Absolute
from physnet.errors import DriveError, FaultError, InputError, MeasurementError, Stopped, StorageError
from physnet.exchange import Exchange
from physnet.forecast import count_passes
from physnet.layer import PhysicalLayer
from physnet.network import LabelSlots, Network
from physnet.passes import fields_of
from physnet.port import Port
from physnet.records import RunResult, StepRecord
from physnet.rules.base import LocalRule, Refeeds
from physnet.rules.dfa import DirectFeedbackAlignment
from physnet.rules.mono_forward import MonoForward
from physnet.rules.noprop import NoProp
from physnet.rules.phyll import PhyLL
from physnet.rules.scff import SelfContrastive
from physnet.seeding import derive_seed
from physnet.trainer import Trainer
from physnet.training_options import TrainingOptions

from .notes import Notes

WIDTH = 12
PIPELINED = TrainingOptions(schedule="pipelined", epochs=2, batch_size=32)
GREEDY = TrainingOptions(schedule="greedy", epochs=3, batch_size=32)
_SPLITS = data.split(data.load("digits"), seed=0, train_limit=240, test_limit=60)
RULES = (MonoForward(inner_steps=3), PhyLL(), SelfContrastive(), NoProp())
_DEADLINE = 20.0  # s, after which a thread that should have come is given up


class Medium:
    """A random matrix with a modulus and noise keyed by the pass, each row by itself, which keeps what it was asked."""

    def __init__(
        self, channels: int, *, seed: int, resource: str = "", look: Callable[[Passes], None] | None = None
    ) -> None:
        random = np.random.default_rng(seed)
        self._matrix = random.normal(size=(channels, 20)) / math.sqrt(channels)
        self._look = look or (lambda passes: None)
        self.asked: list[Passes] = []
        self.inside = False
        self._busy = threading.Lock()
        self._spec = SystemSpec(
            name=f"medium{seed}",
            kind="simulated",
            drive=DriveSpec(shape=(channels,)),
            response=ResponseSpec(shape=(20,)),
            reproducible=True,
            resource=resource,
        )

    @property
    def spec(self) -> SystemSpec:
        return self._spec

    def measure(self, drive: Any, passes: Passes) -> Reading:
        assert self._busy.acquire(blocking=False), "two layers drove one system at once"
        try:
            self.asked.append(passes.copy())
            self._look(passes)
            noise = [np.random.default_rng(int(number)).normal(scale=0.01, size=20) for number in passes]
            return Reading(response=np.stack([np.abs(row_D @ self._matrix) for row_D in drive]) + np.stack(noise))
        finally:
            self._busy.release()

    def __enter__(self) -> Self:
        self.inside = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.inside = False


@dataclasses.dataclass
class Subject:
    """A run that has not begun."""

    trainer: Trainer
    media: list[Medium]
    notes: Notes

    def run(self) -> RunResult:
        with self.trainer.network:
            return self.trainer.run()

    def rows(self, purpose: int) -> int:
        """Rows that the systems were driven with for a purpose."""
        return sum(
            int(np.count_nonzero(fields_of(passes)["purpose"] == purpose))
            for medium in self.media
            for passes in medium.asked
        )


def subject(
    rule: LocalRule,
    options: TrainingOptions,
    *,
    layers: int = 2,
    shared: bool = False,
    resource: str = "",
    look: Callable[[int, Passes], None] | None = None,
    interrupted: Callable[[], None] | None = None,
) -> Subject:
    """Make a network of media on digits, with one medium for each layer or one for all."""
    slots = LabelSlots(classes=10, amplitude=1.0) if rule.labelled_inputs else None
    inputs = 64 + (10 if slots else 0)
    refed = isinstance(rule, Refeeds)
    media: list[Medium] = []
    ports: list[Port] = []
    made = []
    for number in range(layers):
        if not (shared and number > 1):  # the first layer takes more channels than those above it
            watch = None if look is None else (lambda passes, number=number: look(number, passes))
            media.append(Medium(inputs if number == 0 or refed else WIDTH, seed=number, resource=resource, look=watch))
            ports.append(Port(media[-1], seed=number))
        made.append(
            PhysicalLayer(
                port=ports[-1],
                inputs=inputs,
                width=10 if refed else WIDTH,
                encoder=Absolute(),
                seed=derive_seed(3, "layer", number),
                nonlinearity=rule.nonlinearity,
                name=f"layer{number}",
            )
        )
        inputs = inputs if refed else WIDTH
    notes = Notes()
    network = Network(made, features=64, slots=slots, refed=refed)
    trainer = Trainer(
        network, rule, _SPLITS, classes=10, options=options, seed=5, recorder=notes, interrupted=interrupted
    )
    return Subject(trainer, media, notes)


def numbers(notes: Notes) -> list[object]:
    """Return what a run's records must share with another's: all but times."""
    steps = [(one.step, one.epoch, dict(one.metrics), one.count.passes, one.count.retries) for one in notes.steps]
    epochs = [(one.epoch, one.step, one.passes, one.validation_accuracy, one.layer_accuracy) for one in notes.epochs]
    return [*steps, *epochs]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_pipeline_gives_the_numbers_of_one_step_after_the_other(rule: LocalRule, shared: bool) -> None:
    plain = subject(rule, dataclasses.replace(PIPELINED, schedule="simultaneous"), layers=4, shared=shared)
    piped = subject(rule, PIPELINED, layers=4, shared=shared)
    expected, found = plain.run(), piped.run()
    assert found.weights_sha256 == expected.weights_sha256
    assert found.passes == expected.passes
    assert found.test_accuracy == expected.test_accuracy
    assert numbers(piped.notes) == numbers(plain.notes)


def test_separate_systems_measure_at_the_same_time() -> None:
    meet = threading.Barrier(2, timeout=_DEADLINE)

    def look(number: int, passes: Passes) -> None:
        fields = fields_of(passes)
        # The lower layer's second step and the upper one's first: each waits in its system until the other is there.
        if fields["purpose"][0] == 1 and fields["epoch"][0] == 0 and fields["step"][0] == 1 - number:
            meet.wait()

    piped = subject(MonoForward(), PIPELINED, look=look)
    piped.run()
    assert not meet.broken


def test_systems_that_share_a_resource_take_turns() -> None:
    inside: set[int] = set()
    company, met = threading.Condition(), list[bool]()

    def look(number: int, passes: Passes) -> None:
        with company:
            inside.add(number)
            company.notify_all()
            # Another layer has work by now, and would come in within this time if it could.
            met.append(company.wait_for(lambda: len(inside) > 1, timeout=0.05))
            inside.discard(number)

    options = dataclasses.replace(PIPELINED, epochs=1)
    subject(MonoForward(), options, resource="one oscilloscope", look=look, layers=3).run()
    assert not any(met)
    met.clear()
    subject(MonoForward(), options, look=look, layers=3).run()
    assert any(met), "systems of their own must be able to meet here, or this test shows nothing"


@pytest.mark.parametrize("options", [PIPELINED, GREEDY], ids=["pipelined", "greedy"])
def test_a_rule_that_waits_for_the_output_is_refused(options: TrainingOptions) -> None:
    with pytest.raises(InputError, match=r"needs output_error.*schedule = 'simultaneous'"):
        subject(DirectFeedbackAlignment(), options)


def test_a_fault_in_the_upper_layer_ends_the_run_with_every_pass_counted() -> None:
    def look(number: int, passes: Passes) -> None:
        if number == 1 and fields_of(passes)["purpose"][0] == 1 and fields_of(passes)["step"][0] == 2:
            raise MeasurementError("the medium fell off the bench")

    piped = subject(MonoForward(), PIPELINED, look=look)
    with pytest.raises(FaultError, match="fell off the bench"):
        piped.run()
    assert piped.trainer.steps_done == 2
    # A call that breaks before anything is known counts all its rows, as the port counts them.
    assert piped.trainer.passes["train"] == piped.rows(1)


def test_a_stop_in_the_middle_of_an_epoch_ends_between_steps_and_the_run_goes_on_from_there() -> None:
    asked: list[int] = []

    def interrupted() -> None:
        if asked and asked[0] >= 3:
            raise Stopped(2)

    plain = subject(MonoForward(), dataclasses.replace(PIPELINED, schedule="simultaneous"))
    expected = plain.run()
    first = subject(MonoForward(), PIPELINED, interrupted=interrupted)
    step = first.notes.step

    def noted(record: StepRecord) -> None:
        step(record)
        asked[:] = [record.step]

    first.notes.step = noted  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        first.run()
    last = first.notes.snapshots[-1]
    assert 3 < last.step < 13  # the steps that were on their way were done first
    assert last.step == len(first.notes.steps)
    second = subject(MonoForward(), PIPELINED)
    second.trainer.restore(last)
    found = second.run()
    assert found.weights_sha256 == expected.weights_sha256
    assert found.passes == {**expected.passes, "repeated": 0}


def test_a_checkpoint_that_is_due_in_the_middle_of_an_epoch_waits_for_what_is_on_its_way() -> None:
    options = dataclasses.replace(PIPELINED, checkpoint_seconds=1e-6)
    plain = subject(MonoForward(), dataclasses.replace(options, schedule="simultaneous"))
    piped = subject(MonoForward(), options)
    expected = plain.run()
    assert piped.run().weights_sha256 == expected.weights_sha256
    by_step = {snapshot.step: snapshot for snapshot in plain.notes.snapshots}
    middle = [snapshot for snapshot in piped.notes.snapshots if snapshot.step % piped.trainer.steps_per_epoch]
    assert middle
    for snapshot in middle:
        for name, tensor in snapshot.tensors.items():
            np.testing.assert_array_equal(tensor, by_step[snapshot.step].tensors[name])
        assert snapshot.state["passes"] == by_step[snapshot.step].state["passes"]


@pytest.mark.parametrize("budget", [700, 900, 1500])
def test_a_budget_ends_a_pipeline_at_the_same_step(budget: int) -> None:
    options = dataclasses.replace(PIPELINED, budget_passes=budget)
    plain = subject(MonoForward(), dataclasses.replace(options, schedule="simultaneous"))
    piped = subject(MonoForward(), options)
    expected, found = plain.run(), piped.run()
    assert (found.steps, found.passes, found.message) == (expected.steps, expected.passes, expected.message)
    assert found.weights_sha256 == expected.weights_sha256


def test_training_that_diverges_ends_with_weights_and_counts_that_are_final() -> None:
    piped = subject(MonoForward(learning_rate=1e30), PIPELINED, layers=3)
    with pytest.raises((FaultError, DriveError)):  # whichever layer sees first what is no number any more
        piped.run()
    assert piped.trainer.passes["train"] == piped.rows(1)


def test_a_stop_between_steps_waits_for_what_is_on_its_way() -> None:
    asked = threading.Event()

    def interrupted() -> None:
        if asked.is_set():
            raise Stopped(2)

    piped = subject(MonoForward(), PIPELINED, layers=3, interrupted=interrupted)
    step = piped.notes.step

    def noted(record: StepRecord) -> None:
        step(record)
        if record.step == 0:  # at most 4 steps are on their way then, and the epoch has 7
            asked.set()

    piped.notes.step = noted  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        piped.run()
    assert piped.notes.snapshots[-1].step == len(piped.notes.steps) >= 1


def test_a_layer_that_finds_the_disk_full_has_the_run_wait_with_its_outputs_safe() -> None:
    expected = subject(MonoForward(), PIPELINED, layers=3).run()
    piped = subject(MonoForward(), PIPELINED, layers=3)
    trainer, asked, waiters = piped.trainer, list[int](), set[str]()

    def rows() -> int:
        return sum(len(medium.asked) for medium in piped.media)

    def full(exchange: Exchange) -> None:
        if fields_of(exchange.passes)["step"][0] == 3 and not asked:
            waiters.add(threading.current_thread().name)
            assert trainer.pauses.for_room("the disk is full", has_room)

    def has_room() -> bool:
        asked.append(rows())
        assert threading.current_thread() is threading.main_thread()
        assert all(medium.inside for medium in piped.media) is (len(asked) == 1)  # left while it waits
        return len(asked) > 3

    trainer.network.ports[1].on_exchange = full
    assert piped.run().weights_sha256 == expected.weights_sha256
    assert waiters and "MainThread" not in waiters
    assert len(asked) == 4 and len(set(asked)) == 1  # nothing was driven meanwhile


def test_a_layer_that_finds_no_room_ends_the_run_with_every_pass_counted() -> None:
    piped = subject(MonoForward(), dataclasses.replace(PIPELINED, wait_for_room=0.0))

    def full(exchange: Exchange) -> None:
        if fields_of(exchange.passes)["purpose"][0] == 1:
            piped.trainer.pauses.for_room("the disk is full", lambda: False)

    piped.trainer.network.ports[1].on_exchange = full
    with pytest.raises(StorageError, match="the disk is full"):
        piped.run()
    assert piped.trainer.passes["train"] == piped.rows(1)


def test_a_stop_may_be_looked_for_by_several_threads_at_once_and_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "_PROMPT", 0.0)  # every step counts as a long one
    inside, entered, met, ended = set[str](), threading.Condition(), threading.Event(), threading.Event()

    def interrupted() -> None:
        name = threading.current_thread().name
        if name == "MainThread":
            return
        if met.is_set():
            ended.set()
            raise Stopped(2)
        with entered:
            inside.add(name)
            entered.notify_all()
            # A layer alone goes on after a while: the one above it may be waiting for what it measures.
            if entered.wait_for(lambda: len(inside) > 1, timeout=0.2):
                met.set()
            else:
                inside.discard(name)

    piped = subject(MonoForward(), PIPELINED, interrupted=interrupted)
    with pytest.raises(Stopped):
        piped.run()
    assert ended.is_set()
    assert piped.trainer.passes["train"] == piped.rows(1)


def test_what_needs_a_network_at_rest_is_refused_on_the_way() -> None:
    piped = subject(MonoForward(), PIPELINED)
    with piped.trainer.network:
        piped.trainer.step()
        for look in (piped.trainer.snapshot, lambda: piped.trainer.evaluate("test")):
            with pytest.raises(InputError, match=r"no minibatch is on its way.*drain"):
                look()
        piped.trainer.drain()
        assert piped.trainer.evaluate("test").accuracy > 0


def test_draining_ends_what_is_on_its_way() -> None:
    piped = subject(MonoForward(), PIPELINED)
    with piped.trainer.network:
        piped.trainer.step()
        piped.trainer.drain()
        assert piped.trainer.passes["train"] == 2 * 32 * piped.trainer.steps_done
        before = piped.trainer.steps_done
        piped.trainer.step()
        piped.trainer.drain()
        assert piped.trainer.steps_done > before


def test_the_greedy_schedule_trains_one_layer_after_the_other() -> None:
    greedy = subject(MonoForward(), GREEDY, layers=3)
    changed: list[set[str]] = []
    last: dict[str, Any] = {}

    def look(record: StepRecord) -> None:
        nonlocal last
        present = greedy.trainer.tensors()
        changed.append(
            {name.split("/")[0] for name in present if last and not np.array_equal(present[name], last[name])}
        )
        last = present
        greedy_steps.append(record)

    greedy_steps: list[StepRecord] = []
    greedy.notes.step = look  # type: ignore[method-assign]
    result = greedy.run()
    each = 3 * greedy.trainer.steps_per_epoch
    assert result.epochs == 9
    for number in range(3):
        own = slice(number * each + 1, (number + 1) * each)
        assert all(layers == {f"layer{number}"} for layers in changed[own])
        for record in greedy_steps[own]:
            loss = record.metrics["loss"]
            assert [math.isfinite(value) for value in loss] == [layer == number for layer in range(3)]
    samples = len(_SPLITS.train.y)
    assert result.passes["train"] == 3 * samples * (1 + 2 + 3)
    assert result.passes["validate"] == 3 * len(_SPLITS.validation.y) * (1 + 2 + 3)
    assert [record.layer_accuracy[2] for record in greedy.notes.epochs[:6]] == pytest.approx(
        [math.nan] * 6, nan_ok=True
    )
    assert any(
        "layer0 has learnt for 3 epochs" in event and "layer1 begins" in event for _, event in greedy.notes.events
    )


def test_the_forecast_of_the_greedy_schedule_is_what_is_presented() -> None:
    greedy = subject(MonoForward(), GREEDY, layers=3)
    names = {port: port.spec.name for port in greedy.trainer.network.ports}
    forecast = count_passes(greedy.trainer, names)
    result = greedy.run()
    assert {name: count for name, count in forecast.purposes.items() if count} == {
        name: count for name, count in result.passes.items() if count
    }


def test_patience_takes_the_greedy_schedule_to_the_next_layer() -> None:
    # No step size to speak of: nothing improves, so each layer learns for one epoch and waits for another.
    options = dataclasses.replace(GREEDY, epochs=8, patience=1)
    greedy = subject(MonoForward(learning_rate=1e-30), options, layers=2)
    result = greedy.run()
    assert result.epochs == 4
    assert "did not improve for 1 validations" in result.message


@pytest.mark.parametrize(("budget", "reached"), [(1_000, 1), (1_700, 2)])
def test_a_greedy_run_that_ends_early_is_tested_with_what_has_learnt(budget: int, reached: int) -> None:
    greedy = subject(MonoForward(), dataclasses.replace(GREEDY, epochs=1, budget_passes=budget), layers=3)
    result = greedy.run()
    assert [math.isnan(value) for value in result.layer_accuracy] == [number >= reached for number in range(3)]
    assert result.message.endswith("left out of the test: " + ", ".join(f"layer{n}" for n in range(reached, 3)))


@pytest.mark.parametrize("stop_at", [4, 9, 20, 30])
def test_a_greedy_run_goes_on_where_it_was(stop_at: int) -> None:
    expected = subject(MonoForward(decay="cosine"), GREEDY, layers=2).run()
    first = subject(MonoForward(decay="cosine"), GREEDY, layers=2)
    with first.trainer.network:
        for _ in range(stop_at):
            first.trainer.step()
        snapshot = first.trainer.snapshot()
    second = subject(MonoForward(decay="cosine"), GREEDY, layers=2)
    second.trainer.restore(snapshot)
    found = second.run()
    assert found.weights_sha256 == expected.weights_sha256
    assert found.passes == {**expected.passes, "repeated": 0}
    assert found.test_accuracy == expected.test_accuracy
