"""The field solver with compiled loops, several rows at a time on several threads. Needs numba, not a compiler.

Axis letters: N rows; G groups of rows; L rows of a group (lanes); S sources; M microphones; T time steps; P cells of
the padded grid, flattened; R resonators.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from physnet.errors import SpecError

from .acoustic_grid import Ints
from .acoustic_links import Terms
from .acoustic_media import Scheme
from .acoustic_solver import CHECK_EVERY, Array, FieldSolver, FieldState
from .acoustic_torch import TorchSolver

_LANES = 16  # float32 numbers of the widest vector register
# Lines and steps at once, measured on 128 x 128: alone a row stays in the second-level cache, 16 rows need blocks.
_TILE = {1: (32, 4), _LANES: (16, 8)}
_BLOCK = {False: 1024, True: 512}  # numbers of a line at once, without and with layers: first-level cache
_WORTH = 8  # what stepping rows side by side costs, in rows alone: measured 6 to 8
_FIRST = threading.Lock()  # numba compiles, and writes its cache, in one thread


def is_available() -> bool:
    """Whether numba is installed. It is not imported for that."""
    return importlib.util.find_spec("numba") is not None


class NumbaSolver(FieldSolver):
    """`TorchSolver` compiled: equal within rounding, several times faster on a CPU.

    Threads of its own, as many as torch uses, take a share of the rows each. They live for one call; in them, numbers
    too small to be normal are flushed to zero. A row's result has the same bits whatever the other rows are.

    Args:
        scheme: As for `FieldSolver`.
        lanes: Rows that are stepped side by side, 1 or 16; None for what suits the number of rows of each call. The
            result is the same to the bit.
        options: As for `FieldSolver`.

    Raises:
        SpecError: numba is not installed.
    """

    def __init__(self, scheme: Scheme, *, lanes: int | None = None, **options: Any) -> None:
        super().__init__(scheme, **options)
        if not is_available():
            raise SpecError(
                "backend must be 'torch' or 'auto' where numba is not installed, got 'numba'. "
                "pip install 'physnet[fast]' brings it."
            )
        self._lanes = lanes
        self._found: dict[int, tuple[Any, ...]] = {}

    def _tables(self, lanes: int) -> tuple[Any, ...]:
        """Return what the compiled loops read, for so many rows side by side."""
        if lanes not in self._found:
            self._found[lanes] = self._build(lanes)
        return self._found[lanes]

    def _build(self, lanes: int) -> tuple[Any, ...]:
        scheme, grid, cast = self.scheme, self.scheme.grid, self.dtype.type
        tile, together = _TILE[lanes]
        if grid.sides[0] == "periodic":
            together = 1  # a line waits for its neighbour at the other end
        flags = int(grid.order), bool(scheme.uniform), bool(grid.absorbing)
        plan = (*grid.padded, lanes, *flags, tile, together, _BLOCK[grid.absorbing], CHECK_EVERY)
        some = grid.halo * (grid.padded[1] + 1)
        second, first = ((*ring, 0.0)[:2] for ring in (grid.stencil.second, grid.stencil.first))
        centre, past, weight = (float(part[some]) for part in (scheme.centre_P, scheme.past_P, scheme.weight_P))
        rings = (*grid.stencil.rings, 0)[:2]
        ring = weight / grid.stencil.divisor
        plain = tuple(cast(value) for value in (centre, past, ring * rings[0], ring * rings[1]))
        nothing = np.zeros(0)
        wanted = [nothing if scheme.uniform else part for part in (scheme.centre_P, scheme.past_P)]
        wanted.append(nothing if scheme.uniform else scheme.weight_P / grid.stencil.divisor)
        for_layers = np.full(grid.padded[1], weight) if scheme.uniform else scheme.weight_P
        wanted.append(for_layers if grid.absorbing else nothing)
        kinds = {"closed": 0, "soft": 1, "absorbing": 1, "periodic": 2}
        slabs = np.zeros((2, 2, 2), np.int64)
        for axis in (0, 1):
            for k, slab in enumerate(grid.slabs(axis)):
                slabs[axis, k] = slab.start, slab.stop
        fast = float(scheme.medium.speed_YX.max())
        y, x = (
            grid.absorber(axis, time_step=scheme.time_step, speed=fast, frequency=scheme.frequency) for axis in (0, 1)
        )
        profiles = (tuple(self._array(part) for part in y), tuple(self._laned(part, lanes) for part in x))
        weights = tuple(cast(value) for value in (*second, *first, *rings))
        places = (*self._placed(self.sources_S), *self._placed(self.microphones_M))
        elements, rank = self._element_tables()
        resonators, self._resonator_order = self._resonator_tables()
        cut, state = self._terms(scheme.cut), self._terms(scheme.state)
        state = (*state[:2], rank[state[2].astype(np.int64)].astype(np.uint64), state[3])
        return (
            plan, plain, tuple(self._laned(part, lanes) for part in wanted),
            tuple(kinds[side] for side in grid.sides), slabs, profiles, weights, places, cut, state, elements,
            resonators, cast(self.limit),
        )  # fmt: skip

    def _propagate(self, source_NST: Array, state: FieldState | None, keep: bool) -> tuple[Array, FieldState | None]:
        kernels = _kernels()
        rows, sources, steps = source_NST.shape
        limit = torch.get_num_threads()
        lanes, microphones = self._suited(rows, limit), len(self.microphones_M)
        tables = self._tables(lanes)
        groups = -(-rows // lanes)
        gain_S = self.scheme.weight_P[self.sources_S].astype(self.dtype)
        source_GTSL = np.zeros((groups, steps, sources, lanes), self.dtype)
        for row in range(rows):
            source_GTSL[row // lanes, :, :, row % lanes] = (source_NST[row] * gain_S[:, None]).T
        source = source_GTSL.reshape(groups, steps, sources * lanes)
        trace_GTML = np.empty((groups, steps, microphones, lanes), self.dtype)
        empty = FieldState.rest(self.scheme, 0, self.dtype)
        begin = self._packed(empty if state is None else state, lanes)
        end = self._packed(FieldState.rest(self.scheme, rows if keep else 0, self.dtype), lanes)

        def work(part: slice) -> int:
            given = begin if state is None else tuple(array[part] for array in begin)
            wanted = tuple(array[part] for array in end) if keep else end
            room = self._room(lanes)
            group = int(kernels.solve(given, wanted, source[part], trace_GTML[part], room, *tables))
            return part.start + group if group >= 0 else -1

        threads = max(1, min(limit, groups))
        share = math.ceil(groups / (threads * (1 if groups < 4 * threads else 4)))  # small shares even out a busy core
        parts = [slice(first, min(first + share, groups)) for first in range(0, groups, share)]
        with ThreadPoolExecutor(threads, initializer=lambda: torch.set_flush_denormal(True)) as pool:
            wild = [group for group in pool.map(work, parts) if group >= 0]
        if wild:
            self._blame(source_NST, state, slice(wild[0] * lanes, min((wild[0] + 1) * lanes, rows)))
        trace_NMT = trace_GTML.transpose(0, 3, 2, 1).reshape(groups * lanes, microphones, steps)[:rows]
        return trace_NMT, self._unpacked(end, rows, lanes) if keep else None

    def _suited(self, rows: int, threads: int) -> int:
        if self._lanes is not None:
            return self._lanes
        together = math.ceil(math.ceil(rows / _LANES) / threads)
        return _LANES if math.ceil(rows / threads) > _WORTH * together else 1

    def _room(self, lanes: int) -> Array:
        """Return zeros for the fields and memories of a group, each at the beginning of a cache line."""
        line = 64 // self.dtype.itemsize
        stride = -(-math.prod(self.scheme.grid.padded) * lanes // line) * line
        arrays = 8 if self.scheme.grid.absorbing else 2
        whole = np.zeros(arrays * stride + line, self.dtype)
        skip = -whole.ctypes.data % 64 // self.dtype.itemsize
        return whole[skip : skip + arrays * stride].reshape(arrays, stride)

    def _blame(self, source_NST: Array, state: FieldState | None, part: slice) -> None:
        """Step a group again with the reference, which names cell and step."""
        options = {"dtype": self.dtype, "limit": self.limit, "first_row": part.start}
        solver = TorchSolver(self.scheme, sources=self.places[0], microphones=self.places[1], **options)
        solver.propagate(source_NST[part], None if state is None else state.rows(part))
        raise self.run_away(part.start, int(self.microphones_M[0]), source_NST.shape[2], math.inf)

    def _packed(self, state: FieldState, lanes: int) -> tuple[Array, ...]:
        """Put rows side by side in every cell, silent ones to fill the last group."""
        rows = len(state.now_NP)
        groups = -(-rows // lanes)
        packed = []
        for name in state.names():
            array = getattr(state, name)
            if name == "resonator_NAR":
                array = array[..., self._resonator_order]
            full = np.zeros((groups * lanes, *array.shape[1:]), self.dtype)
            full[:rows] = array
            full = np.moveaxis(full.reshape(groups, lanes, *array.shape[1:]), 1, -1)
            packed.append(np.ascontiguousarray(full).reshape(*full.shape[:-2], full.shape[-2] * lanes))
        return tuple(packed)

    def _unpacked(self, packed: tuple[Array, ...], rows: int, lanes: int) -> FieldState:
        arrays = {}
        for name, array in zip(FieldState.names(), packed, strict=True):
            full = np.moveaxis(array.reshape(*array.shape[:-1], array.shape[-1] // lanes, lanes), -1, 1)
            arrays[name] = np.ascontiguousarray(full.reshape(full.shape[0] * lanes, *full.shape[2:])[:rows])
        there = np.empty_like(arrays["resonator_NAR"])
        there[..., self._resonator_order] = arrays["resonator_NAR"]
        return FieldState(**{**arrays, "resonator_NAR": there})

    def _array(self, values: Any) -> Array:
        return np.ascontiguousarray(values, self.dtype)

    def _laned(self, values: Any, lanes: int) -> Array:
        return np.repeat(self._array(values), lanes)

    def _starts(self, cells: Ints) -> Ints:
        """First of each line in sorted cells, one more than there are lines."""
        height, width = self.scheme.grid.padded
        return np.searchsorted(cells, np.arange(height + 1) * width).astype(np.uint64)

    def _placed(self, cells: Ints) -> tuple[Ints, Ints, Ints]:
        order = np.argsort(cells, kind="stable")
        return self._starts(cells[order]), cells[order].astype(np.uint64), order.astype(np.uint64)

    def _terms(self, terms: Terms) -> tuple[Ints, Ints, Ints, Array]:
        return (
            self._starts(terms.target),
            terms.target.astype(np.uint64),
            terms.source.astype(np.uint64),
            self._array(terms.weight),
        )

    def _element_tables(self) -> tuple[tuple[Any, ...], Ints]:
        """Return the elements sorted by cell, and the place of each in that order."""
        cells, cast = self.scheme.element_cells, self.dtype.type
        order = np.argsort(cells, kind="stable")
        rank = np.empty(len(cells), np.int64)
        rank[order] = np.arange(len(cells))
        stiffness, damping, speed, threshold = np.zeros(0), np.zeros(0), 0.0, 1.0
        if self.scheme.medium.elements is not None:
            stiffness, damping, speed = self.scheme.element_constants()
            threshold = self.scheme.medium.elements.threshold
        numbers = cast(1 / threshold), cast(speed), cast(1.0)
        tables = self._array(stiffness[order]), self._array(damping[order])
        return (self._starts(cells[order]), cells[order].astype(np.uint64), *tables, numbers), rank

    def _resonator_tables(self) -> tuple[tuple[Any, ...], Ints]:
        cells, cast = self.scheme.resonator_cells, self.dtype.type
        order = np.argsort(cells, kind="stable")
        two, past, pull, load = 0.0, 0.0, 0.0, np.zeros(0)
        if self.scheme.medium.resonators is not None:
            two, past, pull, load = self.scheme.resonator_constants()
        numbers = cast(two), cast(past), cast(pull)
        return (self._starts(cells[order]), cells[order].astype(np.uint64), self._array(load[order]), numbers), order


def _kernels() -> Any:
    with _FIRST:
        return importlib.import_module(".acoustic_kernels", __package__)
