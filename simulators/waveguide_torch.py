"""The nonlinear Schroedinger equation in plain torch: symmetric splitting, for any device and precision.

Axis letters: N rows; T samples in time; F bins of the spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch

from .lone_threads import lone_threads
from .waveguide_medium import Complexes, TimeGrid, Waveguide
from .waveguide_solver import Propagated, PulseSolver

HEIGHT = 32
"""Rows of a chunk: always this many, so that a row's bits don't depend on how many there are."""


class TorchSolver(PulseSolver):
    """The reference: half a step of nonlinearity, dispersion and loss over a whole one, half of nonlinearity.

    Without self-steepening the nonlinear part has an exact solution, a phase, since it leaves |A|^2 alone, the late
    response included. With it a step is one of Runge and Kutta's of order 4, whose error is far below that of the
    splitting.

    On a CPU chunks of rows are stepped in threads of their own, as many as torch uses in the caller's. In them numbers
    too small to be normal are flushed to zero, of which the tails of a pulse are full. A row's result has the same bits
    whatever the other rows are.

    Args:
        waveguide: The equation.
        grid: Samples in time.
        steps: Steps along the guide.
        dtype: `torch.complex64` or `torch.complex128`.
        device: torch device.
    """

    order: ClassVar[int] = 2

    def __init__(
        self,
        waveguide: Waveguide,
        grid: TimeGrid,
        *,
        steps: int,
        dtype: torch.dtype = torch.complex128,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(waveguide, grid, steps=steps)
        self._dtype, self._device = dtype, torch.device(device)
        self._linear_F = self._tensor(waveguide.linear(grid, self.distance))
        self._delayed_F = self._tensor(waveguide.delayed(grid)) if waveguide.raman_fraction else None
        self._shock_F = (
            self._tensor(waveguide.steepening(grid).astype(np.complex128)) if waveguide.self_steepening else None
        )
        real = self._linear_F.real.dtype
        self._edge_TF = torch.from_numpy(np.stack((grid.window_edge, grid.spectrum_edge))).to(self._device, real)

    def propagate(self, field_NT: torch.Tensor) -> Propagated:
        """Propagate pulses of shape `(n, samples)`, complex, sqrt(W)."""
        field_NT = field_NT.to(self._device, self._dtype)
        rows = len(field_NT)
        height = self._height(rows)
        missing = -rows % height
        chunks = torch.nn.functional.pad(torch.view_as_real(field_NT), (0, 0, 0, 0, 0, missing))
        ends = self._all_watched(torch.split(torch.view_as_complex(chunks), height))
        field, phase, time_edge, spectrum_edge = (torch.cat(found)[:rows] for found in zip(*ends, strict=True))
        return Propagated(field_NT=field, phase_N=phase, time_edge_N=time_edge, spectrum_edge_N=spectrum_edge)

    def trace(self, field_NT: torch.Tensor) -> torch.Tensor:
        """Propagate without looking, by plain torch in the caller's thread, so that autograd sees every step."""
        field_NT = field_NT.to(self._device, self._dtype)
        for steps in self.segments:
            field_NT, _ = self._segment(field_NT, steps)
        return field_NT

    def _height(self, rows: int) -> int:
        """Return the rows of a chunk."""
        return HEIGHT if self._device.type == "cpu" else max(1, rows)

    def _all_watched(self, chunks: Sequence[torch.Tensor]) -> list[tuple[torch.Tensor, ...]]:
        """Propagate chunks, side by side on a CPU."""
        if self._device.type != "cpu":
            return [self._watched(chunk) for chunk in chunks]
        with lone_threads(torch.get_num_threads()) as pool:
            return list(pool.map(self._watched, chunks))

    @torch.no_grad()
    def _watched(self, field_NT: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Propagate a chunk and look at it at every station."""
        phases, edges = [], [self._edges(field_NT)]
        for steps in self.segments:
            field_NT, phase_N = self._segment(field_NT, steps)
            phases.append(phase_N)
            edges.append(self._edges(field_NT))
        time_edge_N, spectrum_edge_N = torch.stack(edges).amax(0)
        return field_NT, torch.stack(phases).amax(0), time_edge_N, spectrum_edge_N

    def _segment(self, field_NT: torch.Tensor, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Take some steps; neighbouring halves of nonlinearity make one. Return the largest phase of a step as well."""
        field_NT, peak_N = self._nonlinear(field_NT, self.distance / 2)
        for left in range(steps, 0, -1):
            field_NT = torch.fft.ifft(torch.fft.fft(field_NT) * self._linear_F)
            field_NT, power_N = self._nonlinear(field_NT, self.distance / (1 if left > 1 else 2))
            peak_N = torch.maximum(peak_N, power_N)
        return field_NT, peak_N * (self.waveguide.gamma * self.distance)

    def _nonlinear(self, field_NT: torch.Tensor, distance: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Advance by the nonlinear part alone; return the peak power before it as well."""
        power_NT = field_NT.real.square() + field_NT.imag.square()
        peak_N = power_NT.detach().amax(1)
        if self._shock_F is None:
            phase_NT = self._response(power_NT) * (self.waveguide.gamma * distance)
            return field_NT * torch.complex(phase_NT.cos(), phase_NT.sin()), peak_N
        k1 = self._slope(field_NT) * distance
        k2 = self._slope(field_NT + k1 / 2) * distance
        k3 = self._slope(field_NT + k2 / 2) * distance
        k4 = self._slope(field_NT + k3) * distance
        return field_NT + (k1 + 2 * (k2 + k3) + k4) / 6, peak_N

    def _slope(self, field_NT: torch.Tensor) -> torch.Tensor:
        """Return dA/dz of the nonlinear part, with self-steepening."""
        power_NT = field_NT.real.square() + field_NT.imag.square()
        turned_NT = field_NT * (self._response(power_NT) * (1j * self.waveguide.gamma))
        slope_NT: torch.Tensor = torch.fft.ifft(torch.fft.fft(turned_NT) * self._shock_F)
        return slope_NT

    def _response(self, power_NT: torch.Tensor) -> torch.Tensor:
        """Return the power that the nonlinearity answers to: what is there now, and what was before."""
        if self._delayed_F is None:
            return power_NT
        late_NT: torch.Tensor = torch.fft.ifft(torch.fft.fft(power_NT.to(self._dtype)) * self._delayed_F).real
        return power_NT * (1 - self.waveguide.raman_fraction) + late_NT

    def _edges(self, field_NT: torch.Tensor) -> torch.Tensor:
        """Return the shares of the energy at the edges of window and spectrum, shape `(2, n)`."""
        shares = []
        for values, edge in zip((field_NT, torch.fft.fft(field_NT)), self._edge_TF, strict=True):
            energy = values.real.square() + values.imag.square()
            total_N = energy.sum(1).clamp_min(torch.finfo(energy.dtype).tiny)
            shares.append((energy * edge).sum(1) / total_N)
        return torch.stack(shares)

    def _tensor(self, values: Complexes) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device, self._dtype)
