"""A characterisation on disk: one HDF5 file, `characterisation-NAME.h5`, that appears whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import SessionError
from ..printable import printable
from ..records import PassCount
from ..session import environment
from ..session.contents import HASH, hashed, matches
from ..session.disk import write_whole
from ..session.layout import FORMAT
from ..session.safety import FAILURES, Source, opened, plain_json
from .quantities import CONFIDENCE, Characterisation, Quantity, Trace

SCHEMA = 3
"""1: the first. 2: a hash of all of it. 3: `run`, the run that it belongs to."""
PREFIX = "characterisation-"
_TEXTS = ("system", "count", "plan", "notes", "sentences")
_OF_QUANTITIES = ("units", "error", "floor", "resolved", "long_name")
_OF_TRACES = ("units", "long_name")


def save(found: Characterisation, folder: Path, *, run: str = "") -> Path:
    """Write a characterisation; one that is there already stays, and the new one gets a number.

    Args:
        found: What to write.
        folder: Where to; made if missing.
        run: What tells the run in whose folder it is kept from every other; empty for none.

    Returns:
        The file.

    Raises:
        SessionError: The folder can't be written to. No file is left.
    """
    plain = re.sub(r"[^\w.-]+", "-", found.name).strip("-.")[:80] or "system"
    part = folder / f".{PREFIX}{plain}.part-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(part, _image(found, run))
        path = _free(folder, plain)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise SessionError(
            f"the characterisation of {found.name} can't be written to {folder}: {error}. Choose another folder."
        ) from error
    return path


def load(path: Path, *, run: str = "") -> Characterisation:
    """Read a characterisation back.

    Args:
        path: A file that `save` wrote.
        run: The run that it must belong to; empty for any. A file that names none belongs to any.

    Raises:
        SessionError: It is no such file, it is damaged, a newer physnet wrote it, or it belongs to another run.
    """
    try:
        with opened(path) as source:
            marked = source.has(source.file, "physnet_characterisation")
            schema = int(source.attribute(source.file, "physnet_characterisation")) if marked else SCHEMA + 1
            if schema > SCHEMA:
                raise SessionError(f"{path} is no characterisation that this physnet reads. Update physnet.")
            entry = source.group(source.file, "entry")
            owner = str(source.attribute(entry, "run")) if schema > 2 else ""
            found = _read(source, schema)
            if run and owner and run != owner:
                raise SessionError(f"{path} belongs to another run than the session beside it. Take it away.")
            return found
    except SessionError:
        raise
    except FAILURES as error:
        said = printable(f"{type(error).__name__}: {error}")
        raise SessionError(f"{path} can't be read as a characterisation ({said}). Measure again.") from error


def _free(folder: Path, name: str) -> Path:
    path, number = folder / f"{PREFIX}{name}.h5", 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{PREFIX}{name}-{number}.h5"
    return path


def _image(found: Characterisation, run: str) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=FORMAT) as file:
        file.attrs["NX_class"], file.attrs["creator"] = "NXroot", "physnet"
        file.attrs["physnet_characterisation"], file.attrs["physnet_version"] = SCHEMA, environment.version("physnet")
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry.attrs["name"], entry.attrs["kind"], entry.attrs["created"] = found.name, found.kind, found.created
        entry.attrs["seed"], entry.attrs["confidence"], entry.attrs["run"] = str(found.seed), CONFIDENCE, run
        entry["seconds"] = found.seconds
        entry["seconds"].attrs["units"] = "s"
        for name, value in {
            "system": found.system,
            "environment": environment.describe(),
            "count": dataclasses.asdict(found.count),
            "plan": dict(found.plan),
            "notes": list(found.notes),
            "sentences": list(found.sentences),
        }.items():
            entry[name] = json.dumps(value, default=_plain, ensure_ascii=False)
            entry[name].attrs["media_type"] = "application/json"
        quantities = entry.create_group("quantities", track_order=True)
        for name, quantity in found.quantities.items():
            dataset = quantities.create_dataset(name, data=quantity.value)
            dataset.attrs.update(
                {
                    "units": quantity.unit,
                    "error": quantity.error,
                    "floor": quantity.floor,
                    "resolved": int(quantity.resolved),
                    "long_name": quantity.about,
                }
            )
        traces = entry.create_group("traces", track_order=True)
        for name, trace in found.traces.items():
            dataset = traces.create_dataset(name, data=trace.values)
            dataset.attrs.update({"units": trace.unit, "long_name": trace.about})
        entry.attrs[HASH] = hashed(_values(Source(file)))
    return buffer.getvalue()


def _values(source: Source) -> dict[str, Any]:
    """Read everything: numbers, arrays and text by name."""
    entry = source.group(source.file, "entry")
    names = ("name", "kind", "created", "seed", *(("run",) if source.has(entry, "run") else ()))
    values: dict[str, Any] = {name: source.attribute(entry, name) for name in names}
    values["seconds"] = source.number(entry, "seconds")
    values |= {name: source.text(entry, name) for name in _TEXTS}
    for kind, attributes in {"quantities": _OF_QUANTITIES, "traces": _OF_TRACES}.items():
        group = source.group(entry, kind)
        # in their order in the file, which says how to show them
        for name in group:
            array = values[f"{kind}/{name}"] = source.array(group, name)
            if array.dtype.kind not in "biuf":
                raise ValueError(f"{name} must be numbers")
            dataset = source.dataset(group, name)
            values |= {f"{kind}/{name}@{key}": source.attribute(dataset, key) for key in attributes}
    return values


def _read(source: Source, schema: int) -> Characterisation:
    values = _values(source)
    # Schema 1 had no hash.
    if schema > 1 and not matches(source, source.group(source.file, "entry"), hashed(values)):
        raise ValueError("it does not match its hash")
    plain = {name: plain_json(values[name]) for name in _TEXTS}
    quantities = [name for name in values if name.startswith("quantities/") and "@" not in name]
    traces = [name for name in values if name.startswith("traces/") and "@" not in name]
    if not all(isinstance(plain[name], dict) for name in ("system", "count", "plan")):
        raise ValueError("it does not say what was measured")
    return Characterisation(
        name=str(values["name"]),
        kind=str(values["kind"]),
        system=plain["system"],
        seed=int(values["seed"]),
        created=str(values["created"]),
        seconds=float(values["seconds"]),
        count=PassCount(**{str(name): _number(value) for name, value in plain["count"].items()}),
        plan={str(name): int(value) for name, value in plain["plan"].items()},
        quantities={
            name.partition("/")[2]: Quantity(
                value=float(values[name]),
                error=float(values[f"{name}@error"]),
                floor=float(values[f"{name}@floor"]),
                unit=str(values[f"{name}@units"]),
                resolved=bool(values[f"{name}@resolved"]),
                about=str(values[f"{name}@long_name"]),
            )
            for name in quantities
        },
        traces={
            name.partition("/")[2]: Trace(
                values=np.asarray(values[name]),
                unit=str(values[f"{name}@units"]),
                about=str(values[f"{name}@long_name"]),
            )
            for name in traces
        },
        notes=tuple(map(str, plain["notes"])),
        sentences=tuple(map(str, plain["sentences"])),
    )


def _number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise ValueError(f"it counts {type(value).__name__}")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
