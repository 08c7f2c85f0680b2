"""Several runs side by side: what differs in what was asked, and what came of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, SessionError
from .frames import _import
from .layout import SESSION
from .reader import Run, open_run

if TYPE_CHECKING:
    import pandas as pd

UNREADABLE = "unreadable"
_NO_DIFFERENCE = ("output.", "base")
"""Keys of a configuration that say where a run was made, not what it was."""

FACTS = (
    "run",
    "title",
    "status",
    "physics",
    "test_accuracy",
    "test_samples",
    "validation_accuracy",
    "physical_passes",
    "seconds",
    "steps",
    "epochs",
    "seed",
    "created",
    "physnet_version",
    "git_commit",
    "weights_sha256",
    "damaged_rows",
    "message",
)
"""Columns that every run has; the others are baselines (`baseline/...`) and what differs in the configurations."""


def compare_runs(paths: Iterable[Path | str]) -> pd.DataFrame:
    """Return what runs were asked and what came of them: one row a run.

    The columns are status, kinds of the systems, accuracies, passes, seconds, versions, the hash of the weights, and
    every value of the configuration that is not the same in all, under its dotted name (`rule.theta`).

    Args:
        paths: Run folders, or folders that hold runs.

    Returns:
        The table, indexed by the name of the run's folder. A run that can't be read has the status `unreadable`, and
        the reason in the column `message`.

    Raises:
        InputError: pandas is not installed.
        SessionError: None of them can be read.
    """
    pandas = _import("pandas")
    return pandas.DataFrame(compared(opened(paths))).set_index("run")


def opened(paths: Iterable[Path | str]) -> dict[Path, Run | SessionError]:
    """Open runs; what can't be opened comes with the reason.

    Args:
        paths: Run folders, or folders that hold runs.

    Raises:
        SessionError: None of them can be read.
        InputError: No path is given.
    """
    found: dict[Path, Run | SessionError] = {}
    for path in dict.fromkeys(inner for outer in paths for inner in _within(Path(outer))):
        try:
            found[path] = open_run(path)
        except SessionError as error:
            found[path] = error
    if not found:
        raise InputError("runs to compare must be given, got none. Give run folders, or a folder of runs.")
    if not any(isinstance(run, Run) for run in found.values()):
        raise next(error for error in found.values() if isinstance(error, SessionError))
    return found


def compared(runs: Mapping[Path, Run | SessionError]) -> list[dict[str, Any]]:
    """Return one table row a run, as plain values; what is not known is NaN or empty."""
    settings = {path: flat(run.configuration) for path, run in runs.items() if isinstance(run, Run)}
    keys = list(dict.fromkeys(key for values in settings.values() for key in values))
    differing = [
        key
        for key in keys
        if not key.startswith(_NO_DIFFERENCE) and len({repr(values.get(key)) for values in settings.values()}) > 1
    ]
    # In a name that two folders share, the parent tells them apart.
    names = [path.name for path in runs]
    rows = []
    for path, run in runs.items():
        name = path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}"
        if isinstance(run, Run):
            rows.append({"run": name, **_facts(run), **{key: settings[path].get(key) for key in differing}})
        else:
            rows.append({"run": name, "status": UNREADABLE, "message": str(run)})
    return rows


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return nested values by dotted name: `layers.0.width`. Lists of plain values stay whole, as JSON."""
    if isinstance(value, Mapping):
        inner: Iterator[tuple[str, Any]] = ((str(key), part) for key, part in value.items())
    elif isinstance(value, list | tuple) and any(isinstance(part, Mapping) for part in value):
        inner = ((str(number), part) for number, part in enumerate(value))
    else:
        return {name: json.dumps(value, default=str) if isinstance(value, list | tuple) else value}
    return {key: v for part, below in inner for key, v in flat(below, f"{name}.{part}" if name else part).items()}


def _within(path: Path) -> list[Path]:
    if not path.is_dir() or (path / SESSION).exists():
        return [path.parent if path.name == SESSION else path]
    inside = sorted(file.parent for file in path.glob(f"*/{SESSION}") if not file.parent.name.startswith("."))
    return inside or [path]


def _facts(run: Run) -> dict[str, Any]:
    result, epochs = run.result, run.epochs
    validated = epochs["validation_accuracy"]
    best = float(np.nanmax(validated)) if np.isfinite(validated).any() else math.nan
    try:
        sha256 = run.weights().sha256
    except SessionError:
        sha256 = ""
    measured = result is not None and not math.isnan(result.test_accuracy)
    baselines = {f"baseline/{name}": value for name, value in result.baselines.items()} if result else {}
    return {
        "title": run.title,
        "status": run.status,
        "physics": run.kinds,
        "test_accuracy": result.test_accuracy if result else math.nan,
        "test_samples": int(result.confusion.sum()) if measured and result is not None else 0,
        "validation_accuracy": result.validation_accuracy if result else best,
        **baselines,
        "physical_passes": result.physical_passes if result else int(run.steps["passes"].sum()),
        "seconds": result.seconds if result else float(run.steps["seconds"].sum()),
        "steps": len(run.steps["step"]),
        "epochs": len(epochs["epoch"]),
        "seed": run.seed,
        "created": run.created,
        "physnet_version": run.version,
        "git_commit": str(run.environment.get("git_commit", ""))[:12],
        "weights_sha256": sha256,
        "damaged_rows": run.damaged_rows,
        "message": run.message,
    }
