"""What is wrong with an experiment, in plain words: pydantic's findings, and how they are told."""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .lines import KeyPath

_LONGEST_VALUE = 60

# pydantic's name of an error, and the rule it stands for
_RULES = {
    "bool_type": "true or false",
    "dataclass_type": "a table",
    "dict_type": "a table",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a table",
    "none_required": "left out",
    "path_type": "a path in quotes",
    "set_type": "a list",
    "string_type": "text in quotes",
    "tuple_type": "a list",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake.

    Args:
        path: Key that it is about; the empty path for the whole file.
        text: One sentence or two. It names the key where `path` alone does not.
        cause: The exception behind it, where there is one.
    """

    path: KeyPath
    text: str
    cause: Exception | None = field(default=None, compare=False)


def dotted(path: Sequence[str | int]) -> str:
    """A key as messages write it: `layers[0].width`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def plain(value: Any) -> str:
    """A value as messages write it: as TOML would, and not longer than half a line."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 4]} ..."


def nearest_name(name: str, valid: Collection[str]) -> str:
    """The question whether the nearest valid name was meant, after a space; empty where none is near."""
    close = difflib.get_close_matches(name.lower(), valid, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown_key(path: KeyPath, valid: Collection[str]) -> Problem:
    """A key that nothing reads."""
    keys = ", ".join(valid) if valid else "none"
    hint = nearest_name(str(path[-1]), valid)
    return Problem(path=path, text=f"{dotted(path)} is not a known key.{hint} Valid keys: {keys}.")


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    *,
    where: KeyPath = (),
    also_valid: Collection[str] = (),
) -> list[Problem]:
    """Put pydantic's findings into words, one problem for each key.

    Args:
        error: What pydantic raised.
        model: The model it raised it for.
        data: The table that was validated, plain values.
        where: Path of the table that was validated.
        also_valid: Keys of that table which are not the model's, and are checked elsewhere.
    """
    found: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_path(detail, data), []).append(detail)
    problems = []
    for path, details in found.items():
        if any(len(other) > len(path) and other[: len(path)] == path for other in found):
            continue  # one member of a union: the other member looked further into the value
        whole = (*where, *path)
        kind = details[0]["type"]
        if kind in ("extra_forbidden", "unexpected_keyword_argument"):
            valid = [*(also_valid if len(path) == 1 else ()), *_keys(model, path[:-1])]
            problems.append(unknown_key(whole, valid))
        elif kind == "missing":
            problems.append(
                Problem(path=whole, text=f"{dotted(whole)} is missing: it has no default and must be given.")
            )
        else:
            problems.append(Problem(path=whole, text=_sentence(whole, details)))
    return problems


def _sentence(path: KeyPath, details: Sequence[ErrorDetails]) -> str:
    value = details[0]["input"]
    for detail in details:
        if detail["type"] in (
            "value_error",
            "assertion_error",
        ):  # raised by the option's own type: a whole sentence
            words = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            return f"{dotted(path)}: {' '.join(words.split())}"
    choices = [str(d["ctx"]["expected"]) for d in details if d["type"] == "literal_error"]
    hint = nearest_name(value, [c.strip("'") for c in _literals(choices)]) if isinstance(value, str) else ""
    rules = dict.fromkeys(_rule(detail) for detail in details)  # each once, in their order
    return f"{dotted(path)} must be {' or '.join(rules)}, got {plain(value)}.{hint}"


def _literals(choices: Iterable[str]) -> list[str]:
    return [part for choice in choices for part in choice.replace(" or ", ", ").split(", ")]


def _rule(detail: ErrorDetails) -> str:
    kind, ctx = detail["type"], detail.get("ctx", {})
    if kind in _RULES:
        return _RULES[kind]
    holder = "a table" if ctx.get("field_type") == "Dictionary" else "a list"
    match kind:
        case "literal_error" | "enum":
            return str(ctx["expected"])
        case "greater_than":
            return f"> {ctx['gt']:g}"
        case "greater_than_equal":
            return f">= {ctx['ge']:g}"
        case "less_than":
            return f"< {ctx['lt']:g}"
        case "less_than_equal":
            return f"<= {ctx['le']:g}"
        case "multiple_of":
            return f"a multiple of {ctx['multiple_of']}"
        case "too_short":
            return f"{holder} of at least {_count(ctx['min_length'])}"
        case "too_long":
            return f"{holder} of at most {_count(ctx['max_length'])}"
        case "string_too_short":
            return "text that is not empty" if ctx["min_length"] == 1 else f"text of >= {ctx['min_length']} characters"
        case "string_too_long":
            return f"text of <= {ctx['max_length']} characters"
        case "string_pattern_mismatch":
            return f"text that matches {ctx['pattern']}"
        case "is_instance_of":
            return f"a {ctx['class']}, which a file can't hold"
    # a type that is rare in options: pydantic's words are the best there are
    return detail["msg"].removeprefix("Input should be ").rstrip(".")


def _count(number: int) -> str:
    return f"{number} entry" if number == 1 else f"{number} entries"


def _path(detail: ErrorDetails, data: Any) -> KeyPath:
    """A finding's path in the file: its location without the labels of the members of a union."""
    path: KeyPath = ()
    value = data
    for position, part in enumerate(detail["loc"], start=1):
        if (isinstance(value, dict) and part in value) or (isinstance(value, list) and part in range(len(value))):
            value = value[part]  # type: ignore[index]
            path += (part,)
        elif detail["type"] == "missing" and position == len(detail["loc"]):
            path += (part,)
    return path


def _keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Valid keys of the table at `path` below a model."""
    current: Any = model
    for part in path:
        fields = _fields(current)
        if part in fields:
            current = _table_type(fields[str(part)])
    return list(_fields(current))


def _fields(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {info.alias or name: info.annotation for name, info in kind.model_fields.items()}
    if isinstance(kind, type):
        return typing.get_type_hints(kind)
    return {}


def _table_type(annotation: Any) -> Any:
    """The model or dataclass inside an annotation such as `list[Layer]` or `Drift | None`."""
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or hasattr(annotation, "__dataclass_fields__")
    ):
        return annotation
    return next(filter(None, map(_table_type, typing.get_args(annotation))), None)
