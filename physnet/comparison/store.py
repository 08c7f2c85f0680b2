"""`trainings/` in a comparison's folder: a file for each training that was done, named by all that decides it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..controls.store import plain
from ..errors import SessionError, StorageError
from ..session.disk import make_folder, replace, write_whole
from ..session.safety import plain_json, read_plain
from .tasks import Task

FOLDER = "trainings"
"""Name of the folder of trainings in a comparison's folder."""
_SCHEMA = 1
_MOST = 1 << 24
"""Most bytes that the record of a training has."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a training.

    Args:
        test_accuracy: 0 to 1; NaN where the test split was not to be measured, or training diverged too early.
        validation_accuracy: The best, whose weights were tested, 0 to 1; NaN without validation. Where `about` has
            `validated_on` = `twins`, they answered it, and not the physics.
        curve: Training passes and validation accuracy of each validation.
        passes: Rows presented to the physics, by purpose.
        passes_per_inference: Rows presented to classify one sample, in all layers.
        parameter_writes: How often parameters of the physics were written.
        inference_work: Digital multiply-adds to classify one sample; None where nobody counted.
        training_work: Those of the whole training, validation not included; None likewise.
        seconds: Duration, in s.
        digital_seconds: What rule and layers took of it, in s.
        joules: Energy drawn, in J; NaN where nothing tells, or where other trainings ran beside it.
        diverged: Why training ended early; empty otherwise. The weights of the best validation up to there were tested.
        train_rows: Training samples.
        test_rows: Test samples.
        test_sha256: Hash of the test samples' row numbers.
        physics: Kinds of the systems; empty for what is digital.
        drives: Drive channels of each layer's system.
        about: What else there is to know, by name.
        made_by: Hash of the code, number of threads, device.
    """

    test_accuracy: float
    validation_accuracy: float
    seconds: float
    train_rows: int
    test_rows: int
    test_sha256: str
    curve: tuple[tuple[int, float], ...] = ()
    passes: Mapping[str, int] = field(default_factory=dict)
    passes_per_inference: int = 0
    parameter_writes: int = 0
    inference_work: int | None = None
    training_work: int | None = None
    digital_seconds: float = math.nan
    joules: float = math.nan
    diverged: str = ""
    physics: tuple[str, ...] = ()
    drives: tuple[int, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    made_by: Mapping[str, Any] = field(default_factory=dict)

    @property
    def training_passes(self) -> int:
        """Rows presented to learn from."""
        return self.passes.get("train", 0)

    @property
    def all_passes(self) -> int:
        """Rows presented, whatever for."""
        return sum(self.passes.values())

    def as_json(self) -> str:
        """Return it as text; `from_json` takes it back."""
        return json.dumps(plain(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, text: str | bytes) -> Outcome:
        """Take back what `as_json` returned.

        Raises:
            ValueError: It is something else.
        """
        return outcome_of(plain_json(text))


def outcome_of(values: Any) -> Outcome:
    """Take an outcome back from plain values that someone else may have written.

    Raises:
        ValueError: They are something else.
    """
    if not isinstance(values, dict):
        raise ValueError("an outcome is a table")
    table = dict(values)
    for name in ("test_accuracy", "validation_accuracy", "seconds", "digital_seconds", "joules"):
        number = table[name]
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise ValueError(f"{name} can't be {type(number).__name__}")
        table[name] = math.nan if number is None else float(number)
    for name in ("test_accuracy", "validation_accuracy"):
        if not (math.isnan(table[name]) or 0 <= table[name] <= 1):
            raise ValueError(f"{name} can't be {table[name]}")
    for name in ("train_rows", "test_rows", "passes_per_inference", "parameter_writes"):
        if not isinstance(table[name], int) or isinstance(table[name], bool) or table[name] < 0:
            raise ValueError(f"{name} can't be {table[name]!r}")
    table["curve"] = tuple((int(passes), float(accuracy)) for passes, accuracy in table["curve"])
    table["passes"] = {str(name): int(count) for name, count in table["passes"].items()}
    table["physics"], table["drives"] = tuple(map(str, table["physics"])), tuple(map(int, table["drives"]))
    try:
        return Outcome(**table)
    except TypeError as error:
        raise ValueError(str(error)) from error


class Store:
    """The trainings that were done.

    Each is a file of its own, made whole before it has its name: a process killed at any time loses the training it
    was in, and nothing else, and several processes may share a folder.

    Args:
        folder: The comparison's folder. It need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        self._found: dict[str, Outcome] = {}

    def get(self, task: Task) -> Outcome | None:
        """Return what came of a task; None where it was not done.

        Raises:
            SessionError: Its file can't be read.
        """
        digest = task.digest
        if digest not in self._found:
            for path in self._files(digest):
                self._found[digest] = _read(path)
                break
        return self._found.get(digest)

    def add(self, task: Task, outcome: Outcome) -> None:
        """Keep what came of a task.

        Raises:
            StorageError: The disk refused.
        """
        digest = task.digest
        values = json.loads(outcome.as_json())
        what = {"name": task.name, "kind": task.kind, "seed": task.seed, "rule": task.experiment["rule"]}
        content = {"schema": _SCHEMA, "what": what, "outcome": values, "sha256": _hash(values)}
        name = re.sub(r"[^\w.+-]+", "-", task.name)[:80]
        path = self.folder / f"{name}-{task.seed}-{digest}.json"
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            make_folder(self.folder)
            write_whole(part, json.dumps(content, indent=1).encode())
            replace(part, path)
        except OSError as error:
            raise StorageError(f"{path} can't be written: {error}. Trainings before this one are kept.") from error
        self._found[digest] = outcome

    def _files(self, digest: str) -> list[Path]:
        try:
            return sorted(path for path in self.folder.glob(f"*-{digest}.json") if not path.name.startswith("."))
        except OSError as error:
            raise SessionError(f"{self.folder} can't be read: {error}. Choose another folder.") from error


def _read(path: Path) -> Outcome:
    try:
        table = plain_json(read_plain(path, _MOST))
        if table["schema"] != _SCHEMA:
            raise ValueError(f"it has schema {table['schema']!r}")
        if table["sha256"] != _hash(table["outcome"]):
            raise ValueError("it does not match its hash")
        return outcome_of(table["outcome"])
    except SessionError:
        raise
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise SessionError(
            f"{path} is not the record of a training ({type(error).__name__}: {error}). Move it away to have that "
            "training done again."
        ) from error


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
