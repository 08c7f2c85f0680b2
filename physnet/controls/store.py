"""`controls.json` in a run's folder: every training of the network and its controls, written as soon as it is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SessionError, StorageError
from ..session.disk import write_whole
from ..session.safety import plain_json, read_plain

FILE = "controls.json"
"""Name of the file in a run's folder."""
_SCHEMA = 2
_MOST = 1 << 26
"""Most bytes that a record of controls has."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of the network or of a control.

    Args:
        control: Its name; `network` for the network itself.
        seed: The seed of everything.
        test_accuracy: 0 to 1.
        passes: Rows presented to the physics; 0 for what is digital.
        seconds: How long it took, in s.
        train_rows: Training samples.
        test_rows: Test samples.
        test_sha256: Hash of the test samples' row numbers.
        assumed: What had to be assumed of a system.
    """

    control: str
    seed: int
    test_accuracy: float
    passes: int
    seconds: float
    train_rows: int
    test_rows: int
    test_sha256: str
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Written so that NaN fails too.
        if not (0 <= self.test_accuracy <= 1 and self.train_rows >= 1 and self.test_rows >= 1):
            raise SessionError(
                f"a training must have a test accuracy of 0 to 1 on at least one row, got {self.test_accuracy} on "
                f"{self.test_rows} of {self.control}, seed {self.seed}."
            )


class ControlsFile:
    """The trainings of a run's controls.

    A process killed at any time loses the training it was in, and nothing else: the file is replaced whole.

    Args:
        folder: The run's folder.
        owner: Hash of the run's weights, which tells it from every other run; empty for any.

    Raises:
        SessionError: The file is there and can't be read, or belongs to another run.
    """

    def __init__(self, folder: Path, *, owner: str = "") -> None:
        self.path, self.owner = folder / FILE, owner
        self.trainings: dict[tuple[str, int], Training] = {}
        self.reload()

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self.trainings

    def reload(self) -> None:
        """Read what the file holds, which another process may have added to.

        Raises:
            SessionError: The file can't be read.
        """
        try:
            table = plain_json(read_plain(self.path, _MOST))
        except FileNotFoundError:
            return
        except SessionError:
            raise
        except (OSError, ValueError) as error:
            raise SessionError(
                f"{self.path} can't be read: {error}. Move it away to have all controls run again."
            ) from error
        try:
            if table["schema"] not in (1, _SCHEMA):
                raise SessionError(
                    f"{self.path} must have schema {_SCHEMA}, got {table['schema']!r}. Update physnet, or move it away."
                )
            # Schema 1 had no hash.
            hashed = table["schema"] != 1 or "sha256" in table
            if hashed and table["sha256"] != _hash(table["run"], table["trainings"]):
                raise ValueError("it does not match its hash")
            if self.owner and table.get("run") != self.owner:
                raise SessionError(
                    f"{self.path} belongs to another run than the one in its folder. Move it away to have all controls "
                    "run again."
                )
            for row in table["trainings"]:
                training = _training(row)
                self.trainings[training.control, training.seed] = training
        except SessionError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise SessionError(
                f"{self.path} is not a record of controls ({type(error).__name__}: {error}). Move it away to have all "
                "controls run again."
            ) from error

    def add(self, training: Training) -> None:
        """Keep a training.

        Raises:
            StorageError: The disk refused; the file is as it was.
        """
        self.reload()
        self.trainings[training.control, training.seed] = training
        rows = [dataclasses.asdict(self.trainings[key]) for key in sorted(self.trainings)]
        table = {"schema": _SCHEMA, "run": self.owner, "sha256": _hash(self.owner, rows), "trainings": rows}
        data = json.dumps(table, indent=1).encode()
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            write_whole(part, data)
            os.replace(part, self.path)
        except OSError as error:
            raise StorageError(f"{self.path} can't be written: {error}. Trainings before this one are kept.") from error

    def of(self, control: str, seeds: Iterable[int]) -> list[Training]:
        """Return a control's trainings, in the order of the seeds; those not done are left out."""
        return [self.trainings[control, seed] for seed in seeds if (control, seed) in self.trainings]


def _hash(owner: str, rows: Any) -> str:
    return hashlib.sha256(json.dumps([owner, rows], sort_keys=True).encode()).hexdigest()


def _training(row: Mapping[str, Any]) -> Training:
    """Take a training back from JSON that someone else may have written."""
    for field in dataclasses.fields(Training):
        kinds = {"str": (str,), "int": (int,), "float": (int, float)}.get(str(field.type), (list,))
        value = row[field.name]
        if not isinstance(value, kinds) or isinstance(value, bool) or (isinstance(value, int) and abs(value) >> 128):
            raise ValueError(f"{field.name} can't be {type(value).__name__}")
    return Training(**{**row, "assumed": tuple(map(str, row["assumed"]))})


def plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN and infinity become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value
