"""A search sees validation samples only, treats rules alike, and goes on where it was stopped."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physnet.comparison.contestants import contestants, read_options
from physnet.comparison.store import FOLDER
from physnet.comparison.tuned import as_options, report
from physnet.comparison.tuning import Trial, Tuning
from physnet.errors import InputError, Stopped
from physnet.passes import Purpose, purpose_of
from physnet.port import Port

pytest.importorskip("optuna")
BOTH = ("mono_forward", "phyll")
Make = Callable[..., Tuning]


@pytest.fixture
def tuning(tiny: Path, tmp_path: Path) -> Make:
    """A search on the tiny experiment."""

    def make(*names: str, folder: str = "out", **more: Any) -> Tuning:
        fields: dict[str, Any] = {"trials": 3, "overrides": ("training.epochs=1",), **more}
        return Tuning(tiny, names or BOTH, tmp_path / folder, **fields)

    return make


def tried(search: Tuning) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [(trial.number, dict(trial.tuned), trial.accuracy) for trial in trials]
        for name, trials in search.done.items()
    }


def test_every_rule_has_the_same_number_of_trials_and_no_test_sample(
    tuning: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[Purpose] = set()
    measure = Port.measure

    def spy(port: Port, drive: Any, passes: Any) -> Any:
        seen.update(Purpose(int(one)) for one in np.unique(purpose_of(passes)))
        return measure(port, drive, passes)

    search = tuning()
    monkeypatch.setattr(Port, "measure", spy)
    search.go()
    assert {name: len(trials) for name, trials in search.done.items()} == dict.fromkeys(BOTH, 3)
    assert seen == {Purpose.STANDARDISE, Purpose.TRAIN, Purpose.VALIDATE}
    for name in BOTH:
        best = search.best(name)
        assert best is not None and best.accuracy >= search.done[name][0].accuracy


def test_the_first_trial_has_the_options_as_they_were(tuning: Make) -> None:
    search = tuning("mono_forward", trials=1)
    search.go()
    (trial,) = search.done["mono_forward"]
    assert trial.options == search.experiments["mono_forward"].rule.options
    # 0 lies outside the space of the weight decay, and is kept all the same.
    assert trial.tuned["learning_rate"] == 1e-2 and trial.tuned["weight_decay"] == 0.0


def test_a_search_that_was_stopped_comes_to_the_same_trials(tuning: Make, tmp_path: Path) -> None:
    whole = tuning(folder="whole")
    whole.go()

    def stop(name: str, trial: Trial) -> None:
        if trial.number == 1:
            raise Stopped(2)

    stopped = tuning()
    with pytest.raises(Stopped):
        stopped.go(tell=stop)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / FOLDER).iterdir()}
    again = tuning()
    again.go()
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / FOLDER).iterdir()}
    assert tried(again) == tried(whole)
    assert {name: after[name] for name in before} == before and len(after) == 6
    more = tuning(trials=4)
    more.go()
    assert {name: found[:3] for name, found in tried(more).items()} == tried(whole)


def test_another_seed_tries_other_options(tuning: Make) -> None:
    one, other = tuning("phyll"), tuning("phyll", seed=1)
    one.go()
    other.go()
    assert tried(one)["phyll"][0] == tried(other)["phyll"][0]
    assert tried(one)["phyll"][1:] != tried(other)["phyll"][1:]


def test_options_that_were_set_are_kept(tuning: Make) -> None:
    search = tuning("phyll", overrides=("training.epochs=1", "rules.phyll.theta=3.5"))
    search.go()
    assert all(trial.options["theta"] == 3.5 and "theta" not in trial.tuned for trial in search.done["phyll"])


def test_repeats_count_by_their_mean(tuning: Make) -> None:
    search = tuning("mono_forward", trials=1, repeats=2)
    search.go()
    (trial,) = search.done["mono_forward"]
    assert set(trial.accuracies) == {0, 1}
    assert trial.accuracy == sum(trial.accuracies.values()) / 2
    assert search.test_sha256 == ""  # each seed keeps other rows aside


def test_a_trial_that_diverges_counts_as_the_worst(tuning: Make) -> None:
    search = tuning("mono_forward", trials=1, overrides=("rules.mono_forward.learning_rate=1e30",), every=10**9)
    search.go()
    assert search.done["mono_forward"][0].accuracy == 0


def test_compare_reads_what_it_writes(tuning: Make, tiny: Path, tmp_path: Path) -> None:
    search = tuning("deep", "phyll", trials=2, overrides=("training.epochs=1", "rules.deep.name=mono_forward"))
    search.go()
    path = tmp_path / "options.toml"
    path.write_text(as_options(search), encoding="utf-8")
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    assert [trial["number"] for trial in table["trials"]["phyll"]] == [0, 1]
    assert table["tuning"]["done"] == {"deep": 2, "phyll": 2}
    options = read_options(path)
    assert options.tuning["test_sha256"] == search.test_sha256 != ""
    for name, experiment in contestants(tiny, ["deep", "phyll"], options=options).items():
        best = search.best(name)
        assert best is not None and experiment.rule.options == best.options
        assert experiment.rule.name == {"deep": "mono_forward"}.get(name, name)
    assert "phyll" in report(search) and "looks better than it is" in report(search)


def test_random_draws_need_no_model(tuning: Make) -> None:
    search = tuning("phyll", sampler="random", trials=2)
    search.go()
    assert len(search.done["phyll"]) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"trials": 0}, "trials must be >= 1, got 0"),
        ({"repeats": 0}, "repeats must be >= 1"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"overrides": ("data.validation_fraction=0",)}, "chooses on validation samples, and there are none"),
    ],
)
def test_what_makes_no_sense_is_refused(tuning: Make, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tuning("phyll", **more)


def test_without_optuna_the_message_names_the_extra(tuning: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'physnet\[tune\]'"):
        tuning()
