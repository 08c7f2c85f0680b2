"""The nonlinear Schroedinger equation in torch on a CUDA device, launched as CUDA graphs: for any length and precision.

Axis letters: N rows; T samples in time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch

from .cuda_graph import record
from .waveguide_medium import TimeGrid, Waveguide
from .waveguide_torch import TorchSolver

ROWS = 256
"""Of a chunk, always as many: 2 MiB of field at 1 024 samples in single precision."""
LONGEST = 128
"""Steps of a graph, at most."""


class GraphSolver(TorchSolver):
    """`TorchSolver` without the launches of its operations, which are recorded at the first call.

    Rows are stepped in chunks of 256, the last one filled with silence: a row's result has the same bits whatever the
    other rows are. Where it is further than 128 steps to the next station, the way is cut, and where it is cut a
    nonlinear step is made in two halves.

    Args:
        waveguide: The equation.
        grid: Samples in time.
        steps: Steps along the guide.
        dtype: `torch.complex64` or `torch.complex128`.
        device: A CUDA device.
    """

    def __init__(
        self,
        waveguide: Waveguide,
        grid: TimeGrid,
        *,
        steps: int,
        dtype: torch.dtype = torch.complex128,
        device: str | torch.device = "cuda",
    ) -> None:
        super().__init__(waveguide, grid, steps=steps, dtype=dtype, device=device)
        # What graphs work on: it never moves.
        self._field_NT = torch.zeros((ROWS, grid.samples), dtype=dtype, device=self._device)
        self._phase_N = torch.zeros_like(self._field_NT.real[:, 0])
        self._share_2N = self._phase_N.new_zeros((2, ROWS))
        self._stretches = [_cut(steps) for steps in self.segments]
        self._look: Callable[[], None] | None = None
        self._step: dict[int, Callable[[], None]] = {}

    def _height(self, rows: int) -> int:
        return ROWS

    def _all_watched(self, chunks: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, ...]]:
        return [self._watched(chunk) for chunk in chunks]  # all on the same memory

    @torch.no_grad()
    def _watched(self, field_NT: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Propagate a chunk and look at it at every station."""
        look = self._recorded()
        self._field_NT.copy_(field_NT)
        look()
        phases, shares = [], [self._share_2N.clone()]
        for counts in self._stretches:
            for count in counts:
                self._step[count]()
                phases.append(self._phase_N.clone())
            look()
            shares.append(self._share_2N.clone())
        time_edge_N, spectrum_edge_N = torch.stack(shares).amax(0)
        return self._field_NT.clone(), torch.stack(phases).amax(0), time_edge_N, spectrum_edge_N

    def _recorded(self) -> Callable[[], None]:
        """Record what there is not yet; return what looks at the field."""
        for count in {count for counts in self._stretches for count in counts} - self._step.keys():
            self._step[count] = record(functools.partial(self._advance, count), self._device)
        if self._look is None:
            self._look = record(lambda: self._share_2N.copy_(self._edges(self._field_NT)), self._device)
        return self._look

    def _advance(self, steps: int) -> None:
        field_NT, phase_N = self._segment(self._field_NT, steps)
        self._field_NT.copy_(field_NT)
        self._phase_N.copy_(phase_N)


def _cut(steps: int) -> list[int]:
    """Return a number of steps as a sum of numbers that are up to `LONGEST` and nearly equal."""
    parts = math.ceil(steps / LONGEST)
    return [steps // parts + (part < steps % parts) for part in range(parts)]
