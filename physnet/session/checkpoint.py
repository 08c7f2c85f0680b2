"""All that a run needs to go on, in small files: `.npz` without pickle, replaced atomically, checked when read."""

from __future__ import annotations

import io
import json
import math
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import SessionError
from ..plain_files import open_plain
from ..printable import printable
from ..records import Snapshot, Tensors
from ..weights import sha256
from . import disk
from .safety import FAILURES, is_folder, plain_json

RECORD = "__checkpoint__"
MORE = "__more__/"
FORMAT = 2
_NAME = re.compile(r"epoch-(\d{6,})(?:-step-(\d{9,}))?\.npz")


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """Where a run stood.

    Args:
        path: The file it came from.
        epoch: The epoch just done, or the one it was in, from 0.
        step: Steps done by then.
        tensors: Every weight and rule tensor, by name.
        sha256: Their hash, as `physnet.weights.sha256` computes it.
        complete: Whether the epoch was done.
        state: Counters and choices; empty in a file of format 1, from which no run can go on.
        arrays: What else the run remembered.
    """

    path: Path
    epoch: int
    step: int
    tensors: Tensors
    sha256: str
    complete: bool = True
    state: Mapping[str, Any] = field(default_factory=dict)
    arrays: Tensors = field(default_factory=dict)

    @property
    def snapshot(self) -> Snapshot:
        """What a trainer goes on from.

        Raises:
            SessionError: The file holds weights only.
        """
        if not self.state:
            raise SessionError(
                f"checkpoint {self.path} holds weights only, as physnet 0.1 wrote them: no run can go on from it. "
                "Evaluate it, or train again."
            )
        return Snapshot(
            epoch=self.epoch + self.complete,
            step=self.step,
            complete=self.complete,
            tensors=self.tensors,
            state=self.state,
            arrays=self.arrays,
        )


def save(folder: Path, snapshot: Snapshot, *, run: str = "") -> Path:
    """Write a checkpoint: to a temporary file first, so that its name always holds a whole one.

    Args:
        folder: An existing folder.
        snapshot: Where the run stands; its arrays hold no Python objects.
        run: What tells the run from every other.

    Returns:
        The file: `epoch-000012.npz` after epoch 12, `epoch-000012-step-000000345.npz` within it.

    Raises:
        ValueError: An array can't be stored.
        OSError: The disk refused. No temporary file is left.
    """
    check(snapshot)
    tensors, epoch = snapshot.tensors, snapshot.epoch - snapshot.complete
    record = {
        "format": FORMAT,
        "run": run,
        "epoch": epoch,
        "step": snapshot.step,
        "complete": snapshot.complete,
        "sha256": sha256(tensors),
        "tensors": sorted(tensors),
        "arrays": sorted(snapshot.arrays),
        "state": snapshot.state,
    }
    arrays: dict[str, NDArray[Any]] = {RECORD: np.frombuffer(json.dumps(record).encode(), dtype=np.uint8), **tensors}
    arrays |= {f"{MORE}{name}": array for name, array in snapshot.arrays.items()}
    name = f"epoch-{epoch:06d}.npz" if snapshot.complete else f"epoch-{epoch:06d}-step-{snapshot.step:09d}.npz"
    path = folder / name
    part = folder / f".{path.name}.part-{os.getpid()}"
    try:
        disk.write_whole(part, *_packed(arrays))
        disk.replace(part, path)
    finally:
        disk.remove(part)
    return path


def check(snapshot: Snapshot) -> None:
    """Check that a snapshot can be stored.

    Raises:
        ValueError: Its epoch is negative, a name is taken, or an array holds Python objects.
    """
    epoch = snapshot.epoch - snapshot.complete
    if epoch < 0:
        raise ValueError(f"epoch must be >= 0, got {epoch}. A complete checkpoint follows an epoch.")
    if RECORD in snapshot.tensors or any(name.startswith(MORE) for name in snapshot.tensors):
        raise ValueError(f"a tensor must not be called {RECORD!r} or {MORE!r}...: the checkpoint uses these names.")
    for name, array in (*snapshot.tensors.items(), *snapshot.arrays.items()):
        if np.asarray(array).dtype.kind not in "biufc":
            raise ValueError(f"{name} must hold numbers, got {np.asarray(array).dtype}.")


def load(path: Path, *, run: str = "") -> Checkpoint:
    """Read a checkpoint and verify all of it. Nothing is executed, and no more memory used than the file is long.

    Args:
        path: A file that `save` wrote.
        run: The run that it must belong to; empty for any. A file that names none belongs to any.

    Returns:
        Where the run stood; the weights have the hash that was stored with them.

    Raises:
        SessionError: It is missing, is no checkpoint, is cut short, lacks a tensor, its weights changed, or it belongs
            to another run.
    """
    path = Path(path)

    def wrong(what: str) -> SessionError:
        return SessionError(f"checkpoint {path} {what}. Use an older one from the same folder.")

    if not os.path.lexists(path):
        raise SessionError(f"there is no checkpoint {path}. Look for epoch-*.npz in its folder.")
    try:
        with open_plain(path) as stream:
            arrays = _arrays(stream)
        record = plain_json(arrays.pop(RECORD).tobytes())
        form, epoch, step = int(record["format"]), int(record["epoch"]), int(record["step"])
        expected, tensors = str(record["sha256"]), set(map(str, record["tensors"]))
        more, owner = set(map(str, record.get("arrays", []))), str(record.get("run", ""))
        state, complete = dict(record.get("state", {})), bool(record.get("complete", True))
    except SessionError:
        raise
    except KeyError as error:
        raise wrong(f"does not describe itself: it holds no {printable(str(error))}") from error
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise wrong(f"is cut short or damaged ({printable(str(error))})") from error
    except FAILURES as error:
        raise wrong(f"can't be read ({printable(str(error))})") from error
    if form > FORMAT:
        raise SessionError(f"checkpoint {path} has format {form}, this physnet reads up to {FORMAT}. Update physnet.")
    if run and owner and run != owner:
        raise SessionError(f"checkpoint {path} belongs to another run than the session beside it. Take it away.")
    named = _NAME.fullmatch(path.name)
    if named and (int(named[1]), int(named[2] or step)) != (epoch, step):
        raise wrong(f"is of epoch {epoch}, step {step}: another one was given its name")
    beside = {name.removeprefix(MORE): arrays.pop(name) for name in list(arrays) if name.startswith(MORE)}
    if missing := sorted((tensors - set(arrays)) | (more - set(beside))):
        raise wrong(f"lacks tensor {printable(', '.join(missing))}")
    if (found := sha256(arrays)) != expected:
        raise wrong(
            f"holds weights with hash {found[:12]}..., expected {printable(expected[:12])}...: they were changed"
        )
    return Checkpoint(
        path=path,
        epoch=epoch,
        step=step,
        tensors=arrays,
        sha256=expected,
        complete=complete,
        state=state,
        arrays=beside,
    )


def listed(folder: Path) -> list[Path]:
    """Checkpoint files of a folder, the oldest first; none if there is no folder."""
    found = []
    # a link would lead out of the run
    for path in folder.glob("epoch-*.npz") if is_folder(folder) else ():
        if match := _NAME.fullmatch(path.name):
            found.append(((int(match[1]), int(match[2]) if match[2] else math.inf), path))
    return [path for _, path in sorted(found)]


def prune(folder: Path, *, last: int = 3, best: int | None = None) -> None:
    """Delete all but the newest checkpoints.

    Args:
        folder: The run's checkpoint folder.
        last: How many of the newest to keep, >= 1.
        best: Epoch whose checkpoint is kept besides; None for none.
    """
    for path in listed(folder)[:-last]:
        if best is None or path.name != f"epoch-{best:06d}.npz":
            disk.remove(path)


class _Parts(list[bytes | memoryview]):
    """What a zip file is made of, one after the other: arrays are not copied into it."""

    def write(self, data: bytes | memoryview) -> int:
        self.append(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: `zipfile` asks for it."""


def _packed(arrays: Mapping[str, NDArray[Any]]) -> _Parts:
    """Return the parts of an uncompressed `.npz`."""
    parts = _Parts()
    with zipfile.ZipFile(cast(Any, parts), "w", zipfile.ZIP_STORED) as archive:
        for name, given in arrays.items():
            array = np.asarray(given)
            head = np.lib.format.header_data_from_array_1_0(array)
            flat = np.ascontiguousarray(array.T if head["fortran_order"] else array).reshape(-1)
            # ZipInfo's fixed date makes equal weights equal files
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array_header_1_0(entry, head)
                entry.write(flat.view(np.uint8).data)
    return parts


def _arrays(stream: io.FileIO) -> dict[str, NDArray[Any]]:
    """Read the arrays of an uncompressed `.npz`, none larger than what the file holds of it."""
    left = os.fstat(stream.fileno()).st_size
    if stream.read(2) != b"PK":
        raise ValueError("it is not a zip file, .npz")
    arrays = {}
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError("it is compressed, which checkpoints never are")
            left -= info.file_size
            if left < 0:
                raise ValueError("its parts overlap")
            with archive.open(info) as entry:
                arrays[info.filename.removesuffix(".npy")] = _array(entry.read())
    return arrays


def _array(data: bytes) -> NDArray[Any]:
    """Decode an array of NumPy's format, whose length must be what its header says."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"version {version} of NumPy's format is not known")
    try:
        shape, fortran, dtype = read[version](stream)
    except Exception as error:  # the header is Python's source: its errors are of many kinds
        raise ValueError(f"a header can't be read ({error})") from error
    if dtype.kind not in "biufc":
        raise ValueError(f"it holds {dtype}, which may be Python objects")
    if any(length < 0 for length in shape):
        raise ValueError(f"its header says {shape}")
    rest = data[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(rest):
        raise ValueError(f"its header says {shape} of {dtype}, which is not {len(rest)} bytes")
    flat = np.frombuffer(bytearray(rest), dtype) if rest else np.empty(0, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
