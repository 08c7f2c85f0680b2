"""Line numbers of TOML keys. `tomllib` doesn't keep them, and a message without a line is a search."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

KeyPath = tuple[str | int, ...]
"""Where a value is: keys of tables, and positions in arrays from 0."""

_CLOSES = re.compile(r"[\]}]|\"\"\"|'''")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Find the line, from 1, on which each key and each table of a TOML document is defined.

    What stands inside an inline table or an array has the line of the statement that it belongs to. A table
    that has a header of its own has the header's line, however early it was implied by another.

    Raises:
        tomllib.TOMLDecodeError: `text` is not TOML.
    """
    lines: dict[KeyPath, int] = {}
    tables: dict[KeyPath, int] = {}  # arrays of tables, and how many tables each holds so far
    table: KeyPath = ()
    for number, chunk, parsed in _statements(text):
        if chunk.lstrip(" \t").startswith("["):
            keys, is_array = _header(parsed)
            table = _enter(keys, is_array, tables)
            for length in range(1, len(table)):
                lines.setdefault(table[:length], number)
            lines[table] = number
        else:
            _record(parsed, table, number, lines)
    return lines


def nearest(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Line of a key, or of the innermost table around it that has one."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _statements(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Split a document: the first line, the text, and the value of each header and of each `key = value`."""
    found: list[tuple[int, str, dict[str, Any]]] = []
    # not splitlines(), which also splits at characters that TOML allows inside a string
    rows = text.replace("\r\n", "\n").split("\n")
    start = 0
    while start < len(rows):
        chunk = rows[start]
        stop = start + 1
        while True:
            # a statement of several lines ends where something closes: parsing elsewhere only takes time
            if stop == start + 1 or stop == len(rows) or _CLOSES.search(rows[stop - 1]):
                try:
                    parsed = tomllib.loads(chunk)
                    break
                except tomllib.TOMLDecodeError:
                    if stop == len(rows):
                        raise
            chunk += "\n" + rows[stop]
            stop += 1
        if parsed:
            found.append((start + 1, chunk, parsed))
        start = stop
    return found


def _header(parsed: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
    """Keys of a header, and whether it adds to an array of tables."""
    keys: list[str] = []
    value: Any = parsed
    while isinstance(value, dict) and value:
        ((key, value),) = value.items()
        keys.append(key)
    return tuple(keys), isinstance(value, list)


def _enter(keys: tuple[str, ...], is_array: bool, tables: dict[KeyPath, int]) -> KeyPath:
    """Where a header leads: an array of tables on the way stands for its last table."""
    path: KeyPath = ()
    for position, key in enumerate(keys):
        path += (key,)
        if is_array and position == len(keys) - 1:
            tables[path] = tables.get(path, 0) + 1
        if path in tables:
            path += (tables[path] - 1,)
    return path


def _record(value: Any, path: KeyPath, number: int, lines: dict[KeyPath, int]) -> None:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        lines.setdefault((*path, key), number)
        _record(inner, (*path, key), number, lines)
