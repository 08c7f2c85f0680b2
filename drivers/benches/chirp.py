"""A probe for delays: a linear chirp."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Chirp:
    """A tone whose frequency rises evenly, faded in and out with a raised cosine over a tenth of it at each end.

    It is a function of time, so that source and detector may sample it at different rates.

    Args:
        low: First frequency in Hz.
        high: Last frequency in Hz: the delay is found within a small part of `1 / (high - low)`.
        duration: In s.
        amplitude: In V.

    Raises:
        SpecError: An argument is out of its range.
    """

    low: float
    high: float
    duration: float
    amplitude: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise SpecError(f"a chirp must rise from above 0 Hz, got {self.low} Hz to {self.high} Hz.")
        if not (0 < self.duration < math.inf and 0 < self.amplitude < math.inf):
            raise SpecError(f"a chirp must last and be > 0, got {self.duration} s and {self.amplitude} V.")
        if not (self.high - self.low) * self.duration >= 8:
            raise SpecError(
                f"a chirp must have a bandwidth times duration of 8 or more, to have one peak, got "
                f"{(self.high - self.low) * self.duration:.3g}. Make it longer, or its band wider."
            )

    def samples(self, sample_rate: float) -> NDArray[np.float64]:
        """Return it in V from its beginning on; the last sample is 0.

        Raises:
            SpecError: The rate is not above twice the highest frequency.
        """
        if not sample_rate > 2 * self.high:
            raise SpecError(f"sample_rate must be above {2 * self.high:g} Hz for a chirp, got {sample_rate:g} Hz.")
        time_T = np.arange(math.ceil(self.duration * sample_rate) + 1) / sample_rate
        edge_T = np.clip(np.minimum(time_T, self.duration - time_T) / (self.duration / 10), 0, 1)
        slope = (self.high - self.low) / self.duration
        chirp_T = np.sin(2 * math.pi * (self.low + slope / 2 * time_T) * time_T)
        chirp_T *= self.amplitude * np.sin(math.pi / 2 * edge_T) ** 2
        chirp_T[-1] = 0.0
        return np.asarray(chirp_T)
