"""Reading HDF5 and JSON that a disk has damaged, or that someone else has made.

Nothing here follows a link or a reference out of the file, runs anything, waits for anybody, or takes more memory than
a few times the file's length, whatever the file declares. That HDF5 itself is sound against a file made to break it
can't be promised from here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import SessionError
from ..plain_files import open_plain

try:
    import fcntl
except ImportError:  # Windows, where writers don't lock
    fcntl = None  # type: ignore[assignment]

FAILURES = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)
"""All that reading a damaged file may raise."""
_MAGIC = b"\x89HDF\r\n\x1a\n"
_BLOCK = 1 << 20
_DEEPEST = 64
_KINDS = {h5py.h5g.GroupID: h5py.Group, h5py.h5d.DatasetID: h5py.Dataset}


class NotHDF5(ValueError):
    """A file is something else."""


class Source:
    """An HDF5 file that is believed nothing that it does not hold.

    All methods raise one of `FAILURES` where the file is not as asked for.

    Args:
        file: An open file.
        size: Its length in bytes. None for a file that this process has just made: it is believed.
    """

    def __init__(self, file: h5py.File, size: int | None = None) -> None:
        self.file = file
        self._size = math.inf if size is None else size
        self._left = 4 * self._size + _BLOCK

    def names(self, group: h5py.Group) -> list[str]:
        """Return the names in a group, in order."""
        return sorted(group)

    def group(self, parent: h5py.Group, path: str) -> h5py.Group:
        """Return a group by its path below another."""
        found = _below(parent, path)
        if not isinstance(found, h5py.Group):
            raise ValueError(f"{path} is not a group")
        return found

    def dataset(self, group: h5py.Group, name: str) -> h5py.Dataset:
        """Return a dataset, of which nothing has been checked yet."""
        found = _below(group, name)
        if not isinstance(found, h5py.Dataset):
            raise ValueError(f"{name} must be a dataset")
        return found

    def array(self, group: h5py.Group, name: str) -> NDArray[Any]:
        """Read numbers, or text of a fixed length."""
        dataset = self.dataset(group, name)
        if dataset.dtype.kind not in "biufcS" or dataset.shape is None:
            raise ValueError(f"{dataset.name} holds {dataset.dtype}")
        self._check_stored(dataset)
        return np.asarray(dataset[()])

    def number(self, group: h5py.Group, name: str) -> int | float:
        """Read one number."""
        found = self.array(group, name)
        if found.shape != () or found.dtype.kind not in "iuf":
            raise ValueError(f"{name} must be a number")
        value: int | float = found.item()
        return value

    def text(self, group: h5py.Group, name: str) -> str:
        """Read one text."""
        (found,) = self.texts(group, name, shape=())
        return found

    def texts(self, group: h5py.Group, name: str, *, shape: tuple[int, ...] | None = None) -> tuple[str, ...]:
        """Read texts, shape `(n,)` or as asked for."""
        dataset = self.dataset(group, name)
        kind = h5py.check_string_dtype(dataset.dtype)
        if kind is None or (len(dataset.shape or ()) != 1 if shape is None else dataset.shape != shape):
            raise ValueError(f"{dataset.name} is not text")
        self._check_stored(dataset)
        found = []
        for place in np.ndindex(dataset.shape):
            value = dataset[place]  # one by one: many may share one long text
            self._take(len(value))
            found.append(_decoded(value))
        return tuple(found)

    def has(self, obj: h5py.Group | h5py.Dataset, attribute: str) -> bool:
        """Whether there is an attribute."""
        return bool(h5py.h5a.exists(obj.id, attribute.encode()))

    def attribute(self, obj: h5py.Group | h5py.Dataset, name: str) -> int | float | str:
        """Read an attribute: one number, or one text."""
        found = h5py.h5a.open(obj.id, name.encode())
        kind, fixed = found.dtype.kind, h5py.check_string_dtype(found.dtype)
        if found.shape != () or (kind not in "iufS" and fixed is None) or found.dtype.itemsize > self._size:
            raise ValueError(f"attribute {name} must be one number or text")
        value = obj.attrs[name]
        if isinstance(value, str | bytes):
            self._take(len(value))
            return _decoded(value)
        plain: int | float = np.asarray(value).item()
        return plain

    def _check_stored(self, dataset: h5py.Dataset) -> None:
        """Check that all of a dataset lies in this file, as it is: not elsewhere, not packed, not merely declared."""
        plan = dataset.id.get_create_plist()
        form = plan.get_layout()
        if form == h5py.h5d.VIRTUAL or plan.get_external_count() or plan.get_nfilters():
            raise ValueError(f"{dataset.name} is not stored in this file as it is")
        size = dataset.dtype.itemsize * math.prod(map(int, dataset.shape))
        self._take(size)
        if self._size == math.inf or size == 0:
            return
        if form == h5py.h5d.CHUNKED:
            chunk = dataset.dtype.itemsize * math.prod(map(int, dataset.chunks))
            held = dataset.id.get_storage_size() if chunk <= self._size else 0
        elif form == h5py.h5d.CONTIGUOUS:
            offset = dataset.id.get_offset()
            held = 0 if offset is None or offset < 0 else self._size - offset
        else:
            held = self._size
        if held < size:
            raise ValueError(f"{dataset.name} reaches beyond what the file holds")

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError("it declares far more than the file holds")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open an HDF5 file for reading.

    Raises:
        SessionError: It is a link, a pipe, a device, or can't be read.
        BlockingIOError: Another process is writing it.
        NotHDF5: It is something else.
        ValueError: Its heaps are damaged.
        OSError: HDF5 refuses it.
    """
    with open_plain(path) as stream:
        if fcntl is not None:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError:  # a disk without locks
                pass
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(16)
        sizes = head[9:11] if head[8:9] in b"\2\3" else head[13:15]
        if head[:8] != _MAGIC or head[8] not in (0, 2, 3) or sizes != b"\x08\x08":
            raise NotHDF5("it is not HDF5")
        _check_heaps(stream, size)
        with h5py.File(stream, "r") as file:
            yield Source(file, size)


def read_plain(path: Path, most: int) -> bytes:
    """Read a file that is plain and not longer than expected.

    Raises:
        FileNotFoundError: There is none.
        SessionError: It is a link, a pipe, a device, too long, or can't be read.
    """
    if not os.path.lexists(path):
        raise FileNotFoundError(path)
    with open_plain(path) as stream:
        if os.fstat(stream.fileno()).st_size > most:
            raise SessionError(f"{path} must have at most {most} bytes. Another program wrote it.")
        return stream.read()


def is_folder(path: Path) -> bool:
    """Whether there is a folder, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def plain_json(text: str | bytes) -> Any:
    """Decode JSON whose lists and objects lie at most 64 deep in each other.

    Raises:
        ValueError: It is no JSON, or deeper: what is made of it later would fail on it.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON that is far too deep") from error
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return value
    raise ValueError(f"JSON that is more than {_DEEPEST} deep")


def _below(group: Any, path: str) -> Any:
    """Return an object that lies right here: no link leads anywhere else."""
    for name in path.split("/"):
        if not isinstance(group, h5py.Group):
            raise ValueError(f"{path} is not there")
        key = name.encode("utf-8", "surrogateescape")
        if not group.id.__contains__(key):
            raise ValueError(f"{path} is not there")
        if group.id.links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{path} is a link")
        found = h5py.h5o.open(group.id, key)
        group = _KINDS.get(type(found), h5py.Datatype)(found)
    return group


def _decoded(value: Any) -> str:
    # A path may be no UTF-8: such bytes become lone surrogates, as h5py and Python have them.
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _check_heaps(stream: Any, size: int) -> None:
    """Check the heaps that hold text: HDF5 2.0 never comes back from one in which an object takes no room.

    A heap is `GCOL`, version 1, three zeros, length; then objects: index, references, four zeros, length, content.
    Object 0 is free room, its length includes the head.
    """
    effort = size // 8  # heaps that overlap would be read again and again
    for start in _found(stream, size, b"GCOL\1\0\0\0"):
        stream.seek(start + 8)
        (length,) = struct.unpack("<Q", stream.read(8).ljust(8, b"\0"))
        if not 4096 <= length <= size - start:
            continue  # HDF5 sees that
        stream.seek(start)
        heap = stream.read(length)
        at, effort = 16, effort - length // 8
        while at + 16 <= len(heap) and effort >= 0:
            index, content = struct.unpack_from("<H6xQ", heap, at)
            need = 16 + (content + 7) // 8 * 8 if index else content
            if need < 16 or at + need > len(heap):
                raise ValueError("a heap of texts is damaged")
            at += need
        if effort < 0:
            raise ValueError("its heaps overlap")


def _found(stream: Any, size: int, mark: bytes) -> Iterator[int]:
    """Yield every place in a file at which `mark` begins."""
    for block in range(0, size, _BLOCK):
        stream.seek(block)
        data = stream.read(_BLOCK + len(mark) - 1)
        at = data.find(mark)
        while at >= 0:
            yield block + at
            at = data.find(mark, at + 1)
