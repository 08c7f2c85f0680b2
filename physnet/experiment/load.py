"""From an experiment file to an `Experiment`, or to one message that holds every mistake in it."""

from __future__ import annotations

import difflib
import importlib.resources
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from .. import registry
from ..encoders import ENCODERS
from ..errors import ExperimentError
from .check import Check
from .lines import KeyPath, key_lines
from .overrides import BadOverride, apply
from .problems import Problem, dotted
from .schema import Experiment

DEFAULT = "digits-acoustic"
"""The shipped experiment that runs when none is named."""

_LARGEST_FILE = 1 << 20  # bytes; beyond it, it is some other kind of file


@dataclass(frozen=True, kw_only=True)
class _Text:
    shown: str  # as messages name it
    base: Path
    text: str


def load_experiment(
    source: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    entries: registry.Entries = registry.installed,
    encoders: Mapping[str, registry.Factory] = ENCODERS,
) -> Experiment:
    """Read an experiment, and check all of it before anything is opened.

    Args:
        source: Path of a TOML file, or name of a shipped experiment; the default one when None.
        overrides: Values to replace, each `section.key=value`: see `physnet.experiment.overrides.apply`.
        entries: Where the names of systems and rules come from.
        encoders: Encoders by name.

    Returns:
        The experiment, with the defaults of its systems and its rule filled in.

    Raises:
        ExperimentError: There is no such file, it is not TOML, or something in it is wrong. Every mistake
            has a line in the message that names its place.
    """
    file = _read(source)
    table = _parse(file)
    problems: list[Problem] = []
    origins: dict[KeyPath, str] = {}
    for override in overrides:
        shown = override.encode("utf-8", "backslashreplace").decode()
        try:
            for path in apply(table, override):
                origins[path] = shown
        except BadOverride as error:
            origin: KeyPath = (f"--set {shown}",)  # no key of a file: sorts and prints under its own name
            origins[origin] = shown
            problems.append(Problem(path=origin, text=str(error), cause=error))
    # dates become text: what takes text is content, and what doesn't says so
    table = json.loads(json.dumps(table, default=str))
    check = Check(table, base=file.base, entries=entries, encoders=encoders)
    problems += check.problems
    if problems:
        raise ExperimentError(_message(problems, file, origins)) from next(
            (problem.cause for problem in problems if problem.cause is not None), None
        )
    return Experiment.from_dict({**check.table, "source": file.shown}, base=file.base)


def shipped() -> tuple[str, ...]:
    """Names of the experiments that come with physnet."""
    return tuple(sorted(_shipped()))


def _shipped() -> dict[str, Traversable]:
    try:
        folder = importlib.resources.files("physnet.experiments")
        return {file.name.removesuffix(".toml"): file for file in folder.iterdir() if file.name.endswith(".toml")}
    except (ModuleNotFoundError, FileNotFoundError, NotADirectoryError):
        return {}


def _read(source: str | Path | None) -> _Text:
    if source is None or (isinstance(source, str) and re.fullmatch(r"[\w-]+", source)):
        name = source or DEFAULT
        found = _shipped().get(str(name))
        if found is not None:
            # relative paths can only come from overrides, and mean the folder that they were typed in
            return _Text(shown=f"{name}.toml", base=Path.cwd(), text=_decode(found.read_bytes(), f"{name}.toml"))
        if source is None:
            raise ExperimentError(f"the shipped experiment {DEFAULT!r} is missing. Reinstall physnet, or name a file.")
    path = Path(source)
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise ExperimentError(_not_found(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if path.is_dir():
            reason = "it is a folder. Name a .toml file"
        else:
            reason = f"it can't be read: {getattr(error, 'strerror', None) or error}"
        raise ExperimentError(f"{path} must be an experiment file, and {reason}.") from error
    return _Text(shown=str(path), base=path.absolute().parent, text=_decode(raw, str(path)))


def _not_found(path: Path) -> str:
    names = shipped()
    near = difflib.get_close_matches(path.name.removesuffix(".toml"), names, n=1)
    nearby = path.with_name(f"{path.name}.toml") if path.name else path
    hint = f" Did you mean {near[0]!r}?" if near else ""
    if nearby != path and nearby.is_file():
        hint = f" Did you mean '{nearby}'?"
    return f"there is no experiment file at '{path}'.{hint} Shipped experiments: {', '.join(names) or 'none'}."


def _decode(raw: bytes, shown: str) -> str:
    if len(raw) > _LARGEST_FILE:
        raise ExperimentError(f"{shown} must be an experiment file, and it is larger than {_LARGEST_FILE >> 20} MiB.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ExperimentError(f"{shown} must be encoded in UTF-8, and it is in UTF-16. Save it as UTF-8.")
    if b"\0" in raw:
        raise ExperimentError(f"{shown} must be a text file in TOML, and it is binary.")
    try:
        return raw.decode("utf-8-sig")  # Windows editors put a byte order mark first
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ExperimentError(
            f"{shown}:{line}: must be encoded in UTF-8, got byte 0x{raw[error.start]:02x}. Save it as UTF-8."
        ) from error


def _parse(file: _Text) -> dict[str, Any]:
    try:
        return tomllib.loads(file.text)
    except tomllib.TOMLDecodeError as error:
        match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
        if match is None:
            raise ExperimentError(f"{file.shown}: is not TOML: {error}.") from error
        line = match[2] or str(file.text.rstrip("\n").count("\n") + 1)
        place = f"column {match[3]}" if match[3] else "at the end of the file"
        raise ExperimentError(f"{file.shown}:{line}: is not TOML: {match[1]} ({place}).") from error
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, arrays 1000 deep
        raise ExperimentError(f"{file.shown}: is not TOML that can be read: {error}.") from error


def _message(problems: Sequence[Problem], file: _Text, origins: Mapping[KeyPath, str]) -> str:
    """One line for each problem, in the order of the file; those of the command line last."""
    lines = key_lines(file.text)
    ranked: list[tuple[int, int, str]] = []
    for problem in problems:
        line, override = _place(problem.path, lines, origins)
        if override is not None:
            ranked.append((1, list(origins.values()).index(override), f"--set {override}: {problem.text}"))
        else:
            hint = _left_behind(problem.path, origins) if problem.path in lines else ""
            place = f"{file.shown}:{line}" if line else file.shown
            ranked.append((0, line, f"{place}: {problem.text}{hint}"))
    ranked.sort(key=lambda entry: entry[:2])
    return "\n".join(dict.fromkeys(text for _, _, text in ranked))


def _place(path: KeyPath, lines: Mapping[KeyPath, int], origins: Mapping[KeyPath, str]) -> tuple[int, str | None]:
    """Line of the innermost known table around a key, 0 for none; or the override that set it."""
    overridden = [length for length in range(1, len(path) + 1) if path[:length] in origins]
    for length in range(len(path), 0, -1):
        if path[:length] in origins:
            return 0, origins[path[:length]]
        # what stood in the file below an overridden key is gone
        if path[:length] in lines and not (overridden and overridden[0] < length):
            return lines[path[:length]], None
    return 0, None


def _left_behind(path: KeyPath, origins: Mapping[KeyPath, str]) -> str:
    """The way out for a key of the file whose section was given another rule or system by an override."""
    section = path[:-1]
    for key in ("name", "type"):
        if section and (*section, key) in origins:
            whole = f"{dotted(section)}={{{key}=...}}"
            return f" {dotted((*section, key))} was set to something else: --set '{whole}' replaces all of it."
    return ""
