"""The nonlinear Schroedinger equation with compiled steps, sixteen rows side by side. Needs numba, not a compiler.

Axis letters: N rows; T samples in time; L rows of a group (lanes).
"""

from __future__ import annotations

import importlib
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.errors import SpecError

from .acoustic_numba import is_available
from .waveguide_medium import Complexes, TimeGrid, Waveguide
from .waveguide_solver import Propagated, PulseSolver
from .waveguide_torch import TorchSolver

_LANES = 16  # float32 numbers of the widest vector register
_FIRST = threading.Lock()  # numba compiles, and writes its cache, in one thread
Array = NDArray[Any]


class NumbaSolver(PulseSolver):
    """`TorchSolver` in single precision, compiled: equal within rounding, several times faster on a CPU.

    Threads of its own, as many as torch uses, take a share of the groups of sixteen rows each. In them numbers too
    small to be normal are flushed to zero. A row's result has the same bits whatever the other rows are.

    Args:
        waveguide: The equation, without self-steepening.
        grid: Samples in time.
        steps: Steps along the guide.

    Raises:
        SpecError: numba is not installed, or the waveguide has self-steepening.
    """

    order: ClassVar[int] = 2

    def __init__(self, waveguide: Waveguide, grid: TimeGrid, *, steps: int) -> None:
        super().__init__(waveguide, grid, steps=steps)
        if not is_available():
            raise SpecError(
                "backend must be 'torch' or 'auto' where numba is not installed, got 'numba'. "
                "pip install 'physnet[fast]' brings it."
            )
        if waveguide.self_steepening:
            raise SpecError("backend must be 'torch' or 'auto' with self-steepening, got 'numba': it knows none.")
        radix, place_F = _order(grid.samples)
        twiddle, stages = _twiddles(grid.samples, radix)
        edges = np.stack((grid.window_edge, grid.spectrum_edge[place_F])).astype(np.float32)
        late = waveguide.delayed(grid)[place_F] / grid.samples if waveguide.raman_fraction else np.zeros(0, complex)
        self._tables = (
            grid.samples,
            radix,
            _parts(waveguide.linear(grid, self.distance)[place_F] / grid.samples),
            _parts(late),
            twiddle,
            stages,
            edges,
            np.float32(waveguide.gamma * self.distance),
            np.float32(1 - waveguide.raman_fraction),
        )

    def propagate(self, field_NT: torch.Tensor) -> Propagated:
        """Propagate pulses of shape `(n, samples)`, complex, sqrt(W); the result is `complex64`."""
        kernels = _kernels()
        rows = len(field_NT)
        values = torch.view_as_real(field_NT.detach().cpu().to(torch.complex64, copy=True)).flatten(1).numpy()
        groups = -(-rows // _LANES)
        seen_G3L = np.zeros((groups, 3, _LANES), np.float32)
        segments = np.array(self.segments, np.int64)
        threads = max(1, min(torch.get_num_threads(), groups))
        rooms = threading.local()

        def begin() -> None:
            torch.set_flush_denormal(True)
            rooms.own = self._room()

        def work(group: int) -> None:
            part = values[group * _LANES : (group + 1) * _LANES]
            kernels.solve(part, rooms.own, segments, seen_G3L[group], *self._tables)

        with ThreadPoolExecutor(threads, initializer=begin) as pool:
            list(pool.map(work, range(groups)))
        seen_3N = torch.from_numpy(seen_G3L.transpose(1, 0, 2).reshape(3, -1)[:, :rows].copy())
        return Propagated(
            field_NT=torch.view_as_complex(torch.from_numpy(values).view(rows, -1, 2)),
            phase_N=seen_3N[0] * (self.waveguide.gamma * self.distance),
            time_edge_N=seen_3N[1],
            spectrum_edge_N=seen_3N[2],
        )

    def trace(self, field_NT: torch.Tensor) -> torch.Tensor:
        """Propagate without looking, by plain torch in the caller's thread, so that autograd sees every step."""
        plain = TorchSolver(self.waveguide, self.grid, steps=self.steps, dtype=torch.complex64)
        return plain.trace(field_NT)

    def _room(self) -> Array:
        """Return room for a group's field and power, each at the beginning of a cache line."""
        size = 2 * _LANES * self.grid.samples
        whole = np.zeros(2 * size + _LANES, np.float32)
        skip = -whole.ctypes.data % 64 // 4
        return whole[skip : skip + 2 * size].reshape(2, size)


def _order(samples: int) -> tuple[int, NDArray[np.int64]]:
    """Return the radix of the first stage, and which bin lies at each place of the spectrum."""
    radix = 4 if round(math.log2(samples)) % 2 == 0 else 2

    def place(length: int, first: int) -> NDArray[np.int64]:
        if length == 1:
            return np.zeros(1, np.int64)
        inner = place(length // first, 4)
        return np.concatenate([branch + first * inner for branch in range(first)])

    return radix, place(samples, radix)


def _twiddles(samples: int, radix: int) -> tuple[Array, NDArray[np.int64]]:
    """Return the twiddle factors of all stages as real numbers, and where each stage's begin."""
    found, starts, length = [], [0], samples
    while length > 1:
        turns = np.outer(np.arange(length // radix), np.arange(1, radix)) / length
        found.append(_parts(np.exp(-2j * math.pi * turns).ravel()))
        starts.append(starts[-1] + len(found[-1]))
        length, radix = length // radix, 4
    return np.concatenate(found), np.array(starts[:-1], np.int64)


def _parts(values: Complexes) -> Array:
    """Return real and imaginary parts in turn, in single precision."""
    return np.stack((values.real, values.imag), axis=-1).ravel().astype(np.float32)


def _kernels() -> Any:
    with _FIRST:
        return importlib.import_module(".waveguide_kernels", __package__)
