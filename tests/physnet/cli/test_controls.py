"""`physnet train --controls`, `physnet controls` and what `show` makes of them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physnet.controls import CONTROLS, FILE

from .processes import Start, Until

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]
QUICK = ("--set", 'controls.which=["physics_zeroed", "raw_logistic_regression"]', "--set", "controls.repeats=2")


@pytest.fixture
def run(trained: tuple[Path, Answer], tmp_path: Path) -> Path:
    """A copy of a finished run."""
    copy = tmp_path / "copy"
    shutil.copytree(trained[0], copy)
    return copy


def last_line(answer: Answer) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return values


def test_train_with_controls_prints_the_verdict_and_draws_it(call: Call, tiny: Path, runs: Path) -> None:
    answer = call("train", tiny, "--output", runs, "--controls", "--json", *QUICK)
    assert answer.returncode == 0, answer.stderr
    assert "verdict: " in answer.stdout and "physics_zeroed" in answer.stdout
    values = last_line(answer)
    folder = Path(values["session"])
    assert values["controls"]["verdict"] in ("helps", "hurts", "no evidence")
    assert values["controls"]["network"]["accuracies"]["0"] == values["test_accuracy"]
    assert (folder / "figures" / "controls.png").stat().st_size > 10_000
    assert "controls: 6 trainings to do" in answer.stderr

    shown = call("show", folder, "--plot")
    assert shown.returncode == 0, shown.stderr
    assert "verdict: " in shown.stdout and "controls.png" in shown.stdout


def test_controls_of_a_finished_run_are_run_once(call: Call, run: Path) -> None:
    first = call("controls", run, "--repeats", 1, "--json", "--figure")
    assert first.returncode == 0, first.stderr
    values = last_line(first)
    assert values["verdict"] == "no verdict"
    assert set(values["controls"]) == set(CONTROLS) - {"skip_alone", "band_energies"}
    assert (run / "figures" / "controls.png").exists()
    again = call("controls", run, "--repeats", 1, "--json")
    assert "to do" not in again.stderr
    assert last_line(again) == values


def test_a_run_without_controls_is_shown_without(call: Call, run: Path) -> None:
    assert "verdict" not in call("show", run).stdout


def test_a_run_is_shown_although_its_controls_are_damaged(call: Call, run: Path) -> None:
    (run / FILE).write_text("{", encoding="utf-8")
    shown = call("show", run)
    assert shown.returncode == 0
    assert "controls are not shown" in shown.stderr
    assert call("controls", run).returncode == 2


def test_bad_input_ends_with_2_before_anything_is_trained(call: Call, tiny: Path, runs: Path, run: Path) -> None:
    which = ("--set", 'controls.which=["skip_alone"]')
    answer = call("train", tiny, "--output", runs, "--controls", *which)
    assert answer.returncode == 2 and "skip_alone (the network has" in answer.stderr
    assert not runs.exists()
    assert call("controls", run.parent / "nothing").returncode == 2
    assert call("controls", run, "--repeats", 0).returncode == 2
    assert call("controls", run, "--repeats", "many").returncode == 2


def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(
    fork: Start,
    until: Until,
    call: Call,
    run: Path,
) -> None:
    process = fork("controls", run)
    until(lambda: (run / FILE).exists(), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"physnet controls {run}" in err
    kept = json.loads((run / FILE).read_text(encoding="utf-8"))["trainings"]
    assert kept
    after = call("controls", run, "--repeats", 1)
    assert after.returncode == 0
    assert len(json.loads((run / FILE).read_text(encoding="utf-8"))["trainings"]) >= max(len(kept), 7)
