"""What a session says beside its rows, each part with a hash, so that damage can't pass for what was recorded.

Rows have a CRC each, and the weights a hash of their own. HDF5's own checksums cover its structure (see
`layout.FORMAT`) and none of the values. The parts, and where their hash is, an attribute `contents_sha256`:

| part | hash at |
|---|---|
| description: title, seed, classes, layers, systems, metrics, tensors, versions | `/entry` |
| configuration, environment, data: the text itself | the dataset |
| result, with `end_time` | `/entry/result` |
| responses of a layer | its `response` |
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import h5py
import numpy as np

from ..weights import sha256
from .attributes import attach
from .safety import Source

HASH = "contents_sha256"
TEXTS = ("configuration", "environment", "data")
"""Parts of the description that a run can be read without."""
MEASURED = ("mean", "deviation", "minimum", "maximum", "histogram", "edges")
COUNTED = ("rows", "dead_channels", "clipped_rows")
RESULTS = ("test_accuracy", "validation_accuracy", "seconds", "physical_passes", "epochs", "steps", "kept_epoch")


@dataclass(frozen=True, kw_only=True)
class Named:
    """A layer or a system.

    Args:
        key: Name of its group.
        name: What it is called.
        index: Its number in the plan.
        about: A layer's system, or a system's kind.
        spec: A system's spec, JSON.
    """

    key: str
    name: str
    index: int
    about: str
    spec: str = ""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a session can't be read without.

    Args:
        run: Tells the run from every other; empty in schema 1.
        schema: Version of the layout.
        version: Version of physnet that made it.
        created: Time at which it was made.
        title: One line.
        seed: The run's seed.
        classes: Names of the classes.
        layers, systems: In the order of the plan.
        metrics: JSON: unit of each metric, by name.
        tensors: Key, name, type and shape of each tensor.
    """

    run: str
    schema: int
    version: str
    created: str
    title: str
    seed: str
    classes: tuple[str, ...]
    layers: tuple[Named, ...]
    systems: tuple[Named, ...]
    metrics: str
    tensors: tuple[tuple[str, str, str, tuple[int, ...]], ...]

    @property
    def sha256(self) -> str:
        """Hash of all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def describe(source: Source) -> Description:
    """Read the description. It is not verified."""
    file = source.file
    entry = source.group(file, "entry")
    layers, systems = source.group(entry, "layers"), source.group(entry, "systems")
    weights = source.group(entry, "weights")
    tensors = []
    for key in source.names(weights):
        dataset = source.dataset(weights, key)
        kind = "|b1" if dataset.dtype.kind == "b" else dataset.dtype.str
        tensors.append((key, str(source.attribute(dataset, "name")), kind, tuple(map(int, dataset.shape))))
    return Description(
        run=str(source.attribute(file, "run")) if source.has(file, "run") else "",
        schema=int(source.attribute(file, "physnet_schema")),
        version=str(source.attribute(file, "physnet_version")),
        created=str(source.attribute(file, "created")),
        title=source.text(entry, "title"),
        seed=source.text(entry, "seed"),
        classes=source.texts(entry, "classes"),
        layers=tuple(
            sorted((_named(source, layers, key, "system") for key in source.names(layers)), key=lambda one: one.index)
        ),
        systems=tuple(
            sorted((_named(source, systems, key, "kind") for key in source.names(systems)), key=lambda one: one.index)
        ),
        metrics=str(source.attribute(source.group(entry, "steps"), "metrics")),
        tensors=tuple(tensors),
    )


def _named(source: Source, parent: h5py.Group, key: str, about: str) -> Named:
    group = source.group(parent, key)
    return Named(
        key=key,
        name=str(source.attribute(group, "name")),
        index=int(source.attribute(group, "index")),
        about=str(source.attribute(group, about)),
        spec=source.text(group, "spec") if about == "kind" else "",
    )


def result(source: Source, entry: h5py.Group) -> dict[str, Any]:
    """Read the values of the result: numbers, arrays and text by name. They are not verified."""
    group = source.group(entry, "result")
    values: dict[str, Any] = {name: source.number(group, name) for name in RESULTS}
    values |= {name: source.array(group, name) for name in ("layer_accuracy", "confusion")}
    values |= {name: source.text(group, name) for name in ("status", "message", "weights_sha256", "baselines")}
    passes = source.group(group, "passes")
    values |= {f"passes/{name}": source.number(passes, name) for name in source.names(passes)}
    return {**values, "end_time": source.text(entry, "end_time")}


def responses(source: Source, group: h5py.Group) -> dict[str, Any]:
    """Read the values of a layer's response statistics by name. They are not verified."""
    values: dict[str, Any] = {name: source.array(group, name) for name in MEASURED}
    values |= {name: int(source.attribute(group, name)) for name in COUNTED}
    mean = source.dataset(group, "mean")
    return {**values, "unit": str(source.attribute(mean, "units")) if source.has(mean, "units") else ""}


def hashed(values: Mapping[str, Any]) -> str:
    """Hash numbers, arrays and text by name: as weights are, text as the bytes of its UTF-8."""
    return sha256(
        {
            name: np.frombuffer(encoded(value), np.uint8) if isinstance(value, str) else np.asarray(value)
            for name, value in values.items()
        }
    )


def encoded(text: str) -> bytes:
    """Return text as bytes; what was no UTF-8 in the file is as it was there."""
    return text.encode("utf-8", "surrogateescape")


def matches(source: Source, obj: h5py.Group | h5py.Dataset, found: str) -> bool:
    """Whether the hash of a part is the one that was stored with it."""
    return source.has(obj, HASH) and source.attribute(obj, HASH) == found


def seal_description(file: h5py.File) -> None:
    """Store the hashes of the description, and of the texts beside it. It changes the structure the first time."""
    source, entry = Source(file), file["entry"]
    for name in TEXTS:
        _store(entry[name], hashlib.sha256(encoded(source.text(entry, name))).hexdigest())
    _store(entry, describe(source).sha256)


def seal_result(entry: h5py.Group, values: Mapping[str, Any] | None = None) -> None:
    """Store the hash of the result. It changes the structure the first time.

    Args:
        entry: The group with the result.
        values: What `result` would read; None to read it.
    """
    _store(entry["result"], hashed(result(Source(entry.file), entry) if values is None else values))


def seal_responses(group: h5py.Group, values: Mapping[str, Any] | None = None) -> None:
    """Store the hash of a layer's response statistics. It changes the structure the first time.

    Args:
        group: The statistics.
        values: What `responses` would read; None to read it.
    """
    _store(group, hashed(responses(Source(group.file), group) if values is None else values))


def _store(obj: h5py.Group | h5py.Dataset, digest: str) -> None:
    value = np.array(digest.encode(), dtype="S64")
    if HASH in obj.attrs:
        obj.attrs.modify(HASH, value)  # in place
    else:
        attach(obj, {HASH: value})
