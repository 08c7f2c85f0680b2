"""Reading a run folder back, however its run ended."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..errors import SessionError
from ..printable import printable
from ..records import ResponseStatistics, RunResult, Status, Tensors
from . import checkpoint, frames, histories, layout, timings
from .layout import CHECKPOINTS, SESSION
from .parts import Parts
from .safety import FAILURES, NotHDF5, Source, opened

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from ..characterisation import Characterisation

Ending = Status
_WAY_OUT = "Copy it again from where it was written, or save what is sound: physnet recover. Checkpoints may be sound."


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
        identifier: Tells the run from every other; empty in files of schema 1.
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
        damaged_parts: What else was left out, in words, because it did not match its hash or can't be read:
            configuration, environment and data are empty then, tables have no rows, the others are None or missing.
        superseded_steps: Rows of steps that were lost, by a kill, and done again or to be done again.
        superseded_passes: Passes of those steps.
        schema: Version of the layout of the file.
        file_weights: The weights in `session.h5`; None when they were never written or don't match their hash.
    """

    folder: Path
    identifier: str
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
    damaged_parts: tuple[str, ...]
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
            SessionError: One of the files can't be read, or belongs to another run.
        """
        from ..characterisation import load  # it writes its files as sessions do, and imports them

        found = (load(path, run=self.identifier) for path in self.characterisation_files)
        return tuple(sorted(found, key=lambda one: one.created))

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
                found = checkpoint.load(path, run=self.identifier)
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
    if not os.path.lexists(file_path):
        raise SessionError(f"{path} is not a run folder: there is no {SESSION} in it. Give a folder that a run made.")
    try:
        with opened(file_path) as source:
            return _read(source, file_path.absolute().parent)
    except SessionError:
        raise
    except BlockingIOError as error:
        raise SessionError(
            f"run {file_path.absolute().parent} is still going on: another process is writing {file_path.name}. Try "
            "again when it has ended."
        ) from error
    except FAILURES as error:
        raise SessionError(_refused(file_path, error)) from error


def _refused(path: Path, error: BaseException) -> str:
    said = printable(str(error))
    if isinstance(error, NotHDF5):
        return f"{path} is not an HDF5 file. Give a run folder, or the {SESSION} in it."
    if "truncated" in said:
        return f"{path} is cut short ({said}). {_WAY_OUT}"
    return f"{path} is damaged ({type(error).__name__}: {said}). {_WAY_OUT}"


def _read(source: Source, folder: Path) -> Run:
    file = source.file
    if not source.has(file, "physnet_schema"):
        raise SessionError(
            f"{folder / SESSION} is not a session of physnet: it has no physnet_schema. Give a run folder."
        )
    schema = int(source.attribute(file, "physnet_schema"))
    if schema > layout.SCHEMA:
        newer = printable(str(source.attribute(file, "physnet_version")))
        raise SessionError(
            f"{folder / SESSION} has schema {schema}, written by physnet {newer}; this one reads up to "
            f"{layout.SCHEMA}. Update physnet."
        )
    parts = Parts(source)
    about, texts, tables, end = parts.about, parts.texts(), parts.tables(), parts.end()
    history = histories.current(tables, layout.columns_of(parts.metrics, len(about.layers)))
    events, responses, weights = tables["events"].values, parts.responses(), parts.weights()
    return Run(
        folder=folder,
        identifier=about.run,
        status=end.status,
        message=end.message,
        title=about.title,
        created=about.created,
        ended=end.time,
        version=about.version,
        seed=int(about.seed),
        configuration=texts["configuration"],
        environment=texts["environment"],
        data=texts["data"],
        layers=tuple(one.name for one in about.layers),
        layer_systems=tuple(one.about for one in about.layers),
        systems=parts.systems,
        classes=about.classes,
        metrics=parts.metrics,
        steps=history.steps,
        epochs=history.epochs,
        attempts=history.attempts,
        sentinels=history.sentinels,
        events=tuple(
            Event(time=float(when), level=level.decode("utf-8", "replace"), message=message.decode("utf-8", "replace"))
            for when, level, message in zip(events["time"], events["level"], events["message"], strict=True)
        ),
        responses=responses,
        result=end.result,
        damaged_rows=sum(rows.damaged for rows in tables.values()),
        damaged_parts=tuple(parts.damaged),
        superseded_steps=history.superseded_steps,
        superseded_passes=history.superseded_passes,
        schema=schema,
        file_weights=None
        if weights is None
        else KeptWeights(tensors=weights[0], sha256=weights[1], source="final weights"),
    )
