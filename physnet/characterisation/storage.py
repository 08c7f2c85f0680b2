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
from ..records import PassCount
from ..session import environment
from ..session.disk import write_whole
from .quantities import CONFIDENCE, Characterisation, Quantity, Trace

SCHEMA = 1
PREFIX = "characterisation-"


def save(found: Characterisation, folder: Path) -> Path:
    """Write a characterisation; one that is there already stays, and the new one gets a number.

    Args:
        found: What to write.
        folder: Where to; made if missing.

    Returns:
        The file.

    Raises:
        SessionError: The folder can't be written to. No file is left.
    """
    plain = re.sub(r"[^\w.-]+", "-", found.name).strip("-.")[:80] or "system"
    part = folder / f".{PREFIX}{plain}.part-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(part, _image(found))
        path = _free(folder, plain)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise SessionError(
            f"the characterisation of {found.name} can't be written to {folder}: {error}. Choose another folder."
        ) from error
    return path


def load(path: Path) -> Characterisation:
    """Read a characterisation back.

    Raises:
        SessionError: It is no such file, it is damaged, or a newer physnet wrote it.
    """
    try:
        with h5py.File(path, "r") as file:
            if int(file.attrs.get("physnet_characterisation", SCHEMA + 1)) > SCHEMA:
                raise SessionError(f"{path} is no characterisation that this physnet reads. Update physnet.")
            return _read(file)
    except SessionError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError) as error:
        raise SessionError(
            f"{path} can't be read as a characterisation ({type(error).__name__}: {error}). Measure again."
        ) from error


def _free(folder: Path, name: str) -> Path:
    path, number = folder / f"{PREFIX}{name}.h5", 1
    while os.path.lexists(path):
        number += 1
        path = folder / f"{PREFIX}{name}-{number}.h5"
    return path


def _image(found: Characterisation) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["NX_class"], file.attrs["creator"] = "NXroot", "physnet"
        file.attrs["physnet_characterisation"], file.attrs["physnet_version"] = SCHEMA, environment.version("physnet")
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry.attrs["name"], entry.attrs["kind"], entry.attrs["created"] = found.name, found.kind, found.created
        entry.attrs["seed"], entry.attrs["confidence"] = str(found.seed), CONFIDENCE
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
    return buffer.getvalue()


def _read(file: h5py.File) -> Characterisation:
    entry = file["entry"]
    plain = {name: json.loads(entry[name][()]) for name in ("system", "count", "plan", "notes", "sentences")}
    return Characterisation(
        name=str(entry.attrs["name"]),
        kind=str(entry.attrs["kind"]),
        system=plain["system"],
        seed=int(entry.attrs["seed"]),
        created=str(entry.attrs["created"]),
        seconds=float(entry["seconds"][()]),
        count=PassCount(**plain["count"]),
        plan=plain["plan"],
        quantities={
            name: Quantity(
                value=float(dataset[()]),
                error=float(dataset.attrs["error"]),
                floor=float(dataset.attrs["floor"]),
                unit=str(dataset.attrs["units"]),
                resolved=bool(dataset.attrs["resolved"]),
                about=str(dataset.attrs["long_name"]),
            )
            for name, dataset in entry["quantities"].items()
        },
        traces={
            name: Trace(
                values=np.asarray(dataset[()]),
                unit=str(dataset.attrs["units"]),
                about=str(dataset.attrs["long_name"]),
            )
            for name, dataset in entry["traces"].items()
        },
        notes=tuple(plain["notes"]),
        sentences=tuple(plain["sentences"]),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
