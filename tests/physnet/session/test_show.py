from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pytest

from physnet.errors import SessionError
from physnet.session import Run, Session, open_run
from physnet.session.figures import write_figures
from physnet.session.show import WIDTH, summary


def _recorded(folder: Path, small_run: ModuleType, *, steps: int = 30, layers: int = 2, done: bool = True) -> Run:
    session = Session.create(folder, small_run.plan(layers))
    if steps:
        session.responses(small_run.statistics(0))
    for number in range(steps):
        session.step(small_run.step(number, layers))
        session.event("info", f"step {number}")
    session.event("warning", "detector warm")
    if steps:
        session.epoch(small_run.epoch(0, 0.625, layers))
        session.checkpoint(small_run.snapshot(step=steps))
    if done:
        session.finish(small_run.result(layer_accuracy=(0.8,) * layers), small_run.tensors(2.0))
    else:
        session.close()
    return open_run(folder)


def test_the_summary_tells_what_a_run_did(tmp_path: Path, small_run: ModuleType) -> None:
    text = summary(_recorded(tmp_path / "run", small_run))
    for expected in (
        "slab: SIMULATED, drive 6, response 8",
        "bench: MEASURED",
        "layer0 -> layer1 -> 4 classes",
        "1234 through the physics: standardise 34, train 1000, validate 100, test 100",
        "80.00 % of 20",
        "75.00 % (epoch 3, the weights kept)",
        "70.00 %   raw logistic regression",
        "steps 15 s: system 7.5 s (50 %), digital 7.5 s; 12.5 s for the whole run",
        "WARNING detector warm",
        "and 23 more",
        "final weights, sha256",
        "done: all epochs done",
        "555 parameter writes, 150 rows from a cache, which are not passes",
        "no response statistics of layer1",
    ):
        assert expected in text
    lines = text.splitlines()
    assert max(len(line) for line in lines if not line.startswith("folder")) <= WIDTH


def test_the_summary_of_a_killed_run_says_what_is_missing(tmp_path: Path, small_run: ModuleType) -> None:
    text = summary(_recorded(tmp_path / "run", small_run, done=False))
    assert "KILLED: no end was written" in text
    assert "62.50 % at best (epoch 1)" in text
    assert "checkpoint of epoch 1" in text
    assert "no result, so no test accuracy" in text
    assert "\ntest " not in text
    assert "nan" not in text


def test_a_run_that_did_nothing_has_a_summary(tmp_path: Path, small_run: ModuleType) -> None:
    run = _recorded(tmp_path / "run", small_run, steps=0, done=False)
    text = summary(run)
    assert "0 steps recorded" in text
    assert "no weights" in text
    assert write_figures(run, tmp_path / "figures") == []


@pytest.mark.parametrize("layers", [2, 6])
def test_every_figure_is_drawn(tmp_path: Path, small_run: ModuleType, layers: int) -> None:
    run = _recorded(tmp_path / "run", small_run, layers=layers, steps=200)
    files = write_figures(run, tmp_path / "figures")
    assert [path.name for path in files] == ["learning.png", "confusion.png", "responses.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)


def test_a_killed_run_has_the_figures_that_it_recorded(tmp_path: Path, small_run: ModuleType) -> None:
    run = _recorded(tmp_path / "run", small_run, done=False)
    assert [path.name for path in write_figures(run, tmp_path)] == ["learning.png", "responses.png"]


def test_no_confusion_is_drawn_without_a_test(tmp_path: Path, small_run: ModuleType) -> None:
    with Session.create(tmp_path / "run", small_run.plan()) as session:
        session.finish(small_run.result(test_accuracy=math.nan), small_run.tensors())
    run = open_run(tmp_path / "run")
    assert write_figures(run, tmp_path) == []
    assert "the test split was not measured" in summary(run)


def test_figures_into_a_file_are_refused(tmp_path: Path, small_run: ModuleType) -> None:
    run = _recorded(tmp_path / "run", small_run)
    with pytest.raises(SessionError, match="Choose another folder"):
        write_figures(run, run.folder / "session.h5")
