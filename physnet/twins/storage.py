"""Twins in files: `.npz` without pickle, replaced atomically, checked when read."""

from __future__ import annotations

import io
import json
import math
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SessionError, SpecError, StorageError
from ..plain_files import open_plain
from ..raw.spec import shapes_in, spec_from_json, spec_to_json
from ..session import disk
from ..weights import sha256
from .fit import Twin, TwinReport
from .model import HEADS, KINDS, Model

RECORD = "__twin__"
FORMAT = 1
_MOST_HEADER = 1 << 14


def file_name(system: str, kind: str) -> str:
    """Name the file of a twin: what a file name can't hold becomes `-`."""
    plain = re.sub(r"[^\w.-]+", "-", system, flags=re.ASCII).strip("-.")[:60] or "system"
    return f"twin-{plain}-{kind}.npz"


def save_twin(twin: Twin, path: Path) -> str:
    """Write a twin: to a temporary file first, so that its name always holds a whole one.

    Returns:
        The hash of its numbers.

    Raises:
        StorageError: The disk refused. No temporary file is left.
    """
    tensors = twin.model.tensors()
    record = {
        "format": FORMAT,
        "kind": twin.model.kind,
        "head": twin.model.head,
        "system": twin.system,
        "spec": spec_to_json(twin.spec),
        "report": twin.report.as_dict(),
        "source": twin.source,
    }
    # The whole record under the checksum, not the numbers alone.
    encoded = np.frombuffer(json.dumps(record, ensure_ascii=False, default=str).encode(), dtype=np.uint8)
    digest = sha256({RECORD: encoded, **tensors})
    arrays = {RECORD: encoded, "sha256": np.frombuffer(digest.encode(), dtype=np.uint8), **tensors}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # ZipInfo's fixed date makes equal twins equal files
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
    part = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        disk.write_whole(part, buffer.getvalue())
        disk.replace(part, path)
    except OSError as error:
        raise StorageError(f"twin {path} can't be written: {error}. Give another file with -o.") from error
    finally:
        part.unlink(missing_ok=True)
    return digest


def load_twin(path: Path) -> tuple[Twin, str]:
    """Read a twin and verify all of it.

    Returns:
        The twin, and the hash of its file's content.

    Raises:
        SessionError: It is missing, is no twin, is damaged, or a newer physnet wrote it.
    """
    path = Path(path)
    if not path.exists():
        raise SessionError(f"there is no twin {path}. Make one: physnet twin RUN.")
    try:
        arrays = _arrays(path)
        digest = arrays.pop("sha256").tobytes().decode()
        if sha256(arrays) != digest:
            raise ValueError("its content does not match its checksum")
        record = json.loads(arrays.pop(RECORD).tobytes())
        if int(record["format"]) > FORMAT:
            raise SessionError(f"twin {path} has format {record['format']}, this one reads {FORMAT}. Update physnet.")
        kind, head = record["kind"], record["head"]
        if kind not in KINDS or head not in HEADS:
            raise ValueError(f"it is of an unknown kind, {kind!r} with {head!r}")
        model = Model.from_tensors(kind, head, arrays)
        return _twin(model, record), digest
    except SessionError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RuntimeError,
        NotImplementedError,
        MemoryError,
        RecursionError,
        SyntaxError,
        SpecError,
    ) as error:
        raise SessionError(f"{path} is not a sound twin ({error}). Make it again: physnet twin RUN.") from error


def _twin(model: Model, record: dict[str, Any]) -> Twin:
    # Against the numbers that are really there, before a spec takes memory by what it declares.
    drives, responses = (math.prod(shape) for shape in shapes_in(record["spec"]))
    if model.mean_F.size not in (drives, 2 * drives) or model.values != responses:
        raise ValueError(f"its numbers are not those of a system with {drives} drives and {responses} responses")
    report: dict[str, Any] = {name: math.nan if value is None else value for name, value in record["report"].items()}
    return Twin(
        model=model,
        spec=spec_from_json(record["spec"]),
        system=str(record["system"]),
        report=TwinReport(**report),
        source=dict(record["source"]),
    )


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an uncompressed `.npz`, none larger than what the file holds of it."""
    arrays: dict[str, NDArray[Any]] = {}
    with open_plain(path) as stream, zipfile.ZipFile(stream) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > os.fstat(stream.fileno()).st_size:
            raise ValueError("it declares more than it holds")
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise ValueError(f"{entry.filename} is compressed")
            data = archive.read(entry)
            buffer = io.BytesIO(data)
            if np.lib.format.read_magic(buffer) != (1, 0):
                raise ValueError(f"{entry.filename} has another format")
            try:
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(buffer, max_header_size=_MOST_HEADER)
            except Exception as error:  # NumPy lets through whatever Python's own parsers say of a header
                raise ValueError(f"{entry.filename} does not describe itself ({error})") from error
            rest = data[buffer.tell() :]
            if dtype.hasobject or fortran or math.prod(shape) * dtype.itemsize != len(rest):
                raise ValueError(f"{entry.filename} does not hold what it declares")
            arrays[entry.filename.removesuffix(".npy")] = np.frombuffer(rest, dtype).reshape(shape)
    return arrays
