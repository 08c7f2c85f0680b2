"""A system's spec as JSON, and back: a recorded system must say what it was where its code is not installed."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from ..contracts import ArrayKind, Cost, Domain, DriveSpec, Kind, ResponseSpec, SystemSpec
from ..errors import SpecError

_NONLINEARITIES = {"medium", "detector", "digital"}


def spec_to_json(spec: SystemSpec) -> str:
    """Encode a spec. Of its identity, what JSON can't hold becomes text."""
    plain = dataclasses.asdict(spec)
    plain["nonlinearity"] = sorted(spec.nonlinearity)
    return json.dumps(plain, default=_plain, ensure_ascii=False)


def shapes_in(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the drive's and the response's shape that an encoded spec declares, without making anything of them.

    Raises:
        SpecError: It declares none.
    """
    try:
        values = json.loads(text)
        return tuple(map(int, values["drive"]["shape"])), tuple(map(int, values["response"]["shape"]))
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise SpecError(f"a recorded spec must tell its shapes, got {type(error).__name__}: {error}.") from error


def spec_from_json(text: str) -> SystemSpec:
    """Take back what `spec_to_json` returned.

    Building a spec takes memory by its channels: check `shapes_in` against what is really there first.

    Raises:
        SpecError: It is no spec, or contradicts itself.
    """
    try:
        values = json.loads(text)
        drive, response = dict(values["drive"]), dict(values["response"])
        for table in (drive, response):
            for key in ("shape", "axes", "low", "high"):
                if isinstance(table.get(key), list):
                    table[key] = tuple(table[key])
        nonlinearity = frozenset(values["nonlinearity"])
        if values["kind"] not in get_args(Kind) or values["array"] not in get_args(ArrayKind):
            raise SpecError(f"a recorded spec must be of a known kind and array, got {values['kind']!r}.")
        if drive["domain"] not in get_args(Domain) or not nonlinearity <= _NONLINEARITIES:
            raise SpecError(f"a recorded spec must have a known domain, got {drive['domain']!r}.")
        rest = {key: values[key] for key in ("repeatable", "reproducible", "stateful", "max_batch", "device")}
        return SystemSpec(
            name=str(values["name"]),
            kind=values["kind"],
            drive=DriveSpec(**drive),
            response=ResponseSpec(**response),
            nonlinearity=nonlinearity,
            cost=Cost(**values["cost"]),
            resource=str(values["resource"]),
            array=values["array"],
            identity=dict(values["identity"]),
            **rest,
        )
    except SpecError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise SpecError(f"a recorded spec must be complete, got {type(error).__name__}: {error}.") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, enum.Enum):
        return value.value
    return str(value)
