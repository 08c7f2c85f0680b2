"""The user's own data: CSV, NPZ and HDF5 files with one row per sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .array_files import read_array_file
from .columns import Table, listing, nearest
from .csv_files import csv_header, read_csv
from .dataset import Dataset
from .fetch import file_digest

SUFFIXES = (".csv", ".npz", ".h5", ".hdf5")


def load_table(
    path: str | Path,
    *,
    features: Sequence[str] | None = None,
    label: str | None = None,
    group: str | None = None,
    name: str | None = None,
) -> Dataset:
    """Load a data set from a CSV, NPZ or HDF5 file.

    Labels may be integers or text. Classes are sorted: as numbers where every label is an integer, else as
    text. Features are kept as they are; `FeatureScaling` scales them after the split.

    Args:
        path: The file; `.csv`, `.npz`, `.h5` or `.hdf5`. A CSV file is UTF-8, separated by commas, with a
            line of names first. NPZ files with Python objects are refused.
        features: CSV: the columns to use; None for all but `label` and `group`. NPZ and HDF5: the arrays to
            use, joined along columns, each `(n,)` or `(n, k)`; or one array, `(n, k)` or `(n, height,
            width)`. None for `"x"`.
        label: The column or array of labels. NPZ and HDF5: None for `"y"`. CSV: has to be given.
        group: The column or array that says which rows belong together; None when they are independent.
        name: What to call the data set; None for the name of the file.

    Returns:
        The data set, its rows in the order of the file.

    Raises:
        DataError: The file is missing, damaged, or doesn't hold what was asked for.
    """
    path = _existing(path)
    if label is None and path.suffix.lower() == ".csv":
        raise DataError(f"label must name a column of {path}, got None. There is {listing(csv_header(path))}.")
    label = "y" if label is None else label
    table = _read(path, features, "x", label, group)
    assert table.label is not None
    values, y = np.unique(table.label, return_inverse=True)
    if len(values) < 2:
        raise DataError(
            f"{path}: label {label!r} must have at least 2 different values, got only {str(values[0])!r}. "
            f"Check that it is the right one."
        )
    groups = None if table.group is None else np.unique(table.group, return_inverse=True)[1].astype(np.int64)
    return Dataset(
        name=path.stem if name is None else name,
        x=table.x,
        y=y.astype(np.int64),
        classes=tuple(str(value) for value in values),
        groups=groups,
        shape=table.shape,
        feature_names=table.names,
        source=str(path),
        checksum=f"sha256:{file_digest(path, 'sha256')}",
    )


def load_features(
    path: str | Path, *, features: Sequence[str] | None = None, key: str | None = None
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Load samples without labels, to predict on.

    Args:
        path: The file, as in `load_table`.
        features: The columns (CSV) or arrays (NPZ and HDF5) to use, in the order of training. None for all
            columns of a CSV file, and for the array `key` of the others.
        key: NPZ and HDF5: the array to use; None for `"x"`.

    Returns:
        Samples, float32, shape `(n, features)`, and a name for each feature.

    Raises:
        DataError: The file is missing, damaged, or doesn't hold what was asked for.
    """
    path = _existing(path)
    if key is not None and (features is not None or path.suffix.lower() == ".csv"):
        raise DataError(
            f"key must be left out for a CSV file, and where features are named, got {key!r} for {path}. "
            f"Name what to use in features."
        )
    table = _read(path, features, "x" if key is None else key, None, None)
    return table.x, table.names


def _read(path: Path, features: Sequence[str] | None, key: str, label: str | None, group: str | None) -> Table:
    if path.suffix.lower() == ".csv":
        return read_csv(path, features, label, group)
    return read_array_file(path, (key,) if features is None else features, label, group)


def _existing(path: str | Path) -> Path:
    path = Path(path)
    try:
        if path.is_dir():
            raise DataError(f"path must name a file, got the folder {path}. Name one file in it.")
        if not path.exists():
            raise DataError(f"path must name a file that exists, got {path}. {_beside(path)}")
        empty = not path.stat().st_size
    except OSError as error:
        raise DataError(f"path must name a file that can be read, got: {error}. Check its permissions.") from error
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"path must end in {', '.join(SUFFIXES)}, got {path}. Save the table as CSV, or rename the file."
        )
    if empty:
        raise DataError(f"{path} must hold a table, got an empty file. Check that the export finished.")
    return path


def _beside(path: Path) -> str:
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"There is no folder {folder} either."
    files = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    return f"In {folder}: {nearest(path.name, files)}"
