"""Read features, labels and groups from a CSV file, strictly: a cell is a number or the file is refused."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .columns import Table, check_names, listing, nearest


def read_csv(path: Path, features: Sequence[str] | None, label: str | None, group: str | None) -> Table:
    """Read columns of a CSV file: UTF-8 (with or without a byte order mark), commas, names in the first line.

    Args:
        path: The file.
        features: Columns of numbers; None for all but `label` and `group`.
        label: Column of labels; None for none.
        group: Column of groups; None for none.

    Returns:
        The table. Labels and groups are integers where all are, else text.

    Raises:
        DataError: The file can't be read, has no such column, a ragged line, an empty cell, or a feature that
            isn't a number.
    """
    check_names(features, label, group)
    rows = _rows(path)
    _, header = next(rows, (0, []))
    if not any(header):
        raise DataError(f"{path} must name its columns in the first line, got an empty line. Add a line of names.")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(
            f"{path} must name each column once in its first line, got {twice[0]!r} more than once. Rename "
            "those columns."
        )
    names = tuple(name for name in header if name not in (label, group)) if features is None else tuple(features)
    columns = [_column(path, header, "features", name) for name in names]
    keys = {"label": label, "group": group}
    others = {what: _column(path, header, what, name) for what, name in keys.items() if name is not None}
    if not columns:
        raise DataError(f"{path} must have a column of features, got only {listing(header)}. Check the separator.")
    x: list[NDArray[np.float32]] = []
    texts: dict[str, list[str]] = {what: [] for what in others}
    for line, row in rows:
        x.append(_numbers(path, line, names, [row[column] for column in columns]))
        for what, column in others.items():
            if not row[column]:
                raise DataError(
                    f"{path}, line {line}: column {header[column]!r} must hold a {what}, got an empty cell. "
                    f"Fill it in, or leave the line out."
                )
            texts[what].append(row[column])
    if not x:
        raise DataError(f"{path} must hold a line of values, got only names. Check that the export finished.")
    return Table(
        x=np.stack(x),
        names=names,
        shape=(len(names),),
        label=_integers_or_text(texts["label"]) if "label" in texts else None,
        group=_integers_or_text(texts["group"]) if "group" in texts else None,
    )


def csv_header(path: Path) -> list[str]:
    """Return the names in the first line of a CSV file.

    Raises:
        DataError: The file can't be read.
    """
    return next(_rows(path), (0, []))[1]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line and the stripped cells, the header first. Blank lines are passed over."""
    width = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if not row:
                    continue
                width = width or len(row)
                if len(row) != width:
                    raise DataError(
                        f"{path}, line {reader.line_num} must have {width} cells, as the first line has, got "
                        f"{len(row)}. Check for a missing cell, or a comma inside a number."
                    )
                yield reader.line_num, [cell.strip() for cell in row]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} must be text in UTF-8, got byte 0x{error.object[error.start]:02x} ({error.reason}). "
            f"Save it as 'CSV UTF-8'."
        ) from error
    except (OSError, csv.Error) as error:
        raise DataError(
            f"{path} must be a CSV file that can be read, got: {error}. Check its permissions and its quotation marks."
        ) from error


def _column(path: Path, header: list[str], what: str, name: str) -> int:
    if name in header:
        return header.index(name)
    way_out = nearest(name, header)
    if len(header) == 1 and (separator := next((mark for mark in ";\t|" if mark in header[0]), None)):
        way_out = f"The file is separated by {separator!r}: save it with commas."
    raise DataError(f"{what} must name columns of {path}, got {name!r}. {way_out}")


def _numbers(path: Path, line: int, names: tuple[str, ...], cells: list[str]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            values = np.array([float(cell) for cell in cells], dtype=np.float64).astype(np.float32)
    except ValueError:
        values = None
    if values is not None and np.isfinite(values).all() and not any("_" in cell for cell in cells):
        return values
    for name, cell in zip(names, cells, strict=True):
        if not _is_number(cell):
            raise DataError(
                f"{path}, line {line}: column {name!r} must hold a finite number within float32, got "
                f"{repr(cell[:40]) if cell else 'an empty cell'}. Correct it, leave the line out, or name "
                "the columns of numbers in features."
            )
    raise AssertionError("a row is refused for one of its cells")


def _is_number(cell: str) -> bool:
    try:
        value = float(cell)
    except ValueError:
        return False
    # Python reads "1_000" as a number; no instrument writes it.
    return abs(value) <= float(np.finfo(np.float32).max) and "_" not in cell


def _integers_or_text(cells: list[str]) -> NDArray[np.int64] | NDArray[np.str_]:
    # "007" and "7" are different labels, and stay text.
    if all(cell.removeprefix("-").isdecimal() and len(cell) < 19 and str(int(cell)) == cell for cell in cells):
        return np.array(cells, dtype=np.int64)
    return np.array(cells, dtype=np.str_)
