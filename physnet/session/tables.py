"""The tables of a session that is being written: where the next row goes, and room for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import h5py

from . import layout, table
from .store import Change, SessionFile
from .table import Column, Table


class Tables:
    """Puts rows into the tables of a session file.

    Args:
        file: The file.
        columns: Columns of each table.
    """

    def __init__(self, file: SessionFile, columns: Mapping[str, tuple[Column, ...]]) -> None:
        self.columns = columns
        self.used = dict.fromkeys(columns, 0)
        """Rows of each table."""
        self._file = file
        self._places: dict[str, Table] = {}
        self._laid_out: object = None

    def put(self, name: str, values: Sequence[Any], *, grow: Callable[[Change], None]) -> None:
        """Put a row behind the others. It can be done again after it failed.

        Args:
            name: The table.
            values: One a column.
            grow: Replaces the file by one that was changed, for more room.

        Raises:
            OSError: The disk refused.
        """
        number = self.used[name]
        if number >= self.place(name).capacity:
            room = number + min(max(number, layout.ROOM[name][0]), layout.MOST_ROOM)
            grow(lambda file: table.resize(file["entry"][name], self.columns[name], room))
        self._file.put(self.place(name).pieces(number, values))
        self.used[name] = number + 1

    def cut(self, entry: h5py.Group) -> None:
        """Cut off the rows that were not needed."""
        for name, columns in self.columns.items():
            table.resize(entry[name], columns, self.used[name])

    def place(self, name: str) -> Table:
        """Where rows go in the file as it is now: a file that was replaced has them elsewhere."""
        if self._laid_out is not self._file.stream:
            self._places, self._laid_out = {}, self._file.stream
        if name not in self._places:
            with self._file.read() as file:
                self._places[name] = Table(file["entry"][name], self.columns[name])
        return self._places[name]
