"""`--set section.key=value`: values that replace those of an experiment file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from .lines import KeyPath
from .problems import dotted

_KEY = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)|(\*)")


class BadOverride(ValueError):
    """An override that can't be applied; its message is for people."""


def apply(table: dict[str, Any], override: str) -> list[KeyPath]:
    """Set what one override says.

    A number selects an entry of an array, `*` every entry of an array or a table: `layers.0.width=50`,
    `layers.*.skip=true`. The value is read as TOML, and as plain text where it is not TOML: no quotes needed.

    Args:
        table: The experiment's values; changed in place.
        override: `section.key=value`.

    Returns:
        Paths that the override set, tables it had to make included.

    Raises:
        BadOverride: It is not of this form, or leads through something that is not a table or an array.
    """
    keys, equals, text = override.partition("=")
    parts = _parts(keys.strip())
    if not equals or not parts:
        raise BadOverride("must be of the form section.key=value.")
    try:
        override.encode()
    except UnicodeEncodeError as error:  # bytes of the command line that its encoding doesn't know
        raise BadOverride("must be text in the encoding of this terminal.") from error
    made: list[KeyPath] = []
    targets = [(path, holder) for path, holder in _holders(table, parts[:-1], (), made)]
    last = parts[-1]
    for path, holder in targets:
        for key in _select(holder, last, path):
            holder[key] = _value(text.strip())
            made.append((*path, key))
    if not made:
        raise BadOverride("selects nothing: there is no entry for its '*'.")
    return made


def _parts(keys: str) -> list[str]:
    """Split a dotted key; empty where it is none. The bare `*` stays `*`, the quoted one is out of reach."""
    parts: list[str] = []
    position = 0
    while match := _KEY.match(keys, position):
        parts.append(next(group for group in match.groups() if group is not None))
        position = match.end()
        if position == len(keys):
            return parts
        if keys[position] != ".":
            break
        position += 1
    return []


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    # a line break in the text could have smuggled in other keys
    return parsed["value"] if len(parsed) == 1 else text


def _holders(value: Any, parts: list[str], path: KeyPath, made: list[KeyPath]) -> Iterator[tuple[KeyPath, Any]]:
    """Tables and arrays that hold the last key."""
    if not parts:
        yield path, value
        return
    for key in _select(value, parts[0], path):
        if isinstance(value, dict) and key not in value:
            value[str(key)] = {}
            made.append((*path, key))
        yield from _holders(value[key], parts[1:], (*path, key), made)


def _select(value: Any, part: str, path: KeyPath) -> list[str | int]:
    """Keys of a table or positions in an array that one part of a path stands for."""
    where = dotted(path) or "the experiment"
    if isinstance(value, dict):
        return list(value) if part == "*" else [part]
    if not isinstance(value, list):
        raise BadOverride(f"leads into {where}, which is a single value.")
    if part == "*":
        return list(range(len(value)))
    if not part.isdecimal():
        raise BadOverride(f"must select an entry of {where} by its number or '*', got {part!r}.")
    if int(part) >= len(value):
        entries = "1 entry" if len(value) == 1 else f"{len(value)} entries"
        raise BadOverride(f"selects entry {part} of {where}, which has {entries}, counted from 0.")
    return [int(part)]
