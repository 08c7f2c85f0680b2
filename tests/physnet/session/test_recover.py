"""What recovery makes of a run's folder after a kill, a full disk, or a cut copy."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

from physnet.errors import SessionError
from physnet.raw import RawWriter, open_raw
from physnet.session import Run, Session, disk, layout, open_run
from physnet.session.carved import Carved
from physnet.session.headers import Node
from physnet.session.lookup3 import lookup3
from physnet.session.recover import DAMAGED, Report, recover
from physnet.session.store import SessionFile

CHILD = Path(__file__).with_name("session_child.py")
ROOT = CHILD.parents[3]
NO_PROCESS = 2**22 + 1  # above the largest number that Linux gives
STEPS = 100
needs_kill = pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")


@contextlib.contextmanager
def _small_room() -> Iterator[None]:
    room = dict(layout.ROOM)
    layout.ROOM.update({"steps": (64, 8), "epochs": (16, 8), "events": (16, 8)})
    try:
        yield
    finally:
        layout.ROOM.update(room)


def _record(folder: Path, small: ModuleType, *, done: bool) -> None:
    plan = small.plan()
    with _small_room():
        with Session.create(folder, plan) as session:
            session.responses(small.statistics(0))
            for number in range(60):
                session.step(small.step(number))
            session.checkpoint(small.snapshot(small.tensors(3.0), epoch=4, step=50))
        with Session.resume(folder, plan, step=50) as session:
            for number in range(50, STEPS):
                session.step(small.step(number))
                if number % 10 == 9:
                    session.epoch(small.epoch(number // 10))
            session.event("warning", "wärm")
            if done:
                result = small.result(steps=STEPS, epochs=10)
                session.finish(result, small.tensors(2.0))
            else:
                session.close()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, small_run: ModuleType) -> Path:
    """A run that was resumed once, and then done. Not to be changed."""
    folder = tmp_path_factory.mktemp("done") / "run"
    _record(folder, small_run, done=True)
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, small_run: ModuleType) -> Path:
    """The same run, killed before its end. Not to be changed."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    _record(folder, small_run, done=False)
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """Copy a run's folder."""
    return lambda run: shutil.copytree(run, tmp_path / "run")


def _files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _same(one: Run, other: Run, *besides: str) -> None:
    for field in dataclasses.fields(Run):
        if field.name not in ("folder", *besides):
            assert repr(getattr(one, field.name)) == repr(getattr(other, field.name)), field.name


def _sound(folder: Path) -> Report:
    """Whoever recovers again finds nothing, and every reader is content."""
    again = recover(folder)
    assert again.sound and not again.repaired and not again.lost and not again.kept
    run = open_run(folder)
    assert not run.damaged_rows
    with h5py.File(folder / "session.h5", "r") as file:
        for name in layout.AXES:
            assert np.all(file["entry"][name]["crc32"][()] != 0)
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    return again


def test_a_sound_run_is_left_as_it_is(done: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(done)
    before = _files(folder)
    report = recover(folder)
    assert report.sound and _files(folder) == before
    assert [(one.epoch, one.step) for one in report.checkpoints] == [(4, 50)]


def test_a_killed_run_is_given_an_end_and_loses_nothing(killed: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(killed)
    (folder / ".reserve").write_bytes(bytes(100))
    (folder / ".session.h5.part").write_bytes(b"half")
    (folder / f".room-{NO_PROCESS}").write_bytes(b"")
    (folder / "checkpoints" / f".epoch-000001.npz.part-{NO_PROCESS}").write_bytes(b"half")
    (folder / "live.json").write_text("{}")
    before = open_run(folder)
    report = recover(folder)
    assert "it was killed: no end was written" in report.found
    assert not report.lost and not report.kept
    after = open_run(folder)
    _same(before, after, "ended")
    assert (after.status, after.ended) == ("killed", after.ended) and after.ended
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "session.h5"]
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["epoch-000004.npz"]
    _sound(folder)


def test_a_dry_run_changes_nothing_and_tells_the_same(killed: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(killed)
    (folder / ".reserve").write_bytes(bytes(100))
    path = folder / "session.h5"
    path.write_bytes(path.read_bytes()[:-2000])
    before = _files(folder)
    report = recover(folder, dry_run=True)
    assert _files(folder) == before and report.dry and not report.sound
    real = recover(folder)
    assert (report.found, report.lost, report.repaired) == (real.found, real.lost, real.repaired)


def test_a_run_that_goes_on_is_refused(tmp_path: Path, small_run: ModuleType) -> None:
    with Session.create(tmp_path / "run", small_run.plan()) as session:
        session.step(small_run.step(0))
        with pytest.raises(SessionError, match="still going on"):
            recover(tmp_path / "run")
        assert (tmp_path / "run" / layout.RESERVE).exists()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="is not a run folder"):
        recover(tmp_path)
    with pytest.raises(SessionError, match="is not a run folder"):
        recover(tmp_path / "missing")


@needs_kill
@pytest.mark.parametrize("seed", range(3))
def test_a_process_killed_in_its_steps_is_recovered_with_all_of_them(tmp_path: Path, seed: int) -> None:
    target, folder = random.Random(seed).randrange(1, 400), tmp_path / "run"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(CHILD), "steps", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        acknowledged = 0
        while acknowledged < target:
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in child.stdout.read().split())])
    torn = open_run(folder).damaged_rows
    report = recover(folder)
    run = open_run(folder)
    assert acknowledged <= len(run.steps["step"]) <= acknowledged + 1
    assert run.steps["step"].tolist() == list(range(len(run.steps["step"])))
    assert bool(report.lost) == bool(torn) and len(report.kept) == torn
    _sound(folder)


@needs_kill
def test_a_run_killed_while_its_folder_was_made_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2]); import session_child; from pathlib import Path\n"
        "from physnet.session import Session, disk\n"
        "disk.rename = lambda *names: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Session.create(Path(sys.argv[1]), session_child.plan())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run"), str(CHILD.parent)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".run.part-")
    held = left.rename(tmp_path / f".run.part-{os.getpid()}")  # a process of that number lives
    assert recover(tmp_path / "run", dry_run=True).repaired == []
    held.rename(left)
    assert recover(tmp_path / "run", dry_run=True).unborn and left.exists()
    report = recover(tmp_path / "run")
    assert report.unborn and not report.lost
    assert list(tmp_path.iterdir()) == []


def test_an_end_written_on_a_full_disk_is_made_tidy(
    tmp_path: Path, small_run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: SessionFile, change: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, Session.create(tmp_path / "run", small_run.plan()) as session:
        session.step(small_run.step(0))
        session.checkpoint(small_run.snapshot())
        patch.setattr(SessionFile, "replace", refuse)
        session.finish(small_run.result(), small_run.tensors(2.0))
    before = open_run(tmp_path / "run")
    report = recover(tmp_path / "run")
    assert report.found == ["tables are longer than their rows"] and not report.kept
    _same(before, open_run(tmp_path / "run"))
    _sound(tmp_path / "run")


def test_a_disk_that_refuses_leaves_the_folder_as_it_was(
    killed: Path, copy: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy(killed)
    before = _files(folder)

    def refuse(path: Path, data: bytes) -> None:
        path.write_bytes(data[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(disk, "write_whole", refuse)
        with pytest.raises(SessionError, match=r"No space left.*What was there is there still"):
            recover(folder)
    assert _files(folder) == before
    recover(folder)
    _sound(folder)


def _places(path: Path, name: str) -> np.ndarray[Any, Any]:
    """Return, for each row of a table, the offset behind the last of its bytes in the file."""
    with h5py.File(path, "r") as file:
        group = file["entry"][name]
        ends = np.zeros(len(group["crc32"]), np.int64)
        for dataset in group.values():
            size = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:], dtype=int))
            for number in range(dataset.id.get_num_chunks()):
                chunk = dataset.id.get_chunk_info(number)
                first = chunk.chunk_offset[0]
                rows = np.arange(min(dataset.chunks[0], len(ends) - first))
                ends[first + rows] = np.maximum(ends[first + rows], chunk.byte_offset + (rows + 1) * size)
        return ends


def _steps_in(lost: list[str]) -> list[int]:
    """Return the steps that a report names."""
    for line in lost:
        if found := re.fullmatch(r"steps? ([\d, and-]+) of (?:at least )?\d+", line):
            ranges = [part.split("-") for part in re.split(r", | and ", found[1])]
            return [step for ends in ranges for step in range(int(ends[0]), int(ends[-1]) + 1)]
    return []


@pytest.mark.parametrize("state", ["done", "killed"])
def test_a_copy_cut_anywhere_gives_every_row_that_is_in_it(
    request: pytest.FixtureRequest, tmp_path: Path, state: str, thorough: bool
) -> None:
    cuts = 25 if thorough else 9
    original: Path = request.getfixturevalue(state)
    whole = (original / "session.h5").read_bytes()
    run, ends = open_run(original), _places(original / "session.h5", "steps")
    rows = STEPS + 10  # ten of them were done twice
    refused = 0
    for number in range(cuts):
        cut = (len(whole) - 1) * (number + 1) // cuts
        folder = tmp_path / str(number)
        shutil.copytree(original, folder)
        (folder / "session.h5").write_bytes(whole[:cut])
        there = int(np.count_nonzero(ends[:rows] <= cut))
        before = _files(folder)
        try:
            report = recover(folder)
        except SessionError as error:
            assert there == 0 and f"{cut} of its {len(whole)} bytes" in str(error)
            assert any("epoch-000004.npz" in note for note in error.__notes__)
            assert _files(folder) == before
            refused += 1
            continue
        found = open_run(folder)
        assert len(found.steps["step"]) + found.superseded_steps == there
        kept = np.isin(run.steps["step"], found.steps["step"])
        for name, values in found.steps.items():
            np.testing.assert_array_equal(values, run.steps[name][kept])
        gone = sorted(set(range(STEPS)) - set(found.steps["step"].tolist()))
        named = _steps_in(report.lost)
        if named != gone:  # what was never seen is not named, but that there may have been more is said
            assert named == [step for step in gone if step <= max(named, default=-1)]
            assert any(line.startswith("whatever steps were at") for line in report.lost) or "all steps" in report.lost
        (original_kept,) = report.kept
        assert original_kept.read_bytes() == whole[:cut]
        assert (found.configuration, found.layers, [*found.metrics]) == (run.configuration, run.layers, [*run.metrics])
        assert found.identifier == run.identifier
        if number % 5 == 0:
            _sound(folder)
    assert refused <= 2


def test_damage_in_the_structure_ends_in_a_sound_run_or_a_refusal(done: Path, tmp_path: Path) -> None:
    whole, run = (done / "session.h5").read_bytes(), open_run(done)
    rng = random.Random(5)
    for number in range(20):
        data, folder = bytearray(whole), tmp_path / str(number)
        shutil.copytree(done, folder)
        at, length = rng.randrange(len(data)), rng.choice([1, 8, 512, 8192])
        data[at : at + length] = (bytes if number % 2 else rng.randbytes)(min(length, len(data) - at))
        (folder / "session.h5").write_bytes(data)
        try:
            report = recover(folder)
        except SessionError as error:
            assert "can't be recovered" in str(error)
            assert (folder / "session.h5").read_bytes() == data
            continue
        found = open_run(folder)
        kept = np.isin(run.steps["step"], found.steps["step"])
        for name, values in found.steps.items():
            np.testing.assert_array_equal(values, run.steps[name][kept])
        assert kept.all() or any("step" in line for line in report.lost)


def test_a_file_whose_beginning_is_gone_is_read_all_the_same(done: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(done)
    path, before = folder / "session.h5", open_run(folder)
    path.write_bytes(bytes(48) + path.read_bytes()[48:])
    report = recover(folder)
    assert not report.lost and "the first bytes of session.h5 are damaged" in report.found
    after = open_run(folder)
    _same(before, after, "events")
    assert after.events[-1].message == "recovered: the first bytes of session.h5 are damaged"
    _sound(folder)


def test_a_torn_row_is_named_by_its_step(killed: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(killed)
    with h5py.File(folder / "session.h5", "r+") as file:
        file["entry/steps/loss"][70, 0] = 9.0  # step 60: ten rows before it were done twice
        file["entry/epochs/crc32"][2] = 7
        file["entry/events/crc32"][0] = 7
    report = recover(folder)
    assert report.lost[:2] == ["step 60 of 100", "epochs 1-5 and 8 of 10"]
    assert open_run(folder).steps["step"].tolist() == [*range(60), *range(61, STEPS)]
    assert any(line.startswith("1 of ") and line.endswith(" events") for line in report.lost)
    again = _sound(folder)
    assert "step 60 of 100" in again.missing


def test_parts_that_are_damaged_are_left_out_for_good(done: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(done)
    with h5py.File(folder / "session.h5", "r+") as file:
        file["entry/data"][()] = "{}"
        file["entry/weights/phase"][...] = 0
        file["entry/result/test_accuracy"][()] = 0.99
    report = recover(folder)
    assert set(report.lost) == {"data", "how the run ended", "final weights"}
    run = open_run(folder)
    assert (run.status, run.result, run.file_weights) == ("killed", None, None)
    assert run.damaged_parts == ("data",)  # nobody takes the empty one for what was recorded
    assert run.weights().source == "checkpoint of epoch 5"
    again = recover(folder)
    assert again.sound


def test_the_row_of_an_attempt_that_is_lost_does_not_let_the_next_one_take_its_number(
    killed: Path, copy: Callable[[Path], Path], small_run: ModuleType
) -> None:
    folder = copy(killed)
    before = open_run(folder)
    with h5py.File(folder / "session.h5", "r+") as file:
        file["entry/attempts/crc32"][0] = 7
    assert "1 of 1 attempts" in recover(folder).lost
    with Session.resume(folder, small_run.plan(), step=90) as session:
        assert session.attempt == 2
        session.step(small_run.step(90))
    run = open_run(folder)
    assert run.steps["step"].tolist() == list(range(91)) and run.superseded_steps == before.superseded_steps + 10


def test_checkpoints_that_are_not_sound_are_moved_away(done: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(done)
    (folder / "checkpoints" / "epoch-000009.npz").write_bytes(b"PK half")
    report = recover(folder)
    assert report.lost == ["checkpoint epoch-000009.npz"]
    assert (folder / DAMAGED / "epoch-000009.npz").read_bytes() == b"PK half"
    assert [one.path.name for one in report.checkpoints] == ["epoch-000004.npz"]
    _sound(folder)


def test_without_a_session_the_sound_checkpoints_are_named(done: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(done)
    (folder / "session.h5").write_bytes(b"nothing of it")
    before = _files(folder)
    with pytest.raises(SessionError, match="can't be recovered") as caught:
        recover(folder)
    assert any("epoch-000004.npz  (epoch 5, step 50)" in note for note in caught.value.__notes__)
    assert _files(folder) == before


def test_an_unfinished_copy_stands_in_for_a_session_that_is_gone(done: Path, copy: Callable[[Path], Path]) -> None:
    folder = copy(done)
    before = open_run(folder)
    (folder / "session.h5").rename(folder / ".session.h5.part")
    (folder / "session.h5").write_bytes(b"nothing of it")
    recover(folder)
    _same(before, open_run(folder), "events")
    _sound(folder)


def test_raw_data_are_verified_and_cut_segments_kept(
    done: Path, copy: Callable[[Path], Path], damage: ModuleType
) -> None:
    folder, raw = copy(done), damage.neighbour("raw_child", "raw")
    with RawWriter(folder, {"slab": raw.spec()}) as writer:
        writer.observer("slab")(raw.exchange(0, 30))
    (segment,) = (folder / "raw").glob("*.h5")
    assert recover(folder).sound
    data = segment.read_bytes()
    segment.write_bytes(data[:-40])  # nothing but free room
    report = recover(folder)
    assert report.found == [f"raw/{segment.name} is cut"] and not report.lost
    assert open_raw(folder).system("slab").rows == 30
    assert (folder / DAMAGED / segment.name).read_bytes() == data[:-40]
    segment.write_bytes(data[:-40].replace(data[-828:-708], bytes(40) + data[-788:-708]))  # checksums of ten rows
    assert recover(folder).lost == [f"whatever was at 10 of 30 places for rows of raw/{segment.name}"]
    segment.write_bytes(data[: len(data) // 2])
    (folder / "raw" / f".{segment.name}.cut-{NO_PROCESS}").write_bytes(b"")
    assert recover(folder).lost == [f"all rows of raw/{segment.name}"]
    assert list((folder / "raw").iterdir()) == []
    _sound(folder)


def test_raw_data_of_a_killed_run_give_back_their_room_and_those_of_another_run_are_moved_away(
    done: Path, copy: Callable[[Path], Path], damage: ModuleType, tmp_path: Path
) -> None:
    folder, raw = copy(done), damage.neighbour("raw_child", "raw")
    own = open_run(folder).identifier
    for where, run in ((tmp_path / "own", own), (tmp_path / "other", "another")):
        with RawWriter(where, {"slab": raw.spec()}, run=run) as writer:
            writer.observer("slab")(raw.exchange(0, 30))
            writer.flush()
            shutil.copytree(where / "raw", tmp_path / f"killed {run}")  # as it is while it goes on
    shutil.copytree(tmp_path / f"killed {own}", folder / "raw")
    foreign = folder / "raw" / "00-slab-000002.h5"
    shutil.copy(tmp_path / "killed another" / "00-slab-000001.h5", foreign)
    with h5py.File(foreign, "r+") as file:  # whoever swaps files may number them as well
        file["entry/data"].attrs["segment"] = 2
    opened = open_raw(folder)
    assert opened.system().rows == 30
    assert len(opened.unreadable) == 1 and "belongs to another run" in opened.unreadable[0]
    (segment,) = set((folder / "raw").iterdir()) - {foreign}
    size = segment.stat().st_size
    dry = recover(folder, dry_run=True)
    assert segment.stat().st_size == size
    report = recover(folder)
    assert report.found == dry.found
    assert report.found[0] == f"raw/{segment.name} is longer than its rows"
    assert f"raw/{segment.name}: cut to its rows" in report.repaired
    assert report.lost == [f"all rows of raw/{foreign.name}"]
    assert (folder / DAMAGED / foreign.name).exists()
    assert segment.stat().st_size < size / 1000
    expected = raw.exchange(0, 30)
    rows = open_raw(folder).system().arrays()
    np.testing.assert_array_equal(rows.pass_number, expected.passes)
    np.testing.assert_array_equal(rows.drive, expected.drive)
    np.testing.assert_array_equal(rows.response, expected.reading.response)
    _sound(folder)


def _tree(node: Node) -> dict[str, Any]:
    return {name: (child.address, _tree(child)) for name, child in node.children.items()}


def test_objects_are_told_by_their_place_as_by_their_name(done: Path, killed: Path) -> None:
    for folder in (done, killed):
        data = (folder / "session.h5").read_bytes()
        named = _tree(Carved(data).file)
        assert _tree(Carved(data.replace(b"FHDB", b"GONE")).file) == named  # the heaps of names
        with h5py.File(folder / "session.h5", "r") as file:
            found: dict[str, int] = {}
            file.visititems(lambda name, item, found=found: found.update({name: h5py.h5o.get_info(item.id).addr}))
        for name, address in found.items():
            node = Carved(data).file
            for part in name.split("/"):
                node = node.children[part]
            assert node.address == address


def test_the_checksum_is_that_of_its_author() -> None:
    # the examples in lookup3.c
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551
