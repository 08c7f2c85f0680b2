"""A comparison of rules: pairs, what is left to do, and what a reader must know."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from physnet.comparison.as_plain import as_plain
from physnet.comparison.contestants import Options
from physnet.comparison.figure import write_figure
from physnet.comparison.report import report, short
from physnet.comparison.rules import RuleComparison
from physnet.comparison.store import Outcome
from physnet.comparison.tasks import Task
from physnet.controls.store import plain
from physnet.errors import InputError, Stopped
from physnet.experiment import Experiment

Rules = Callable[..., dict[str, Experiment]]


@pytest.fixture
def compared(rules: Rules, tmp_path: Path) -> Callable[..., RuleComparison]:
    """Compare two rules on the tiny experiment."""

    def make(*overrides: str, names: tuple[str, ...] = ("mono_forward", "phyll"), **more: object) -> RuleComparison:
        fields: dict[str, object] = {"seeds": 2, **more}
        return RuleComparison(rules(*names, overrides=overrides), tmp_path / "out", **fields)  # type: ignore[arg-type]

    return make


def test_every_rule_and_baseline_has_every_seed_on_the_same_rows(
    compared: Callable[..., RuleComparison], tmp_path: Path
) -> None:
    comparison = compared("rules.phyll.inner_steps=1")
    assert comparison.seeds == (0, 1)
    assert comparison.passes_to_do == 2 * 3 * 128 * (1 + 2)
    comparison.go()
    assert comparison.todo == () and comparison.passes_to_do == 0
    found = comparison.findings()
    assert list(found.rules) == ["mono_forward", "phyll"]
    assert {name.rstrip("0123456789") for name in found.baselines} == {
        "raw_logistic_regression",
        "linear_readout",
        "digital_network_",
    }
    for seed in comparison.seeds:
        rows = {column[seed].test_sha256 for column in (*found.rules.values(), *found.baselines.values())}
        assert len(rows) == 1
    assert found.missing == 0 and found.physics == "simulated"
    assert not any("same rows" in note for note in found.notes)

    text = report(comparison, found)
    for word in ("verdict: ", "mono_forward", "linear_readout", "MA/inference", "passes to", "baselines: best"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 116
    values = json.loads(json.dumps(plain(as_plain(comparison, found)), allow_nan=False))
    assert values["rules"]["phyll"]["passes_per_inference"] == 10
    assert len(values["rules"]["phyll"]["test_accuracy"]) == 2
    assert write_figure(comparison, found, tmp_path / "new" / "figure.png").stat().st_size > 10_000


def test_what_was_done_is_not_done_again(compared: Callable[..., RuleComparison]) -> None:
    told: list[str] = []

    def stop_after_three(task: Task, outcome: Outcome, left: int) -> None:
        told.append(f"{task.name} {task.seed}")
        if len(told) == 3:
            raise Stopped(2)

    comparison = compared()
    total = len(comparison.todo)
    with pytest.raises(Stopped):
        comparison.go(tell=stop_after_three)
    again = compared()
    assert len(again.todo) == total - 3
    assert any(f"{total - 3} trainings are not done" in note for note in again.findings().notes)
    again.go(tell=lambda task, outcome, left: told.append(f"{task.name} {task.seed}"))
    assert len(told) == len(set(told)) == total


def test_another_option_of_a_rule_trains_that_rule_alone(compared: Callable[..., RuleComparison]) -> None:
    compared().go()
    assert {task.name for task in compared("rules.phyll.theta=2").todo} == {"phyll"}
    # A further rule costs its own trainings, and those of a digital network of its own size.
    compared(names=("mono_forward",)).go()
    assert {task.name for task in compared().todo if task.kind == "rule"} == set()
    more = compared("rules.deep.name=mono_forward", "rules.deep.head_depth=2", names=("mono_forward", "phyll", "deep"))
    assert {task.name for task in more.todo if task.kind == "rule"} == {"deep"}


def test_each_rule_gets_the_same_budget(compared: Callable[..., RuleComparison]) -> None:
    comparison = compared(budget=512, seeds=1)
    assert comparison.every == 25
    comparison.go()
    found = comparison.findings()
    assert {one.training_passes for column in found.rules.values() for one in column.values()} == {512}
    assert found.ranking.outcome == "no verdict"
    assert "NO VERDICT. One seed" in report(comparison, found)


def test_the_experiment_may_hold_the_budget(compared: Callable[..., RuleComparison]) -> None:
    assert compared("training.budget_passes=300").budget == 300
    assert compared("training.budget_passes=300", budget=200).budget == 200


def test_validations_are_as_far_apart_as_two_rows_a_sample(compared: Callable[..., RuleComparison]) -> None:
    long = "training.epochs=40"
    assert compared(long).every == compared(long, names=("mono_forward",)).every == 256
    assert compared(long, "training.validate_every=3").every == 768
    assert compared().every == 3 * 256 // 10  # a short training is looked at ten times
    assert compared(every=50).every == 50


def test_a_target_nobody_reaches_is_an_answer(compared: Callable[..., RuleComparison]) -> None:
    comparison = compared(target=1.0, seeds=1)
    comparison.go()
    text = report(comparison, comparison.findings())
    assert "passes to 100 %" in text and text.count("not reached") == 2


def test_a_reader_is_told_of_options_and_splits(compared: Callable[..., RuleComparison]) -> None:
    comparison = compared("data.split_seed=3", "training.patience=2")
    comparison.go()
    notes = " ".join(comparison.findings().notes)
    for words in ("are defaults", "same rows", "different numbers of channels", "patience"):
        assert words in notes
    own: dict[str, dict[str, object]] = {"mono_forward": {}, "phyll": {}}
    (digest,) = {one.test_sha256 for one in comparison.findings().rules["phyll"].values()}
    tuned = compared("data.split_seed=3", options=Options(rules=own, tuning={"test_sha256": digest}))
    assert "are defaults" not in " ".join(tuned.findings().notes)
    assert "other test rows" not in " ".join(tuned.findings().notes)
    elsewhere = compared("data.split_seed=3", options=Options(rules=own, tuning={"test_sha256": "another"}))
    assert "other test rows" in " ".join(elsewhere.findings().notes)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"seeds": 0}, "seeds must be >= 1"),
        ({"budget": 0}, "budget_passes must be >= 1"),
        ({"budget": 99}, "budget_passes must be at least 100"),
        ({"every": 0}, "validate_every must be >= 1"),
        ({"target": 2.0}, "target must be above 0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    compared: Callable[..., RuleComparison], more: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compared(**more)


def test_a_rule_that_cannot_train_this_network_is_named(compared: Callable[..., RuleComparison]) -> None:
    with pytest.raises(InputError, match="signed output") as error:
        compared("layers.0.nonlinearity=relu")
    assert "the rule phyll" in error.value.__notes__[0]


def test_a_measured_system_is_driven_by_this_process_alone(
    compared: Callable[..., RuleComparison], tmp_path: Path
) -> None:
    seen = tmp_path / "processes"
    bench = f"""\
import os, pathlib, numpy, physnet

def answer(drive):
    with pathlib.Path({str(seen)!r}).open("a") as file:
        print(os.getpid(), file=file)
    return numpy.abs(drive)

def bench():
    return physnet.system(answer, drives=64, responses=64, kind="measured")
"""
    (tmp_path / "bench.py").write_text(bench, encoding="utf-8")
    system = 'systems.lower={type="bench.py:bench"}'
    comparison = compared(system, "training.epochs=1", "data.scaling=range", names=("mono_forward",), seeds=2)
    assert comparison.measured
    comparison.go(jobs=4)
    assert set(seen.read_text(encoding="utf-8").split()) == {str(os.getpid())}
    assert comparison.findings().physics == "measured"


def test_nothing_done_is_nothing_found(compared: Callable[..., RuleComparison]) -> None:
    with pytest.raises(InputError, match="no training of these rules"):
        compared().findings()


def test_numbers_are_short() -> None:
    values = (0.0, 12.0, 999.0, 1000.0, 97_680.0, 999_900.0, 3.21e6, 1.15e11, 2e12, None, float("nan"))
    assert [short(value) for value in values] == [
        *("0", "12", "999", "1 k", "97.7 k", "1000 k", "3.21 M", "115 G", "2 T", "?", "?")
    ]
