from __future__ import annotations

import errno
import math
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

from physnet.errors import SessionError, Stopped, StorageError
from physnet.session import Session, checkpoint, layout, new_run_folder, open_run
from physnet.session.store import SessionFile
from physnet.session.writing import Writing
from physnet.weights import sha256


def _structure(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: sorted(item.attrs)}))
    return found


def test_a_run_comes_back_as_it_was_recorded(tmp_path: Path, small_run: ModuleType) -> None:
    plan, weights = small_run.plan(), small_run.tensors(2.0)
    with Session.create(tmp_path / "run", plan) as session:
        session.responses(small_run.statistics(1))
        session.event("warning", "detector warm: 31 °C")
        for number in range(30):
            session.step(small_run.step(number))
        session.epoch(small_run.epoch(0))
        session.epoch(small_run.epoch(1, accuracy=math.nan))
        session.finish(small_run.result(), weights)
    run = open_run(tmp_path / "run")
    assert (run.status, run.message, run.title, run.seed) == ("done", "all epochs done", plan.title, plan.seed)
    assert run.configuration == plan.configuration
    assert run.data == plan.data
    assert run.systems == plan.systems
    assert (run.layers, run.layer_systems, run.classes) == (plan.layers, plan.layer_systems, plan.classes)
    assert run.metrics == plan.metrics
    assert run.kinds == "measured and simulated"
    assert run.damaged_rows == 0
    assert run.steps["step"].tolist() == list(range(30))
    assert run.steps["goodness_gap"][7].tolist() == [7.0, 7.5]
    assert run.steps["retries"].sum() == 30
    assert run.steps["parameter_writes"].tolist() == list(range(4, 34)) and run.steps["cache_hits"].tolist() == [5] * 30
    assert run.steps["system_seconds"].tolist() == [0.25] * 30
    np.testing.assert_array_equal(run.epochs["validation_accuracy"], [0.5, math.nan])
    assert [(event.level, event.message) for event in run.events] == [("warning", "detector warm: 31 °C")]
    [statistics] = run.responses
    assert (statistics.layer, statistics.unit, statistics.dead_channels) == (1, "V", 1)
    np.testing.assert_array_equal(statistics.edges, small_run.statistics().edges)
    expected = small_run.result()
    assert run.result is not None
    np.testing.assert_array_equal(run.result.confusion, expected.confusion)
    for name in ("test_accuracy", "layer_accuracy", "passes", "physical_passes", "kept_epoch", "baselines", "message"):
        assert getattr(run.result, name) == getattr(expected, name)
    kept = run.weights()
    assert kept.source == "final weights"
    assert kept.sha256 == sha256(weights) == run.result.weights_sha256
    assert kept.tensors.keys() == weights.keys()
    assert kept.tensors["layer0/W"].dtype == np.float32
    assert not (tmp_path / "run" / layout.RESERVE).exists()


def test_everything_exists_before_the_first_step(tmp_path: Path, small_run: ModuleType) -> None:
    session = Session.create(tmp_path / "run", small_run.plan())
    session.abort("interrupted", "at once")
    before = _structure(tmp_path / "run" / "session.h5")
    with Session.create(tmp_path / "other", small_run.plan()) as session:
        session.step(small_run.step(0))
        session.epoch(small_run.epoch(0))
        session.event("info", "hello")
        session.finish(small_run.result(), small_run.tensors(2.0))
    after = _structure(tmp_path / "other" / "session.h5")
    assert before == after
    assert "entry/weights/layer0|W" in before
    assert "entry/layers/layer1/response/histogram" in before


@pytest.mark.parametrize("name", ["steps", "events"])
def test_rows_beyond_the_first_room_are_kept(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(layout.ROOM, name, (16, 16))
    with Session.create(tmp_path / "run", small_run.plan()) as session:
        for number in range(100):
            session.step(small_run.step(number))
            session.event("info", str(number))
        session.abort("interrupted", "enough")
    run = open_run(tmp_path / "run")
    assert run.steps["step"].tolist() == list(range(100))
    assert [event.message for event in run.events] == [str(number) for number in range(100)]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoints", "session.h5"]


def test_a_step_changes_neither_length_nor_structure_of_the_file(tmp_path: Path, small_run: ModuleType) -> None:
    session = Session.create(tmp_path / "run", small_run.plan())
    path = tmp_path / "run" / "session.h5"
    with h5py.File(path, "r", locking=False) as file:
        allowed = {
            offset
            for group in ("steps", "events")
            for dataset in file["entry"][group].values()
            for info in map(dataset.id.get_chunk_info, range(dataset.id.get_num_chunks()))
            for offset in range(info.byte_offset, info.byte_offset + info.size)
        }
    before = path.read_bytes()
    for number in range(70):
        session.step(small_run.step(number))
        session.event("info", "x")
    after = path.read_bytes()
    session.close()
    assert len(after) == len(before)
    changed = {n for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b}
    assert changed
    assert changed <= allowed


def test_a_text_that_is_too_long_is_cut_between_characters(tmp_path: Path, small_run: ModuleType) -> None:
    with Session.create(tmp_path / "run", small_run.plan()) as session:
        session.event("info", "x" + "ü" * 600)
    [event] = open_run(tmp_path / "run").events
    assert event.message == "x" + "ü" * 255


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Stopped(2), "interrupted"),
        (Stopped(15), "terminated"),
        (KeyboardInterrupt(), "interrupted"),
        (ZeroDivisionError("oh"), "fault"),
    ],
)
def test_an_exception_is_written_down(tmp_path: Path, small_run: ModuleType, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), Session.create(tmp_path / "run", small_run.plan()) as session:
        session.step(small_run.step(0))
        raise error
    run = open_run(tmp_path / "run")
    assert run.status == status
    assert run.result is None
    assert len(run.steps["step"]) == 1
    assert not (tmp_path / "run" / layout.RESERVE).exists()


def test_a_session_that_is_just_closed_has_no_end(tmp_path: Path, small_run: ModuleType) -> None:
    session = Session.create(tmp_path / "run", small_run.plan())
    session.close()
    session.close()
    session.abort("fault", "too late")
    run = open_run(tmp_path / "run")
    assert (run.status, run.message) == ("killed", "no end was written")
    with pytest.raises(SessionError, match="is closed"):
        session.step(small_run.step(0))


def test_the_best_checkpoint_outlives_newer_ones(tmp_path: Path, small_run: ModuleType) -> None:
    with Session.create(tmp_path / "run", small_run.plan()) as session:
        for number in range(8):
            session.epoch(small_run.epoch(number, accuracy=0.9 if number == 2 else 0.5))
            session.checkpoint(small_run.snapshot(small_run.tensors(float(number)), epoch=number, step=number))
    run = open_run(tmp_path / "run")
    assert [path.name for path in run.checkpoints] == [f"epoch-00000{n}.npz" for n in (2, 5, 6, 7)]
    kept = run.weights()
    assert kept.source == "checkpoint of epoch 8"
    np.testing.assert_array_equal(kept.tensors["layer0/W"], small_run.tensors(7.0)["layer0/W"])


def test_a_checkpoint_is_written_while_the_run_goes_on(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, save, wait = threading.Event(), checkpoint.save, Writing.wait
    done: list[str] = []

    def slow(*values: Any, **options: Any) -> Path:
        assert gate.wait(30)
        path = save(*values, **options)
        done.append(path.name)
        return path

    def waited_for(writing: Writing) -> None:
        gate.set()
        wait(writing)

    monkeypatch.setattr(checkpoint, "save", slow)
    monkeypatch.setattr(Writing, "wait", waited_for)
    monkeypatch.setitem(layout.ROOM, "steps", (16, 16))
    folder = tmp_path / "run"
    with Session.create(folder, small_run.plan()) as session:
        replace = session._file.replace

        def replaced(change: Any) -> None:
            done.append("replaced")
            replace(change)

        monkeypatch.setattr(session._file, "replace", replaced)
        session.checkpoint(small_run.snapshot(step=0))
        for number in range(16):
            session.step(small_run.step(number))
        assert done == [] and list((folder / "checkpoints").iterdir()) == []
        # No room for this one: the file is replaced, and nobody may sync the old one meanwhile.
        session.step(small_run.step(16))
        assert done == ["epoch-000000.npz", "replaced"]
        gate.clear()
        session.checkpoint(small_run.snapshot(epoch=1, step=17))
        session.step(small_run.step(17))
        session.checkpoint(small_run.snapshot(epoch=2, step=18))  # after the one before
        assert done[2] == "epoch-000001.npz"
        assert session.checkpoint_seconds > 0
    assert [path.name for path in open_run(folder).checkpoints] == [f"epoch-00000{n}.npz" for n in range(3)]


@pytest.mark.parametrize("patience", ["until there is room", "none"])
def test_a_full_disk_at_a_checkpoint_is_waited_for_in_the_thread_of_the_run(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch, patience: str
) -> None:
    save, threads, waits = checkpoint.save, [], []
    full = threading.Event()
    full.set()

    def refuse(*values: Any, **options: Any) -> Path:
        threads.append(threading.current_thread())
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save(*values, **options)

    def wait_for_room(why: str, has_room: Callable[[], bool]) -> bool:
        assert "the disk is full" in why and has_room()
        waits.append(threading.current_thread())
        full.clear()
        return True

    monkeypatch.setattr(checkpoint, "save", refuse)
    session = Session.create(tmp_path / "run", small_run.plan())
    if patience != "none":
        session.wait_for_room = wait_for_room
    session.checkpoint(small_run.snapshot(step=1))
    deadline = time.monotonic() + 30
    number = 0
    if patience == "none":
        with pytest.raises(StorageError, match="the disk is full"):
            while time.monotonic() < deadline:
                session.step(small_run.step(number))
                number += 1
        assert open_run(tmp_path / "run").status == "fault"
        assert len(open_run(tmp_path / "run").steps["step"]) == number
        return
    while not waits:
        assert time.monotonic() < deadline
        session.step(small_run.step(number))
        number += 1
    session.close()
    assert waits == [threading.main_thread()]
    assert len(threads) == 3 and threads[0] is not threading.main_thread() and threads[-1] is threading.main_thread()
    run = open_run(tmp_path / "run")
    assert [path.name for path in run.checkpoints] == ["epoch-000000.npz"]
    assert len(run.steps["step"]) == number


def test_a_mistake_in_a_checkpoint_is_heard_of(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*values: Any, **options: Any) -> None:
        raise TypeError("no such thing")

    with Session.create(tmp_path / "run", small_run.plan()) as session:
        with pytest.raises(SessionError, match="where the run stands at step 1 can't be kept"):
            session.checkpoint(small_run.snapshot({"W": np.array([object()])}))
        monkeypatch.setattr(checkpoint, "prune", mistaken)
        session.checkpoint(small_run.snapshot())
        with pytest.raises(TypeError, match="no such thing"):
            session.checkpoint(small_run.snapshot(step=2))


def test_a_run_folder_is_never_overwritten(tmp_path: Path, small_run: ModuleType) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(SessionError, match="exists already"):
        Session.create(tmp_path / "run", small_run.plan())
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("name", ["file/run", "n" * 300, "nul\0"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, small_run: ModuleType, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match=r"can't be made.*Choose"):
        Session.create(tmp_path / name, small_run.plan())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions don't bind root")
def test_a_read_only_parent_is_refused(tmp_path: Path, small_run: ModuleType) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(SessionError, match="can't be made"):
            Session.create(tmp_path / "run", small_run.plan())
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ()}, "at least one layer"),
        ({"layers": ("a", "a")}, "differ"),
        ({"layers": ("a", ".")}, "other than"),
        ({"layer_systems": ("slab", "oven")}, "oven"),
        ({"response_channels": (8,)}, "one entry per layer"),
        ({"metrics": {"time": "s"}}, "differ"),
        ({"configuration": {"f": print}}, "plain values"),
    ],
)
def test_a_plan_that_cannot_be_laid_out_leaves_nothing(
    tmp_path: Path, small_run: ModuleType, change: dict[str, object], message: str
) -> None:
    plan = small_run.plan()
    with pytest.raises(SessionError, match=message):
        Session.create(tmp_path / "run", type(plan)(**{**vars(plan), **change}))
    assert list(tmp_path.iterdir()) == []


def test_metrics_that_were_not_declared_are_refused(tmp_path: Path, small_run: ModuleType) -> None:
    record = small_run.step(0, layers=3)
    with (
        Session.create(tmp_path / "run", small_run.plan()) as session,
        pytest.raises(SessionError, match="with 2 values each"),
    ):
        session.step(record)


def test_weights_that_were_not_planned_do_not_cost_the_result(tmp_path: Path, small_run: ModuleType) -> None:
    weights = small_run.tensors() | {"mask": np.zeros(3)}
    session = Session.create(tmp_path / "run", small_run.plan())
    with pytest.raises(SessionError, match=r"tensor mask must be bool \(2,\), got float64 \(3,\)"):
        session.finish(small_run.result(), weights)
    run = open_run(tmp_path / "run")
    assert run.result is not None
    assert run.file_weights is None


def test_more_than_was_planned_for_still_fits_at_the_end(tmp_path: Path, small_run: ModuleType) -> None:
    baselines = {f"baseline number {n}": n / 1000 for n in range(400)}
    result = small_run.result(baselines=baselines, passes={"train": 1, "rinse": 2})
    with Session.create(tmp_path / "run", small_run.plan()) as session:
        session.responses(small_run.statistics(0, bins=10), small_run.statistics(1))
        with pytest.raises(SessionError, match="layer must be 0 to 1, got 2"):
            session.responses(small_run.statistics(0), small_run.statistics(2))
        session.finish(result, small_run.tensors())
    run = open_run(tmp_path / "run")
    assert [statistics.layer for statistics in run.responses] == [0, 1]
    assert run.result is not None
    assert run.result.baselines == baselines
    assert run.result.passes == {"train": 1, "rinse": 2}
    assert len(run.responses[0].histogram) == 10


def test_a_disk_that_refuses_a_step_ends_the_session(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session.create(tmp_path / "run", small_run.plan())
    session.step(small_run.step(0))

    def refuse(file: SessionFile, pieces: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SessionFile, "put", refuse)
    with pytest.raises(StorageError, match=r"disk is full.*The 1 steps before are kept"):
        session.step(small_run.step(1))
    with pytest.raises(StorageError, match="disk is full"):
        session.event("info", "still there?")
    session.abort("done", "no")
    session.close()
    run = open_run(tmp_path / "run")
    assert run.status == "fault"
    assert "disk is full" in run.message
    assert run.steps["step"].tolist() == [0]


def test_an_end_without_room_for_a_copy_is_written_in_place(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: SessionFile, change: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SessionFile, "replace", refuse)
    with Session.create(tmp_path / "run", small_run.plan()) as session:
        session.step(small_run.step(0))
        session.finish(small_run.result(), small_run.tensors(2.0))
    run = open_run(tmp_path / "run")
    assert run.status == "done"
    assert run.weights().source == "final weights"
    assert run.steps["step"].tolist() == [0]
    assert run.damaged_rows == 0


def test_a_replacement_that_fails_leaves_the_session_going(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session.create(tmp_path / "run", small_run.plan())
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            session.responses(small_run.statistics())
    session.step(small_run.step(0))
    session.abort("interrupted", "stopped by Ctrl-C")
    run = open_run(tmp_path / "run")
    assert (run.status, len(run.steps["step"]), run.responses) == ("interrupted", 1, ())
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoints", "session.h5"]


def test_names_of_run_folders_do_not_clash(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        folder = new_run_folder(tmp_path, "../two layers: ü")
        assert folder.parent == tmp_path
        folder.mkdir()
        names.append(folder.name)
    assert len(set(names)) == 3
    assert re.fullmatch(r"two-layers-ü-\d{8}-\d{6}", names[0])
    assert new_run_folder(tmp_path / "not there", "...").name.startswith("run-")


def test_raw_data_that_are_lost_at_the_end_do_not_cost_the_result(tmp_path: Path, small_run: ModuleType) -> None:
    class Lossy:
        def flush(self, *, patient: bool = True) -> None: ...

        def end(self) -> None:
            raise StorageError("7 rows of raw data are lost: the disk is full")

        def close(self) -> None: ...

    session = Session.create(tmp_path / "run", small_run.plan())
    session.raw = Lossy()
    session.step(small_run.step(0))
    with pytest.raises(StorageError, match="7 rows of raw data are lost"):
        session.finish(small_run.result(), small_run.tensors(2.0))
    run = open_run(tmp_path / "run")
    assert (run.status, run.weights().source) == ("done", "final weights")
    assert [event.level for event in run.events] == ["fault"]
