"""Propagation through a fibre in torch on a CUDA device, launched as CUDA graphs.

Axis letters: M modes; X columns of a call.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from .cuda_graph import record
from .fibre_kerr import Kerr
from .fibre_line import Line
from .fibre_torch import TorchPropagator

LONGEST = 32
"""Steps of a graph, at most: some 60 operations each."""


class GraphPropagator(TorchPropagator):
    """`TorchPropagator` without the launches of its operations, which are recorded at the first call.

    A gradient is that of `TorchPropagator`, which launches them one by one.

    Args:
        line: Steps, sections and junctions; not linear.
        kerr: The Kerr term.
        dtype: Of real and imaginary parts.
        device: A CUDA device.
    """

    def __init__(self, line: Line, kerr: Kerr, *, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(line, kerr, dtype=dtype, device=device)
        assert not line.linear
        self._memory: dict[torch.Size, torch.Tensor] = {}  # what graphs work on: it never moves
        self._graphs: dict[tuple[torch.Size, int], Callable[[], None]] = {}

    def _steps(self, amplitude_M2X: torch.Tensor, number: int) -> torch.Tensor:
        if amplitude_M2X.requires_grad:
            return super()._steps(amplitude_M2X, number)
        shape = amplitude_M2X.shape
        counts = [LONGEST] * (number // LONGEST) + [number % LONGEST] * (number % LONGEST > 0)
        if shape not in self._memory:
            self._memory[shape] = torch.zeros_like(amplitude_M2X)
        held_M2X = self._memory[shape]
        for count in counts:
            if (shape, count) not in self._graphs:
                self._graphs[shape, count] = record(functools.partial(self._advance_held, held_M2X, count), self.device)
        held_M2X.copy_(amplitude_M2X)
        for count in counts:
            self._graphs[shape, count]()
        return held_M2X.clone()

    def _advance_held(self, held_M2X: torch.Tensor, number: int) -> None:
        held_M2X.copy_(super()._steps(held_M2X, number))
