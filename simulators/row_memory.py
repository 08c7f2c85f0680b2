"""What makes a response depend on the rows before: image lag, and a coupling capacitor.

Axis letters: N rows; X real parts of response channels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter

from physnet.contracts import Passes
from physnet.errors import SessionError, SpecError


class Recursion(ABC):
    """A first-order recursion over the rows: `y_k = b0 x_k + b1 x_k-1 + a y_k-1`, at rest before the first row.

    It is computed row after row in `float64`, so that batches don't change it.

    Args:
        name: What the state is called.
        parts: Real parts of a response.
        new: `(b0, b1)`.
        old: `a`.
    """

    def __init__(self, name: str, parts: int, *, new: tuple[float, float], old: float) -> None:
        self._name = name
        self._new, self._old = np.array(new), np.array((1.0, -old))
        self._held_X = np.zeros(parts)

    @abstractmethod
    def __call__(self, value_NX: torch.Tensor, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Return the filtered rows, which start at `start_N` in s."""

    def filter(self, value_NX: torch.Tensor, *, fade: float = 1.0) -> torch.Tensor:
        """Return the filtered rows; what is held fades by a factor first."""
        row_NX = value_NX.cpu().double().numpy()
        filtered_NX, held_1X = lfilter(self._new, self._old, row_NX, axis=0, zi=self._held_X[None] * fade)
        self._held_X = held_1X[0]
        return torch.from_numpy(filtered_NX).to(value_NX)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the next row depends on."""
        return {self._name: self._held_X.copy()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned.

        Raises:
            SessionError: `state` lacks it, or it has another size.
        """
        held = state.get(self._name)
        if held is None or held.shape != self._held_X.shape:
            raise SessionError(
                f"the state of an impaired system must hold {self._name} of shape {self._held_X.shape}, got "
                f"{sorted(state) if held is None else held.shape}. It was saved by another system."
            )
        self._held_X = np.array(held, dtype=np.float64)

    def reset(self) -> None:
        """Forget every row."""
        self._held_X = np.zeros_like(self._held_X)


class Lag(Recursion):
    """A response keeps a share of the one before: `r'_k = (1 - m) r_k + m r'_k-1` (a sensor's image lag, a warm body).

    Args:
        parts: Real parts of a response.
        share: `m`, > 0 and < 1.

    Raises:
        SpecError: The share is out of range.
    """

    def __init__(self, parts: int, share: float) -> None:
        if not 0 < share < 1:
            raise SpecError(f"memory must be >= 0 and < 1 (a share of the response before), got {share}.")
        super().__init__("memory", parts, new=(1 - share, 0.0), old=share)

    def __call__(self, value_NX: torch.Tensor, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Return the lagging rows."""
        return self.filter(value_NX)


class AcCoupling(Recursion):
    """A high-pass of first order between detector and converter: what stays constant droops to zero.

    A response stands for the duration `dt` of its row and is read at the row's end: `r'_k = a (r'_k-1 + r_k - r_k-1)`
    with `a = exp(-dt / tau)`. In a pause of the virtual clock nothing is detected and the capacitor discharges.

    Args:
        parts: Real parts of a response.
        time: Time constant `tau` in s, > 0.
        seconds_per_pass: `dt` in s, > 0.

    Raises:
        SpecError: A time is out of range.

    Source:
        P. Horowitz, W. Hill, The Art of Electronics, 3rd ed., 2015, section 1.7 (RC high-pass).
    """

    def __init__(self, parts: int, time: float, *, seconds_per_pass: float) -> None:
        if not 0 < time < math.inf:
            raise SpecError(f"ac_time must be > 0 s, got {time} s. Leave it out for coupling down to 0 Hz.")
        kept = math.exp(-seconds_per_pass / time)
        super().__init__("ac_coupling", parts, new=(kept, -kept), old=kept)
        self._time, self._pace = time, seconds_per_pass
        self._ended = 0.0

    def __call__(self, value_NX: torch.Tensor, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Return the rows behind the capacitor."""
        if len(start_N) == 0:
            return value_NX
        # What the recursion holds is -a times the capacitor's voltage. Only between calls can a clock pause.
        pause = max(0.0, float(start_N[0]) - self._ended)
        self._ended = float(start_N[-1]) + self._pace
        # Sums of times differ in their last digits without any pause.
        return self.filter(value_NX, fade=math.exp(-pause / self._time) if pause > 1e-6 * self._pace else 1.0)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the capacitor, and when the last row ended."""
        return super().state() | {"ac_ended": np.asarray(self._ended, np.float64)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned.

        Raises:
            SessionError: `state` lacks it.
        """
        super().restore(state)
        if "ac_ended" not in state:
            raise SessionError(f"the state of an impaired system must hold ac_ended, got {sorted(state)}.")
        self._ended = float(state["ac_ended"])

    def reset(self) -> None:
        """Discharge the capacitor."""
        super().reset()
        self._ended = 0.0
