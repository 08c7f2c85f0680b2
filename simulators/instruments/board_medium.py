"""A physical system between the outputs and the inputs of a board.

Axis letters: D output channels or elements; R input channels.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import PhysicalSystem
from physnet.drives import check_drive, fit_drive
from physnet.errors import SpecError

from .board_protocol import HardwareFault


class BoardMedium:
    """Plays fractions of a range into a system, and turns its responses into voltages.

    The lowest output of the board is the lowest drive of the system, the highest the highest. An input hears one
    response channel, `gain` volts per unit; of a complex one it hears the modulus, as a detector diode would. Rows are
    numbered as they come: a system's noise is that of a bench which is played anew each time.

    Args:
        system: Any system with a real drive. It is entered by whoever made it.
        drives: Outputs of the board.
        responses: Inputs of the board: the first channels of the response.
        gain: V per unit of the response.

    Raises:
        SpecError: The system doesn't fit the board.
    """

    def __init__(self, system: PhysicalSystem, *, drives: int, responses: int, gain: float = 1.0) -> None:
        spec = system.spec
        if np.dtype(spec.drive.dtype).kind == "c":
            raise SpecError(f"the drive of {spec.name} must be real behind a board, got {spec.drive.dtype}.")
        if spec.drive.channels != drives:
            raise SpecError(
                f"{spec.name} must have as many drives as its board has outputs, {drives}, got {spec.drive.channels}."
            )
        if spec.response.channels < responses:
            raise SpecError(
                f"{spec.name} must have a response for each of the {responses} inputs of its board, got "
                f"{spec.response.channels}."
            )
        self._system, self._responses, self._gain = system, responses, gain
        self._lock = threading.Lock()
        self._rows = 0

    def __call__(self, outputs_D: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the voltages at the inputs, shape `(responses,)`, in V.

        Args:
            outputs_D: Outputs as fractions of their ranges, 0 to 1.

        Raises:
            HardwareFault: The system did not answer.
        """
        spec = self._system.spec
        low_D, high_D = spec.drive.low_array, spec.drive.high_array
        drive_ND = ((1 - outputs_D) * low_D + outputs_D * high_D).astype(spec.drive.dtype)[None]
        try:
            tensor = torch.from_numpy(drive_ND)
            check_drive(spec, tensor)
            drive = fit_drive(spec.drive, tensor)
            with self._lock:
                number = np.array([self._rows], np.int64)
                self._rows += 1
                reading = self._system.measure(
                    drive.to(spec.device) if spec.array == "torch" else drive.numpy(), number
                )
        except Exception as error:  # whatever a medium raises, a board has only one word for it
            raise HardwareFault(f"{spec.name} did not answer") from error
        response = reading.response
        if isinstance(response, torch.Tensor):
            response = response.detach().cpu().numpy()
        response_R = response.reshape(-1)[: self._responses]
        if np.iscomplexobj(response_R):
            response_R = np.abs(response_R)
        if reading.valid is not None and not reading.valid.all():
            raise HardwareFault(f"{spec.name} gave no valid response")
        return np.asarray(response_R, np.float64) * self._gain
