"""What `physnet sensitivity` changes: noise, bits, drift, dead channels, the nonlinearity, or any key of the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import InputError
from ..experiment import Experiment
from .contestants import as_toml

Value = float | int | str
_IMPAIRMENTS = "impairments."


def _number(of: str, value: Value) -> float | int:
    if isinstance(value, str):
        raise InputError(f"values of {of} must be numbers, got {value!r}.")
    return value


def _noise(table: dict[str, Any], value: Value) -> None:
    table["noise"] = _number("noise", value)


def _dead(table: dict[str, Any], value: Value) -> None:
    table["dead"] = _number("dead", value)


def _bits(table: dict[str, Any], value: Value) -> None:
    """Give both converters as many bits; `none` takes them away."""
    for name in ("dac_bits", "adc_bits"):
        if value == "none":
            table.pop(name, None)
        else:
            table[name] = _number("bits", value)
    if value != "none":
        table.setdefault("full_scale", "auto")


def _drift(table: dict[str, Any], value: Value) -> None:
    """Turn pairs of channels by an angle per row that the system answers, whatever its clock."""
    seconds = table.get("seconds_per_pass") or 1.0
    table.pop("rotation_drift", None)
    if _number("drift", value):
        table |= {"rotation_drift": {"profile": "linear", "rate": _number("drift", value) / seconds}}
        table["seconds_per_pass"] = seconds


_TABLES: Mapping[str, Callable[[dict[str, Any], Value], None]] = {
    "noise": _noise,
    "bits": _bits,
    "drift": _drift,
    "dead": _dead,
}

UNITS: Mapping[str, str] = {
    "noise": "response noise / RMS of a row",
    "bits": "bits of both converters",
    "drift": "drift / rad per row",
    "dead": "share of dead channels",
    "nonlinearity": "digital nonlinearity",
}
"""What can be changed by a word, and what its values are."""


def overrides_for(experiment: Experiment, of: str, value: Value) -> Iterator[str]:
    """Yield the overrides that give an experiment one value.

    Args:
        experiment: As it is.
        of: A word of `UNITS`; `impairments.KEY` for an option of the impairments of every system; or any key of the
            experiment, as `--set` has it.
        value: The value.

    Raises:
        InputError: There is nothing of that name, or the value is of the wrong kind.
    """
    if of in _TABLES or of.startswith(_IMPAIRMENTS):
        for name, section in experiment.systems.items():
            table = dict(section.impairments or {})
            if of in _TABLES:
                _TABLES[of](table, value)
            else:
                table[of.removeprefix(_IMPAIRMENTS)] = value
            yield f"systems.{json.dumps(name)}.impairments={as_toml(table)}"
    elif of == "nonlinearity":
        yield f"layers.*.nonlinearity={as_toml(str(value))}"
    elif "." in of:
        yield f"{of}={value if isinstance(value, str) else as_toml(value)}"
    else:
        raise InputError(
            f"what to change must be {', '.join(UNITS)}, impairments.KEY or a key of the experiment, got {of!r}."
        )


def parse_values(text: str) -> tuple[Value, ...]:
    """Split a list of values at its commas: numbers where they are numbers, else words.

    Raises:
        InputError: There are fewer than two, or one twice.
    """
    values = tuple(_parsed(part.strip()) for part in text.split(",") if part.strip())
    if len(values) < 2 or len(set(values)) < len(values):
        raise InputError(f"values must be at least 2, different ones and separated by commas, got {text!r}.")
    return values


def _parsed(text: str) -> Value:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
