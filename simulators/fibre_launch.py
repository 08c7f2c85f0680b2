"""A modulator imaged on the end of a multimode fibre: from drives to amplitudes of its modes.

Axis letters: N rows; D drives; K columns of the modulated field as reals; M modes.
"""

from __future__ import annotations

import numpy as np
import torch

from .fibre_line import Line
from .fibre_modes import Modes
from .fibre_optics import Pixels
from .fibre_profile import Complexes
from .modulator import Modulator
from .row_product import RowProduct


class Launch:
    """Light from the modulator in the modes.

    Without a step of the Kerr effect or a pulse between them, the modulator and the fibre are one matrix.

    Args:
        modulator: What sets the field of each pixel.
        pixels: Its image on the fibre.
        modes: The modes.
        line: Behind it.
        device: torch device.
    """

    def __init__(self, modulator: Modulator, pixels: Pixels, modes: Modes, line: Line, *, device: torch.device) -> None:
        self._modulator, self._pixels, self._device = modulator, pixels, device
        self.reaches_end = line.linear and line.pulse is None
        """Whether `enter` returns amplitudes at the end of the line already."""
        self._launch_MD = pixels.launch(modes)
        entry_MD = line.transfer() @ self._launch_MD if self.reaches_end else self._launch_MD.astype(np.complex128)
        self._entry = RowProduct(_as_real(entry_MD, phase=modulator.is_phase), device=device)

    def enter(self, drive: torch.Tensor) -> torch.Tensor:
        """Return amplitudes at the beginning, or at the end where there is no step between, shape `(n, modes, 2)`."""
        out_N2M = self._entry(self._modulator.field(drive.to(torch.float32)))
        return out_N2M.reshape(len(drive), 2, -1).transpose(1, 2).contiguous()

    def amplitudes(self, drive: torch.Tensor) -> torch.Tensor:
        """Return the amplitudes of the modes at the beginning, complex, shape `(n, modes)`."""
        launch_DM = torch.from_numpy(self._launch_MD.T).to(self._device, torch.complex64)
        field_NK = self._modulator.field(drive.to(self._device, torch.float32))
        real_ND, imag_ND = field_NK[:, : self._pixels.count], field_NK[:, self._pixels.count :]
        return (torch.complex(real_ND, imag_ND) if imag_ND.shape[1] else real_ND.to(torch.complex64)) @ launch_DM


def _as_real(matrix_MD: Complexes, *, phase: bool) -> torch.Tensor:
    """Return the matrix from the modulator's field as reals to [Re | Im] of the modes, `(inputs, 2 modes)`."""
    real_DM, imag_DM = matrix_MD.real.T, matrix_MD.imag.T
    rows = np.concatenate((real_DM, imag_DM), axis=1)
    if phase:  # the field has two parts, [cos | sin]
        rows = np.concatenate((rows, np.concatenate((-imag_DM, real_DM), axis=1)))
    return torch.from_numpy(np.ascontiguousarray(rows)).float()
