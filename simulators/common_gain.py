"""A gain common to all channels, that drifts and fluctuates, and a monitor that sees it.

Axis letters: N rows; X real parts of response channels.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.contracts import Passes, ResponseSpec
from physnet.errors import SpecError

from .drift import Drift
from .keyed import keyed_normal

MonitorUse = Literal["none", "append", "divide"]
_DARK = 0.01  # share of its level below which a monitor says nothing


class CommonGain:
    """Multiplies a row by `(1 + drift) (1 + fluctuation)`, as a source's power does.

    Args:
        drift: Departure of the gain from 1 over time; None for none.
        fluctuation: Relative standard deviation from row to row, Gaussian, keyed by pass number.
        seed: Seed of the fluctuation.
        stream: Its stream.

    Raises:
        SpecError: The fluctuation is out of range.
    """

    def __init__(self, *, drift: Drift | None, fluctuation: float, seed: int, stream: int) -> None:
        if not 0 <= fluctuation < math.inf:
            raise SpecError(f"gain_noise must be >= 0 (a fraction of the gain), got {fluctuation}.")
        self._drift, self._fluctuation, self._seed, self._stream = drift, fluctuation, seed, stream

    def gain(self, passes: Passes, start_N: NDArray[np.float64]) -> torch.Tensor:
        """Return the gain of each row, shape `(n,)`, `float64`."""
        gain_N = torch.ones(len(start_N), dtype=torch.float64)
        if self._drift is not None:
            gain_N = torch.from_numpy(1 + self._drift.at(start_N))
        if self._fluctuation:
            normal_N = keyed_normal(self._seed, passes, 1, stream=self._stream)[:, 0].double()
            gain_N = gain_N * (1 + self._fluctuation * normal_N)
        return gain_N


class Monitor:
    """One more detector, on a part of the source's power: a channel that reads the gain and nothing else.

    It reads `level` at a gain of 1, half of full scale or 1 where there is none, and goes through the same clipping and
    converter as the response. Then it is appended as the last channel, or each row is divided by what it reads over
    `level`. A row whose monitor reads less than 1 % of `level` is left undivided and flagged.

    Args:
        response: The response without the monitor.
        use: `append` or `divide`.
        noise: Relative standard deviation of what it reads, Gaussian, keyed by pass number.
        full_scale: Where the detectors clip; None for nowhere.
        seed: Seed of its noise.
        stream: Its stream.

    Raises:
        SpecError: The noise is out of range, a response of several axes can't have one more channel, or one of whole
            numbers has no full scale to fit the monitor in.
    """

    def __init__(
        self, response: ResponseSpec, use: MonitorUse, *, noise: float, full_scale: float | None, seed: int, stream: int
    ) -> None:
        if use == "append" and len(response.shape) != 1:
            raise SpecError(
                f"monitor must be divide for a response of shape {response.shape}, got append. Only a row of channels "
                "has an end."
            )
        if np.dtype(response.dtype).kind in "iu" and full_scale is None:
            raise SpecError(f"full_scale must be given for a monitor beside a response of {response.dtype}.")
        self.divides = use == "divide"
        self._width = 2 if response.complex else 1
        self._noise, self._seed, self._stream = noise, seed, stream
        self._level = 1.0 if full_scale is None else full_scale / 2

    def beside(self, value_NX: torch.Tensor, gain_N: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the rows with the monitor's channel at their end."""
        read_N = gain_N * self._level
        if self._noise:
            normal_N = keyed_normal(self._seed, passes, 1, stream=self._stream)[:, 0].double()
            read_N = read_N * (1 + self._noise * normal_N)
        read_NX = torch.zeros(len(read_N), self._width).to(value_NX)
        read_NX[:, 0] = read_N
        return torch.cat((value_NX, read_NX), dim=1)

    def divide(self, value_NX: torch.Tensor) -> tuple[torch.Tensor, NDArray[np.bool_]]:
        """Return the rows without the monitor, divided by it, and which ones it was too dark for."""
        read_N1 = value_NX[:, -self._width, None] / self._level
        dark_N1 = ~(read_N1 > _DARK)
        value_NX = value_NX[:, : -self._width] / torch.where(dark_N1, 1.0, read_N1)
        return value_NX, np.asarray(dark_N1[:, 0].cpu().numpy(), dtype=np.bool_)


def check_monitor(use: str, noise: float) -> None:
    """Refuse a monitor's options that make no sense.

    Raises:
        SpecError: One is out of range, or there is noise without a monitor.
    """
    if use not in ("none", "append", "divide"):
        raise SpecError(f"monitor must be none, append or divide, got {use!r}.")
    if not 0 <= noise < math.inf or (use == "none" and noise):
        raise SpecError(f"monitor_noise must be >= 0 (a fraction of what it reads), 0 without one, got {noise}.")


def monitored(response: ResponseSpec, full_scale: float | None, monitor: MonitorUse) -> ResponseSpec:
    """Return the response as its reader gets it."""
    if monitor == "append":
        return dataclasses.replace(response, shape=(response.channels + 1,), full_scale=full_scale)
    return dataclasses.replace(response, full_scale=None if monitor == "divide" else full_scale)
