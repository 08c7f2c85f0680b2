"""Propagation through a fibre with compiled steps. Needs numba, not a compiler.

Axis letters: N rows; M modes; L rows of a group (lanes); T samples of a pulse; F bins of its spectrum.
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

    Threads of its own, as many as torch uses, take a share of the groups of sixteen rows each; in them numbers too
    small to be normal are flushed to zero. A row's result has the same bits whatever the other rows are. The gradient
    is that of `TorchPropagator`, which computes the rows once more for it.

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
        self._shape = (len(factors.even_G), self._tables[5], len(self._order_M) | 1, line.samples)
        junctions = line.junction_JMM[:, self._order_M][:, :, self._order_M]
        self._junctions = np.stack((junctions.real, junctions.imag), axis=-1).astype(np.float32)
        self._line = make_line_tables(line, self._order_M)

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
        end_NM2T = np.zeros((rows, len(self._order_M), 2, self.line.samples), np.float32)
        ordered = launched_NM2[:, self._order_M]
        places = [slice(first, min(first + _LANES, rows)) for first in range(0, rows, _LANES)]
        own = threading.local()

        def begin() -> None:
            torch.set_flush_denormal(True)
            own.room = make_room(*self._shape)

        def work(place: slice) -> None:
            amplitude, fields, groups, nodes = own.room
            amplitude_TM2L = amplitude.reshape(self.line.samples, -1, 2, _LANES)
            amplitude_TM2L[:] = 0
            group_M2L = ordered[place].transpose(1, 2, 0)
            inside = np.s_[:, : group_M2L.shape[0], :, : group_M2L.shape[2]]
            amplitude_TM2L[inside] = group_M2L * self._pulse_T.numpy()[:, None, None, None]
            kernels.advance(
                amplitude, fields, self._line, self.line.steps, self._junctions, self._tables, groups, nodes
            )
            end_NM2T[place] = amplitude_TM2L[inside].transpose(3, 1, 2, 0)

        threads = max(1, min(torch.get_num_threads(), len(places)))
        with ThreadPoolExecutor(threads, initializer=begin) as pool:
            list(pool.map(work, places))
        return end_NM2T[:, np.argsort(self._order_M)]


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


def make_line_tables(line: Line, order_M: NDArray[np.int64]) -> tuple[Any, ...]:
    """Return what the kernels read of a line."""
    samples = line.samples
    place_F = np.zeros(1, np.int64)  # which bin lies at each place of a spectrum
    while len(place_F) < samples:
        place_F = np.concatenate((2 * place_F, 2 * place_F + 1))
    half_MF = line.half_MT[order_M][:, place_F] / samples
    high_MF = half_MF.astype(np.complex64)
    both_MF2 = np.stack((high_MF, (half_MF - high_MF).astype(np.complex64)), axis=-1)
    turns = np.exp(-2j * math.pi * np.arange(max(1, samples // 2)) / samples).astype(np.complex64)
    # An odd number of modes from sample to sample: a transform then meets all sets of the cache.
    return both_MF2.view(np.float32).ravel(), np.float32(line.gain), len(order_M) | 1, samples, turns.view(np.float32)


def make_room(groups: int, nodes: int, width: int, samples: int) -> tuple[Array, ...]:
    """Return zeros for sixteen rows, each array at the beginning of a cache line."""
    sizes = [(2 * width * samples,), (4, 2 * width * samples), (4 * groups,), (4 * nodes,)]
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
