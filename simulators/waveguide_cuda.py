"""The nonlinear Schroedinger equation on a CUDA device, every row in one block from the first step to the last.

Axis letters: N rows; T samples in time; F bins of the spectrum; P passes of a transform; K points of a thread; A
threads of a row.
"""

from __future__ import annotations

import importlib
from typing import ClassVar

import numpy as np
import torch

from physnet.errors import SpecError

from .cuda import chip_of, launch, why_not
from .waveguide_cuda_tables import lay_out, parts
from .waveguide_medium import TimeGrid, Waveguide
from .waveguide_solver import Propagated, PulseSolver
from .waveguide_torch import TorchSolver

_LONGEST = 8192  # samples whose threads have registers for their points: 512 threads times 128


class CudaSolver(PulseSolver):
    """`TorchSolver` in single precision, as one launch of one kernel: equal within rounding.

    A row of 1 024 samples has 64 threads, and 8 KiB of shared memory for what they exchange: a multiprocessor takes six
    such rows at once. In every step a row is transformed and transformed back in three passes each, so its points meet
    other threads four times. Rows shorter than 512 samples share a warp. The whole way costs one reading and one
    writing of the field in the device's memory.

    A row's result has the same bits whatever the other rows are.

    Args:
        waveguide: The equation, without self-steepening.
        grid: Samples in time, up to 8 192.
        steps: Steps along the guide.
        device: torch device; `cpu` where the interpreter runs the kernels.

    Raises:
        SpecError: The kernel can't do it, or can't run here.
    """

    order: ClassVar[int] = 2

    def __init__(
        self, waveguide: Waveguide, grid: TimeGrid, *, steps: int, device: str | torch.device = "cuda"
    ) -> None:
        super().__init__(waveguide, grid, steps=steps)
        reason = why_not_resident(waveguide, grid, device)
        if reason is not None:
            raise SpecError(f"backend must be one that can do it, 'auto' finds it, got 'cuda': {reason}.")
        self._device, self._layout = torch.device(device), lay_out(grid.samples)
        layout, late = self._layout, waveguide.raman_fraction > 0
        # A transform there and back multiplies with the number of samples.
        scaled_F = [waveguide.linear(grid, self.distance), *([waveguide.delayed(grid)] if late else [])]
        spectral = [factor_F[layout.bin_KA] / grid.samples for factor_F in scaled_F]
        edges = grid.window_edge[layout.place_PKA[0]], grid.spectrum_edge[layout.bin_KA]
        lane_A = np.arange(layout.threads)
        inner_RA = np.stack([*layout.inner_QA, lane_A, lane_A])  # of twiddle factors, then of the spectrum's
        tables = (
            parts(np.stack([*layout.twiddle_QKA, *spectral])),
            layout.bases().astype(np.int32),
            np.stack([inner_RA, inner_RA]).astype(np.int32),
            np.stack(edges).astype(np.float32),
            np.array(self.segments, np.int64),
        )
        self._tables = [torch.from_numpy(table).to(self._device) for table in tables]
        self._gain = np.float32(waveguide.gamma * self.distance)
        self._prompt = np.float32(1 - waveguide.raman_fraction)
        self._late = late

    def propagate(self, field_NT: torch.Tensor) -> Propagated:
        """Propagate pulses of shape `(n, samples)`, complex, sqrt(W)."""
        field_NT = field_NT.detach().to(self._device, torch.complex64, copy=True).contiguous()
        rows = len(field_NT)
        seen_3N = torch.zeros((3, rows), dtype=torch.float32, device=self._device)
        if rows:
            layout = self._layout
            kernels = importlib.import_module(".waveguide_cuda_kernels", __package__)
            launch(
                kernels.make(layout.samples, self._late), torch.view_as_real(field_NT), seen_3N, *self._tables,
                self._gain, self._prompt, blocks=-(-rows // layout.rows), threads=layout.rows * layout.threads,
                shared=layout.shared,
            )  # fmt: skip
        return Propagated(
            field_NT=field_NT,
            phase_N=seen_3N[0] * (self.waveguide.gamma * self.distance),
            time_edge_N=seen_3N[1],
            spectrum_edge_N=seen_3N[2],
        )

    def trace(self, field_NT: torch.Tensor) -> torch.Tensor:
        """Propagate without looking, by plain torch on the device, so that autograd sees every step."""
        plain = TorchSolver(self.waveguide, self.grid, steps=self.steps, dtype=torch.complex64, device=self._device)
        return plain.trace(field_NT)


def why_not_resident(waveguide: Waveguide, grid: TimeGrid, device: str | torch.device) -> str | None:
    """Return why a row can't stay on a multiprocessor of a device from end to end; None if it can."""
    if waveguide.self_steepening:
        return "the kernel knows no self-steepening"
    if grid.samples > _LONGEST:
        return f"a row may have up to {_LONGEST} samples, not {grid.samples}"
    reason = why_not(device)
    if reason is not None:
        return reason
    shared, room = lay_out(grid.samples).shared, chip_of(device).block
    if shared > room:
        return f"a row of {grid.samples} samples takes {shared} bytes of shared memory, and a block may have {room}"
    return None
