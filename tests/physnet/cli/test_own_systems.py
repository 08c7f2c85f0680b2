"""Systems of users, named from an experiment beside their file: those that work, and those that break on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physnet.session import open_run

from .processes import Start

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]

BENCH = Path(__file__).with_name("bench.py")
OWN = """\
data = { name = "digits", train_limit = 200, test_limit = 60 }
rule.name = "mono_forward"
training = { epochs = 3, batch_size = 50 }

[systems.bench]
type = "bench.py:NAME"

[[layers]]
system = "bench"
width = 10
"""


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Path]:
    """Write an experiment that names a system of `bench.py`, which lies beside it."""

    def write(name: str) -> Path:
        shutil.copy(BENCH, tmp_path)
        path = tmp_path / f"{name}.toml"
        path.write_text(OWN.replace("NAME", name), encoding="utf-8")
        return path

    return write


def result_of(answer: Answer) -> dict[str, Any]:
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", ["plain", "no_grad", "instrument", "Flaky"])
def test_a_system_in_a_file_beside_the_experiment_trains_from_any_folder(
    call: Call,
    own: Callable[[str], Path],
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
) -> None:
    experiment = own(name)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    result = result_of(call("train", experiment, "--json", "--output", runs))
    again = call("evaluate", result["session"], "--json")
    # None of them is noisy, so that the recorded accuracy comes back.
    assert result_of(again)["accuracy"] == result["test_accuracy"]


def test_a_system_that_breaks_in_the_middle_of_batches_learns_what_a_sound_one_learns(
    call: Call, own: Callable[[str], Path], runs: Path
) -> None:
    sound = result_of(call("train", own("plain"), "--json", "--output", runs))
    flaky = result_of(call("train", own("Flaky"), "--json", "--output", runs))
    assert flaky["physical_passes"] > sound["physical_passes"]
    run = open_run(flaky["session"])
    assert run.steps["retries"].sum() > 0
    # The seeds of weights come from the layer, those of the play order from the system's name: both are the same, and
    # a row's response does not depend on its neighbours.
    assert flaky["weights_sha256"] == sound["weights_sha256"]


@pytest.mark.parametrize(("name", "kind"), [("plain", "simulated"), ("instrument", "measured")])
def test_a_measured_system_is_told_from_a_simulated_one_everywhere(
    call: Call, own: Callable[[str], Path], runs: Path, name: str, kind: str
) -> None:
    answer = call("train", own(name), "--output", runs)
    assert f"{kind} physics" in answer.stdout
    shown = call("show", runs).stdout
    assert kind.upper() in shown
    assert {"simulated": "MEASURED", "measured": "SIMULATED"}[kind] not in shown


def test_a_system_that_fails_for_good_stops_the_run_and_leaves_a_sound_session(
    call: Call, own: Callable[[str], Path], runs: Path
) -> None:
    answer = call("train", own("dies"), "--output", runs, "--json")
    (folder,) = runs.iterdir()
    assert answer.returncode == 3
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert "VISA: no answer from TCPIP0::10.0.0.5" in " ".join(answer.stderr.split())
    assert answer.stderr.splitlines()[-2:] == [
        f"What it recorded: physnet show {folder}",
        f"To go on with it: physnet resume {folder}",
    ]
    shown = call("show", folder, "--plot")
    assert shown.returncode == 0
    assert "STOPPED BY A FAULT" in shown.stdout
    run = open_run(folder)
    assert run.status == "fault"
    # Seven calls answered after that of the standardisation: five of training and one of validation make an epoch.
    assert len(run.epochs["epoch"]) == 1
    assert call("evaluate", folder).returncode == 0  # for as long as it answers again


def test_a_mistake_in_a_system_is_told_with_its_place_and_the_session_stays_readable(
    call: Call, own: Callable[[str], Path], runs: Path, tmp_path: Path
) -> None:
    answer = call("train", own("mistaken"), "--output", runs)
    assert answer.returncode == 1
    assert "Traceback" in answer.stderr
    words = " ".join(answer.stderr.split())
    assert f"TypeError in {tmp_path / 'bench.py'}, line" in words
    assert "mistake in physnet" not in words
    shown = call("show", runs)
    assert shown.returncode == 0
    (folder,) = runs.iterdir()
    assert open_run(folder).status in ("fault", "killed")
    assert len(open_run(folder).steps["step"]) > 0


def test_a_drive_out_of_range_after_training_began_does_not_cost_the_session(
    call: Call, tmp_path: Path, runs: Path
) -> None:
    # Sorted by size, so that only a late row, in the test split or in training, exceeds what the encoder was told.
    rows = [f"{n / 100},{n % 2}" for n in range(100)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,label", *rows, "7,1"]), encoding="utf-8")
    experiment = tmp_path / "mine.toml"
    experiment.write_text(
        """\
data = { name = "table", path = "mine.csv", label = "label" }
systems.medium = { type = "scattering", responses = 8 }
layers = [{ system = "medium", width = 4, encoder = "affine" }]
rule.name = "mono_forward"
training = { epochs = 2, batch_size = 10 }
""",
        encoding="utf-8",
    )
    codes = set()
    for seed in range(8):
        output = runs / str(seed)
        answer = call("train", experiment, "--output", output, "--seed", seed)
        assert "Traceback" not in answer.stderr
        assert "nothing was sent" in " ".join(answer.stderr.split())
        # Refused if standardisation met the row, else stopped; then the run is kept.
        assert (answer.returncode == 3) == bool(list(output.iterdir()))
        codes.add(answer.returncode)
    assert codes == {2, 3}


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_run_killed_before_its_first_epoch_shows_but_has_nothing_to_evaluate(
    call: Call, fork: Start, own: Callable[[str], Path], runs: Path
) -> None:
    with fork("train", own("killer"), "--output", runs) as process:
        process.communicate()
    assert process.returncode == -9
    (folder,) = runs.iterdir()
    shown = call("show", folder)
    assert shown.returncode == 0
    assert "KILLED" in shown.stdout
    for answer in (call("evaluate", folder), call("predict", folder, "nowhere.csv")):
        assert answer.returncode == 2
        assert "neither final weights nor a sound checkpoint" in " ".join(answer.stderr.split())


def test_a_table_is_trained_on_and_its_own_file_predicted_whatever_else_it_holds(
    call: Call, tmp_path: Path, runs: Path
) -> None:
    rows = [f"note,{n / 100},{n % 2},{1 - n / 100},{'high' if n >= 50 else 'low'}" for n in range(100)]
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(["comment,a,b,c,label", *rows]), encoding="utf-8")
    experiment = tmp_path / "mine.toml"
    experiment.write_text(
        """\
data = { name = "table", path = "mine.csv", label = "label", features = ["c", "a"] }
systems.medium = { type = "scattering", responses = 8 }
layers = [{ system = "medium", width = 8 }]
rule = { name = "mono_forward", learning_rate = 0.02 }
training = { epochs = 20, batch_size = 10 }
""",
        encoding="utf-8",
    )
    assert call("train", experiment, "--output", runs).returncode == 0
    answer = call("predict", runs, table)
    assert answer.returncode == 0, answer.stderr
    predicted = [line.split(",")[1] for line in answer.stdout.splitlines()[1:]]
    hits = sum(word == ("high" if n >= 50 else "low") for n, word in enumerate(predicted))
    # Two classes told apart by one number: all but the rows beside the limit. Chance is 50 with a deviation of 5.
    assert hits >= 90


def test_data_that_changed_since_the_run_are_refused(call: Call, tmp_path: Path, runs: Path) -> None:
    table = tmp_path / "mine.csv"
    rows = [f"{n / 100},{'high' if n >= 50 else 'low'}" for n in range(100)]
    table.write_text("\n".join(["a,label", *rows]), encoding="utf-8")
    experiment = tmp_path / "mine.toml"
    experiment.write_text(
        """\
data = { name = "table", path = "mine.csv", label = "label" }
systems.medium = { type = "scattering", responses = 8 }
layers = [{ system = "medium", width = 4 }]
rule.name = "mono_forward"
training = { epochs = 1, batch_size = 20 }
controls = { repeats = 2, which = ["raw_logistic_regression"] }
""",
        encoding="utf-8",
    )
    assert call("train", experiment, "--output", runs).returncode == 0
    table.write_text("\n".join(["a,label", *reversed(rows)]), encoding="utf-8")
    for command in ("evaluate", "controls"):
        answer = call(command, runs)
        assert answer.returncode == 2
        assert "must be what the run was made with" in " ".join(answer.stderr.split())


def test_controls_of_another_run_are_refused(call: Call, own: Callable[[str], Path], runs: Path) -> None:
    words = (
        "train",
        own("plain"),
        "--set",
        "controls.repeats=1",
        "--set",
        "controls.which=['raw_logistic_regression']",
    )
    assert call(*words, "--controls", "--output", runs / "a").returncode == 0
    assert call(*words, "--seed", 5, "--output", runs / "b").returncode == 0
    (first,), (second,) = (list((runs / name).iterdir()) for name in ("a", "b"))
    (second / "controls.json").write_bytes((first / "controls.json").read_bytes())
    answer = call("controls", second)
    assert answer.returncode == 2
    assert "belongs to another run" in " ".join(answer.stderr.split())
