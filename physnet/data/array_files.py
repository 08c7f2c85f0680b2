"""Read features, labels and groups from the arrays of an NPZ or HDF5 file. Nothing is ever unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .columns import Table, check_names, nearest


def read_array_file(path: Path, features: Sequence[str], label: str | None, group: str | None) -> Table:
    """Read arrays of an NPZ (`.npz`) or HDF5 file.

    Args:
        path: The file.
        features: Arrays of numbers. One: `(n, k)` or `(n, height, width)`. Several: each `(n,)` or `(n, k)`,
            joined along columns.
        label: Array of labels, integers or text, `(n,)`; None for none.
        group: Array of groups, integers or text, `(n,)`; None for none.

    Returns:
        The table. A feature is called after its array, with its place in it: `x[0]`.

    Raises:
        DataError: The file is damaged, or an array is missing, of another shape or kind, or not finite.
    """
    check_names(features, label, group)
    keys = {
        **dict.fromkeys(features, "features"),
        **({label: "label"} if label is not None else {}),
        **({group: "group"} if group is not None else {}),
    }
    arrays = read_npz(path, keys) if path.suffix.lower() == ".npz" else _read_hdf5(path, keys)
    parts, names = [], []
    shape: tuple[int, ...] = ()
    for key in features:
        array = arrays[key]
        if array.ndim not in ((2, 3) if len(features) == 1 else (1, 2)) or array.size == 0:
            one, several = "(rows, columns) or (rows, height, width)", "(rows,) or (rows, columns)"
            allowed = one if len(features) == 1 else several
            raise DataError(
                f"{path}: features {key!r} must have shape {allowed}, none of them 0, got {array.shape}. "
                f"Reshape it: samples first."
            )
        shape = array.shape[1:]
        parts.append(_numbers(path, key, array).reshape(len(array), -1))
        names += [key] if array.ndim == 1 else [f"{key}[{column}]" for column in range(parts[-1].shape[1])]
    rows = len(parts[0])
    for key, part in zip(features, parts, strict=True):
        if len(part) != rows:
            raise DataError(
                f"{path}: features {key!r} must have as many rows as {features[0]!r}, {rows}, got "
                f"{len(part)}. Save arrays of the same samples."
            )
    return Table(
        x=parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1),
        names=tuple(names),
        shape=shape if len(parts) == 1 else (len(names),),
        label=_names_of(path, "label", label, arrays[label], rows) if label is not None else None,
        group=_names_of(path, "group", group, arrays[group], rows) if group is not None else None,
    )


def _numbers(path: Path, key: str, array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{path}: features {key!r} must be real numbers, got {array.dtype}. "
            f"Save complex values as two arrays, and text as numbers."
        )
    with np.errstate(over="ignore"):
        x: NDArray[np.float32] = array.astype(np.float32)
    finite = np.isfinite(x)
    if not finite.all():
        index = tuple(np.argwhere(~finite)[0].tolist())
        place = ", ".join(f"{axis} {at}" for axis, at in zip(("row", "column", "depth"), index, strict=False))
        raise DataError(
            f"{path}: features {key!r} must be finite numbers within float32, got {array[index]} in {place}. "
            f"Leave out such rows, or fill them in."
        )
    return x


def _names_of(path: Path, what: str, key: str, array: NDArray[Any], rows: int) -> NDArray[Any]:
    if array.shape != (rows,):
        raise DataError(
            f"{path}: {what} {key!r} must have shape ({rows},), one value per row of the features, got "
            f"{array.shape}. Save both from the same samples; one-hot labels through argmax(axis=1)."
        )
    if array.dtype.kind not in "biuU":
        raise DataError(
            f"{path}: {what} {key!r} must be integers or text, got {array.dtype}. Convert it with astype('int64')."
        )
    return array.astype(np.int64) if array.dtype.kind in "bi" else array


def _missing(path: Path, what: str, key: str, found: list[str]) -> DataError:
    return DataError(f"{what} must name an array of {path}, got {key!r}. {nearest(key, found)}")


def read_npz(path: Path, keys: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Read some arrays of an NPZ file.

    Args:
        path: The file.
        keys: Names of the arrays, and what each is, for the message when it is missing.

    Raises:
        DataError: The file is damaged or holds Python objects, or an array is missing.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path} must be an NPZ file (a zip archive of arrays), got something else or a part of one. "
            f"Write it with numpy.savez, and copy it whole."
        )
    arrays = {}
    try:
        # Opened here, because NumPy leaves a damaged archive open.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            for key, what in keys.items():
                if key not in file:
                    raise _missing(path, what, key, list(file))
                arrays[key] = _plain(file[key])
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen types for a damaged file
        raise DataError(
            f"{path} must be a sound NPZ file of plain arrays, got: {error}. "
            f"Write it again with numpy.savez, with numbers and text instead of Python objects."
        ) from error
    return arrays


def _read_hdf5(path: Path, keys: dict[str, str]) -> dict[str, NDArray[Any]]:
    arrays = {}
    try:
        with h5py.File(path, "r") as file:
            for key, what in keys.items():
                item = file.get(key)
                if not isinstance(item, h5py.Dataset):
                    raise _missing(path, what, key, _datasets(file))
                arrays[key] = _plain(item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()])
    except DataError:
        raise
    except Exception as error:  # h5py raises what its C library says as one of half a dozen types
        raise DataError(
            f"{path} must be a sound HDF5 file, got: {error}. Copy it again, whole, after the program that "
            "writes it closed it."
        ) from error
    return arrays


def _datasets(file: h5py.File) -> list[str]:
    names: list[str] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(name)

    file.visititems(visit)
    return names


def _plain(value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8")
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.flat):
        return array.astype(np.str_)
    return array
