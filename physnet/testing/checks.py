"""The checks behind `physnet.testing.conformance`, one function each.

A check yields a message for each thing that is wrong: what was found, what was expected, and the way out.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import Array, ArrayKind, Differentiable, Kind, PhysicalSystem, Reading, Stateful, SystemSpec
from physnet.passes import Purpose, pass_numbers

from .drives import limit_drives, random_drives

Factory = Callable[[], PhysicalSystem]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One check's view of the system: a factory, and drives that it allows."""

    factory: Factory
    rows: int
    seed: int

    def drives(self, spec: SystemSpec, rows: int | None = None) -> Array:
        """Return random drives, the usual number unless told otherwise."""
        return random_drives(spec, rows=rows or self.rows, seed=self.seed)

    def passes(self, rows: int) -> NDArray[np.int64]:
        """Return the first `rows` pass numbers of a calibration."""
        return pass_numbers(Purpose.CALIBRATE, rows=rows)

    def measure(self, system: PhysicalSystem, drive: Array, passes: NDArray[np.int64] | None = None) -> list[Reading]:
        """Measure in batches that the system takes."""
        passes = self.passes(len(drive)) if passes is None else passes
        size = system.spec.max_batch or len(drive)
        return [
            system.measure(drive[first : first + size], passes[first : first + size])
            for first in range(0, len(drive), size)
        ]

    def response(self, system: PhysicalSystem, drive: Array, passes: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Measure in batches that the system takes and return a copy of the responses, NaN where a row is invalid."""
        parts = []
        for reading in self.measure(system, drive, passes):
            part = _numpy(reading.response).copy()
            if reading.valid is not None and part.dtype.kind in "fc":
                part[~reading.valid] = np.nan
            parts.append(part)
        return np.concatenate(parts)


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
    values = _numpy(response)
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


def check_drive_is_left_alone(bench: Bench) -> Iterator[str]:
    """Neither drive nor pass numbers are written to, and arrays of any layout are taken."""
    system = bench.factory()
    with system:
        spec = system.spec
        rows = min(bench.rows, spec.max_batch or bench.rows)
        drive, passes = bench.drives(spec, rows), bench.passes(rows)
        before = _numpy(drive).copy()
        system.measure(drive, passes)
        if not np.array_equal(_numpy(drive), before):
            yield "measure must not write to the drive it is given, got it changed. Work on a copy."
        if not np.array_equal(passes, bench.passes(rows)):
            yield "measure must not write to the pass numbers it is given, got them changed. Work on a copy."
    with bench.factory() as system:
        straight = bench.response(system, drive[:rows])
    # Strides that a C interface would misread: every other row and channel of a larger array, or the axes reversed.
    if len(spec.drive.shape) == 1:
        wide = np.zeros((2 * rows, 2 * before.shape[1]), dtype=before.dtype)
        wide[::2, ::2] = before
        sparse_array = wide[::2, ::2]
    else:
        sparse_array = np.asfortranarray(before)
    sparse: Array
    if spec.array == "torch":
        strides = [n // before.itemsize for n in sparse_array.strides]
        values = torch.from_numpy(before)
        sparse = torch.empty_strided(before.shape, strides, dtype=values.dtype, device=spec.device).copy_(values)
    else:
        sparse_array.setflags(write=False)
        sparse = sparse_array
    try:
        with bench.factory() as system:
            strided = bench.response(system, sparse)
    except Exception as error:
        yield (
            f"measure must take a drive of any strides, read-only too, got {type(error).__name__}: {error}. "
            "np.ascontiguousarray or tensor.contiguous() makes a copy where one is needed."
        )
        return
    if (spec.repeatable or spec.kind == "simulated") and not np.array_equal(straight, strided, equal_nan=True):
        yield (
            "the response must not depend on the strides of the drive, got another one for the same values. "
            "np.ascontiguousarray or tensor.contiguous() makes a copy where one is needed."
        )


def check_reading_is_kept(bench: Bench) -> Iterator[str]:
    """A reading stays what it was when the next rows are measured."""
    system = bench.factory()
    with system:
        rows = min(bench.rows, system.spec.max_batch or bench.rows)
        drive = bench.drives(system.spec, 2 * rows)
        first = system.measure(drive[:rows], bench.passes(rows))
        before = _numpy(first.response).copy()
        system.measure(drive[rows:], bench.passes(2 * rows)[rows:])
        if not np.array_equal(_numpy(first.response), before, equal_nan=True):
            yield "a reading must keep its response, got it overwritten by the next call. Return a copy of the buffer."


def check_no_graph(bench: Bench) -> Iterator[str]:
    """The response carries no autograd graph."""
    system = bench.factory()
    with system, torch.enable_grad():
        for reading in bench.measure(system, bench.drives(system.spec)):
            if isinstance(reading.response, torch.Tensor) and reading.response.requires_grad:
                yield "a response must not require a gradient, got one that does. Measure under torch.no_grad()."
                return


def check_global_random_state(bench: Bench) -> Iterator[str]:
    """Neither building nor measuring draws from, or seeds, the global generators."""
    before = _global_random_state()
    with bench.factory() as system:
        bench.measure(system, bench.drives(system.spec))
    changed = [name for name, value in _global_random_state().items() if value != before[name]]
    if changed:
        yield (
            f"a system must leave the global random state alone, got that of {' and '.join(changed)} changed. "
            "Key your random numbers by seed and pass number, or own a generator."
        )


def check_repeatable(bench: Bench) -> Iterator[str]:
    """Declared repeatable: the same drive gives the same response under any pass number."""
    system = bench.factory()
    if not system.spec.repeatable:
        return
    with system:
        drive, passes = bench.drives(system.spec), bench.passes(2 * bench.rows)
        first, second = (bench.response(system, drive, part) for part in (passes[: bench.rows], passes[bench.rows :]))
    if not np.array_equal(first, second, equal_nan=True):
        yield (
            "a system declared repeatable must give the same response to the same drive, "
            f"got a difference of up to {_distance(first, second):g}. Declare repeatable=False."
        )


def check_reproducible(bench: Bench) -> Iterator[str]:
    """Declared reproducible: the same drive and pass number give the same response.

    In another order and other batches as well, unless the system declares that it remembers; then after `reset`.
    """
    system = bench.factory()
    spec = system.spec
    if not spec.reproducible:
        return
    with system:
        drive, passes = bench.drives(spec), bench.passes(bench.rows)
        first = bench.response(system, drive, passes)
        if spec.stateful and isinstance(system, Stateful):
            system.reset()
        second = bench.response(system, drive, passes)
        if not np.array_equal(first, second, equal_nan=True):
            yield (
                "a system declared reproducible must give the same response to the same drive and pass number, "
                f"got a difference of up to {_distance(first, second):g}. Key what varies by the pass number, "
                "or declare reproducible=False."
            )
            return
        if spec.stateful:
            return
        order = np.random.Generator(np.random.Philox(bench.seed)).permutation(bench.rows)
        index = torch.from_numpy(order).to(spec.device) if isinstance(drive, torch.Tensor) else order
        shuffled = np.empty_like(first)
        cut = 1 + bench.rows // 3  # two batches of unlike size
        for part in (slice(0, cut), slice(cut, bench.rows)):
            if len(order[part]):
                shuffled[order[part]] = bench.response(system, drive[index[part]], passes[order[part]])
    if not np.array_equal(first, shuffled, equal_nan=True):
        yield (
            "a system declared reproducible must answer a row alike in any order and batch, "
            f"got a difference of up to {_distance(first, shuffled):g}. Compute each row with the same operations "
            "wherever it stands (matrix products of a fixed height), or declare reproducible=False."
        )


def check_state(bench: Bench) -> Iterator[str]:
    """Declared stateful: it can be saved, put back and reset; a simulated one then repeats itself exactly."""
    system = bench.factory()
    spec = system.spec
    if not spec.stateful:
        return
    if not isinstance(system, Stateful):
        if spec.kind in ("simulated", "twin"):
            yield "a stateful simulator must have state, restore and reset (contracts.Stateful), got none."
        return
    with system:
        drive = bench.drives(spec, 2 * bench.rows)
        passes = bench.passes(2 * bench.rows)
        fresh = bench.response(system, drive[: bench.rows], passes[: bench.rows])
        saved = {name: np.array(value) for name, value in dict(system.state()).items()}
        if not isinstance(system.state(), Mapping):
            yield f"state must return a mapping of names to arrays, got {type(system.state()).__name__}."
        after = bench.response(system, drive[bench.rows :], passes[bench.rows :])
        system.restore(saved)
        again = bench.response(system, drive[bench.rows :], passes[bench.rows :])
        system.reset()
        anew = bench.response(system, drive[: bench.rows], passes[: bench.rows])
    if spec.kind not in ("simulated", "twin"):
        return
    if not np.array_equal(after, again, equal_nan=True):
        yield (
            "restore must put back everything the next response depends on, "
            f"got a difference of up to {_distance(after, again):g}. Something is missing in state, or shared with it."
        )
    if not np.array_equal(fresh, anew, equal_nan=True):
        yield (
            "reset must bring back the system as it was built, "
            f"got a difference of up to {_distance(fresh, anew):g}. Something survives it."
        )


def check_forward(bench: Bench) -> Iterator[str]:
    """Differentiable: `forward` gives the numbers of `measure`, and a finite gradient."""
    system = bench.factory()
    if not isinstance(system, Differentiable):
        return
    with system:
        drive = bench.drives(system.spec)
        measured = bench.response(system, drive)
    with bench.factory() as twin:
        leaf = torch.as_tensor(drive).clone().requires_grad_()
        size = twin.spec.max_batch or bench.rows
        passes = bench.passes(bench.rows)
        parts = [
            twin.forward(leaf[k : k + size], passes[k : k + size])  # type: ignore[attr-defined]
            for k in range(0, bench.rows, size)
        ]
        computed = torch.cat(parts)
        if not np.array_equal(_numpy(computed), measured, equal_nan=True):
            yield (
                "forward must give the same numbers as measure, "
                f"got a difference of up to {_distance(_numpy(computed), measured):g}. Let measure call forward."
            )
        if not computed.requires_grad:
            yield "forward must keep the graph from drive to response, got a detached response."
            return
        (gradient,) = torch.autograd.grad(computed.abs().sum(), leaf)
        if not bool(torch.isfinite(gradient).all()):
            yield "the gradient through forward must be finite, got NaN or infinity. Mind square roots at 0."


Check = Callable[[Bench], Iterator[str]]
CHECKS: tuple[Check, ...] = (
    check_spec,
    check_entering_and_leaving,
    check_response,
    check_full_scale,
    check_batches,
    check_drive_is_left_alone,
    check_reading_is_kept,
    check_no_graph,
    check_global_random_state,
    check_repeatable,
    check_reproducible,
    check_state,
    check_forward,
)


def _numpy(array: Array) -> NDArray[Any]:
    return array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array


def _distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.nanmax(np.abs(a.astype(complex) - b))) if a.shape == b.shape else math.inf  # unsigned types wrap


def _global_random_state() -> dict[str, bytes]:
    return {
        "random": repr(random.getstate()).encode(),
        "numpy": repr(np.random.get_state(legacy=False)).encode()
        + np.random.get_state(legacy=False)["state"]["key"].tobytes(),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
