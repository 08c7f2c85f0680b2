"""Checks that a system is what its spec says: shapes, types, ranges, batches, opening and closing.

A check yields a message for each thing that is wrong: what was found, what was expected, and the way out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, get_args

import numpy as np
import torch

from physnet.allowed_drives import limit_drives
from physnet.contracts import ArrayKind, Kind, Reading, SystemSpec

from .bench import Bench, as_numpy


def check_spec(bench: Bench) -> Iterator[str]:
    """The spec is a frozen `SystemSpec` and stays the same, open or closed."""
    system = bench.factory()
    spec = system.spec
    if not isinstance(spec, SystemSpec):
        yield f"spec must be a physnet.contracts.SystemSpec, got {type(spec).__name__}. Build one in the constructor."
        return
    if spec.kind not in get_args(Kind) or spec.array not in get_args(ArrayKind):
        yield (
            f"kind and array of the spec must be one of {get_args(Kind)} and {get_args(ArrayKind)}, "
            f"got {spec.kind!r} and {spec.array!r}."
        )
    with system:
        opened = system.spec
        bench.measure(system, bench.drives(spec))
        if not spec == opened == system.spec:
            yield "spec must not change while the system is open, got another one. Build it once."
    if system.spec != spec:
        yield "spec must be the same after the system is left, got another one. Build it once."


def check_entering_and_leaving(bench: Bench) -> Iterator[str]:
    """Entering returns the system; leaving lets exceptions through; after either, the system can be opened again."""
    system = bench.factory()
    with system as entered:
        pass
    if entered is not system:
        yield f"__enter__ must return the system itself, got {type(entered).__name__}. End it with `return self`."

    class _Trouble(Exception):
        pass

    swallowed = True
    trouble: AbstractContextManager[Any] = bench.factory()
    try:
        with trouble:
            raise _Trouble
    except _Trouble:
        swallowed = False
    except Exception as error:
        swallowed = False
        yield (
            f"__exit__ must let the exception of its block through, got {type(error).__name__}: {error}. "
            "Make the outputs safe without raising anything new."
        )
    if swallowed:
        yield "__exit__ must let the exception of its block through, got it swallowed. Return None or False."
    with bench.factory() as again:
        bench.measure(again, bench.drives(again.spec))


def check_response(bench: Bench) -> Iterator[str]:
    """Shape, dtype, array library and finite values, over the range and at both limits; well-formed readings."""
    system = bench.factory()
    with system:
        for where, drive in (("in the range", bench.drives(system.spec)), ("at a limit", limit_drives(system.spec))):
            first = 0
            for reading in bench.measure(system, drive):
                size = min(system.spec.max_batch or len(drive), len(drive) - first)
                yield from _faults(reading, size, system.spec, where)
                first += size


def _faults(reading: Reading, rows: int, spec: SystemSpec, where: str) -> Iterator[str]:
    """Yield what is wrong with one reading of `rows` rows."""
    if not isinstance(reading, Reading):
        yield f"measure must return a physnet.contracts.Reading, got {type(reading).__name__}."
        return
    response = reading.response
    library = torch.Tensor if spec.array == "torch" else np.ndarray
    if not isinstance(response, library):
        yield f"the response must be an array of {spec.array}, as the spec says, got {type(response).__name__}."
        return
    shape = (rows, *spec.response.shape)
    if tuple(response.shape) != shape:
        yield f"the response to {rows} rows {where} must have shape {shape}, got {tuple(response.shape)}."
        return
    values = as_numpy(response)
    if values.dtype != np.dtype(spec.response.dtype):
        yield f"the response must be {spec.response.dtype}, as the spec says, got {values.dtype}. Correct one of them."
    if isinstance(response, torch.Tensor) and torch.device(spec.device).type != response.device.type:
        yield f"the response must be on {spec.device}, as the spec says, got {response.device}."
    valid = np.ones(rows, dtype=bool) if reading.valid is None else reading.valid
    if valid.dtype != np.bool_ or valid.shape != (rows,):
        yield f"valid must be bool of shape ({rows},), got {valid.dtype} of shape {valid.shape}."
    elif not np.isfinite(values[valid]).all():
        yield f"the response must be finite for a drive {where}, got NaN or infinity. Mark such rows in `valid`."
    if reading.flags is not None and (reading.flags.dtype != np.uint8 or reading.flags.shape != (rows,)):
        yield f"flags must be uint8 of shape ({rows},), got {reading.flags.dtype} of shape {reading.flags.shape}."
    if not reading.started <= reading.stopped:
        yield f"started must not be later than stopped, got {reading.started} and {reading.stopped} s."
    if reading.shots < 1:
        yield f"shots must be >= 1, got {reading.shots}."
    if reading.spread is not None and tuple(reading.spread.shape) != shape:
        yield f"spread must have the shape of the response, {shape}, got {tuple(reading.spread.shape)}."


def check_full_scale(bench: Bench) -> Iterator[str]:
    """No response exceeds the declared full scale; of a complex one, neither part does."""
    system = bench.factory()
    full_scale = system.spec.response.full_scale
    if full_scale is None:
        return
    with system:
        for drive in (bench.drives(system.spec), limit_drives(system.spec)):
            value = bench.response(system, drive)
            largest = float(np.nanmax(np.abs([value.real.astype(float), value.imag.astype(float)])))
            # One unit in the last place of float32: a full scale need not be a number of the response's type.
            if largest > full_scale * (1 + 2**-23):
                yield (
                    f"the response must stay within the full scale of {full_scale:g} {system.spec.response.unit}, "
                    f"got {largest:g}. Declare the detector's true limit, or clip and flag the row."
                )
                return


def check_batches(bench: Bench) -> Iterator[str]:
    """One row, many rows, and a batch of the largest size declared."""
    system = bench.factory()
    limit = system.spec.max_batch
    with system:
        for rows in (1, 4 * bench.rows if limit is None else min(limit, 4 * bench.rows)):
            drive = bench.drives(system.spec, rows)
            reading = system.measure(drive, bench.passes(rows))
            if len(reading) != rows:
                yield f"a batch of {rows} rows must give {rows} responses, got {len(reading)}."
