"""Checks of parameters that can be written.

A check yields a message for each thing that is wrong: what was found, what was expected, and the way out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, Tunable
from physnet.errors import DriveError

from .bench import Bench

Values = Mapping[str, NDArray[Any]]


def check_parameters(bench: Bench) -> Iterator[str]:
    """Tunable: values in bounds and told as copies, writes that count and keep the others, none out of bounds."""
    system = bench.factory()
    if not isinstance(system, Tunable) or not system.parameters:
        return
    specs = dict(system.parameters)
    begun = dict(system.values)  # training begins from them, before the system is open
    if wrong := _misfits(begun, specs):
        yield f"values must tell every parameter in its shape and bounds, got {wrong}. Tell what it starts with."
        return
    with system:
        for value in dict(system.values).values():
            value.fill(np.nan)
        if not _same(system.values, begun):
            yield "values must be copies, got the parameters changed by a change of what was returned. Return copies."
        versions = [system.configure(begun)]
        for name, spec in specs.items():
            for limit in (spec.low_array, spec.high_array):
                written = limit.reshape(spec.shape)
                versions.append(system.configure({name: written}))
                kept = {**begun, name: written}
                if not _same(system.values, kept):
                    yield f"configure must set {name} to its limits and leave the others, got other values."
            beyond = (2 * spec.high_array - spec.low_array).reshape(spec.shape)
            yield from _refuses(system, name, beyond, kept)
            versions.append(system.configure({name: begun[name]}))
    if versions != list(range(versions[0], versions[0] + len(versions))):
        yield f"configure must return a version that grows by one at every write, got {versions}. Count the writes."


def _refuses(system: Tunable, name: str, beyond: NDArray[Any], kept: Values) -> Iterator[str]:
    try:
        system.configure({name: beyond})
    except DriveError:
        if not _same(system.values, kept):
            yield f"a write of {name} that is refused must change nothing, got other values. Check before writing."
    except Exception as error:
        yield f"{name} out of its bounds must be refused by a DriveError, got {type(error).__name__}: {error}."
    else:
        yield f"{name} out of its bounds must be refused by a DriveError, got it written. Check before writing."


def _misfits(values: Values, specs: Mapping[str, DriveSpec]) -> str:
    """Return what is wrong with values, or nothing."""
    if set(values) != set(specs):
        return f"{', '.join(sorted(values)) or 'none'} for {', '.join(sorted(specs))}"
    for name, spec in specs.items():
        value = np.asarray(values[name])
        if value.shape != spec.shape:
            return f"{name} of shape {value.shape} for {spec.shape}"
        if not bool(np.all((value.ravel() >= spec.low_array) & (value.ravel() <= spec.high_array))):
            return f"{name} beyond {spec.low} to {spec.high} {spec.unit}"
    return ""


def _same(values: Values, expected: Values) -> bool:
    return set(values) == set(expected) and all(np.array_equal(values[name], expected[name]) for name in expected)
