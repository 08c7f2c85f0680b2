"""Which code a run was made with."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from .experiment import Experiment


def code_of(experiment: Experiment) -> dict[str, str]:
    """Return the SHA-256 of the code that decides the numbers: physnet's own, and files that systems are in."""
    files = {"physnet": _own()}
    for section in experiment.systems.values():
        path, _, _ = section.type.rpartition(":")
        if path.endswith(".py"):
            files[path] = _hash([experiment.base / path])
    return files


@functools.cache
def _own() -> str:
    # Once: what this process runs is what was there when it began.
    return _hash(sorted(_own_files()))


def _own_files() -> Iterator[Path]:
    # Through the links of a checkout, and in a wheel alike.
    root = Path(__file__).parent
    for folder in (root, root / "rules", root / "data"):
        yield from folder.glob("*.py")
    for folder in (root / "simulators", root / "drivers"):
        yield from folder.rglob("*.py")  # benches, boards and instruments as well


def _hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        try:
            data = file.read_bytes()
        except OSError:
            return "not found"
        # A checkout on Windows may have other line ends than the wheel.
        digest.update(f"{file.name}\0".encode() + data.replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()
