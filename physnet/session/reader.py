"""Reading a run folder back, however its run ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import SessionError
from ..records import ResponseStatistics, RunResult, Status, Tensors
from ..weights import sha256
from . import checkpoint, frames, histories, layout, table, timings
from .layout import CHECKPOINTS, SESSION

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from ..characterisation import Characterisation

Ending = Status
_ENDINGS = ("done", "fault", "interrupted", "terminated", "killed")


@dataclass(frozen=True, kw_only=True)
class Event:
    """A line of text that a run left.

    Args:
        time: POSIX time, in s.
        level: `info`, `warning` or `fault`.
        message: The text.
    """

    time: float
    level: str
    message: str


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptWeights:
    """Weights of a run.

    Args:
        tensors: Every weight and rule tensor, by name.
        sha256: Their hash, verified.
        source: Where they come from: `final weights`, or `checkpoint of epoch 12`.
    """

    tensors: Tensors
    sha256: str
    source: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What a run left behind. All of it is in memory; the file is closed again.

    Args:
        folder: The run folder.
        status: How the run ended; `killed` when no end was written.
        message: One line that says why it ended.
        title: One line.
        created: ISO 8601 time with zone at which the session was made.
        ended: The same for its end; empty for a killed run.
        version: Version of physnet that wrote it.
        seed: The run's seed.
        configuration: The whole experiment.
        environment: Versions, platform, git commit, command line.
        data: What the data was.
        layers: Name of each layer, bottom up.
        layer_systems: Name of each layer's system.
        systems: Spec of each system, by name, with its `kind`.
        classes: Name of each class.
        metrics: Unit of each metric, by name.
        steps: By quantity, one entry per step: shape `(n,)`, per-layer metrics `(n, layers)`. Of a step that was lost
            and done again, the last time.
        epochs: The same for epochs.
        attempts: The same for the times that the run was resumed.
        sentinels: The same for looks at the systems' sentinels.
        events: What happened, in order.
        responses: What the physics of layers answered before step 0; layers without are missing.
        result: How the run ended; None when it ended without a result.
        damaged_rows: Rows left out because they did not match their CRC; a kill can cost one.
        superseded_steps: Rows of steps that were lost, by a kill, and done again or to be done again.
        superseded_passes: Passes of those steps.
        schema: Version of the layout of the file.
        file_weights: The weights in `session.h5`; None when they were never written or don't match their hash.
    """

    folder: Path
    status: Ending
    message: str
    title: str
    created: str
    ended: str
    version: str
    seed: int
    configuration: Mapping[str, Any]
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    layers: tuple[str, ...]
    layer_systems: tuple[str, ...]
    systems: Mapping[str, Mapping[str, Any]]
    classes: tuple[str, ...]
    metrics: Mapping[str, str]
    steps: Mapping[str, NDArray[Any]]
    epochs: Mapping[str, NDArray[Any]]
    attempts: Mapping[str, NDArray[Any]]
    sentinels: Mapping[str, NDArray[Any]]
    events: tuple[Event, ...]
    responses: tuple[ResponseStatistics, ...]
    result: RunResult | None
    damaged_rows: int
    superseded_steps: int
    superseded_passes: int
    schema: int
    file_weights: KeptWeights | None

    def kind(self, system: str) -> str:
        """Kind of a system: `simulated`, `measured`, ..., or `not stated`."""
        return str(self.systems[system].get("kind", "not stated"))

    @property
    def kinds(self) -> str:
        """Kinds of the systems that layers used, for titles: `simulated`, or `measured and simulated`."""
        return " and ".join(sorted({self.kind(name) for name in self.layer_systems}))

    @property
    def checkpoints(self) -> list[Path]:
        """Checkpoint files, oldest epoch first; not verified."""
        return checkpoint.listed(self.folder / CHECKPOINTS)

    @property
    def characterisation_files(self) -> list[Path]:
        """Files of the characterisations of the run's systems, by name; not verified."""
        return sorted(self.folder.glob("characterisation-*.h5"))

    def characterisations(self) -> tuple[Characterisation, ...]:
        """Return what characterising the run's systems found, before its first step or later, oldest first.

        Raises:
            SessionError: One of the files can't be read.
        """
        from ..characterisation import load  # it writes its files as sessions do, and imports them

        return tuple(sorted(map(load, self.characterisation_files), key=lambda found: found.created))

    def frame(self, name: frames.TableName = "steps") -> pd.DataFrame:
        """Return a table for pandas: see `physnet.session.frames.frame`."""
        return frames.frame(self, name)

    def dataset(self) -> xr.Dataset:
        """Return steps and epochs with their axes and units, for xarray: see `physnet.session.frames.dataset`."""
        return frames.dataset(self)

    def timings(self) -> timings.Timings:
        """Return where the time went: see `physnet.session.timings.timings`."""
        return timings.timings(self)

    def weights(self) -> KeptWeights:
        """Return the final weights, or else those of the newest sound checkpoint; `source` says which.

        Raises:
            SessionError: There are neither.
        """
        if self.file_weights is not None:
            return self.file_weights
        problems = []
        for path in reversed(self.checkpoints):
            try:
                found = checkpoint.load(path)
            except SessionError as error:
                problems.append(str(error))
                continue
            if found.step == 0:
                continue  # the weights that a run begins with are nobody's result
            source = f"checkpoint of epoch {found.epoch + 1}"  # counted from 1 for people, as progress does
            return KeptWeights(tensors=found.tensors, sha256=found.sha256, source=source)
        why = " ".join(problems) or "It ended before its first checkpoint."
        raise SessionError(f"run {self.folder} has neither final weights nor a sound checkpoint. {why}")


def open_run(path: Path | str) -> Run:
    """Read a run.

    Args:
        path: A run folder, or the `session.h5` in it.

    Returns:
        The run as it was left. It holds no file open.

    Raises:
        SessionError: It is no run folder, the run is still going on, the file is cut short or damaged, or a newer
            physnet wrote it.
    """
    path = Path(path)
    file_path = path / SESSION if path.is_dir() else path
    if not file_path.is_file():
        raise SessionError(f"{path} is not a run folder: there is no {SESSION} in it. Give a folder that a run made.")
    try:
        if not h5py.is_hdf5(file_path):
            raise SessionError(f"{file_path} is not an HDF5 file. Give a run folder, or the {SESSION} in it.")
        file = h5py.File(file_path, "r")
    except OSError as error:
        raise SessionError(_refused(file_path, error)) from error
    with file:
        if "physnet_schema" not in file.attrs:
            raise SessionError(f"{file_path} is not a session of physnet: it has no physnet_schema. Give a run folder.")
        try:
            schema = int(file.attrs["physnet_schema"])
            if schema > layout.SCHEMA:
                newer = _text(file.attrs["physnet_version"])
                raise SessionError(
                    f"{file_path} has schema {schema}, written by physnet {newer}; this one reads up to "
                    f"{layout.SCHEMA}. Update physnet."
                )
            return _read(file, file_path.absolute().parent)
        except SessionError:
            raise
        except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise SessionError(
                f"{file_path} is damaged ({type(error).__name__}: {error}). Its {CHECKPOINTS} may be sound."
            ) from error


def _refused(path: Path, error: OSError) -> str:
    if isinstance(error, BlockingIOError) or "unable to lock" in str(error):
        return (
            f"run {path.parent} is still going on: another process is writing {path.name}. Try again when it has ended."
        )
    if isinstance(error, PermissionError):
        return f"{path} can't be read: permission denied. Ask whoever made the run for access."
    if "truncated" in str(error):
        return f"{path} is cut short ({error}). Copy it again from where it was written; checkpoints may be sound."
    return (
        f"{path} can't be opened as HDF5 ({error}). Copy it again from where it was written; checkpoints may be sound."
    )


def _read(file: h5py.File, folder: Path) -> Run:
    entry = file["entry"]
    layers = tuple(_text(group.attrs["name"]) for group in layout.ordered(entry["layers"]))
    metrics = json.loads(_text(entry["steps"].attrs["metrics"]))
    schema = int(file.attrs["physnet_schema"])
    tables = {
        name: table.read(entry[name], columns)
        for name, columns in layout.columns_of(metrics, len(layers), schema).items()
    }
    history = histories.current(tables, layout.columns_of(metrics, len(layers)))
    events = tables["events"].values
    status = _text(entry["result/status"][()])
    if status not in (*_ENDINGS, "running"):
        raise ValueError(f"status {status!r} is none of {_ENDINGS}")
    killed = status == "running"
    ending: Any = "killed" if killed else status
    systems = {
        _text(group.attrs["name"]): {"kind": _text(group.attrs["kind"]), **_json(group["spec"])}
        for group in layout.ordered(entry["systems"])
    }
    return Run(
        folder=folder,
        status=ending,
        message="no end was written" if killed else _text(entry["result/message"][()]),
        title=_text(entry["title"][()]),
        created=_text(file.attrs["created"]),
        ended=_text(entry["end_time"][()]),
        version=_text(file.attrs["physnet_version"]),
        seed=int(_text(entry["seed"][()])),
        configuration=_json(entry["configuration"]),
        environment=_json(entry["environment"]),
        data=_json(entry["data"]),
        layers=layers,
        layer_systems=tuple(_text(entry["layers"][layout.key(name)].attrs["system"]) for name in layers),
        systems=systems,
        classes=tuple(map(_text, entry["classes"][()])),
        metrics=metrics,
        steps=history.steps,
        epochs=history.epochs,
        attempts=history.attempts,
        sentinels=history.sentinels,
        events=tuple(
            Event(time=float(when), level=_text(level), message=_text(message))
            for when, level, message in zip(events["time"], events["level"], events["message"], strict=True)
        ),
        responses=tuple(filter(None, (_responses(entry, n, name) for n, name in enumerate(layers)))),
        result=None if killed else _result(entry["result"], ending),
        damaged_rows=sum(rows.damaged for rows in tables.values()),
        superseded_steps=history.superseded_steps,
        superseded_passes=history.superseded_passes,
        schema=schema,
        file_weights=_weights(entry["weights"]),
    )


def _responses(entry: h5py.Group, index: int, name: str) -> ResponseStatistics | None:
    group = entry["layers"][layout.key(name)]["response"]
    if int(group.attrs["rows"]) < 0:
        return None
    fields: dict[str, Any] = {
        name: np.asarray(group[name][()]) for name in ("mean", "deviation", "minimum", "maximum", "edges", "histogram")
    }
    fields.update({name: int(group.attrs[name]) for name in ("rows", "dead_channels", "clipped_rows")})
    unit = _text(group["mean"].attrs["units"])
    return ResponseStatistics(layer=index, unit=unit, **fields)


def _result(group: h5py.Group, status: Status) -> RunResult | None:
    if int(group["physical_passes"][()]) < 0:
        return None
    counts = {name: int(dataset[()]) for name, dataset in group["passes"].items()}
    return RunResult(
        status=status,
        test_accuracy=float(group["test_accuracy"][()]),
        validation_accuracy=float(group["validation_accuracy"][()]),
        layer_accuracy=tuple(map(float, group["layer_accuracy"][()])),
        confusion=np.asarray(group["confusion"][()]),
        physical_passes=int(group["physical_passes"][()]),
        passes={
            name: counts[name]
            for name in (*layout.PURPOSES, *sorted(set(counts) - set(layout.PURPOSES)))
            if counts.get(name, -1) >= 0
        },
        seconds=float(group["seconds"][()]),
        epochs=int(group["epochs"][()]),
        steps=int(group["steps"][()]),
        kept_epoch=int(group["kept_epoch"][()]),
        weights_sha256=_text(group["weights_sha256"][()]),
        baselines=_json(group["baselines"]),
        message=_text(group["message"][()]),
    )


def _weights(group: h5py.Group) -> KeptWeights | None:
    stored = _text(group.attrs["sha256"])
    datasets = list(group.values())
    if not stored or not all(int(dataset.attrs["written"]) for dataset in datasets):
        return None
    tensors = {_text(dataset.attrs["name"]): np.asarray(dataset[()]) for dataset in datasets}
    if sha256(tensors) != stored:
        return None
    return KeptWeights(tensors=tensors, sha256=stored, source="final weights")


def _json(dataset: h5py.Dataset) -> dict[str, Any]:
    value = json.loads(_text(dataset[()]))
    if not isinstance(value, dict):
        raise ValueError(f"{dataset.name} must hold a JSON object, got {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
