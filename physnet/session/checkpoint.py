"""Weights in small files of their own: `.npz` without pickle, replaced atomically, checked when read."""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import SessionError
from ..records import Tensors
from ..weights import sha256

RECORD = "__checkpoint__"
FORMAT = 1
_NAME = re.compile(r"epoch-(\d{6,})\.npz")


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """Weights after an epoch.

    Args:
        path: The file they came from.
        epoch: The epoch, from 0.
        step: Steps done by then.
        tensors: Every weight and rule tensor, by name.
        sha256: Their hash, as `physnet.weights.sha256` computes it.
    """

    path: Path
    epoch: int
    step: int
    tensors: Tensors
    sha256: str


def save(folder: Path, tensors: Tensors, *, epoch: int, step: int) -> Path:
    """Write a checkpoint: to a temporary file first, so that its name always holds a whole one.

    Args:
        folder: An existing folder.
        tensors: Named arrays without Python objects in them.
        epoch: The epoch just done, from 0.
        step: Steps done so far.

    Returns:
        The file, `epoch-000012.npz`.

    Raises:
        ValueError: `epoch` is negative, or a tensor can't be stored.
        OSError: The disk refused. No temporary file is left.
    """
    if epoch < 0:
        raise ValueError(f"epoch must be >= 0, got {epoch}. A checkpoint follows an epoch.")
    if RECORD in tensors:
        raise ValueError(f"a tensor must not be called {RECORD!r}: the checkpoint describes itself under that name.")
    record = {"format": FORMAT, "epoch": epoch, "step": step, "sha256": sha256(tensors), "tensors": sorted(tensors)}
    arrays = {RECORD: np.frombuffer(json.dumps(record).encode(), dtype=np.uint8), **tensors}
    path = folder / f"epoch-{epoch:06d}.npz"
    part = folder / f".{path.name}.part-{os.getpid()}"
    try:
        with open(part, "wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                for name, array in arrays.items():
                    # ZipInfo's fixed date makes equal weights equal files
                    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def load(path: Path) -> Checkpoint:
    """Read a checkpoint and verify all of it.

    Args:
        path: A file that `save` wrote.

    Returns:
        The weights, whose hash is the one that was stored with them.

    Raises:
        SessionError: It is missing, is no checkpoint, is cut short, lacks a tensor, or its weights changed.
    """
    path = Path(path)

    def wrong(what: str) -> SessionError:
        return SessionError(f"checkpoint {path} {what}. Use an older one from the same folder.")

    try:
        with open(path, "rb") as stream:
            if stream.read(2) != b"PK":
                raise wrong("is not a zip file (.npz)")
            with zipfile.ZipFile(stream) as archive:
                arrays = {}
                for name in archive.namelist():
                    with archive.open(name) as entry:
                        arrays[name.removesuffix(".npy")] = np.lib.format.read_array(entry, allow_pickle=False)
        record = json.loads(arrays.pop(RECORD).tobytes())
        form, epoch, step = int(record["format"]), int(record["epoch"]), int(record["step"])
        expected, listed = str(record["sha256"]), set(map(str, record["tensors"]))
    except SessionError:
        raise
    except FileNotFoundError as error:
        raise SessionError(f"there is no checkpoint {path}. Look for epoch-*.npz in its folder.") from error
    except KeyError as error:
        raise wrong(f"does not describe itself: it holds no {error}") from error
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise wrong(f"is cut short or damaged ({error})") from error
    except (OSError, ValueError, TypeError, RuntimeError, NotImplementedError, AttributeError, MemoryError) as error:
        raise wrong(f"can't be read ({error})") from error
    if form > FORMAT:
        raise SessionError(f"checkpoint {path} has format {form}, this physnet reads up to {FORMAT}. Update physnet.")
    if missing := sorted(listed - set(arrays)):
        raise wrong(f"lacks tensor {', '.join(missing)}")
    if (found := sha256(arrays)) != expected:
        raise wrong(f"holds weights with hash {found[:12]}..., expected {expected[:12]}...: they were changed")
    return Checkpoint(path=path, epoch=epoch, step=step, tensors=arrays, sha256=expected)


def listed(folder: Path) -> list[Path]:
    """Checkpoint files of a folder, oldest epoch first; none if there is no folder."""
    found = [(int(match[1]), path) for path in folder.glob("epoch-*.npz") if (match := _NAME.fullmatch(path.name))]
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
            path.unlink(missing_ok=True)
