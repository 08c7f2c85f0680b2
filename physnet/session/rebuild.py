"""A clean session file of the present schema, made of what is left of another."""

from __future__ import annotations

import datetime
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..records import RunPlan
from . import contents, environment, filling, layout, table
from .migrate import upgraded
from .remains import LOST, Remains
from .table import CRC, Column

_NOTES = "recovered"


def rebuild(left: Remains, notes: Sequence[str], *, run: str = "") -> bytes:
    """Make the file.

    Args:
        left: What is left.
        notes: What was lost or changed, for the record: an event each.
        run: What tells the run from every other, for a file that does not say; made up when empty.

    Returns:
        The bytes of an HDF5 file.

    Raises:
        SessionError: It can't be laid out.
    """
    about = left.about
    plan = RunPlan(
        title=about.title,
        configuration={},
        seed=int(about.seed),
        layers=tuple(one.name for one in about.layers),
        metrics=left.metrics,
        classes=about.classes,
        systems={one.name: left.systems[one.name] for one in about.systems},
        layer_systems=tuple(one.about for one in about.layers),
        response_channels=tuple(_channels(left, number) for number in range(len(about.layers))),
        tensors=left.tensors,
        data={},
    )
    buffer = io.BytesIO(layout.build(plan, run=about.run or run).whole())
    with h5py.File(buffer, "r+", libver=layout.FORMAT) as file:
        entry = file["entry"]
        file.attrs["created"], file.attrs["physnet_version"] = about.created, about.version
        entry["start_time"][()] = left.start_time
        entry["title"][()] = contents.encoded(about.title)
        entry["classes"][()] = list(about.classes)
        for one in about.systems:
            entry["systems"][layout.key(one.name)].attrs["kind"] = one.about
            entry["systems"][layout.key(one.name)]["spec"][()] = contents.encoded(one.spec)
        for name in contents.TEXTS:
            entry[name][()] = contents.encoded(left.texts[name] or "{}")
        tables = {
            name: upgraded(left.tables[name].rows if name in left.tables else None, columns)
            for name, columns in _columns(left).items()
        }
        tables["attempts"] = _attempts(tables["attempts"], tables["steps"])
        tables["events"] = _events(tables["events"], notes)
        for name, rows in tables.items():
            _write(entry[name], _columns(left)[name], rows)
        for statistics in left.responses:
            where = entry["layers"][layout.key(plan.layers[statistics.layer])]["response"]
            filling.write_responses(where, statistics)
        if left.weights is not None:
            _write_weights(entry["weights"], *left.weights)
        if left.end.result is not None:
            filling.write_result(entry, left.end.result, None)
        filling.write_end(entry, left.end.status, left.end.message)
        entry["end_time"][()] = layout.text(left.end.time, 40)
        contents.seal_result(entry)
        contents.seal_description(file)
        for name in (name for name in contents.TEXTS if left.texts[name] is None):
            entry[name].attrs.modify(contents.HASH, np.array(LOST.encode(), dtype="S64"))
        if notes:
            past = json.loads(left.history)
            now = {"time": layout.now(), "version": environment.version("physnet"), "notes": list(notes)}
            entry.attrs[_NOTES] = json.dumps([*(past if isinstance(past, list) else []), now])
    return buffer.getvalue()


def last_time(left: Remains) -> str:
    """Return the time of the last row that is left, as ISO 8601 with zone; when it was made where there is none."""
    times = [
        float(time)
        for rows in (one.rows for one in left.tables.values())
        if rows.dtype.names and "time" in rows.dtype.names
        for time in rows["time"]
        if 0 < time < 1e11
    ]
    if not times:
        return left.about.created
    return datetime.datetime.fromtimestamp(max(times)).astimezone().isoformat(timespec="seconds")


def _channels(left: Remains, number: int) -> int:
    """Return how many channels a layer's response has: as it was measured, or as its system is said to have."""
    for statistics in left.responses:
        if statistics.layer == number:
            return len(statistics.mean)
    response = left.systems[left.about.layers[number].about].get("response")
    shape = response.get("shape") if isinstance(response, Mapping) else None
    if isinstance(shape, list) and all(isinstance(length, int) and 0 <= length < 1 << 24 for length in shape):
        return min(math.prod(shape), 1 << 24)
    return 1


def _columns(left: Remains) -> dict[str, tuple[Column, ...]]:
    return layout.columns_of(left.metrics, len(left.about.layers))


def _attempts(attempts: NDArray[Any], steps: NDArray[Any]) -> NDArray[Any]:
    """Add the rows of attempts that are lost: their steps tell where they began, and the next one must count on."""
    for number in np.unique(steps["attempt"]).tolist():
        if number > 0 and number not in attempts["attempt"]:
            first = steps[steps["attempt"] == number]
            row = np.zeros(1, attempts.dtype)
            row["attempt"], row["step"], row["time"] = number, first["step"].min(), first["time"].min()
            row["changes"] = b"the row of this attempt was lost; where it began is from its first step"
            attempts = np.concatenate([attempts, row])
    return attempts[np.argsort(attempts["attempt"], kind="stable")]


def _events(events: NDArray[Any], notes: Sequence[str]) -> NDArray[Any]:
    rows = np.zeros(len(notes), events.dtype)
    for row, note in zip(rows, notes, strict=True):
        row["time"], row["level"] = datetime.datetime.now().timestamp(), b"warning"
        row["message"] = layout.text(f"recovered: {note}")
    return np.concatenate([events, rows])


def _write(group: h5py.Group, columns: Sequence[Column], rows: NDArray[Any]) -> None:
    table.resize(group, columns, len(rows))
    if not len(rows):
        return
    size, data = rows.dtype.itemsize, rows.tobytes()
    for column in columns:
        dataset = group[column.name].id
        # in the file's own type: h5py takes the bytes of a packed row for ASCII, and HDF5 won't make UTF-8 of that
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(rows[column.name]), dataset.get_type())
    checks = [zlib.crc32(data[k * size : (k + 1) * size]) for k in range(len(rows))]
    group[CRC][...] = np.array(checks, "<u4")


def _write_weights(group: h5py.Group, tensors: Mapping[str, NDArray[Any]], digest: str) -> None:
    for name, value in tensors.items():
        group[layout.key(name)][...] = value
        group[layout.key(name)].attrs.modify("written", 1)
    group.attrs.modify("sha256", np.array(digest.encode(), dtype="S64"))
