"""Where a detector ends: clipping, dead and stuck channels, and the codes of its converter.

Axis letters: N rows; C response channels; X real parts of them, (real, imaginary) pairs for a complex response.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.allowed_drives import round_inward
from physnet.contracts import ResponseSpec
from physnet.errors import SpecError
from physnet.seeding import stream


class BrokenChannels:
    """Channels that read the same whatever happens: 0 when dead, a level of their own when stuck.

    Which ones, and the levels, follow from the seed. The levels are uniform from the lowest code to full scale; both
    parts of a complex channel are stuck.

    Args:
        response: The response.
        dead: Share of the channels that are dead, rounded to whole channels.
        stuck: Share that is stuck; other ones.
        lowest: Lowest level of a stuck channel.
        full_scale: Highest; None where there is none.
        seed: Seed of places and levels.

    Raises:
        SpecError: A share is out of range, or stuck channels have no full scale to be stuck at.
    """

    def __init__(
        self, response: ResponseSpec, *, dead: float, stuck: float, lowest: float, full_scale: float | None, seed: int
    ) -> None:
        if not (0 <= dead <= 1 and 0 <= stuck <= 1 and dead + stuck <= 1):
            raise SpecError(f"dead and stuck must be shares from 0 to 1 together, got {dead} and {stuck}.")
        if stuck and full_scale is None:
            raise SpecError("full_scale must be given for stuck channels: their levels lie within it.")
        channels, width = response.channels, 2 if response.complex else 1
        random = stream(seed, "broken channels")
        order = random.permutation(channels)
        first, last = round(dead * channels), round(dead * channels) + round(stuck * channels)
        self.dead_C, self.stuck_C = np.sort(order[:first]), np.sort(order[first:last])
        level_CX = np.zeros((channels, width))
        level_CX[self.stuck_C] = random.uniform(lowest, full_scale or 0.0, (len(self.stuck_C), width))
        broken_C = np.zeros(channels, dtype=bool)
        broken_C[order[:last]] = True
        self._broken_X = torch.from_numpy(np.repeat(broken_C, width))
        self._level_X = torch.from_numpy(level_CX.reshape(-1))

    def __call__(self, value_NX: torch.Tensor) -> torch.Tensor:
        """Break the channels in place; a monitor behind them is left alone."""
        columns = torch.nonzero(self._broken_X)[:, 0].to(value_NX.device)
        value_NX[:, columns] = self._level_X.to(value_NX)[columns]
        return value_NX


class Limits:
    """Clips real and imaginary part apart at full scale, and rounds to the codes of an ADC.

    An ADC has `2^bits` codes from `-full_scale` to `full_scale`, or from 0 for an unsigned response; below 0 an
    unsigned ADC gives 0, which is not flagged, since noise does that to every dark channel.

    Args:
        dtype: Of the response.
        full_scale: Where the detector clips.
        bits: Of the ADC; None for no rounding.
        signed: Whether the ADC is bipolar.
    """

    def __init__(self, dtype: str, full_scale: float, *, bits: int | None, signed: bool) -> None:
        self._full_scale, self._bits = full_scale, bits
        self.lowest = -full_scale if signed else 0.0
        """Lowest code."""
        # Full scale itself may be no number of the response's type.
        self._clip = float(round_inward(np.array([full_scale]), dtype, up=False)[0])

    def exceeded(self, value_NX: torch.Tensor) -> NDArray[np.bool_]:
        """Return which rows hold a part beyond full scale."""
        return np.asarray((value_NX.abs() > self._full_scale).any(1).cpu().numpy(), dtype=np.bool_)

    def __call__(self, value_NX: torch.Tensor) -> torch.Tensor:
        """Clip and round in place."""
        if self._bits is not None:
            step = (self._full_scale - self.lowest) / ((1 << self._bits) - 1)
            value_NX.clamp_(self.lowest, self._full_scale).sub_(self.lowest)
            value_NX.div_(step).round_().mul_(step).add_(self.lowest)
        return value_NX.clamp_(-self._clip, self._clip)


def check_bits(name: str, **bits: int | None) -> None:
    """Refuse converters of no bits or too many.

    Raises:
        SpecError: One has not 1 to 24 bits.
    """
    for label, count in bits.items():
        if count is not None and not 1 <= count <= 24:
            raise SpecError(f"{label} of {name} must be 1 to 24, got {count}. Leave it out for no rounding.")
