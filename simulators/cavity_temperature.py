"""The temperature of a cavity: it stretches the spectrum while time passes.

Axis letters: N rows.
"""

from __future__ import annotations

import math

import numpy as np

from physnet.errors import MeasurementError, SpecError

from .clock import VirtualClock
from .dipoles import Floats
from .drift import Drift


class Temperature:
    """The relative stretch of the spectrum on a virtual clock, rounded to steps.

    Args:
        drift: The stretch over time; None for a constant temperature.
        step: What it is rounded to multiples of: each new one costs an elimination.
        seconds_per_pass: Duration of a row, s.
        name: Of the cavity, for messages.

    Raises:
        SpecError: The step is not > 0, or time stands still while the spectrum should stretch.
    """

    def __init__(self, drift: Drift | None, *, step: float, seconds_per_pass: float, name: str) -> None:
        if not 0 < step < math.inf:
            raise SpecError(f"stretch_step of {name} must be > 0, got {step}.")
        if drift is not None and not seconds_per_pass > 0:
            raise SpecError(
                f"seconds_per_pass of {name} must be > 0 s for a spectrum that stretches, got {seconds_per_pass} s. "
                "Time stands still otherwise."
            )
        self._drift, self._step, self._name = drift, step, name
        self.clock = VirtualClock(seconds_per_pass=seconds_per_pass)
        """What it follows."""

    def now(self) -> float:
        """Return the stretch that the next row will meet."""
        return float(self._stretch(np.array([self.clock.now]))[0])

    def advance(self, rows: int) -> Floats:
        """Let rows pass and return the stretch at each, shape `(rows,)`.

        Raises:
            MeasurementError: The spectrum would shrink to nothing.
        """
        return self._stretch(self.clock.advance(rows))

    def _stretch(self, start_N: Floats) -> Floats:
        if self._drift is None:
            return np.zeros(len(start_N))
        stretch_N = np.rint(self._drift.at(start_N) / self._step) * self._step
        if not bool(np.all(stretch_N > -1)):
            raise MeasurementError(
                f"stretch of {self._name} must stay > -1, got {stretch_N.min():g} at {start_N[-1]:g} s. Let it "
                "drift by less."
            )
        return np.asarray(stretch_N)
