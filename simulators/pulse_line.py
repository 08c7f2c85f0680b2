"""A shaper, a waveguide and a detector in a row: from drives to responses, and what must hold on the way.

Axis letters: N rows; D drives; T samples in time; R responses; K things that are looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import Reading
from physnet.errors import MeasurementError, SpecError

from .lone_threads import lone_threads
from .own_gradient import with_gradient
from .pulse_detectors import EnergyDetector
from .pulse_shaper import Shaper
from .waveguide_solver import Extrapolated, Propagated, PulseSolver
from .waveguide_torch import HEIGHT, TorchSolver

_ROWS = 1024  # propagated at once: 8 MiB of field at 1 024 samples
_ROWS_OF_A_GRADIENT = 16  # every step's fields of so many rows are kept: 0.2 GB at 1 024 samples and 200 steps


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """How well some rows are resolved.

    Args:
        error_N: Error of the pulse at the end, relative to its norm, estimated from runs with other steps in double
            precision. An upper bound for a solver of order 4.
        steps_per_nonlinear_length_N: Of the peak power anywhere on the way.
        steps_per_dispersion_length: Of the unshaped pulse.
        time_edge_N: Largest share of the energy at the edges of the time window (a sixteenth).
        spectrum_edge_N: Largest share of the energy at the edges of the spectrum (a sixteenth).
    """

    error_N: NDArray[np.float64]
    steps_per_nonlinear_length_N: NDArray[np.float64]
    steps_per_dispersion_length: float
    time_edge_N: NDArray[np.float64]
    spectrum_edge_N: NDArray[np.float64]


class PulseLine:
    """Shapes pulses, propagates them, detects them, and refuses what is not resolved.

    Args:
        shaper: From drives to pulses.
        solver: From the beginning of the guide to its end.
        detector: From pulses to responses.
        dispersed: What dispersion spreads the shaper's span, s.
        band: Width of a band of the shaper, Hz.
        phase_limit: Largest nonlinear phase of a step in rad.
        edge_limit: Largest share of energy at the edges of window or spectrum.
        device: torch device.
        name: What messages call it.

    Raises:
        SpecError: The unshaped pulse exceeds `phase_limit`, or the window is too short for shaped ones.
    """

    def __init__(
        self,
        *,
        shaper: Shaper,
        solver: PulseSolver,
        detector: EnergyDetector,
        dispersed: float,
        band: float,
        phase_limit: float,
        edge_limit: float,
        device: torch.device,
        name: str,
    ) -> None:
        self._shaper, self._solver, self._detector = shaper, solver, detector
        self._phase_limit, self._edge_limit = phase_limit, edge_limit
        self._device, self._name = device, name
        self._check_phase()
        window, needed = solver.grid.window, 1 / band + dispersed
        if not needed <= window:
            raise SpecError(
                f"window of {name} must be >= {needed:.3g} s, the inverse width of a band ({1 / band:.3g} s) and what "
                f"dispersion spreads the span of the shaper ({dispersed:.3g} s), got {window:.3g} s."
            )

    def respond(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the responses to rows of drives.

        Raises:
            MeasurementError: A row is not resolved. It carries the rows before.
        """
        parts: list[torch.Tensor] = []
        for first in range(0, len(drive_ND), _ROWS):
            seen = self.propagate(drive_ND[first : first + _ROWS])
            parts.append(self.detected(seen.field_NT))
            wrong = self._wrong(seen)
            if wrong is not None:
                row, text = first + wrong[0], wrong[1]
                reading = Reading(response=torch.cat(parts)[:row]) if row else None
                raise MeasurementError(f"{self._name}, row {row}: {text}", reading=reading)
        return torch.cat(parts)

    def forward(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the numbers of `respond`, with the gradient of the plain torch solver."""
        return with_gradient(drive_ND, self.respond, self.pull_back)

    def propagate(self, drive_ND: torch.Tensor) -> Propagated:
        """Return the pulses at the end of the guide, and what was seen on the way."""
        return self._solver.propagate(self.launched(drive_ND)).to(self._device)

    def launched(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the shaped pulses at the beginning of the guide."""
        return self._tiled(self._shaper.shape, drive_ND)

    def detected(self, field_NT: torch.Tensor) -> torch.Tensor:
        """Return the responses to pulses at the end."""
        return self._tiled(self._detector.detect, field_NT.to(self._device))

    def numerics(self, drive_ND: torch.Tensor) -> Numerics:
        """Return how well rows are resolved, from three runs of the plain solver in double precision."""
        guide, grid, steps = self._solver.waveguide, self._solver.grid, self._solver.steps

        def make(count: int) -> PulseSolver:
            return TorchSolver(guide, grid, steps=count, device=self._device)

        seen = Extrapolated(make, steps=steps).propagate(self.launched(drive_ND))
        assert seen.error_N is not None  # extrapolation estimates it
        # The estimate is that of twice as many steps, which at order 2 err by a quarter.
        error_N = seen.error_N * (4 if self._solver.order == 2 else 1)
        t0 = self._shaper.pulse.t0
        return Numerics(
            error_N=error_N.cpu().numpy(),
            steps_per_nonlinear_length_N=1 / seen.phase_N.clamp_min(1e-300).cpu().numpy(),
            steps_per_dispersion_length=guide.dispersion_length(t0) / self._solver.distance,
            time_edge_N=seen.time_edge_N.cpu().numpy(),
            spectrum_edge_N=seen.spectrum_edge_N.cpu().numpy(),
        )

    def pull_back(self, drive_ND: torch.Tensor, slope_NR: torch.Tensor) -> torch.Tensor:
        """Return the gradient by the drive of a sum of responses that is weighted with `slope_NR`."""
        parts = []
        for first in range(0, len(drive_ND), _ROWS_OF_A_GRADIENT):
            part = slice(first, first + _ROWS_OF_A_GRADIENT)
            with torch.enable_grad():
                leaf = drive_ND[part].detach().requires_grad_()
                response = self._detector.detect(self._solver.trace(self._shaper.shape(leaf)))
                parts.append(torch.autograd.grad(response, leaf, slope_NR[part].to(response.dtype))[0])
        return torch.cat(parts)

    def _tiled(self, function: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor) -> torch.Tensor:
        """Apply a function to tiles of always as many rows, so that a row's bits don't depend on how many there are."""
        rows = len(values)
        padded = torch.cat((values, values.new_zeros((-rows % HEIGHT, *values.shape[1:]))))
        tiles = torch.split(padded, HEIGHT)

        def work(tile: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():  # a setting of each thread
                return function(tile)

        if self._device.type != "cpu":
            return torch.cat([work(tile) for tile in tiles])[:rows]
        with lone_threads(min(torch.get_num_threads(), len(tiles))) as pool:
            return torch.cat(list(pool.map(work, tiles)))[:rows]

    def _check_phase(self) -> None:
        solver, peak = self._solver, self._shaper.pulse.peak
        nonlinear = solver.waveguide.nonlinear_length(peak)
        phase = solver.distance / nonlinear
        if not phase <= self._phase_limit:
            raise SpecError(
                f"steps of {self._name} must be >= {math.ceil(solver.steps * phase / self._phase_limit)}: the unshaped "
                f"pulse of {peak:.3g} W has a nonlinear length of {nonlinear:.3g} m, and {solver.steps} steps of "
                f"{solver.distance:.3g} m turn it by {phase:.3g} rad each, more than phase_limit = "
                f"{self._phase_limit:.3g} rad. Less energy would do as well."
            )

    def _wrong(self, seen: Propagated) -> tuple[int, str] | None:
        """Return the first row that is not resolved, and why."""
        limits = (self._phase_limit, self._edge_limit, self._edge_limit)
        seen_KN = torch.stack((seen.phase_N, seen.time_edge_N, seen.spectrum_edge_N)).cpu()
        wrong_KN = ~(seen_KN <= torch.tensor(limits, dtype=seen_KN.dtype)[:, None])
        if not bool(wrong_KN.any()):
            return None
        row = int(wrong_KN.any(0).nonzero()[0])
        look = int(wrong_KN[:, row].nonzero()[0])
        what, setting, advice = (
            ("the nonlinear phase of a step in rad", "phase_limit", "Take more steps"),
            ("the share of energy at the edges of the time window", "edge_limit", "Widen the window"),
            ("the share of energy at the edges of the spectrum", "edge_limit", "Take more samples"),
        )[look]
        value = float(seen_KN[look, row])
        return row, f"{what} must be <= {limits[look]:.3g} ({setting}), got {value:.3g}. {advice}, or less energy."
