"""What a session file looks like inside. The only place that knows; writer and reader both ask here.

NeXus style: `NX_class`, `default`, `signal`, `axes`; `units` are UDUNITS strings; times are ISO 8601 with zone, or
POSIX seconds in tables::

    /                     @physnet_schema @physnet_version @created @default @run
    /entry                title, seed, classes, start_time, end_time, configuration, environment, data (JSON)
        systems/<name>    spec (JSON) @kind
        layers/<name>     @index @system; response/{histogram, edges, mean, deviation, minimum, maximum}
        steps             a table (see `table.py`): one row a step, one dataset a quantity
        epochs            a table: one row an epoch
        events            a table: one row a message
        attempts          a table: one row each time the run was resumed
        sentinels         a table: one row a look at a system's sentinels
        weights/<tensor>  the weights kept @written
        result            status, message, accuracies, confusion, passes by purpose, baselines (JSON)

What is not in rows has hashes: see `contents.py`.
"""

from __future__ import annotations

import datetime
import enum
import io
import json
import math
import os
import uuid
from collections.abc import Mapping
from typing import Any, cast

import h5py
import numpy as np

from ..errors import SessionError
from ..records import RunPlan
from . import contents, environment, table
from .attributes import attach
from .overlay import Overlay, in_place
from .table import Column

SCHEMA = 3
FORMAT = ("v110", "v110")
"""File format of HDF5 1.10 (2016): the oldest whose structure has checksums throughout."""
SESSION, CHECKPOINTS, RESERVE = "session.h5", "checkpoints", ".reserve"
PURPOSES = (
    *("standardise", "train", "validate", "test", "predict", "control", "calibrate", "sentinel", "repeated"),
    *("dark", "reference"),  # behind those that older files have: where names are lost, the order tells them
)
BINS = 64
TEXT = 512
"""Longest message, in bytes of UTF-8."""
AXES = {"steps": ["step", "."], "epochs": "epoch", "events": "time", "attempts": "attempt", "sentinels": "epoch"}
SIGNALS = ("steps", "epochs", "sentinels")
POSIX = "seconds since 1970-01-01 00:00:00 UTC"
ROOM = {"steps": (1024, 256), "epochs": (128, 128), "events": (128, 32), "attempts": (16, 16), "sentinels": (128, 128)}
"""Rows that each table has at first, and rows a chunk."""
MOST_ROOM = 65536
"""Most rows by which a table grows at once: what is held in memory meanwhile."""


def step_columns(metrics: Mapping[str, str], layers: int, schema: int = SCHEMA) -> tuple[Column, ...]:
    """Columns of `/entry/steps`."""
    newer = ("digital_seconds", "log_seconds", "idle_seconds") if schema > 1 else ()
    counted = ("parameter_writes", "cache_hits") if schema > 2 else ()
    return (
        *(Column(name=name, dtype="<i8") for name in ("step", "attempt", "epoch")),
        Column(name="time", dtype="<f8", units=POSIX),
        Column(name="seconds", dtype="<f8", units="s"),
        *(Column(name=name, dtype="<f8", width=layers, units=units) for name, units in metrics.items()),
        *(
            Column(name=name, dtype="<i8")
            for name in ("passes", "retries", "invalid", "clipped_drive", "clipped_response", *counted)
        ),
        Column(name="system_seconds", dtype="<f8", units="s"),
        *(Column(name=name, dtype="<f8", units="s") for name in newer),
        *((Column(name="joules", dtype="<f8", units="J"),) if schema > 1 else ()),
    )


def epoch_columns(layers: int, schema: int = SCHEMA) -> tuple[Column, ...]:
    """Columns of `/entry/epochs`."""
    return (
        Column(name="epoch", dtype="<i8"),
        *((Column(name="attempt", dtype="<i8"),) if schema > 1 else ()),
        Column(name="step", dtype="<i8"),
        Column(name="time", dtype="<f8", units=POSIX),
        Column(name="seconds", dtype="<f8", units="s"),
        Column(name="passes", dtype="<i8"),
        Column(name="validation_accuracy", dtype="<f8"),
        Column(name="layer_accuracy", dtype="<f8", width=layers),
    )


EVENT_COLUMNS = (
    Column(name="time", dtype="<f8", units=POSIX),
    Column(name="level", dtype="S8", units=""),
    Column(name="message", dtype=f"S{TEXT}", units=""),
)
ATTEMPT_COLUMNS = (
    Column(name="attempt", dtype="<i8"),
    Column(name="step", dtype="<i8"),
    Column(name="time", dtype="<f8", units=POSIX),
    Column(name="version", dtype="S32", units=""),
    Column(name="commit", dtype="S40", units=""),
    Column(name="platform", dtype="S64", units=""),
    Column(name="changes", dtype=f"S{TEXT}", units=""),
)
SENTINEL_COLUMNS = (
    *(Column(name=name, dtype="<i8") for name in ("epoch", "step", "attempt", "system")),
    Column(name="time", dtype="<f8", units=POSIX),
    Column(name="difference", dtype="<f8"),
    Column(name="drift", dtype="<f8"),
)


def columns_of(metrics: Mapping[str, str], layers: int, schema: int = SCHEMA) -> dict[str, tuple[Column, ...]]:
    """Columns of every table that a file of some schema has, by the name of its group."""
    older = {
        "steps": step_columns(metrics, layers, schema),
        "epochs": epoch_columns(layers, schema),
        "events": EVENT_COLUMNS,
    }
    return older if schema < 2 else {**older, "attempts": ATTEMPT_COLUMNS, "sentinels": SENTINEL_COLUMNS}


def now() -> str:
    """The time, as ISO 8601 with the zone of this computer."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def text(value: str, size: int = TEXT) -> bytes:
    """Encode text as UTF-8 of at most `size` bytes, cut between characters."""
    return value.replace("\0", " ").encode("utf-8", "replace")[:size].decode("utf-8", "ignore").encode()


def check(plan: RunPlan) -> None:
    """Check that a plan can be laid out.

    Raises:
        SessionError: Names clash or are empty, or lengths disagree.
    """
    layers = len(plan.layers)
    if layers == 0:
        raise SessionError("a run's plan must name at least one layer, got none.")
    for name in ("layer_systems", "response_channels"):
        if len(getattr(plan, name)) != layers:
            raise SessionError(
                f"{name} must have one entry per layer, got {len(getattr(plan, name))} for {layers} layers."
            )
    if missing := sorted(set(plan.layer_systems) - set(plan.systems)):
        raise SessionError(
            f"layer_systems must name systems of the plan, got {missing}; it has {sorted(plan.systems)}."
        )
    fixed = [column.name for column in step_columns({}, layers)] + [table.CRC]
    for what, names in {
        "layers": plan.layers,
        "systems": plan.systems,
        "tensors": plan.tensors,
        "metrics": (*fixed, *plan.metrics),
    }.items():
        keys = [key(name) for name in names]
        if twice := sorted({name for name in keys if keys.count(name) > 1}):
            raise SessionError(f"names of {what} must differ from each other, got {twice} more than once. Rename one.")


def key(name: str) -> str:
    """Name of the HDF5 object that holds what is called `name`; a slash would make a path of it.

    Raises:
        SessionError: HDF5 can't name anything so.
    """
    if not name or name == "." or "\0" in name:
        raise SessionError(f"a name in a session must be text other than '.', got {name!r}. Choose another.")
    return name.replace("/", "|")


def dump(what: str, value: Any) -> str:
    """Encode plain values as JSON.

    Raises:
        SessionError: `value` holds what JSON can't.
    """
    try:
        return json.dumps(value, default=_plain, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise SessionError(f"{what} must hold plain values only (numbers, text, lists, tables): {error}.") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"got {type(value).__name__}")


def build(plan: RunPlan, *, run: str = "") -> Overlay:
    """Make a whole session file in memory: every group, dataset and attribute that the run will need.

    Args:
        plan: The run.
        run: What tells the run from every other; made up when empty.

    Returns:
        An HDF5 file. What it does not hold of it, room for the weights, is zeros.

    Raises:
        SessionError: The plan can't be laid out.
    """
    check(plan)
    layers, classes = len(plan.layers), len(plan.classes)
    image = Overlay(cast(Any, io.BytesIO()))
    with environment.asked() as answer, h5py.File(image, "w", libver=FORMAT) as file:
        moment = now()
        attach(
            file,
            {
                "NX_class": "NXroot",
                "default": "entry",
                "created": moment,
                "creator": "physnet",
                "physnet_schema": SCHEMA,
                "run": run or uuid.uuid4().hex,
                "physnet_version": environment.version("physnet"),
            },
        )
        entry = _group(file, "entry", "NXentry", default="epochs")
        entry["title"] = plan.title.replace("\0", " ")
        entry["start_time"] = moment
        fixed(entry, "end_time", 40, "")
        entry["seed"] = str(plan.seed)  # seeds may have more than 64 bits
        entry.create_dataset("classes", data=list(plan.classes), dtype=h5py.string_dtype(), shape=(classes,))
        for name, value in {"configuration": plan.configuration, "environment": None, "data": plan.data}.items():
            entry[name] = dump(name, value)
            attach(entry[name], {"media_type": "application/json"})

        systems = _group(entry, "systems", "NXcollection")
        for index, (name, spec) in enumerate(plan.systems.items()):
            kind = str(spec.get("kind", "not stated"))
            group = _group(systems, key(name), "NXinstrument", name=name, kind=kind, index=index)
            group["spec"] = dump(f"the spec of system {name}", spec)
            attach(group["spec"], {"media_type": "application/json"})

        columns = columns_of(plan.metrics, layers)
        for name, axis in AXES.items():
            group = _group(entry, name, "NXdata" if name in SIGNALS else "NXcollection", axes=axis)
            attach(group, {"columns": dump(name, [column.name for column in columns[name]])})
            rows, chunk = ROOM[name]
            table.create(group, columns[name], rows=rows, chunk=chunk)
        signal = next(iter(plan.metrics), "seconds")
        attach(entry["steps"], {"signal": signal, "metrics": dump("metrics", plan.metrics)})
        attach(entry["epochs"], {"signal": "validation_accuracy"})
        attach(entry["sentinels"], {"signal": "drift"})

        parts = _group(entry, "layers", "NXcollection")
        for index, name in enumerate(plan.layers):
            layer = _group(parts, key(name), "NXcollection", name=name, index=index, system=plan.layer_systems[index])
            response = _group(layer, "response", "NXdata", signal="histogram", rows=-1)
            attach(response, {"dead_channels": 0, "clipped_rows": 0})
            unknown = np.full(plan.response_channels[index], np.nan)
            values: dict[str, Any] = dict.fromkeys(("mean", "deviation", "minimum", "maximum"), unknown)
            values |= {"histogram": np.full(BINS, -1, dtype=np.int64), "edges": np.full(BINS + 1, np.nan)}
            for field, array in values.items():
                response[field] = array
            counts = {"rows": -1, "dead_channels": 0, "clipped_rows": 0}
            contents.seal_responses(response, {**values, **counts, "unit": ""})

        weights = _group(entry, "weights", "NXcollection", sha256=np.array(b"", dtype="S64"))
        for name, tensor in plan.tensors.items():
            array = np.asarray(tensor)
            dataset = weights.create_dataset(key(name), shape=array.shape, dtype=array.dtype, dcpl=in_place())
            if not array.shape:
                dataset[()] = np.zeros_like(array)  # h5py gives no plan to a single number
            attach(dataset, {"name": name, "written": 0})

        result = _group(entry, "result", "NXcollection")
        values = {"status": "running", "message": "", "weights_sha256": "", "baselines": "{}"}
        for field, size in {"status": 16, "message": TEXT, "weights_sha256": 64, "baselines": 4096}.items():
            fixed(result, field, size, values[field])
        numbers: dict[str, float] = dict.fromkeys(("test_accuracy", "validation_accuracy", "seconds"), math.nan)
        numbers |= dict.fromkeys(("physical_passes", "epochs", "steps", "kept_epoch"), -1)
        for field, number in numbers.items():
            result[field] = np.float64(number) if isinstance(number, float) else np.int64(number)
        attach(result["seconds"], {"units": "s"})
        arrays = {"layer_accuracy": np.full(layers, np.nan), "confusion": np.full((classes, classes), -1, np.int64)}
        for field, array in arrays.items():
            result[field] = array
        attach(result["confusion"], {"long_name": "test samples by (true class, predicted class)"})
        passes = _group(result, "passes", "NXcollection")
        for purpose in PURPOSES:
            passes[purpose] = np.int64(-1)
        counts = {f"passes/{purpose}": -1 for purpose in PURPOSES}
        contents.seal_result(entry, {**values, **numbers, **arrays, **counts, "end_time": ""})
        entry["environment"][()] = dump("environment", {**answer(), "code": dict(plan.code)})
        contents.seal_description(file)
        ends = [(one.id.get_offset() or 0) + one.id.get_storage_size() for one in weights.values()]
    image.truncate(max([image.size, *ends]))  # HDF5 refuses a file that is shorter than it says itself
    return image


def _group(parent: h5py.Group, name: str, kind: str, /, **attributes: Any) -> h5py.Group:
    group = parent.create_group(name, track_order=False)
    attach(group, {"NX_class": kind, **attributes})
    return group


def fixed(group: h5py.Group, name: str, size: int, value: str) -> None:
    """Make a text of at most `size` bytes."""
    kind = h5py.string_dtype("utf-8", size)
    group.create_dataset(name, data=np.array(text(value, size), dtype=kind), dtype=kind)


def ordered(collection: h5py.Group) -> list[h5py.Group]:
    """Groups of the layers or of the systems, in the order of the plan."""
    return sorted(collection.values(), key=lambda group: int(group.attrs["index"]))
