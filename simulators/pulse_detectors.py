"""What reads a pulse at the end of a waveguide: a spectrometer, or a detector with gates in time.

Axis letters: N rows; R responses; T samples in time; F bins of the spectrum; P either.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from physnet.errors import SpecError

from .waveguide_medium import Floats, TimeGrid

Quantity = Literal["spectrum", "time"]
_LEAST = 16  # columns of a product: with fewer a row's last digits depend on its place


class EnergyDetector:
    """Energies in equal bands of the spectrum, or in equal slices of time, J.

    A bin or sample on a boundary is shared between both sides. Bands go from low to high optical frequency.

    Args:
        grid: Samples in time.
        quantity: `spectrum` or `time`.
        parts: Bands or slices.
        span: Width of all together around the carrier in Hz, or around the middle of the window in s.
        dtype: Real type of the energies.
        device: torch device.

    Raises:
        SpecError: The grid is too narrow for the span, or too coarse for the parts.
    """

    def __init__(
        self,
        grid: TimeGrid,
        *,
        quantity: Quantity,
        parts: int,
        span: float,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        if quantity not in ("spectrum", "time"):
            raise SpecError(f"response must be spectrum or time, got {quantity!r}.")
        spectral = quantity == "spectrum"
        whole, cell, unit = (grid.bandwidth, 1 / grid.window, "Hz") if spectral else (grid.window, grid.step, "s")
        if not cell * parts <= span <= whole:
            raise SpecError(
                f"response_span must be {cell * parts:.3g} to {whole:.3g} {unit} for {parts} responses, one "
                f"{'bin' if spectral else 'sample'} each at least, got {span:.3g} {unit}. "
                f"{'A longer window' if spectral else 'More samples'} would resolve more."
            )
        centre_P = grid.detuning / (2 * math.pi) if spectral else grid.time
        scale = grid.step / grid.samples if spectral else grid.step
        shares_PR = _shares(centre_P, cell, np.linspace(-span / 2, span / 2, parts + 1)) * scale
        self._spectral, self._parts = spectral, parts
        missing = max(0, _LEAST - parts)
        self._shares_PR = torch.from_numpy(np.pad(shares_PR, ((0, 0), (0, missing)))).to(device, dtype)

    def detect(self, field_NT: torch.Tensor) -> torch.Tensor:
        """Return the energies of pulses of shape `(n, samples)`, sqrt(W)."""
        values_NP = torch.fft.fft(field_NT) if self._spectral else field_NT
        # Product and sum apart: a fused multiply-add rounds otherwise at the edge of a vector than inside.
        power_NP = values_NP.real * values_NP.real + values_NP.imag * values_NP.imag
        return (power_NP.to(self._shares_PR.dtype) @ self._shares_PR)[:, : self._parts]


def _shares(centre_P: Floats, cell: float, boundary: Floats) -> Floats:
    """Return the share of each cell that lies in each part."""
    low_P, high_P = centre_P - cell / 2, centre_P + cell / 2
    both = np.minimum(high_P[:, None], boundary[1:]) - np.maximum(low_P[:, None], boundary[:-1])
    return np.asarray(np.clip(both, 0, None) / cell)
