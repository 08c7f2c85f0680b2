"""Every state that the disk goes through during a run: each of them is what a kill at that moment leaves.

All changes that a run makes to the disk are recorded, and made again, one by one, in another folder. After each of
them, and in the middle of each, the run must open, and hold all that was acknowledged by then.
"""

from __future__ import annotations

import functools
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physnet import recording
from physnet.cli import main
from physnet.errors import SessionError
from physnet.raw import RawWriter, open_raw, segment
from physnet.session import Session, checkpoint, disk, open_run

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs the names of open files")

BENCH = """\
import itertools, pathlib, numpy as np, physnet
HERE = pathlib.Path(__file__).parent
MATRIX = np.random.default_rng(7).standard_normal((64, 6)) / 8
def bench():
    calls = itertools.count()
    def speckle(drive):
        if next(calls) >= 7 and not (HERE / "mended").exists():
            raise OSError("the cable was pulled")
        return np.abs(drive @ MATRIX)
    return physnet.system(speckle, drives=64, responses=6, reproducible=True)
"""
EXPERIMENT = """\
data = { name = "digits", train_limit = 72, test_limit = 20 }
rule.name = "mono_forward"
training = { epochs = 2, batch_size = 20, standardise_rows = 20, retries = 0 }
layers = [{ system = "bench", width = 5 }]
systems.bench.type = "bench.py:bench"
session = { raw = "all", checkpoint_seconds = 1e-9, sentinels = 2 }
"""


@dataclass(frozen=True)
class Change:
    """One change to the disk, or a promise made by then.

    Args:
        kind: What was called.
        path: What it changed, below the folder of all runs.
        other: Where from, or where to.
        offset: Where in the file.
        data: What was written.
        pieces: The same, for a changed copy.
        size: Length of the file.
    """

    kind: str
    path: str = ""
    other: str = ""
    offset: int = 0
    data: bytes = b""
    pieces: tuple[tuple[int, bytes], ...] = ()
    size: int = 0


class Recorder:
    """Notes every change that goes through `disk` and the raw segments, in the order in which they are made."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.changes: list[Change] = []
        self._root, self._lock = root, threading.RLock()

        def note(module: Any, name: str, change: Callable[..., Change]) -> None:
            real = getattr(module, name)

            def noted(*values: Any) -> Any:
                if name == "write_new":
                    values = (values[0], tuple(values[1]), values[2])
                if name == "write_changed":
                    values = (*values[:2], tuple(values[2]), *values[3:])
                with self._lock:
                    made = change(*values)
                    answer = real(*values)
                    self.changes.append(made)
                    return answer

            monkeypatch.setattr(module, name, noted)

        note(disk, "write_whole", lambda path, *parts: Change("whole", self._at(path), data=b"".join(parts)))
        note(disk, "take_room", lambda path, size: Change("new", self._at(path), size=size))
        note(
            disk,
            "write_new",
            lambda path, pieces, size: Change("new", self._at(path), pieces=copied(pieces), size=size),
        )
        note(
            disk,
            "write_changed",
            lambda path, source, pieces, size, kept: Change(
                "changed", self._at(path), self._at(source), pieces=copied(pieces), size=size, offset=kept
            ),
        )
        note(
            disk,
            "write_at",
            lambda stream, offset, data: Change("at", self._open(stream), offset=offset, data=bytes(data)),
        )
        note(disk, "make_folder", lambda path: Change("folder", self._at(path)))
        note(disk, "replace", lambda part, path: Change("replace", self._at(part), self._at(path)))
        note(disk, "rename", lambda path, new: Change("rename", self._at(path), self._at(new)))
        note(disk, "remove", lambda path: Change("remove", self._at(path)))
        note(segment, "_reserve", lambda stream, size: Change("room", self._open(stream), size=size))
        note(
            segment,
            "_write",
            lambda stream, offset, data: Change("at", self._open(stream), offset=offset, data=bytes(data)),
        )
        for name in ("step", "epoch"):
            self._promise(monkeypatch, name)
        self._promise_checkpoints(monkeypatch)

    def _promise(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        real = getattr(Session, name)

        def kept(session: Any, record: Any) -> None:
            real(session, record)
            with self._lock:
                number = record.epoch if name == "epoch" else record.step
                self.changes.append(Change("promise", name, offset=number))

        monkeypatch.setattr(Session, name, kept)

    def _promise_checkpoints(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A checkpoint, and the raw rows before it, are promised once it is written, which is beside the run."""
        begin, save = Session.checkpoint, checkpoint.save
        sessions: list[Any] = []

        def begun(session: Any, snapshot: Any) -> None:
            sessions.append(session)
            begin(session, snapshot)

        def saved(folder: Path, snapshot: Any, *, run: str) -> Path:
            path = save(folder, snapshot, run=run)
            with self._lock:
                rows = sessions[-1].raw._writer.rows if sessions[-1].raw is not None else 0
                self.changes.append(Change("promise", "checkpoint", offset=snapshot.step, size=rows))
            return path

        monkeypatch.setattr(Session, "checkpoint", begun)
        monkeypatch.setattr(checkpoint, "save", saved)

    def _at(self, path: Path) -> str:
        return os.path.relpath(path, self._root)

    def _open(self, stream: io.FileIO) -> str:
        return os.path.relpath(os.readlink(f"/proc/self/fd/{stream.fileno()}"), self._root)


def copied(pieces: Any) -> tuple[tuple[int, bytes], ...]:
    return tuple((offset, bytes(data)) for offset, data in pieces)


def make(change: Change, root: Path) -> Iterator[str]:
    """Make a change again; in between, say where a kill could have come."""
    path, other = root / change.path, root / change.other
    match change.kind:
        case "whole":
            for length in dict.fromkeys((0, len(change.data) // 2, len(change.data))):
                path.write_bytes(change.data[:length])
                yield f"{length} of {len(change.data)} bytes of {change.path}"
        case "changed" | "new":
            if change.kind == "new":
                path.touch()
            else:
                shutil.copyfile(other, path)
            with open(path, "r+b") as stream:
                stream.truncate(change.offset)
                for number, (offset, data) in enumerate(change.pieces):
                    stream.seek(offset)
                    stream.write(data)
                    if number == len(change.pieces) // 2:
                        stream.flush()
                        yield f"half of the changes to {change.path}"
                stream.truncate(change.size)
        case "at":
            for length in dict.fromkeys((len(change.data) // 2, len(change.data))):
                with open(path, "r+b") as stream:
                    stream.seek(change.offset)
                    stream.write(change.data[:length])
                yield f"{length} of {len(change.data)} bytes at {change.offset} of {change.path}"
        case "room":
            with open(path, "ab") as stream:
                stream.truncate(change.size)
        case "folder":
            path.mkdir(parents=True, exist_ok=True)
        case "replace":
            os.replace(path, other)
        case "rename":
            os.rename(path, other)
        case "remove":
            path.unlink(missing_ok=True)
    yield f"{change.kind} {change.path}"


@dataclass
class Promised:
    """What had been acknowledged when the kill came."""

    steps: int = 0
    epochs: int = 0
    checkpointed: int = -1
    rows: int = 0

    def take(self, change: Change) -> None:
        match change.path:
            case "step":
                self.steps = change.offset + 1
            case "epoch":
                self.epochs = change.offset + 1
            case "checkpoint":
                self.checkpointed, self.rows = change.offset, max(self.rows, change.size)


def check(folder: Path, promised: Promised, moment: str, changed: str = "") -> None:
    """A run must open and hold what was promised; only what can have changed is looked at."""
    if "/raw/" in changed:
        if promised.rows:
            found = open_raw(folder)
            assert sum(system.rows for system in found.systems.values()) >= promised.rows, moment
        return
    run = open_run(folder)
    assert run.damaged_rows <= 1, moment
    kept = run.steps["step"].tolist()
    assert kept == list(range(len(kept))), moment
    assert len(kept) >= promised.steps, moment
    assert len(run.epochs["epoch"]) >= promised.epochs, moment
    if promised.checkpointed >= 0 and "checkpoints" in changed:
        assert checkpoint.load(run.checkpoints[-1]).step >= promised.checkpointed, moment


def test_every_state_of_the_disk_opens_and_holds_what_was_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], thorough: bool
) -> None:
    (tmp_path / "bench.py").write_text(BENCH, encoding="utf-8")
    (tmp_path / "tiny.toml").write_text(EXPERIMENT, encoding="utf-8")
    runs, again = tmp_path / "runs", tmp_path / "again"
    runs.mkdir()
    again.mkdir()
    with monkeypatch.context() as patch:
        # Little room, so that files are replaced and segments follow each other within a short run.
        patch.setitem(__import__("physnet.session.layout", fromlist=["ROOM"]).ROOM, "steps", (4, 4))
        patch.setattr(recording, "RawWriter", functools.partial(RawWriter, segment_bytes=1 << 15))
        recorder = Recorder(runs, patch)
        assert main(["train", str(tmp_path / "tiny.toml"), "--output", str(runs)]) == 3
        (tmp_path / "mended").touch()
        first = len(recorder.changes)
        recorder.changes.append(Change("promise", "resumed"))
        assert main(["resume", str(runs)]) == 0, capsys.readouterr().err
    promised, states = Promised(), 0
    for number, change in enumerate(recorder.changes):
        if change.kind == "promise":
            if change.path == "resumed":  # what came after the checkpoint is lost, and done again
                promised.steps, promised.epochs = promised.checkpointed, 0
            promised.take(change)
            continue
        for moment in make(change, again):
            visible = [path for path in again.iterdir() if not path.name.startswith(".")]
            if not visible:
                assert promised == Promised()
                continue
            states += 1
            if not thorough and states % 4:
                continue
            where = f"change {number} of {len(recorder.changes)} (resumed at {first}): {moment}"
            check(visible[0], promised, where, f"{change.path} {change.other}")
    assert states > 500
    (folder,) = again.iterdir()
    (made,) = runs.iterdir()
    one, other = open_run(folder), open_run(made)
    assert one.status == other.status == "done"
    assert len(one.attempts["attempt"]) == 1
    np.testing.assert_array_equal(one.steps["loss"], other.steps["loss"])


def test_a_state_that_breaks_a_promise_is_found(tmp_path: Path) -> None:
    with pytest.raises(SessionError):
        check(tmp_path, Promised(steps=1), "an empty folder")
