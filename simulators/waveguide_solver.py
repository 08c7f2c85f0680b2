"""What the solvers of the nonlinear Schroedinger equation share: their verb, what they watch, and extrapolation.

Axis letters: N rows; T samples in time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from .waveguide_medium import TimeGrid, Waveguide

STATIONS = 4
"""How often on its way a pulse is looked at, the end included."""


@dataclass(frozen=True, kw_only=True)
class Propagated:
    """Pulses at the end of a guide, and what was seen of them on the way.

    Args:
        field_NT: Shape `(n, samples)`, complex, sqrt(W).
        phase_N: Largest nonlinear phase of a step, rad.
        time_edge_N: Largest share of the energy at the edges of the time window, at the beginning and at all stations.
        spectrum_edge_N: Likewise at the edges of the spectrum.
        error_N: Estimated error of the end relative to its norm; None where nothing tells.
    """

    field_NT: torch.Tensor
    phase_N: torch.Tensor
    time_edge_N: torch.Tensor
    spectrum_edge_N: torch.Tensor
    error_N: torch.Tensor | None = None

    def to(self, device: torch.device) -> Propagated:
        """Return the same on a device."""
        return Propagated(
            field_NT=self.field_NT.to(device),
            phase_N=self.phase_N.to(device),
            time_edge_N=self.time_edge_N.to(device),
            spectrum_edge_N=self.spectrum_edge_N.to(device),
            error_N=None if self.error_N is None else self.error_N.to(device),
        )


class PulseSolver(ABC):
    """Takes pulses from the beginning of a waveguide to its end.

    Args:
        waveguide: The equation.
        grid: Samples in time.
        steps: Steps along the guide, >= 1.
    """

    order: ClassVar[int]
    """Of accuracy in the length of a step."""

    def __init__(self, waveguide: Waveguide, grid: TimeGrid, *, steps: int) -> None:
        self.waveguide, self.grid, self.steps = waveguide, grid, steps

    @property
    def distance(self) -> float:
        """Length of a step in m."""
        return self.waveguide.length / self.steps

    @property
    def segments(self) -> list[int]:
        """Steps from each station to the next."""
        stops = np.unique(np.rint(np.linspace(0, self.steps, STATIONS + 1)).astype(int))
        return [int(count) for count in np.diff(stops)]

    @abstractmethod
    def propagate(self, field_NT: torch.Tensor) -> Propagated:
        """Propagate pulses of shape `(n, samples)`, complex, sqrt(W)."""

    @abstractmethod
    def trace(self, field_NT: torch.Tensor) -> torch.Tensor:
        """Propagate without looking, by plain torch in the caller's thread, so that autograd sees every step."""


class Extrapolated(PulseSolver):
    """Richardson extrapolation of a symmetric splitting: twice and once as many steps, `(4 fine - coarse) / 3`.

    The error of a symmetric method of order 2 is a series in even powers of the step, so one combination removes the
    first of them. It is done once, at the end. A third of the difference estimates the error of the fine solution,
    which is larger than that of the result.

    Args:
        make: Makes a solver of order 2 with so many steps.
        steps: Of the coarse solution; three times as many are computed.

    Source:
        E. Hairer, S. P. Norsett, G. Wanner, Solving Ordinary Differential Equations I, 2nd ed., section II.9.
    """

    order: ClassVar[int] = 4

    def __init__(self, make: Callable[[int], PulseSolver], *, steps: int) -> None:
        self._coarse, self._fine = make(steps), make(2 * steps)
        super().__init__(self._coarse.waveguide, self._coarse.grid, steps=steps)

    def propagate(self, field_NT: torch.Tensor) -> Propagated:
        """Propagate pulses of shape `(n, samples)`, complex, sqrt(W)."""
        fine, coarse = self._fine.propagate(field_NT), self._coarse.propagate(field_NT)
        change_NT = (fine.field_NT - coarse.field_NT) / 3
        norm_N = torch.linalg.vector_norm(torch.view_as_real(fine.field_NT).flatten(1), dim=1)
        change_N = torch.linalg.vector_norm(torch.view_as_real(change_NT).flatten(1), dim=1)
        return Propagated(
            field_NT=fine.field_NT + change_NT,
            phase_N=coarse.phase_N,
            time_edge_N=fine.time_edge_N,
            spectrum_edge_N=fine.spectrum_edge_N,
            error_N=change_N / norm_N.clamp_min(torch.finfo(norm_N.dtype).tiny),
        )

    def trace(self, field_NT: torch.Tensor) -> torch.Tensor:
        """Propagate without looking, by plain torch in the caller's thread, so that autograd sees every step."""
        return (4 * self._fine.trace(field_NT) - self._coarse.trace(field_NT)) / 3
