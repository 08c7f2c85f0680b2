"""What mixes the channels of a response: slow rotation of pairs, leakage to neighbours, a sudden exchange.

Axis letters: N rows; C response channels; X real parts of them, (real, imaginary) pairs for a complex response.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import Passes, ResponseSpec
from physnet.errors import SpecError
from physnet.passes import MOST_EPOCHS, Purpose, fields_of, presented_for
from physnet.seeding import stream

from .drift import Drift

_MOST_STEPS = 1 << 18  # steps that a pass number can tell apart


class Rotation:
    """Turns fixed random pairs of channels by an angle that drifts; with an odd number of channels, one is left out.

    Args:
        response: The response.
        drift: Angle in rad.
        seed: Seed of the pairs.
    """

    def __init__(self, response: ResponseSpec, drift: Drift, *, seed: int) -> None:
        self._channels, self._drift = response.channels, drift
        order = stream(seed, "rotation pairs").permutation(self._channels)[: self._channels // 2 * 2]
        self._first, self._second = (torch.from_numpy(half.copy()) for half in np.split(order, 2))

    def __call__(self, value_NX: torch.Tensor, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Rotate in place, each row at its own time."""
        angle_N = torch.from_numpy(self._drift.at(start_N)).to(value_NX.device)
        cos_N, sin_N = (f.to(value_NX.dtype)[:, None, None] for f in (angle_N.cos(), angle_N.sin()))
        channel_NCX = value_NX.view(len(value_NX), self._channels, -1)
        first, second = channel_NCX[:, self._first], channel_NCX[:, self._second]
        channel_NCX[:, self._first] = cos_N * first - sin_N * second
        channel_NCX[:, self._second] = sin_N * first + cos_N * second
        return value_NX


class Crosstalk:
    """Each channel gives a share of its response to each neighbour and keeps the rest, along every axis in turn.

    `r_c <- (1 - 2 s) r_c + s (r_c-1 + r_c+1)`, `1 - s` at an end: the sum stays, as that of a charge that diffuses.

    Args:
        response: The response; axes of one channel have no neighbours.
        share: What goes to one neighbour, > 0 and <= 0.5.

    Raises:
        SpecError: The share is out of range.
    """

    def __init__(self, response: ResponseSpec, share: float) -> None:
        if not 0 < share <= 0.5:
            raise SpecError(f"crosstalk must be >= 0 and <= 0.5 (a share for each neighbour), got {share}.")
        self._shape, self._share = response.shape, share

    def __call__(self, value_NX: torch.Tensor, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Return the mixed responses."""
        value = value_NX.view(len(value_NX), *self._shape, -1)
        for axis, length in enumerate(self._shape, start=1):
            if length > 1:
                value = self._mix(value, axis, length)
        return value.reshape(value_NX.shape)

    def _mix(self, value: torch.Tensor, axis: int, length: int) -> torch.Tensor:
        given = value * self._share
        mixed = value - given  # each channel has one neighbour at least
        mixed.narrow(axis, 1, length - 2).sub_(given.narrow(axis, 1, length - 2))
        mixed.narrow(axis, 0, length - 1).add_(given.narrow(axis, 1, length - 1))
        mixed.narrow(axis, 1, length - 1).add_(given.narrow(axis, 0, length - 1))
        return mixed


@dataclass(frozen=True, kw_only=True)
class SuddenChange:
    """A share of the channels change places, once and for all: a fibre was touched, a plug was put in another socket.

    It strikes the rows that are presented at the given step or later, as their pass numbers tell, so that a resumed run
    meets it where an unbroken one does. Validation and sentinels are numbered by the epochs done, and stand between
    two epochs. Tests and predictions come after training, and so after the change, whatever their numbers.
    Calibration is numbered from epoch 0.

    Args:
        epoch: Epoch of the change, counted from 0.
        step: Step within it, counted from 0.
        share: Share of the channels that take part, > 0 and <= 1; at least two.

    Raises:
        SpecError: A field is out of its range.
    """

    epoch: int
    step: int = 0
    share: float = 0.1

    def __post_init__(self) -> None:
        for name, most in (("epoch", MOST_EPOCHS), ("step", _MOST_STEPS)):
            if not 0 <= getattr(self, name) < most:
                raise SpecError(f"{name} of a change must be 0 to {most - 1}, got {getattr(self, name)}.")
        if not 0 < self.share <= 1:
            raise SpecError(f"share of a change must be > 0 and <= 1, got {self.share}.")


class Exchange:
    """Carries out a `SuddenChange`: the channels move on by one place in a random cycle, so that none stays.

    Args:
        response: The response, of two channels at least.
        change: When, and how many.
        seed: Seed of the cycle.

    Raises:
        SpecError: There are no two channels to exchange.
    """

    def __init__(self, response: ResponseSpec, change: SuddenChange, *, seed: int) -> None:
        if response.channels < 2:
            raise SpecError("change must be left out for a response of one channel: it has none to exchange with.")
        self._channels = response.channels
        self._since = (change.epoch, change.step)
        count = min(self._channels, max(2, round(change.share * self._channels)))
        cycle = stream(seed, "sudden change").permutation(self._channels)[:count]
        source_C = np.arange(self._channels)
        source_C[cycle] = np.roll(cycle, 1)
        self._source_C = torch.from_numpy(source_C)

    def __call__(self, value_NX: torch.Tensor, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Exchange in place, in the rows that come after the change."""
        after_N = self._after(passes)
        if after_N.any():
            rows = torch.from_numpy(after_N).to(value_NX.device)
            channel_NCX = value_NX.view(len(value_NX), self._channels, -1)
            channel_NCX[rows] = channel_NCX[rows][:, self._source_C]
        return value_NX

    def _after(self, passes: Passes) -> NDArray[np.bool_]:
        """Return which rows are presented after the change."""
        fields, purpose_N = fields_of(passes), presented_for(passes)
        epoch, step = self._since
        # Between two epochs a number's step counts minibatches of the validation, or looks at the sentinels.
        between_N = (purpose_N == Purpose.VALIDATE) | (purpose_N == Purpose.SENTINEL)
        step_N = np.where(between_N, 0, fields["step"])
        done_N = (purpose_N == Purpose.TEST) | (purpose_N == Purpose.PREDICT)
        return np.asarray(done_N | (fields["epoch"] > epoch) | ((fields["epoch"] == epoch) & (step_N >= step)))
