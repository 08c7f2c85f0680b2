"""`physnet train` from one end to the other, on a tiny experiment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from physnet.session import open_run

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]
Start = Callable[..., subprocess.Popen[str]]


def last_object(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def sha(answer: Answer) -> str:
    assert answer.returncode == 0, answer.stderr
    return str(last_object(answer)["weights_sha256"])


def test_training_ends_with_one_json_object_of_exactly_typed_fields(trained: tuple[Path, Answer]) -> None:
    run, answer = trained
    result = last_object(answer)
    for name in ("test_accuracy", "validation_accuracy"):
        assert type(result[name]) is float
        assert 0 <= result[name] <= 1
    assert type(result["physical_passes"]) is int
    assert result["physical_passes"] == sum(result["passes"].values()) > 0
    assert type(result["seconds"]) is float
    assert result["seconds"] > 0
    assert type(result["session"]) is str
    assert Path(result["session"]) == run
    assert len(result["weights_sha256"]) == 64
    assert set(result["weights_sha256"]) <= set("0123456789abcdef")


def test_the_session_holds_what_the_command_printed(trained: tuple[Path, Answer]) -> None:
    folder, answer = trained
    result, run = last_object(answer), open_run(folder)
    assert run.status == "done"
    assert run.result is not None
    assert run.result.test_accuracy == result["test_accuracy"]
    assert run.result.weights_sha256 == run.weights().sha256 == result["weights_sha256"]


def test_progress_goes_to_standard_error_and_the_result_to_standard_output(trained: tuple[Path, Answer]) -> None:
    _, answer = trained
    assert [line.partition(":")[0] for line in answer.stderr.splitlines()] == ["epoch 1/2", "epoch 2/2"]
    assert "epoch 1/2" not in answer.stdout
    assert "test accuracy" in answer.stdout


def test_the_report_says_that_the_physics_was_simulated_and_names_its_digital_neighbour(
    trained: tuple[Path, Answer],
) -> None:
    _, answer = trained
    assert "simulated physics" in answer.stdout
    assert "raw logistic regression" in answer.stdout


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    call: Call, trained: tuple[Path, Answer], tiny: Path, runs: Path
) -> None:
    again = sha(call("train", tiny, "--json", "--output", runs))
    other = sha(call("train", tiny, "--json", "--output", runs, "--seed", 1))
    assert again == sha(trained[1]) != other


def test_the_order_of_arguments_does_not_matter(
    call: Call, trained: tuple[Path, Answer], tiny: Path, runs: Path
) -> None:
    assert sha(call("train", "--json", "--seed=0", "--output", runs, tiny)) == sha(trained[1])


@pytest.mark.parametrize("threads", ["1", "2"])
def test_the_number_of_threads_does_not_change_the_weights(
    start: Start, trained: tuple[Path, Answer], tiny: Path, runs: Path, threads: str
) -> None:
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with start("train", tiny, "--json", "--output", runs, **environment) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["weights_sha256"] == sha(trained[1])


def test_a_value_can_be_set_on_the_command_line(call: Call, tiny: Path, runs: Path) -> None:
    answer = call("train", tiny, "--json", "--output", runs, "--set", "training.epochs=1", "--set", "layers.*.width=7")
    assert answer.returncode == 0
    run = open_run(last_object(answer)["session"])
    assert last_object(answer)["epochs"] == 1
    assert [layer["width"] for layer in run.configuration["layers"]] == [7, 7]


def test_a_skip_can_be_switched_on_for_every_layer_at_once(call: Call, tiny: Path, runs: Path) -> None:
    answer = call("train", tiny, "--json", "--output", runs, "--set", "layers.*.skip=true")
    assert answer.returncode == 0
    run = open_run(last_object(answer)["session"])
    assert [layer["skip"] for layer in run.configuration["layers"]] == [True, True]
    shapes = [run.weights().tensors[f"{name}/weight"].shape for name in run.layers]
    assert shapes == [(30 + 64, 20), (30 + 20, 20)]


def test_the_other_rule_trains_too(call: Call, tiny: Path, runs: Path) -> None:
    answer = call("train", tiny, "--json", "--output", runs, "--set", "rule.name=phyll", "--set", "training.epochs=1")
    assert answer.returncode == 0, answer.stderr
    assert 0 <= last_object(answer)["test_accuracy"] <= 1


def test_without_validation_samples_the_validation_accuracy_is_null(call: Call, tiny: Path, runs: Path) -> None:
    answer = call("train", tiny, "--json", "--output", runs, "--set", "data.validation_fraction=0")
    assert answer.returncode == 0, answer.stderr
    assert last_object(answer)["validation_accuracy"] is None
    assert "nan" not in answer.stdout.lower()
    shown = call("show", runs)
    assert shown.returncode == 0
    assert "nan" not in shown.stdout.lower()


def test_runs_of_the_same_second_get_folders_of_their_own(call: Call, tiny: Path, runs: Path) -> None:
    for _ in range(3):
        assert call("train", tiny, "--output", runs, "--set", "training.epochs=1").returncode == 0
    assert len(list(runs.iterdir())) == 3


def test_paths_may_hold_spaces_and_letters_of_any_alphabet(call: Call, tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mesures d'été 測定"
    folder.mkdir()
    experiment = tiny.rename(folder / "ein Versuch µ.toml")
    answer = call("train", experiment, "--json", "--output", folder / "runs ü")
    assert answer.returncode == 0, answer.stderr
    assert call("show", last_object(answer)["session"]).returncode == 0


def test_an_output_folder_is_taken_from_where_the_command_was_typed(
    call: Call, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    answer = call("train", tiny, "--json", "--output", "out", "--set", "training.epochs=1")
    assert answer.returncode == 0
    assert Path(last_object(answer)["session"]).parent == elsewhere / "out"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe that breaks")
def test_a_reader_that_leaves_early_is_no_error(start: Start, tiny: Path, runs: Path) -> None:
    with start("train", tiny, "--output", runs) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait() == 0
    assert [line.partition(":")[0] for line in err.splitlines()] == ["epoch 1/2", "epoch 2/2"]


def test_a_terminal_that_knows_only_ascii_is_no_error(start: Start, tiny: Path, runs: Path) -> None:
    tiny.write_text(tiny.read_text(encoding="utf-8").replace("Tiny digits", "Zwölf Träger"), encoding="utf-8")
    code = (
        "import sys; from physnet.cli import main; run = sys.argv[2]\n"
        "sys.exit(main(['train', sys.argv[1], '--output', run]) or main(['show', run]))"
    )
    with start(tiny, runs, code=code, PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0", LC_ALL="C") as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert r"Zw\xf6lf" in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell that closes a stream")
def test_without_a_standard_error_standard_output_holds_nothing_but_the_result(
    start: Start, tiny: Path, runs: Path
) -> None:
    code = "import sys; sys.stderr = None; from physnet.cli import main; sys.exit(main(sys.argv[1:]))"
    with start("train", tiny, "--output", runs, code=code) as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert "epoch 1/2" not in out
    assert "test accuracy" in out
