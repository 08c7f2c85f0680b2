"""A study goes on where it was stopped, changes nothing of its run, and tells what it must."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from physnet.assembly import load_samples
from physnet.controls import CONTROLS, FILE, NETWORK, ControlsFile, Study, Training
from physnet.controls.figure import write_figure
from physnet.controls.report import report
from physnet.controls.training import train_one
from physnet.errors import InputError, SessionError, Stopped, StorageError
from physnet.session import Run

Train = Callable[..., Run]
DIGITAL = 'controls.which=["physics_zeroed", "raw_logistic_regression"]'


def hashes(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != FILE)
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def training(**changes: object) -> Training:
    fields: dict[str, object] = {
        "control": "one_layer_less",
        "seed": 0,
        "test_accuracy": 0.5,
        "passes": 7,
        "seconds": 0.1,
        "train_rows": 8,
        "test_rows": 2,
        "test_sha256": "aa",
    }
    return Training(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_study_leaves_its_run_as_it_was(trained: Train) -> None:
    run = trained()
    before = hashes(run.folder)
    study = Study(run)
    study.go()
    assert hashes(run.folder) == before
    assert [file.name for file in run.folder.iterdir() if file.name.startswith(".")] == []
    found = study.findings()
    assert found.missing == 0
    assert list(found.trainings) == [NETWORK, *CONTROLS]
    assert run.result is not None
    assert found.trainings[NETWORK][0].test_accuracy == run.result.test_accuracy


def test_the_run_is_not_trained_again_and_another_seed_is(trained: Train) -> None:
    run = trained(DIGITAL, "seed=5")
    study = Study(run)
    assert study.seeds == (5, 6)
    assert run.result is not None
    # What is digital takes no passes; the network's second seed takes as many as its first.
    assert study.passes_to_do == run.result.physical_passes
    study.go()
    first, second = study.findings().trainings[NETWORK]
    assert first.passes == second.passes == run.result.physical_passes
    assert first.test_sha256 != second.test_sha256


def test_a_training_of_the_network_is_the_run_to_the_digit(trained: Train) -> None:
    run = trained()
    study = Study(run)
    again = train_one(NETWORK, study.experiment, load_samples(study.experiment))
    assert run.result is not None
    assert (again.test_accuracy, again.passes) == (run.result.test_accuracy, run.result.physical_passes)


def test_an_interrupted_study_loses_the_training_it_was_in_and_no_other(trained: Train) -> None:
    run = trained(DIGITAL)
    told: list[Training] = []

    def stop_after_two(done: Training) -> None:
        told.append(done)
        if len(told) == 2:
            raise Stopped(2)

    study = Study(run)
    with pytest.raises(Stopped):
        study.go(tell=stop_after_two)
    assert len(study.todo) == 4
    again = Study(run)  # as a new process would
    assert again.todo == study.todo
    early = again.findings()
    assert (early.missing, early.verdict.outcome) == (4, "no verdict")
    assert "4 trainings are not done" in early.notes[0]
    again.go(tell=told.append)
    assert len(told) == 6 == len({(one.control, one.seed) for one in told})
    assert not again.todo


def test_everything_a_program_wants_is_in_the_json(trained: Train) -> None:
    study = Study(trained(DIGITAL, "controls.margin=0.02"))
    study.go()
    values = json.loads(json.dumps(study.as_json(study.findings()), allow_nan=False))
    assert values["verdict"] in ("helps", "hurts", "no evidence")
    assert (values["margin"], values["confidence"], values["power"]) == (0.02, 0.95, 0.8)
    assert (values["repeats"], values["declared_repeats"], values["missing"]) == (2, 2, 0)
    assert (values["physics"], set(values["controls"])) == ("simulated", {"physics_zeroed", "raw_logistic_regression"})
    assert set(values["network"]["accuracies"]) == {"0", "1"}
    control = values["controls"]["physics_zeroed"]
    assert control["interval"][0] < control["difference"] < control["interval"][1]
    assert {"p_value", "smallest_detectable_difference", "physical_passes", "about", "pairs"} <= set(control)
    assert values["left_out"]["one_layer_less"] == "not asked for in controls.which"


def test_one_repeat_has_a_table_and_no_verdict(trained: Train, tmp_path: Path) -> None:
    study = Study(trained(DIGITAL, "controls.repeats=1"))
    study.go()
    found = study.findings()
    text = report(study, found)
    assert "NO VERDICT" in text and "at least 2 repeats" in text
    assert study.as_json(found)["smallest_detectable_difference"] is None
    assert write_figure(study, found, tmp_path / "new" / "controls.png").stat().st_size > 10_000


def test_the_report_holds_every_control_the_margin_and_the_power(trained: Train) -> None:
    study = Study(trained(DIGITAL))
    study.go()
    text = report(study, study.findings())
    for word in ("network (simulated)", "physics_zeroed", "verdict: ", "margin of 1 points", "power 80 %", "without"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 96


def test_another_number_of_repeats_than_declared_is_told(trained: Train) -> None:
    study = Study(trained(DIGITAL), repeats=1)
    study.go()
    assert any("1 repeats instead of the 2 declared" in note for note in study.findings().notes)


def test_a_split_that_no_seed_changes_is_told(trained: Train) -> None:
    study = Study(trained(DIGITAL, "data.split_seed=7"))
    study.go()
    assert any("tested on the same rows" in note for note in study.findings().notes)


def test_a_run_that_was_not_done_has_no_controls(trained: Train) -> None:
    run = trained()
    object.__setattr__(run, "status", "interrupted")
    with pytest.raises(SessionError, match=r"it is interrupted\. Train it"):
        Study(run)


def test_repeats_below_one_are_refused(trained: Train) -> None:
    with pytest.raises(InputError, match="repeats must be >= 1, got 0"):
        Study(trained(), repeats=0)


def test_findings_without_a_training_say_how_to_get_some(trained: Train) -> None:
    with pytest.raises(InputError, match="physnet controls"):
        Study(trained()).findings()


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = ControlsFile(tmp_path), ControlsFile(tmp_path)
    one.add(training())
    other.add(training(seed=1))
    assert set(ControlsFile(tmp_path).trainings) == {("one_layer_less", 0), ("one_layer_less", 1)}


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 1}', '{"schema": 9, "trainings": []}', "\0\xff"])
def test_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(SessionError, match="ove it away"):
        ControlsFile(tmp_path)


def test_a_disk_that_refuses_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ControlsFile(tmp_path)
    file.add(training())
    before = (tmp_path / FILE).read_bytes()

    def refuse(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(StorageError, match="No space left"):
        file.add(training(seed=1))
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize("change", [{"test_accuracy": float("nan")}, {"test_accuracy": 1.5}, {"test_rows": 0}])
def test_a_training_without_a_test_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(SessionError, match="test accuracy of 0 to 1"):
        training(**change)
