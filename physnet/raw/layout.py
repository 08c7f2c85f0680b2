"""What a segment of raw data looks like inside. The only place that knows; writer and reader both ask here.

A segment is an HDF5 file whose structure never changes: contiguous datasets with room for a fixed number of rows, one
dataset a column, at offsets that are known before the first row comes::

    /               @physnet_raw_schema @physnet_version @created @default @run
    /entry          @default
        system      @name @kind @index; spec (JSON) @crc32
        data        @signal @axes @segment @share @seed; pass_number, ..., drive, response, spread, crc32

The metadata carry checksums of HDF5's own (file format of HDF5 1.8), each row has a CRC. A row that was never written
is zeros, its CRC included.
"""

from __future__ import annotations

import datetime
import io
import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np

from ..contracts import SystemSpec
from ..errors import SessionError
from ..plain_files import open_plain
from ..session import environment
from ..session.attributes import attach
from ..session.overlay import Overlay, in_place
from .rows import CRC, META, UNITS
from .spec import spec_to_json

SCHEMA = 2
"""1: the first. 2: `run`, what tells the run from every other."""
FOLDER = "raw"
MOST_ROW_BYTES = 1 << 28
"""Largest drive or response that a spec may declare, in bytes."""
_WIDEST = 4 * MOST_ROW_BYTES  # a system may answer in a wider type than it declares
_MOST_SEGMENT = 256 * MOST_ROW_BYTES
_NAME = re.compile(r"(\d{1,4})-(.+)-(\d{6,9})\.h5")
_MOST_SPEC = 1 << 26


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the rows of a segment look like.

    Args:
        drive: Type of a drive, little-endian.
        response: Type of a response.
        spread: Type of its spread; None for a segment without.
    """

    drive: np.dtype[Any]
    response: np.dtype[Any]
    spread: np.dtype[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the rows of one column lie.

    Args:
        offset: Of the first row, in the file.
        dtype: Type of an element.
        shape: Shape of a row.
    """

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...] = ()

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What a segment on the disk was found to be.

    Args:
        path: The file.
        index: Number of the system in its run.
        number: Number of the segment, from 1.
        name: The system's name in its run.
        spec: Its spec, encoded.
        run: The run that it belongs to; empty where it does not say, as in schema 1.
        share: Part of the rows that was kept.
        seed: What chose them.
        rows: Rows that it has room for.
        places: Where they lie, by column; the CRC too.
    """

    path: Path
    index: int
    number: int
    name: str
    spec: str
    run: str
    share: float
    seed: int
    rows: int
    places: Mapping[str, Place]


def file_name(index: int, name: str, number: int) -> str:
    """Name a segment: what a file name can't hold becomes `-`."""
    plain = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.")[:60] or "system"
    return f"{index:02d}-{plain}-{number:06d}.h5"


def numbers_in(name: str) -> tuple[int, int] | None:
    """Return the system's index and the segment's number in a file name; None for another file."""
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[3])) if found else None


def build(
    name: str,
    spec: SystemSpec,
    form: Form,
    *,
    index: int,
    number: int,
    rows: int,
    share: float,
    seed: int,
    run: str = "",
    encoded: str = "",
) -> tuple[list[tuple[int, memoryview]], dict[str, Place], int]:
    """Lay out a segment in memory.

    Args:
        name: The system's name in its run.
        spec: Its spec.
        form: What its rows look like.
        index: Its number in its run.
        number: The segment's, from 1.
        rows: Room for so many.
        share: Part of the rows that is kept.
        seed: What chooses them.
        run: What tells the run from every other.
        encoded: The spec as it was encoded before; empty for a new one.

    Returns:
        What to write where, all else being zeros; where the rows of each column lie; and the length of the file.
    """
    image = Overlay(cast(Any, io.BytesIO()))
    places: dict[str, Place] = {}
    with h5py.File(image, "w", libver=("v108", "v108")) as file:
        _describe(
            file, "NXroot", physnet_raw_schema=SCHEMA, physnet_version=environment.version("physnet"), default="entry"
        )
        _describe(file, run=run)
        _describe(file, created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"), creator="physnet")
        entry = file.create_group("entry")
        _describe(entry, "NXentry", default="data")
        system = entry.create_group("system")
        _describe(system, "NXinstrument", name=name, kind=spec.kind, index=index)
        text = (encoded or spec_to_json(spec)).encode()
        system.create_dataset("spec", data=np.array(text, dtype=f"S{len(text)}"))
        _describe(system["spec"], media_type="application/json", crc32=zlib.crc32(text))
        data = entry.create_group("data")
        _describe(data, "NXdata", signal="response", segment=number, share=share, seed=str(seed))
        axes = ["position", *("." for _ in spec.response.shape)]
        data.attrs["axes"] = np.array(axes, dtype="S8")
        columns: dict[str, tuple[Any, tuple[int, ...], str]] = {
            column: (META[column], (), UNITS.get(column, "1")) for column in META.names or ()
        }
        columns["drive"] = (form.drive, spec.drive.shape, spec.drive.unit)
        columns["response"] = (form.response, spec.response.shape, spec.response.unit)
        if form.spread is not None:
            columns["spread"] = (form.spread, spec.response.shape, spec.response.unit)
        columns[CRC] = (np.dtype("<u4"), (), "")
        for column, (dtype, shape, units) in columns.items():
            dataset = data.create_dataset(column, (rows, *shape), dtype=dtype, dcpl=in_place())
            if units:
                _describe(dataset, units=units)
            places[column] = Place(offset=int(dataset.id.get_offset()), dtype=dtype, shape=shape)
        if form.response.kind in "iu":
            _describe(data["response"], long_name="codes of the converter")
        covered = "zlib.crc32 over the row's values, little-endian, in the order of the attribute columns"
        _describe(data[CRC], long_name=covered, columns=json.dumps([column for column in columns if column != CRC]))
        if spec.drive.axes or spec.response.axes:
            for column, axes_of in (("drive", spec.drive.axes), ("response", spec.response.axes)):
                _describe(data[column], axis_names=json.dumps(list(axes_of)))
    # HDF5 refuses a file that is shorter than it says itself
    size = max([image.size, *(place.offset + rows * place.row_bytes for place in places.values())])
    return list(image.pieces()), places, size


def inspect(path: Path) -> Structure:
    """Read the structure of a segment, believing nothing that the file does not hold.

    Links to other files or objects are not followed, and no array is made by a declared shape alone.

    Raises:
        SessionError: It is no segment, is cut short, or is not laid out as `build` does it.
    """
    numbers = numbers_in(path.name)
    if numbers is None:
        raise SessionError(f"{path} is not a segment of raw data: its name is not like 00-system-000001.h5.")
    stream = open_plain(path)
    with stream:
        size = os.fstat(stream.fileno()).st_size
        if stream.read(8) != b"\x89HDF\r\n\x1a\n" or stream.read(1) not in (b"\x02", b"\x03"):
            raise SessionError(f"{path} is not a segment of raw data: HDF5 of another format. It is left out.")
        try:
            with h5py.File(stream, "r") as file:
                return _inspect(file, path, numbers, size)
        except SessionError:
            raise
        except (
            OSError,
            RuntimeError,
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            MemoryError,
            OverflowError,
        ) as error:
            raise SessionError(
                f"segment {path} is damaged ({type(error).__name__}: {error}). Copy it again from where it was "
                "written, or remove it: the other segments can be read without it."
            ) from error


def _inspect(file: h5py.File, path: Path, numbers: tuple[int, int], size: int) -> Structure:
    def wrong(what: str) -> SessionError:
        return SessionError(f"segment {path} {what}. Another program changed it: copy it again from where it was made.")

    schema = _attribute(file, "physnet_raw_schema")
    if not isinstance(schema, int) or schema < 1:
        raise wrong("has no physnet_raw_schema")
    if schema > SCHEMA:
        raise SessionError(f"segment {path} has schema {schema}, this physnet reads up to {SCHEMA}. Update physnet.")
    entry = _child(file, "entry")
    system, data = _child(entry, "system"), _child(entry, "data")
    text = _child(system, "spec")
    if not isinstance(text, h5py.Dataset) or text.shape != () or text.dtype.kind != "S":
        raise wrong("has no spec")
    if not 0 < text.dtype.itemsize <= min(size, _MOST_SPEC):
        raise wrong("has a spec that does not fit into it")
    _in_file(text, size)
    encoded = bytes(text[()])
    if zlib.crc32(encoded) != _attribute(text, "crc32"):
        raise wrong("has a spec that does not match its checksum")
    places: dict[str, Place] = {}
    rows = -1
    required = [*(META.names or ()), "drive", "response", CRC]
    for column in [*required, *(["spread"] if "spread" in data else [])]:
        dataset = _child(data, column)
        if not isinstance(dataset, h5py.Dataset) or len(dataset.shape or ()) < 1:
            raise wrong(f"has no column {column}")
        dtype = np.dtype(dataset.dtype.str)
        expected = META[column] if column in (META.names or ()) else np.dtype("<u4") if column == CRC else None
        if (expected is not None and (dtype != expected or dataset.ndim != 1)) or dtype.kind not in "iufc":
            raise wrong(f"has a column {column} of {dataset.dtype}")
        rows = dataset.shape[0] if rows < 0 else rows
        if dataset.shape[0] != rows or rows < 1:
            raise wrong(f"has {dataset.shape[0]} rows in {column}, and {rows} elsewhere")
        place = Place(offset=_in_file(dataset, size), dtype=dtype, shape=tuple(map(int, dataset.shape[1:])))
        if place.row_bytes > _WIDEST:
            raise wrong(f"has rows of {place.row_bytes} bytes in {column}")
        places[column] = place
    if "spread" in places and places["spread"].shape != places["response"].shape:
        raise wrong("has a spread of another shape than its response")
    if size > _MOST_SEGMENT:
        raise wrong(f"is {size} bytes long")
    share, name, seed = _attribute(data, "share"), _attribute(system, "name"), _attribute(data, "seed")
    if _attribute(system, "index") != numbers[0] or _attribute(data, "segment") != numbers[1]:
        raise wrong("says that it belongs to another file name")
    return Structure(
        path=path,
        index=numbers[0],
        number=numbers[1],
        name=str(name),
        spec=encoded.decode("utf-8"),
        run=str(_attribute(file, "run")).strip() if schema > 1 else "",
        share=float(share) if isinstance(share, int | float) else 1.0,
        seed=int(seed),
        rows=int(rows),
        places=places,
    )


def _describe(obj: Any, kind: str = "", /, **attributes: Any) -> None:
    """Set attributes, text with a fixed length: nothing of them lies elsewhere in the file."""
    if kind:
        attributes["NX_class"] = kind
    attach(obj, {name: np.bytes_(v.encode() or b" ") if isinstance(v, str) else v for name, v in attributes.items()})


def _child(group: Any, name: str) -> Any:
    """Return an object that lies right here: no link leads anywhere else."""
    if not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is not there, or is a link")
    return group[name]


def _in_file(dataset: h5py.Dataset, size: int) -> int:
    """Return the offset of a dataset's values, which lie in this file, in a row, all of them."""
    plan = dataset.id.get_create_plist()
    if plan.get_layout() != h5py.h5d.CONTIGUOUS or plan.get_external_count() or plan.get_nfilters():
        raise ValueError(f"{dataset.name} is not stored in one piece")
    offset = dataset.id.get_offset()
    count = dataset.dtype.itemsize
    for length in dataset.shape:
        count *= int(length)
    if offset is None or offset < 0 or offset + count > size:
        raise ValueError(f"{dataset.name} reaches beyond the end of the file")
    return int(offset)


def _attribute(obj: Any, name: str) -> int | float | str:
    """Read one number, or text of a fixed length."""
    found = h5py.h5a.open(obj.id, name.encode())
    if found.shape != () or found.dtype.kind not in "iufS" or found.dtype.itemsize > 1 << 16:
        raise ValueError(f"attribute {name} is not a single value")
    value = np.zeros((), found.dtype)
    found.read(value)
    plain = value.item()
    return plain.decode("utf-8") if isinstance(plain, bytes) else plain
