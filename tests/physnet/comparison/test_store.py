"""Trainings are kept by what decides them, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from physnet.comparison.store import FOLDER, Outcome, Store
from physnet.comparison.tasks import Task
from physnet.errors import SessionError, StorageError

from .conftest import outcome

MakeTask = Callable[..., Task]


def test_an_outcome_comes_back_as_it_was(task: MakeTask, tmp_path: Path) -> None:
    one = outcome(joules=1.5, about={"hidden": [3]}, diverged="it did", digital_seconds=0.5)
    Store(tmp_path).add(task(), one)
    assert Store(tmp_path).get(task()) == one


def test_what_is_not_known_stays_unknown(task: MakeTask, tmp_path: Path) -> None:
    Store(tmp_path).add(task(), outcome(math.nan, inference_work=None))
    found = Store(tmp_path).get(task())
    assert found is not None and found.inference_work is None
    assert math.isnan(found.test_accuracy) and math.isnan(found.joules)


@pytest.mark.parametrize(
    ("overrides", "changes"),
    [
        (("seed=1",), {}),
        (("rules.mono_forward.learning_rate=0.5",), {}),
        (("systems.lower.impairments.noise=0.5",), {}),
        (("training.epochs=2",), {}),
        ((), {"budget": 300}),
        ((), {"every": 77}),
        ((), {"test": False}),
        ((), {"checksum": "another"}),
        ((), {"kind": "linear_readout"}),
    ],
)
def test_what_decides_a_training_has_another_name(
    task: MakeTask, tmp_path: Path, overrides: tuple[str, ...], changes: dict[str, object]
) -> None:
    store = Store(tmp_path)
    store.add(task(), outcome())
    assert store.get(task("mono_forward", *overrides, **changes)) is None


def test_what_decides_nothing_has_the_same(task: MakeTask, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(task(), outcome())
    silent = ('title="Another"', 'output.folder="elsewhere"', "controls.margin=0.5", "training.patience=1")
    assert store.get(task("mono_forward", *silent, name="by another name")) is not None


def test_a_bench_that_was_edited_is_trained_on_again(task: MakeTask, tmp_path: Path) -> None:
    bench = tmp_path / "bench.py"
    text = "import numpy, physnet\n\ndef box():\n    return physnet.system(numpy.abs, drives=64, responses=64)\n"
    bench.write_text(text, encoding="utf-8")
    overrides = ('systems.lower={type="bench.py:box"}',)
    store = Store(tmp_path)
    store.add(task("mono_forward", *overrides), outcome())
    assert store.get(task("mono_forward", *overrides)) is not None
    bench.write_text(text + "# a comment\n", encoding="utf-8")
    assert store.get(task("mono_forward", *overrides)) is None


def test_a_file_that_a_system_reads_is_part_of_what_decides(task: MakeTask, tmp_path: Path) -> None:
    one = task()
    table = {**one.experiment, "systems": {"lower": {**one.experiment["systems"]["lower"], "path": "pairs.csv"}}}

    def digest() -> str:
        return dataclasses.replace(one, experiment=table).digest

    without = digest()
    (tmp_path / "pairs.csv").write_text("1", encoding="utf-8")
    short = digest()
    (tmp_path / "pairs.csv").write_text("12", encoding="utf-8")
    assert len({without, short, digest()}) == 3


def test_what_a_kill_left_is_not_taken_for_a_training(task: MakeTask, tmp_path: Path) -> None:
    one = task()
    store = Store(tmp_path)
    store.add(one, outcome())
    (file,) = (tmp_path / FOLDER).iterdir()
    file.rename(file.with_name(f".{file.name}.123.part"))
    assert Store(tmp_path).get(one) is None
    Store(tmp_path).add(one, outcome(0.9))
    again = Store(tmp_path).get(one)
    assert again is not None and again.test_accuracy == 0.9


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 9}', '{"schema": 1, "outcome": {}, "sha256": "0"}', "\0"])
def test_a_damaged_file_is_refused_with_the_way_out(task: MakeTask, tmp_path: Path, text: str) -> None:
    Store(tmp_path).add(task(), outcome())
    (file,) = (tmp_path / FOLDER).iterdir()
    file.write_bytes(text.encode())
    with pytest.raises(SessionError, match="Move it away"):
        Store(tmp_path).get(task())


def test_a_number_that_was_edited_is_noticed(task: MakeTask, tmp_path: Path) -> None:
    Store(tmp_path).add(task(), outcome(0.5))
    (file,) = (tmp_path / FOLDER).iterdir()
    table = json.loads(file.read_text(encoding="utf-8"))
    table["outcome"]["test_accuracy"] = 0.99
    file.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(SessionError, match="does not match its hash"):
        Store(tmp_path).get(task())


@pytest.mark.parametrize("change", [{"test_accuracy": 1.5}, {"seconds": "long"}, {"train_rows": -1}, {"curve": [[1]]}])
def test_an_outcome_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    values = {**json.loads(outcome().as_json()), **change}
    with pytest.raises(ValueError, match=r".+"):
        Outcome.from_json(json.dumps(values))


def test_a_disk_that_refuses_says_so(task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(StorageError, match="No space left"):
        Store(tmp_path).add(task(), outcome())


def test_a_task_comes_back_from_text(task: MakeTask) -> None:
    one = dataclasses.replace(task(), hidden=(3, 4), budget=5)
    assert Task.from_json(one.as_json()) == one
