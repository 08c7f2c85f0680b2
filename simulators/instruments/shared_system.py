"""A physical system behind several simulated instruments: one row after the other, numbered as they come.

Axis letters: N rows; D drive channels; R response channels.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import PhysicalSystem, SystemSpec
from physnet.drives import check_drive, fit_drive
from physnet.errors import MeasurementError, SpecError


class SharedSystem:
    """Lets instruments, each on a thread of its own, play rows into one system.

    Rows are numbered in the order in which they come: noise that is keyed by pass numbers is that of a bench, which
    never plays a row twice.

    Args:
        system: Any system with a real drive. Whoever made it enters and leaves it.

    Raises:
        SpecError: Its drive is complex.
    """

    def __init__(self, system: PhysicalSystem) -> None:
        if np.dtype(system.spec.drive.dtype).kind == "c":
            raise SpecError(
                f"the drive of {system.spec.name} must be real behind a simulated instrument, got "
                f"{system.spec.drive.dtype}."
            )
        self._system = system
        self._lock = threading.Lock()
        self._rows = 0

    @property
    def spec(self) -> SystemSpec:
        """The system's description."""
        return self._system.spec

    def respond(self, level_ND: NDArray[Any]) -> NDArray[Any]:
        """Play rows and return their responses, shape `(n, responses)`.

        Args:
            level_ND: Drives as fractions of their ranges, 0 (lowest) to 1 (highest).

        Raises:
            MeasurementError: The system did not answer, or not every row is valid.
        """
        spec = self._system.spec
        drive = spec.drive
        value_ND = (1 - level_ND) * drive.low_array + level_ND * drive.high_array
        try:
            tensor = torch.from_numpy(value_ND.astype(drive.dtype))
            check_drive(spec, tensor)
            played = fit_drive(drive, tensor)
            with self._lock:
                passes = np.arange(self._rows, self._rows + len(level_ND), dtype=np.int64)
                self._rows += len(level_ND)
                reading = self._system.measure(
                    played.to(spec.device) if spec.array == "torch" else played.numpy(), passes
                )
        except Exception as error:  # whatever a third party's system raises
            raise MeasurementError(f"{spec.name} did not answer a simulated instrument: {error}") from error
        if reading.valid is not None and not reading.valid.all():
            raise MeasurementError(f"{spec.name} gave a simulated instrument a response that is not valid.")
        response = reading.response
        found = response.detach().cpu().numpy() if isinstance(response, torch.Tensor) else response
        return found.reshape(len(level_ND), -1)
