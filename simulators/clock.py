"""The clock of simulated systems: it counts rows, not seconds of computing, so that a drift can be played again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SessionError, SpecError


class VirtualClock:
    """Time as a bench would see it: it grows by a fixed amount at every row presented.

    The time is the product of a count, not a running sum, so it does not depend on how rows were cut into batches.

    Args:
        seconds_per_pass: Duration of one row in s, >= 0.

    Raises:
        SpecError: `seconds_per_pass` is negative or not finite.
    """

    def __init__(self, *, seconds_per_pass: float) -> None:
        if not 0 <= seconds_per_pass < math.inf:
            raise SpecError(f"seconds_per_pass must be >= 0 s, got {seconds_per_pass} s.")
        self.seconds_per_pass = seconds_per_pass
        self._passes = 0
        self._waited = 0.0

    @property
    def now(self) -> float:
        """Time at which the next row starts, in s after the last reset."""
        return self._passes * self.seconds_per_pass + self._waited

    def advance(self, rows: int) -> NDArray[np.float64]:
        """Play `rows` rows and return the time at which each starts, shape `(rows,)`, in s."""
        start_N = (self._passes + np.arange(rows)) * self.seconds_per_pass + self._waited
        self._passes += rows
        return np.asarray(start_N, dtype=np.float64)

    def wait(self, seconds: float) -> None:
        """Let time pass without a row: a night, a pause to write parameters.

        Args:
            seconds: Duration in s, >= 0.

        Raises:
            SpecError: `seconds` is negative or not finite.
        """
        if not 0 <= seconds < math.inf:
            raise SpecError(f"seconds to wait must be >= 0 s, got {seconds} s.")
        self._waited += seconds

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the clock's reading as named arrays."""
        return {"passes": np.asarray(self._passes, np.int64), "waited": np.asarray(self._waited, np.float64)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned.

        Raises:
            SessionError: `state` lacks `passes` or `waited`.
        """
        missing = {"passes", "waited"} - set(state)
        if missing:
            raise SessionError(
                f"a clock's state must hold passes and waited, got {sorted(state)}. It was saved by another system."
            )
        self._passes = int(state["passes"])
        self._waited = float(state["waited"])

    def reset(self) -> None:
        """Go back to 0 s."""
        self._passes, self._waited = 0, 0.0
