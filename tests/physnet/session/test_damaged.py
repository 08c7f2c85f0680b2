"""A thousand damaged run folders: never a hang, never a traceback, never damage shown as data."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from physnet.errors import SessionError
from physnet.report import report
from physnet.session import checkpoint, contents, histories, layout, open_run, table
from physnet.session.show import summary

CHILDREN = 2
CHILD = Path(__file__).with_name("damage_child.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, damage: ModuleType) -> tuple[Path, Path]:
    """Two runs with all that a folder can hold."""
    folder = tmp_path_factory.mktemp("sound")
    for number in (0, 1):
        damage.make(folder / str(number), number)
    return folder / "0", folder / "1"


@pytest.mark.skipif(sys.platform == "win32", reason="limits of memory and time need POSIX")
@pytest.mark.timeout(600)
def test_damaged_folders_are_read_or_refused(runs: tuple[Path, Path], thorough: bool) -> None:
    folders = 1000 if thorough else 120
    # A process that reads takes seconds to begin: a second one pays where there is much to read.
    count = CHILDREN if thorough else 1
    share = folders // count
    children = [
        subprocess.Popen(
            [sys.executable, str(CHILD), str(n * share), str(share), *map(str, runs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(count)
    ]
    came: Counter[str] = Counter()
    for child in children:
        answer, log = child.communicate(timeout=580)
        # a child that was killed says last what it was reading
        assert child.returncode == 0, f"{child.returncode}: {log.splitlines()[-1]}\n{answer}"
        came += Counter(json.loads(answer))
    assert came["read"] + came["refused"] == folders
    assert came["read"] > came["complete"] > folders // 10 and came["refused"] > folders // 10


def _changed(runs: tuple[Path, Path], to: Path, change: Callable[[h5py.File], None]) -> Path:
    to.mkdir(exist_ok=True)
    path = to / "session.h5"
    path.write_bytes((runs[0] / "session.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return to


def _set(path: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[path][()] = value

    return change


def _attribute(path: str, name: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[path].attrs[name] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("entry/title", "another title"),
        _set("entry/seed", "1"),
        _set("entry/classes", ["a", "b", "d", "c"]),
        _set("entry/systems/slab/spec", "{}"),
        _attribute("entry/systems/slab", "kind", "measured"),
        _attribute("entry/layers/layer0", "index", 7),
        _attribute("entry/layers/layer0", "system", "bench"),
        _attribute("entry/steps", "metrics", '{"loss": "V", "goodness_gap": "V"}'),
        _attribute("entry/weights/file", "name", "mask"),
        _attribute("/", "run", "0" * 32),
        _attribute("/", "physnet_version", "0.0.9"),
        _attribute("entry", contents.HASH, np.bytes_(b"0" * 64)),
    ],
)
def test_a_run_that_is_not_what_it_was_is_refused(
    runs: tuple[Path, Path], tmp_path: Path, change: Callable[[h5py.File], None]
) -> None:
    with pytest.raises(SessionError, match=r"is damaged .*physnet recover"):
        open_run(_changed(runs, tmp_path, change))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (_set("entry/configuration", "{}"), "configuration"),
        (_set("entry/environment", "{}"), "environment"),
        (_set("entry/data", "[]"), "data"),
        (_set("entry/result/test_accuracy", 0.99), "how the run ended"),
        (_set("entry/result/confusion", 1), "how the run ended"),
        (_set("entry/result/status", b"fault"), "how the run ended"),
        (_set("entry/result/passes/train", 1), "how the run ended"),
        (_set("entry/end_time", b"2030"), "how the run ended"),
        (_set("entry/layers/layer0/response/mean", 0.0), "responses of layer0"),
        (_attribute("entry/layers/layer0/response", "clipped_rows", 0), "responses of layer0"),
        (_attribute("entry/layers/layer0/response/mean", "units", "mV"), "responses of layer0"),
        (_set("entry/weights/phase", 0), "final weights"),
    ],
)
def test_a_part_that_is_not_what_it_was_is_left_out_and_named(
    runs: tuple[Path, Path], tmp_path: Path, change: Callable[[h5py.File], None], part: str
) -> None:
    run = open_run(_changed(runs, tmp_path, change))
    assert run.damaged_parts == (part,)
    assert len(run.steps["step"]) == 30 and not run.damaged_rows
    assert part in " ".join(summary(run).split()) and part in report(run)


def test_only_a_run_that_says_how_it_ended_has_ended(runs: tuple[Path, Path], tmp_path: Path) -> None:
    run = open_run(_changed(runs, tmp_path, _set("entry/result/message", b"all is well")))
    assert (run.status, run.result, run.ended) == ("killed", None, "")
    assert "how it ended is damaged" in summary(run)


def test_a_checkpoint_of_another_run_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = _changed(runs, tmp_path, _set("entry/weights/phase", 0))
    (folder / "checkpoints").mkdir()
    name = "epoch-000002.npz"
    (folder / "checkpoints" / name).write_bytes((runs[1] / "checkpoints" / name).read_bytes())
    run = open_run(folder)
    with pytest.raises(SessionError, match="belongs to another run"):
        run.weights()
    with pytest.raises(SessionError, match="belongs to another run"):
        checkpoint.load(run.checkpoints[0], run=run.identifier)
    (folder / "checkpoints" / name).write_bytes((runs[0] / "checkpoints" / name).read_bytes())
    assert run.weights().source == "checkpoint of epoch 3"


def test_a_checkpoint_under_the_name_of_another_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    copy = tmp_path / "epoch-000007.npz"
    copy.write_bytes((runs[0] / "checkpoints" / "epoch-000002.npz").read_bytes())
    with pytest.raises(SessionError, match="is of epoch 2, step 30: another one was given its name"):
        checkpoint.load(copy)


def test_what_was_superseded_stays_so_when_the_row_that_says_it_is_lost(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    run = open_run(_changed(runs, tmp_path, _set("entry/attempts/crc32", 1)))
    assert len(run.attempts["attempt"]) == 0 and run.damaged_rows == 1
    assert run.steps["step"].tolist() == list(range(30)) and run.superseded_steps == 2


def test_attempts_supersede_each_other_whatever_their_order() -> None:
    columns = layout.columns_of({}, 1)
    attempt, step = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([0, 1, 2, 2, 3, 1, 2])

    def rows(name: str, **values: object) -> table.Rows:
        made = table.blank(columns[name], len(attempt) if name == "steps" else 2)
        for column, given in values.items():
            made[column] = given
        return table.Rows(
            values={column.name: made[column.name] for column in columns[name]}, damaged=0, places=np.arange(len(made))
        )

    for order in (slice(None), slice(None, None, -1)):
        attempts = rows("attempts", attempt=np.array([1, 2])[order], step=np.array([2, 1])[order])
        found = histories.current({"steps": rows("steps", step=step, attempt=attempt), "attempts": attempts}, columns)
        assert found.steps["step"].tolist() == [0, 1, 2]
        assert found.steps["attempt"].tolist() == [0, 2, 2]
        assert found.superseded_steps == 4


def test_a_session_of_schema_1_still_opens(tmp_path: Path) -> None:
    packed = Path(__file__).with_name("schema_1.h5.gz").read_bytes()
    (tmp_path / "session.h5").write_bytes(gzip.decompress(packed))
    run = open_run(tmp_path)
    assert (run.schema, run.identifier, run.damaged_parts, run.damaged_rows) == (1, "", (), 0)
    assert run.status == "done" and run.result is not None and run.file_weights is not None
    assert len(run.steps["step"]) == 6 and len(run.responses) == 1
    assert run.result.weights_sha256 == run.weights().sha256
    assert "final weights" in summary(run) and run.title in report(run)


def test_a_heap_that_never_ends_is_refused(runs: tuple[Path, Path], tmp_path: Path) -> None:
    data = bytearray((runs[0] / "session.h5").read_bytes())
    heap = data.index(b"GCOL")
    data[heap + 16 :] = bytes(16) + data[heap + 32 :]  # free room of length 0: HDF5 2.0 never comes back from it
    (tmp_path / "session.h5").write_bytes(data)
    with pytest.raises(SessionError, match="a heap of texts is damaged"):
        open_run(tmp_path)
