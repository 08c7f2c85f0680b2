"""Propagation through a fibre with compiled steps. Needs numba, not a compiler.

Axis letters: N rows; M modes; G groups of rows; L rows of a group (lanes); T samples of a pulse.
"""

from __future__ import annotations

import importlib
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

from physnet.errors import SpecError

from .acoustic_numba import is_available
from .fibre_kerr import Kerr
from .fibre_line import Line
from .fibre_modes import Factors
from .fibre_torch import TorchPropagator

Array = NDArray[Any]

_LANES = 16  # float32 numbers of the widest vector register
_FIRST = threading.Lock()  # numba compiles, and writes its cache, in one thread


class NumbaPropagator(TorchPropagator):
    """`TorchPropagator` in single precision, compiled: equal within rounding, several times faster on a CPU.

    Threads of its own, as many as torch uses, take a share of the rows each: continuous light in groups of sixteen,
    pulses row by row. A row's result has the same bits whatever the other rows are. The gradient is that of
    `TorchPropagator`, which computes the rows once more for it.

    Args:
        line: Steps, sections and junctions; not linear.
        kerr: The Kerr term of the gradient.
        factors: Nodes and modes of the Kerr term.

    Raises:
        SpecError: numba is not installed.
    """

    def __init__(self, line: Line, kerr: Kerr, factors: Factors) -> None:
        super().__init__(line, kerr, dtype=torch.float32, device=torch.device("cpu"))
        if not is_available():
            raise SpecError(
                "backend must be 'torch' or 'auto' where numba is not installed, got 'numba'. "
                "pip install 'physnet[fast]' brings it."
            )
        assert not line.linear
        self._order_M, self._tables = make_tables(factors)
        self._shape = (len(factors.even_G), self._tables[5], len(self._order_M))
        junctions = line.junction_JMM[:, self._order_M][:, :, self._order_M]
        self._junctions = np.stack((junctions.real, junctions.imag), axis=-1).astype(np.float32)
        half_MT = line.half_MT[self._order_M]
        high_M = half_MT[:, 0].astype(np.complex64)
        both_2M = np.stack((high_M, (half_MT[:, 0] - high_M).astype(np.complex64)))
        self._half_4M = np.ascontiguousarray(both_2M.T).view(np.float32).ravel()
        self._half_MT = half_MT
        self._gain = np.float32(line.gain)

    def propagate(self, launched_NM2: torch.Tensor) -> torch.Tensor:
        """Return the amplitudes at the end of the fibre; see `TorchPropagator`."""
        found: torch.Tensor = _Compiled.apply(launched_NM2, self)  # type: ignore[no-untyped-call]
        return found

    def trace(self, launched_NM2: torch.Tensor) -> torch.Tensor:
        """Return what `TorchPropagator` does."""
        return super().propagate(launched_NM2)

    def run(self, launched_NM2: Array) -> Array:
        """Return the amplitudes at the end, shape `(rows, modes, 2, samples)`, without a graph."""
        kernels, rows = _kernels(), len(launched_NM2)
        end_NM2T = np.zeros((rows, self._shape[2], 2, self.line.samples), np.float32)
        ordered = launched_NM2[:, self._order_M]
        if self.line.samples > 1:
            places = [slice(row, row + 1) for row in range(rows)]
        else:
            places = [slice(first, first + _LANES) for first in range(0, rows, _LANES)]
        own = threading.local()

        def begin() -> None:
            torch.set_flush_denormal(True)
            own.room = make_room(*self._shape)

        def work(place: slice) -> None:
            if self.line.samples > 1:
                end = self._pulse(kernels, ordered[place.start], own.room)
                end_NM2T[place.start] = np.stack((end.real, end.imag), axis=1)
            else:
                end_NM2T[place, :, :, 0] = self._group(kernels, ordered[place], own.room)

        threads = max(1, min(torch.get_num_threads(), len(places)))
        with ThreadPoolExecutor(threads, initializer=begin) as pool:
            list(pool.map(work, places))
        return end_NM2T[:, np.argsort(self._order_M)]

    def _group(self, kernels: Any, launched_NM2: Array, room: tuple[Array, ...]) -> Array:
        """Take up to sixteen rows of continuous light through the fibre."""
        amplitude, fields, groups, nodes = room
        amplitude_M2L = amplitude.reshape(-1, 2, _LANES)
        amplitude_M2L[..., : len(launched_NM2)] = launched_NM2.transpose(1, 2, 0)
        amplitude_M2L[..., len(launched_NM2) :] = 0
        kernels.advance(
            amplitude, fields, self._half_4M, self._gain, self.line.steps, self._junctions, self._tables, groups, nodes
        )
        return amplitude_M2L[..., : len(launched_NM2)].transpose(2, 0, 1).copy()

    def _pulse(self, kernels: Any, launched_M2: Array, room: tuple[Array, ...]) -> Array:
        """Take one row's pulses through the fibre; complex, shape `(modes, samples)`."""
        _, fields, groups, nodes = room
        launched_M: Array = (launched_M2[:, 0] + 1j * launched_M2[:, 1]).astype(np.complex64)
        field: Array = launched_M[:, None] * self._pulse_T.numpy()

        def change(field_MT: Array) -> Array:
            out_MT = np.empty_like(field_MT)
            parts = [part.view(np.float32).reshape(-1) for part in (field_MT, out_MT)]
            kernels.change(*parts, self.line.samples, self._gain, self._tables, fields, groups, nodes)
            return out_MT

        def turn(field_MT: Array) -> Array:
            turned_MT = (fft.fft(field_MT) * self._half_MT).astype(np.complex64)  # double precision, rounded once
            found: Array = fft.ifft(turned_MT, overwrite_x=True)
            return found

        with np.errstate(all="ignore"):  # a field that runs away is told by its energy
            for section in range(self.line.sections):
                if section:
                    matrix_MM2 = self._junctions[section - 1]
                    field = (matrix_MM2[..., 0] + 1j * matrix_MM2[..., 1]) @ field
                for _ in range(self.line.steps):
                    begun = turn(field)
                    first = turn(change(field))
                    second = change(begun + first * np.float32(1 / 2))
                    third = change(begun + second * np.float32(1 / 2))
                    fourth = change(turn(begun + third))
                    mean = begun + first * np.float32(1 / 6) + (second + third) * np.float32(1 / 3)
                    field = turn(mean) + fourth * np.float32(1 / 6)
        return field


class _Compiled(torch.autograd.Function):
    """Compiled on the way forward; on the way back torch computes it again, with a graph."""

    @staticmethod
    def forward(ctx: Any, launched_NM2: torch.Tensor, propagator: NumbaPropagator) -> torch.Tensor:
        ctx.save_for_backward(launched_NM2)
        ctx.propagator = propagator
        return torch.from_numpy(propagator.run(launched_NM2.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, weight_NM2T: torch.Tensor) -> tuple[torch.Tensor, None]:
        (launched_NM2,) = ctx.saved_tensors
        with torch.enable_grad():
            leaf = launched_NM2.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(ctx.propagator.trace(leaf), leaf, weight_NM2T)
        return gradient, None


def make_tables(factors: Factors) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
    """Return the order in which the kernels hold the modes, group by group, and the tables that they read."""
    groups = np.argsort(~factors.even_G, kind="stable")  # even groups first
    rank_G = np.argsort(groups, kind="stable")
    order_M = np.argsort(rank_G[factors.group_M], kind="stable")
    counts_G = np.bincount(rank_G[factors.group_M], minlength=len(groups))
    start = np.concatenate(([0], np.cumsum(counts_G))).astype(np.int64)
    lines, nodes = (2 * math.ceil(size / 2) for size in factors.weight_YX.shape)  # an even number of each
    line, across = np.zeros((lines, len(order_M))), np.zeros((nodes, len(groups)))
    line[: len(factors.line_YM)] = factors.line_YM[:, order_M]
    across[: len(factors.across_XG)] = factors.across_XG[:, groups]
    weight = np.zeros((lines, nodes))
    weight[: len(factors.line_YM), : len(factors.across_XG)] = factors.weight_YX
    flat = [np.ascontiguousarray(part, np.float32).ravel() for part in (line, across)]
    weights = np.ascontiguousarray(weight, np.float32).ravel()
    return order_M, (*flat, start, weights, int(np.count_nonzero(factors.even_G)), nodes, lines)


def make_room(groups: int, nodes: int, modes: int) -> tuple[Array, ...]:
    """Return zeros for a group of columns, each array at the beginning of a cache line."""
    sizes = [(2 * modes,), (4, 2 * modes), (4 * groups,), (4 * nodes,)]
    return tuple(_aligned(*size[:-1], size[-1] * _LANES) for size in sizes)


def _aligned(*shape: int) -> Array:
    """Return zeros at a multiple of 64 bytes; rows are whole cache lines."""
    size = math.prod(shape)
    whole = np.zeros(size + _LANES, np.float32)
    skip = -whole.ctypes.data % 64 // 4
    return whole[skip : skip + size].reshape(shape)


def _kernels() -> Any:
    with _FIRST:
        return importlib.import_module(".fibre_kernels", __package__)
