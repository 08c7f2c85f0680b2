"""A training of a comparison: what it gives, when it validates, and that it tests once, at the end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from physnet.assembly import Samples, build_network, build_rule, load_samples, training_options
from physnet.comparison import training
from physnet.comparison.pace import Steps
from physnet.comparison.tasks import Task
from physnet.comparison.training import perform
from physnet.data import Subset
from physnet.errors import DriveError, InputError, MeasurementError, Stopped
from physnet.experiment import Experiment
from physnet.passes import Purpose, purpose_of
from physnet.port import Port
from physnet.rules.optimiser import LocalAdam
from physnet.trainer import Trainer

MakeTask = Callable[..., Task]
DIGITAL: dict[str, Any] = {"kind": "digital_network", "hidden": (8,), "epochs": 2}


@pytest.fixture
def purposes(monkeypatch: pytest.MonkeyPatch) -> list[Purpose]:
    """What rows were presented for, in the order in which they were, each purpose once in a row."""
    seen: list[Purpose] = []
    measure = Port.measure

    def spy(port: Port, drive: Any, passes: Any) -> Any:
        seen.extend(Purpose(int(one)) for one in np.unique(purpose_of(passes)))
        return measure(port, drive, passes)

    monkeypatch.setattr(Port, "measure", spy)
    return seen


def with_other_test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all trainings tested on nonsense."""

    def spoilt(experiment: Experiment) -> Samples:
        samples = load_samples(experiment)
        test = samples.splits.test
        other = Subset(x=np.zeros_like(test.x), y=(test.y + 1) % 10, index=test.index)
        return dataclasses.replace(samples, splits=dataclasses.replace(samples.splits, test=other))

    monkeypatch.setattr(training, "load_samples", spoilt)
    training._last.clear()


@pytest.mark.parametrize("rule", ["mono_forward", "phyll"])
def test_it_is_what_train_gives_to_the_digit(task: MakeTask, rule: str) -> None:
    one = task(rule, 'rules.phyll.decay="cosine"') if rule == "phyll" else task(rule)
    found = perform(one)
    experiment = Experiment.from_dict(one.experiment)
    samples, made = load_samples(experiment), build_rule(experiment)
    network = build_network(experiment, samples.frame, made)
    with network:
        result = Trainer(
            network, made, samples.splits, classes=10, options=training_options(experiment), seed=experiment.seed
        ).run()
    assert found.test_accuracy == result.test_accuracy
    assert found.validation_accuracy == result.validation_accuracy
    assert dict(found.passes) == dict(result.passes)


def test_the_test_split_is_measured_once_and_last(task: MakeTask, purposes: list[Purpose]) -> None:
    perform(task())
    first = purposes.index(Purpose.TEST)
    assert set(purposes[first:]) == {Purpose.TEST}
    assert {Purpose.TRAIN, Purpose.VALIDATE} <= set(purposes[:first])


def test_a_choice_among_options_never_measures_it(task: MakeTask, purposes: list[Purpose]) -> None:
    found = perform(task(test=False))
    assert Purpose.TEST not in purposes
    assert math.isnan(found.test_accuracy) and found.passes["test"] == 0
    assert found.validation_accuracy > 0


@pytest.mark.parametrize("changes", [{}, DIGITAL])
def test_other_test_rows_change_nothing_but_the_test(
    task: MakeTask, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    one = task(**changes)
    before = perform(one)
    with_other_test_rows(monkeypatch)
    after = perform(one)
    assert after.test_accuracy != before.test_accuracy
    assert (after.curve, after.validation_accuracy) == (before.curve, before.validation_accuracy)
    assert after.about == before.about


def test_rules_are_validated_at_the_same_passes(task: MakeTask) -> None:
    # Of 150 samples 128 are trained on: 128 passes an epoch, and 256 for the rule that needs negatives.
    for rule in ("mono_forward", "phyll"):
        found = perform(task(rule, every=256, budget=512))
        assert [passes for passes, _ in found.curve] == [256, 512]
        assert found.training_passes == 512


def test_a_budget_is_used_up_to_the_last_step_that_fits(task: MakeTask) -> None:
    for rule in ("mono_forward", "phyll"):
        found = perform(task(rule, budget=500, every=200))
        each = 50 * (2 if rule == "phyll" else 1)
        assert 500 - each < found.training_passes <= 500
        assert found.curve[-1][0] == found.training_passes


def test_a_budget_below_one_step_is_refused(task: MakeTask) -> None:
    with pytest.raises(InputError, match=r"budget_passes must be at least 100, .* got 99"):
        perform(task("phyll", budget=99))


def test_a_decay_ends_with_the_budget(task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    one, seen = task(budget=500, every=500), list[float]()
    set_progress = LocalAdam.set_progress

    def spy(adam: LocalAdam, progress: float) -> None:
        seen.append(progress)
        set_progress(adam, progress)

    monkeypatch.setattr(LocalAdam, "set_progress", spy)
    perform(one)
    assert seen[0] == 0
    # Equal steps from 0 to one before 1, up to rounding.
    assert np.allclose(seen, np.arange(len(seen)) / len(seen), rtol=0, atol=1e-12)


def test_a_training_that_diverges_is_tested_with_what_it_had(task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    early = perform(task("mono_forward", "rules.mono_forward.learning_rate=1e30"))
    assert "diverged" in early.diverged
    assert math.isnan(early.test_accuracy) or early.curve
    none = perform(task("mono_forward", "rules.mono_forward.learning_rate=1e30", every=10**9))
    assert math.isnan(none.test_accuracy) and not none.curve


def test_weights_that_run_away_are_the_training_s_fault_and_a_drive_out_of_range_is_not(task: MakeTask) -> None:
    # What a second layer would be driven with is no number any more.
    second = 'layers=[{system="lower", width=12}, {system="upper", width=12}]'
    two = ('systems.upper={type="scattering", responses=20}', second)
    one = task("mono_forward", *two)
    rule = {**one.experiment["rule"], "learning_rate": 1e25}
    found = perform(dataclasses.replace(one, experiment={**one.experiment, "rule": rule}))
    assert "got nan" in found.diverged
    # Samples beyond the range of the first one are not: nothing was learnt that could have run away.
    wide = 'layers=[{system="lower", width=12, encoder="affine"}]'
    with pytest.raises(DriveError):
        perform(task("mono_forward", wide, "data.scaling=standard"))


def test_a_system_that_breaks_ends_the_training(task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(port: Port, drive: Any, passes: Any) -> Any:
        raise MeasurementError("the cable was pulled")

    one = task()
    monkeypatch.setattr(Port, "measure", broken)
    with pytest.raises((MeasurementError, InputError), match="the cable was pulled"):
        perform(one)


def test_it_can_be_stopped_between_steps(task: MakeTask) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise Stopped(2)

    with pytest.raises(Stopped):
        perform(task(), interrupted=check)


def test_what_it_cost_is_told(task: MakeTask) -> None:
    one = task("phyll", "rules.phyll.inner_steps=3")
    found = perform(one)
    # One layer of 30 responses and 12 outputs, 10 labels: see `physnet.rules.work`.
    assert found.inference_work == 10 * (30 * 12) + 12 * 10
    assert found.training_work == 3 * found.train_rows * 2 * 30 * 12 * 7
    assert found.passes_per_inference == 10
    assert found.training_passes == 3 * found.train_rows * 2
    assert found.parameter_writes == 0 and found.physics == ("simulated",)
    assert found.digital_seconds > 0


def test_steps_of_a_plan_add_up() -> None:
    steps = Steps(size=50, last=28, per_epoch=3, count=7, passes_per_sample=2)
    assert [steps.samples(number) for number in range(8)] == [0, 50, 100, 128, 178, 228, 256, 306]
    assert steps.times(7) == (5, 2) and steps.passes(7) == 612
