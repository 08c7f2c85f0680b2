"""A small run folder with everything in it, ways to damage it, and a process that reads damaged folders."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from physnet.characterisation import Characterisation, load
from physnet.characterisation.quantities import Quantity, Trace
from physnet.characterisation.storage import save
from physnet.controls.store import ControlsFile, Training
from physnet.errors import SessionError
from physnet.raw import RawData, RawWriter, open_raw
from physnet.records import PassCount, RunPlan, SentinelRecord
from physnet.report import report
from physnet.session import Run, Session, checkpoint, layout, open_run
from physnet.session.frames import dataset, frame
from physnet.session.show import summary

Files = dict[str, bytes]
TABLES = ("steps", "epochs", "attempts", "sentinels")
SECONDS = 30
"""Longest that reading one folder may take before the process is killed. It takes 0.05 s."""


def neighbour(name: str, folder: str = "session") -> ModuleType:
    """Import a module of these tests, which are no package."""
    path = Path(__file__).parents[1] / folder / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_of_damage", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(folder: Path, number: int) -> None:
    """Make the folder of a run that was resumed once and then done.

    Args:
        folder: The folder.
        number: 0 or 1: two runs whose numbers differ everywhere.
    """
    small, raw = neighbour("session_child"), neighbour("raw_child", "raw")
    room = dict(layout.ROOM)
    layout.ROOM.update(dict.fromkeys(layout.ROOM, (16, 8)))
    try:
        _record(folder, small, dataclasses.replace(small.plan(), title=f"run {number}"), number)
    finally:
        layout.ROOM.update(room)
    with RawWriter(folder, {"slab": raw.spec()}) as writer:
        writer.observer("slab")(raw.exchange(1000 * number, 30))
    controls = ControlsFile(folder, owner=small.result().weights_sha256)
    for seed in range(3):
        controls.add(
            Training(
                control="zeroed",
                seed=seed,
                test_accuracy=0.5 + 0.1 * number,
                passes=7,
                seconds=1.5,
                train_rows=50,
                test_rows=20,
                test_sha256="ab" * 32,
                assumed=("nothing",),
            )
        )
    save(
        Characterisation(
            name="slab",
            kind="simulated",
            system={"name": "slab"},
            seed=number,
            created="2030-01-01T00:00:00+00:00",
            seconds=2.0,
            count=PassCount(passes=100),
            plan={"noise": 100},
            quantities={"noise": Quantity(value=0.1 + number, error=0.01, unit="V", resolved=True, about="noise")},
            traces={"signal_per_channel": Trace(values=np.arange(8.0) + number, about="signal")},
            notes=("a note",),
            sentences=(f"Sentence {number}.",),
        ),
        folder,
    )


def _record(folder: Path, small: ModuleType, plan: RunPlan, number: int) -> None:
    offset = 100.0 * number
    with Session.create(folder, plan) as session:
        session.responses(small.statistics(0))
        for step in range(12):
            session.step(dataclasses.replace(small.step(step), seconds=0.5 + offset))
        session.epoch(small.epoch(0, 0.5))
        session.checkpoint(small.snapshot(small.tensors(3.0 + offset), epoch=0, step=10))
        session.close()
    with Session.resume(folder, plan, step=10) as session:
        for step in range(10, 30):
            session.step(dataclasses.replace(small.step(step), seconds=0.75 + offset))
        for epoch in (1, 2):
            session.epoch(small.epoch(epoch, 0.6))
            look = SentinelRecord(epoch=epoch, step=10, system=0, time=1.7e9, difference=0.1, drift=0.1 * epoch)
            session.sentinel(look)
            session.checkpoint(small.snapshot(small.tensors(4.0 + epoch + offset), epoch=epoch, step=10 * epoch + 10))
        session.event("warning", f"detector warm {number}")
        session.event("info", "done")
        session.finish(small.result(seconds=12.5 + offset), small.tensors(2.0))


def files_of(folder: Path) -> Files:
    """Return all files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def damaged(files: Files, other: Files, number: int) -> tuple[str, Files]:
    """Damage a folder in the way that a number stands for.

    Args:
        files: The folder.
        other: Another run's.
        number: Which damage.

    Returns:
        What was done, and the damaged folder.
    """
    chance = random.Random(number)
    changed = dict(files)
    what = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        name = "session.h5" if chance.random() < 0.6 and "session.h5" in changed else chance.choice(sorted(changed))
        kind = chance.choice(("flip", "flip", "flips", "cut", "zero", "swap blocks", "other run", "delete", "double"))
        what.append(f"{kind} {name}")
        data = bytearray(changed[name])
        length = chance.choice((64, 512, 4096))
        place, second = (chance.randrange(max(1, len(data) // length)) * length for _ in range(2))
        if kind in ("flip", "flips"):
            for _ in range(1 if kind == "flip" else chance.choice((4, 32, 256))):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del data[chance.randrange(len(data)) :]
        elif kind == "zero":
            data[place : place + length] = bytes(len(data[place : place + length]))
        elif kind == "swap blocks":
            first, last = bytes(data[place : place + length]), bytes(data[second : second + length])
            data[place : place + len(last)], data[second : second + len(first)] = last, first
        elif kind == "other run":
            data = bytearray(other[name])
        elif kind == "double":
            name = chance.choice(sorted(files))
        if kind == "delete":
            del changed[name]
        else:
            changed[name] = bytes(data)
        if not changed:
            break
    return "; ".join(what), changed


class Truth:
    """What two runs really hold, to judge what is read of them when damaged.

    Args:
        folders: The runs.
    """

    def __init__(self, *folders: Path) -> None:
        self.runs = {run.identifier: run for run in map(open_run, folders)}
        self.weights: dict[str, dict[str, str]] = {}
        self.controls: set[Training] = set()
        self.characterisations: set[str] = set()
        self.raw: set[bytes] = set()
        for run in self.runs.values():
            assert not run.damaged_parts and not run.damaged_rows and len(run.checkpoints) == 3
            found = [checkpoint.load(path, run=run.identifier) for path in run.checkpoints]
            self.weights[run.identifier] = {f"checkpoint of epoch {one.epoch + 1}": one.sha256 for one in found}
            self.weights[run.identifier]["final weights"] = run.weights().sha256
            self.controls |= set(ControlsFile(run.folder).trainings.values())
            self.characterisations |= {_said(one) for one in run.characterisations()}
            self.raw |= set(_raw_rows(open_raw(run.folder)))
        # rows that were superseded are as genuine as the others
        self.tables = {run.identifier: {name: set(_rows(run, name)) for name in TABLES} for run in self.runs.values()}
        for run in self.runs.values():
            small = neighbour("session_child")
            for step in (10, 11):
                base = next(row for row in _rows(run, "steps") if row[0] == step)
                seconds = 0.5 + 100.0 * int(run.title[-1])
                names = sorted(run.steps)
                values = dict(zip(names, base[1:], strict=True))
                values |= {"attempt": np.int64(0).tobytes(), "seconds": np.float64(seconds).tobytes()}
                assert small.step(step).count.passes == 20
                self.tables[run.identifier]["steps"].add((step, *(values[name] for name in names)))

    def judge(self, folder: Path, *, pages: bool = True) -> Counter[str]:
        """Read a folder with every reader there is.

        Args:
            folder: The folder.
            pages: Whether frames and page are made of a run of which nothing was left out, too.

        Returns:
            What came of it.

        Raises:
            AssertionError: Something damaged was shown as good.
            Exception: Any other exception is a mistake as well.
        """
        came: Counter[str] = Counter()
        run = _tried(lambda: open_run(folder))
        came["read" if run else "refused"] += 1
        if run is not None:
            whole = not (run.damaged_parts or run.damaged_rows)
            came["complete"] += whole
            self._judge_run(run)
            self._judge_views(run, pages=pages or not whole)
        for path in sorted((folder / "checkpoints").glob("*")):
            for identifier in self.runs:
                found = _tried(lambda path=path, owner=identifier: checkpoint.load(path, run=owner))  # type: ignore[misc]
                if found is not None:
                    said = f"checkpoint of epoch {found.epoch + 1}"
                    assert self.weights[identifier][said] == found.sha256, "weights of a checkpoint"
                    assert found.arrays["sentinel/0/first"].tolist() == [0, 1, 2], "arrays of a checkpoint"
                    assert found.state["steps"] == found.step, "state of a checkpoint"
        raw = _tried(lambda: list(_raw_rows(open_raw(folder))))
        assert set(raw or ()) <= self.raw, "raw rows"
        controls = _tried(lambda: ControlsFile(folder))
        assert set(controls.trainings.values() if controls else ()) <= self.controls, "controls"
        for path in folder.glob("*.h5"):
            one = _tried(lambda path=path: load(path))  # type: ignore[misc]
            assert one is None or _said(one) in self.characterisations, "characterisation"
        return came

    def _judge_run(self, run: Run) -> None:
        true = self.runs[run.identifier]
        parts = set(run.damaged_parts)
        for name in ("title", "created", "version", "seed", "layers", "layer_systems", "classes", "metrics", "systems"):
            assert getattr(run, name) == getattr(true, name), name
        for name in ("configuration", "environment", "data"):
            assert getattr(run, name) == ({} if name in parts else getattr(true, name)), name
        for name in TABLES:
            assert set(_rows(run, name)) <= self.tables[run.identifier][name], name
        assert len(run.epochs["epoch"]) + run.damaged_rows >= 3 or "all epochs" in parts, "lost rows"
        assert len(run.steps["step"]) + run.superseded_steps + run.damaged_rows >= 32 or "all steps" in parts, "lost"
        assert set(run.events) <= set(true.events), "events"
        if "how the run ended" in parts:
            assert (run.status, run.result, run.ended) == ("killed", None, ""), "result"
        else:
            assert (run.status, run.message, run.ended) == (true.status, true.message, true.ended), "end"
            assert _said(run.result) == _said(true.result), "result"
        left = {_said(one) for one in run.responses}
        assert left == set() if "responses of layer0" in parts else left == {_said(one) for one in true.responses}
        kept = _tried(run.weights)
        if kept is not None:
            assert self.weights[run.identifier][kept.source] == kept.sha256, "weights"

    @staticmethod
    def _judge_views(run: Run, *, pages: bool) -> None:
        said = [summary(run)]
        if pages:
            said.append(report(run))
            for name in (*TABLES, "events"):
                frame(run, name)  # type: ignore[arg-type]
            dataset(run)
        for text in said:
            told = " ".join(text.split())
            assert not run.damaged_rows or f"{run.damaged_rows} damaged rows" in told
            assert all(part in told for part in run.damaged_parts)


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except SessionError as error:
        assert str(error)
        return None


def _rows(run: Run, name: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table: their step, and every value bit for bit."""
    values = getattr(run, name)
    names = sorted(values)
    return [(int(values["step"][n]), *(values[key][n].tobytes() for key in names)) for n in range(len(values["step"]))]


def _raw_rows(raw: RawData) -> list[bytes]:
    rows = [system.arrays() for system in raw.systems.values()]
    return [
        b"".join(np.asarray(part).tobytes() for part in (one.pass_number[n], one.drive[n], one.response[n]))
        for one in rows
        for n in range(len(one))
    ]


def _said(value: Any) -> str:
    """Return all of a dataclass as text, arrays in full."""
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
        return repr(value)


def main(first: int, count: int, runs: list[Path]) -> None:
    """Read damaged folders one after the other, and print what came of them.

    Dies of SIGALRM where one takes too long, and of a limit where one takes too much memory.
    """
    import resource  # not on Windows
    import signal

    truth = Truth(*runs)
    one, two = map(files_of, runs)
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    came: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as parent:
        for number in range(first, first + count):
            what, files = damaged(one, two, number)
            folder = Path(parent) / "run"
            shutil.rmtree(folder, ignore_errors=True)
            for name, data in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            print(f"{number}: {what}", file=sys.stderr, flush=True)
            signal.alarm(SECONDS)  # its default action ends the process, in whatever library it may be
            try:
                came += truth.judge(folder, pages=number % 4 == 0)
            except (Exception, AssertionError):
                print(json.dumps({"number": number, "what": what, "error": traceback.format_exc()}), flush=True)
                os._exit(1)
            signal.alarm(0)
    print(json.dumps(came))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), [Path(name) for name in sys.argv[3:5]])
