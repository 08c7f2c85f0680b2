"""`physnet show`, `evaluate`, `predict` and `list`: what is done with a run, and what there is."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.assembly import load_samples
from physnet.experiment import Experiment
from physnet.session import open_run

Answer = subprocess.CompletedProcess[str]
Call = Callable[..., Answer]
Start = Callable[..., subprocess.Popen[str]]
Samples = tuple[NDArray[np.float32], NDArray[np.int64]]


@pytest.fixture(scope="module")
def test_split(trained: tuple[Path, Answer]) -> Samples:
    """The samples that the run was tested on: digits are not scaled."""
    part = load_samples(Experiment.from_dict(open_run(trained[0]).configuration)).splits.test
    return part.x, part.y


def write_csv(path: Path, x: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> Path:
    header = [f"pixel{n}" for n in range(x.shape[1])] + (["label"] if labels is not None else [])
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        for n, row in enumerate(x.tolist()):
            writer.writerow([*row, labels[n]] if labels is not None else row)
    return path


def accuracy(answer: Answer) -> float:
    assert answer.returncode == 0, answer.stderr
    return float(json.loads(answer.stdout.splitlines()[-1])["accuracy"])


def recorded(answer: Answer, name: str) -> float:
    return float(json.loads(answer.stdout.splitlines()[-1])[name])


def test_show_prints_what_a_run_did_on_half_a_page(call: Call, trained: tuple[Path, Answer]) -> None:
    run, training = trained
    shown = call("show", run)
    assert shown.returncode == 0
    assert shown.stderr == ""
    for text in (
        "Tiny digits",
        "SIMULATED",
        "done",
        json.loads(training.stdout.splitlines()[-1])["weights_sha256"],
        f"{100 * recorded(training, 'test_accuracy'):.2f} % of 60",
        "raw logistic regression",
        "train=170",
    ):
        assert text in shown.stdout
    lines = shown.stdout.splitlines()
    assert len(lines) <= 26
    assert max(map(len, lines)) <= 200  # only a path may be longer than the page is wide


def test_show_counts_epochs_as_training_did(call: Call, trained: tuple[Path, Answer]) -> None:
    run, training = trained
    kept = next(line for line in training.stdout.splitlines() if "weights of epoch" in line)
    epoch = kept.rpartition("weights of epoch ")[2].rstrip(")")
    assert f"(epoch {epoch}, the weights kept)" in call("show", run).stdout


def test_show_of_a_folder_of_runs_takes_the_newest_and_says_so(
    call: Call, trained: tuple[Path, Answer], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        shutil.copytree(trained[0], tmp_path / name)
    (tmp_path / "a" / "session.h5").touch()
    shown = call("show", tmp_path)
    assert shown.returncode == 0
    assert str(tmp_path / "a") in shown.stdout
    assert "2 runs" in shown.stderr


def test_show_draws_figures_that_can_be_looked_at(call: Call, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    run = shutil.copytree(trained[0], tmp_path / "run")
    shown = call("show", run, "--plot")
    assert shown.returncode == 0
    names = ("learning.png", "confusion.png", "responses.png")
    for name in names:
        path = run / "figures" / name
        assert f"figure        {path}" in shown.stdout
        image = matplotlib.image.imread(path)
        assert min(image.shape[:2]) > 300
        assert image[..., :3].std() > 0.01
    assert sorted(path.name for path in (run / "figures").iterdir()) == sorted(names)


def test_figures_go_where_they_are_asked_to(call: Call, trained: tuple[Path, Answer], tmp_path: Path) -> None:
    assert call("show", trained[0], "--figures", tmp_path / "some" / "where").returncode == 0
    assert len(list((tmp_path / "some" / "where").glob("*.png"))) == 3


def test_evaluate_measures_the_recorded_test_accuracy_again_exactly(call: Call, trained: tuple[Path, Answer]) -> None:
    run, training = trained
    assert accuracy(call("evaluate", run, "--json")) == recorded(training, "test_accuracy")


def test_evaluate_takes_the_training_and_the_validation_samples(call: Call, trained: tuple[Path, Answer]) -> None:
    for split, samples in (("train", 170), ("validation", 30)):
        answer = call("evaluate", trained[0], "--dataset", split, "--json")
        assert 0 <= accuracy(answer) <= 1
        assert f"of {samples} samples" in answer.stdout


def test_evaluate_takes_a_labelled_file(
    call: Call, trained: tuple[Path, Answer], test_split: Samples, tmp_path: Path
) -> None:
    x, y = test_split
    expected = recorded(trained[1], "test_accuracy")
    table = write_csv(tmp_path / "held out.csv", x, y)
    assert accuracy(call("evaluate", trained[0], "--dataset", table, "--json")) == expected
    np.savez(tmp_path / "held.npz", x=x, y=y)
    assert accuracy(call("evaluate", trained[0], "--dataset", tmp_path / "held.npz", "--json")) == expected


def test_a_file_without_one_of_the_classes_is_scored_with_the_classes_of_training(
    call: Call, trained: tuple[Path, Answer], test_split: Samples, tmp_path: Path
) -> None:
    x, y = test_split
    table = write_csv(tmp_path / "few.csv", x[y > 7], y[y > 7])
    answer = call("evaluate", trained[0], "--dataset", table, "--json")
    # The noise is keyed by the row's number, so that only the samples are the same: not the accuracy to the digit.
    assert 0 <= accuracy(answer) <= 1
    assert f"of {(y > 7).sum()} samples" in answer.stdout


def test_a_class_that_training_never_saw_is_refused(
    call: Call, trained: tuple[Path, Answer], test_split: Samples, tmp_path: Path
) -> None:
    table = write_csv(tmp_path / "odd.csv", test_split[0], test_split[1] + 5)
    answer = call("evaluate", trained[0], "--dataset", table)
    assert answer.returncode == 2
    assert "'10'" in answer.stderr


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_predict_prints_a_class_for_every_row(
    call: Call, trained: tuple[Path, Answer], test_split: Samples, tmp_path: Path, kind: str
) -> None:
    x, y = test_split
    if kind == "csv":
        path = write_csv(tmp_path / "new.csv", x)
    else:
        path = tmp_path / "new.npz"
        np.savez(path, x=x)
    answer = call("predict", trained[0], path)
    assert answer.returncode == 0, answer.stderr
    header, *rows = csv.reader(io.StringIO(answer.stdout))
    assert header == ["row", "predicted"]
    assert [int(row) for row, _ in rows] == list(range(60))
    assert {answer for _, answer in rows} <= set("0123456789")
    # Other pass numbers than those of the test, so other noise: 2 % of it turns a few answers at most.
    hits = np.mean([int(answer) == true for (_, answer), true in zip(rows, y, strict=True)])
    assert abs(hits - recorded(trained[1], "test_accuracy")) <= 0.15


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("systems", "scattering"),
        ("systems", "FILE.py:NAME"),
        ("rules", "phyll"),
        ("rules", "mono_forward"),
        ("datasets", "mnist"),
        ("datasets", "table"),
        ("encoders", "split"),
        ("experiments", "digits-scattering"),
    ],
)
def test_list_names_what_an_experiment_can_name(call: Call, kind: str, expected: str) -> None:
    answer = call("list", kind)
    assert answer.returncode == 0
    assert expected in [line.split()[0] for line in answer.stdout.splitlines()]
    assert all(len(line.split()) > 2 for line in answer.stdout.splitlines())


def test_the_version_is_the_installed_one(call: Call, start: Start) -> None:
    assert call("--version").stdout.strip() == f"physnet {version('physnet')}"
    with start("--version") as process:
        out, err = process.communicate()
    assert (process.returncode, out.strip(), err) == (0, f"physnet {version('physnet')}", "")


def test_a_command_is_asked_for_where_none_is_given(call: Call) -> None:
    answer = call()
    assert answer.returncode == 2
    assert "COMMAND" in answer.stderr
    assert call("--help").returncode == 0
