"""Baselines trained end to end: what they cost, to the pass; and where they are left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from physnet.assembly import load_samples
from physnet.cli.compare import baselines_of
from physnet.comparison.as_plain import as_plain
from physnet.comparison.digital import RATES
from physnet.comparison.end_to_end import plain_network, why_not
from physnet.comparison.figure import write_figure
from physnet.comparison.report import report
from physnet.comparison.rules import RuleComparison
from physnet.comparison.tasks import BASELINES, CHEAP, Task
from physnet.comparison.training import perform
from physnet.errors import InputError
from physnet.experiment import Experiment

MakeTask = Callable[..., Task]
Rules = Callable[..., dict[str, Experiment]]
TWO = (
    'systems.upper={type="scattering",responses=20}',
    'layers=[{system="lower",width=12},{system="upper",width=12}]',
)
KINDS = ("backpropagation", "physics_aware", "in_silico")


@pytest.mark.parametrize("kind", KINDS)
def test_every_pass_is_counted(task: MakeTask, kind: str) -> None:
    one = task("mono_forward", *TWO, kind=kind, name=kind, epochs=6)
    found = perform(one)
    train, test = found.train_rows, found.test_rows
    held = 150 - train  # the validation split
    looks = len(found.curve) if kind != "in_silico" else 6
    assert looks == 6  # after every epoch
    learnt, looked = 6 * train * 2, 6 * held * 2
    expected = {"standardise": train * 2, "test": test * 2}
    if kind != "backpropagation":
        expected["calibrate"] = train * 2  # what the twins are fitted to
    if kind != "in_silico":
        expected |= {"train": learnt, "validate": looked, "search": (len(RATES) - 1) * (learnt + looked)}
    assert dict(found.passes) == expected
    assert found.passes_per_inference == 2 and found.inference_work == 30 * 12 + 20 * 12 + 12 * 10
    assert (found.training_work is None) is (kind == "backpropagation")
    assert ("twins" in found.about) is (kind != "backpropagation")
    # Ten classes, 0.1 by chance with a standard error of 0.047 on 40 samples: two of them above, after 48 steps.
    assert found.test_accuracy > 0.1 + 2 * 0.047
    assert found.about["learning_rate"] in RATES and not found.diverged


@pytest.mark.parametrize("kind", ["backpropagation", "rule"])
def test_nothing_is_placed_among_the_rows_of_a_comparison(task: MakeTask, kind: str) -> None:
    plain = task(kind=kind, epochs=1)
    session = {**plain.experiment["session"], "dark_rows": 2, "reference_rows": 2}
    placed = task(kind=kind, epochs=1, experiment={**plain.experiment, "session": session})
    assert placed.digest == plain.digest
    assert dict(perform(placed).passes) == dict(perform(plain).passes)


def test_the_same_again_comes_to_the_same(task: MakeTask) -> None:
    one = task(kind="physics_aware", name="physics_aware", epochs=1)
    first, second = perform(one), perform(one)
    assert first.test_accuracy == second.test_accuracy and first.curve == second.curve


def test_without_validation_samples_there_is_one_step_size(task: MakeTask) -> None:
    found = perform(task("mono_forward", "data.validation_fraction=0", kind="backpropagation", name="b", epochs=2))
    assert found.about["tried"] == 1 and "search" not in found.passes and found.curve == ()
    assert found.test_accuracy > 0


def test_baselines_stand_beside_the_rules_and_are_no_part_of_the_choice(rules: Rules, tmp_path: Path) -> None:
    names = ("raw_logistic_regression", "backpropagation")
    made = rules("mono_forward", "cafo")
    comparison = RuleComparison(made, tmp_path / "out", seeds=2, baselines=names)
    assert list(comparison.baselines) == list(names) and comparison.left_out == {}
    rows = len(load_samples(comparison.first).splits.train)
    assert comparison.passes_to_do == 2 * 3 * rows * (1 + 1 + len(RATES))
    comparison.go()
    again = RuleComparison(rules("cafo"), tmp_path / "out", seeds=2, baselines=names)
    assert [one.name for one in again.todo] == []  # whichever rules they stand beside
    found = comparison.findings()
    assert set(found.rules) == {"mono_forward", "cafo"} and set(found.baselines) == set(names)
    assert set(found.ranking.rules) < set(found.rules) and set(found.ranking.baselines) == set(names)
    text = report(comparison, found)
    assert "baselines: best" in text
    table = as_plain(comparison, found)
    assert table["baselines"]["backpropagation"]["passes"][0]["train"] == 3 * rows
    assert table["baselines_left_out"] == {}
    assert write_figure(comparison, found, tmp_path / "figure.png").stat().st_size > 0


def test_a_measured_system_has_no_simulator_to_backpropagate_through(rules: Rules, tmp_path: Path) -> None:
    bench = """\
import numpy, physnet

def bench():
    return physnet.system(numpy.abs, drives=64, responses=64, kind="measured")
"""
    (tmp_path / "bench.py").write_text(bench, encoding="utf-8")
    made = rules(
        "mono_forward", overrides=('systems.lower={type="bench.py:bench"}', "data.scaling=range", "training.epochs=1")
    )
    comparison = RuleComparison(made, tmp_path / "out", seeds=1, baselines=tuple(BASELINES))
    assert set(comparison.left_out) == {"backpropagation"}
    assert "backpropagation" not in comparison.baselines and "physics_aware" in comparison.baselines
    alone = RuleComparison(made, tmp_path / "out", seeds=1, baselines=("backpropagation", "in_silico"))
    alone.go()
    text = report(alone, alone.findings()).replace("\n  ", " ")
    assert "backpropagation left out: " in text and "got a measured system" in text
    assert "in_silico: error of the twins" in text
    assert "in_silico: its validation accuracy is what the twins reach" in text
    told = as_plain(alone, alone.findings())["baselines"]["in_silico"]["about"]
    assert told["validated_on"] == "twins"


def test_what_leaves_a_baseline_out_is_told(rules: Rules) -> None:
    crosstalk = plain_network(
        rules("mono_forward", overrides=("systems.lower.impairments={crosstalk=0.1}",))["mono_forward"]
    )
    assert "crosstalk" in why_not("backpropagation", crosstalk, load_samples(crosstalk))
    few = plain_network(
        rules("mono_forward", overrides=("data.train_limit=19", "data.validation_fraction=0"))["mono_forward"]
    )
    assert "at least 20 training samples" in why_not("in_silico", few, load_samples(few))
    assert why_not("backpropagation", few, load_samples(few)) == ""


def test_baselines_are_asked_for_by_name(rules: Rules, tmp_path: Path) -> None:
    assert baselines_of(None) == CHEAP and baselines_of("none") == () and baselines_of("all") == tuple(BASELINES)
    assert baselines_of("in_silico, linear_readout") == ("in_silico", "linear_readout")
    with pytest.raises(InputError, match="must be among raw_logistic_regression"):
        RuleComparison(rules("mono_forward"), tmp_path, seeds=1, baselines=("backprop",))
    assert RuleComparison(rules("mono_forward"), tmp_path, seeds=1, baselines=()).baselines == {}
