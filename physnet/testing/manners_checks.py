"""Checks that a system keeps its hands off what is not its own: drives, readings, graphs, random numbers.

A check yields a message for each thing that is wrong: what was found, what was expected, and the way out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch

from physnet.contracts import Array

from .bench import Bench, as_numpy


def check_drive_is_left_alone(bench: Bench) -> Iterator[str]:
    """Neither drive nor pass numbers are written to, and arrays of any layout are taken."""
    system = bench.factory()
    with system:
        spec = system.spec
        rows = min(bench.rows, spec.max_batch or bench.rows)
        drive, passes = bench.drives(spec, rows), bench.passes(rows)
        before = as_numpy(drive).copy()
        system.measure(drive, passes)
        if not np.array_equal(as_numpy(drive), before):
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
    if (spec.repeatable or spec.reproducible) and not np.array_equal(straight, strided, equal_nan=True):
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
        before = as_numpy(first.response).copy()
        system.measure(drive[rows:], bench.passes(2 * rows)[rows:])
        if not np.array_equal(as_numpy(first.response), before, equal_nan=True):
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


def _global_random_state() -> dict[str, bytes]:
    return {
        "random": repr(random.getstate()).encode(),
        "numpy": repr(np.random.get_state(legacy=False)).encode()
        + np.random.get_state(legacy=False)["state"]["key"].tobytes(),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
