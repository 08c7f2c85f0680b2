"""A physical system between the outputs and the inputs of a board.

Axis letters: D output channels or elements; R input channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from physnet.errors import MeasurementError, SpecError

from .board_protocol import HardwareFault
from .shared_system import SharedSystem


class BoardMedium:
    """Turns outputs into drives and responses into voltages.

    The lowest output of the board is the lowest drive of the system, the highest the highest. An input hears one
    response channel, `gain` volts per unit; of a complex one it hears the modulus, as a detector diode would.

    Args:
        system: What is connected.
        drives: Outputs of the board.
        responses: Inputs of the board: the first channels of the response.
        gain: V per unit of the response.

    Raises:
        SpecError: The system doesn't fit the board.
    """

    def __init__(self, system: SharedSystem, *, drives: int, responses: int, gain: float = 1.0) -> None:
        spec = system.spec
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

    def __call__(self, level_D: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the voltages at the inputs, shape `(responses,)`, in V.

        Args:
            level_D: Outputs as fractions of their ranges, 0 to 1.

        Raises:
            HardwareFault: The system did not answer.
        """
        try:
            response_R = self._system.respond(level_D[None])[0, : self._responses]
        except MeasurementError as error:
            raise HardwareFault(str(error)) from error
        if np.iscomplexobj(response_R):
            response_R = np.abs(response_R)
        return np.asarray(response_R, np.float64) * self._gain
