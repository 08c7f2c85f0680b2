"""The points of a network analyser's sweep, from its segments or from start, stop and count.

Axis letters: F points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SWITCHING = 10e-6
"""Time from one point to the next in s, beside the filter's: a round number, no instrument's."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a sweep, with points at equal distances.

    Args:
        start: First frequency in Hz.
        stop: Last frequency in Hz.
        points: Their number; of one point, the frequency is `start`.
        power: At the port in dBm.
        bandwidth: Resolution bandwidth in Hz.
    """

    start: float
    stop: float
    points: int
    power: float
    bandwidth: float


@dataclass(frozen=True, kw_only=True, eq=False)
class SweepPoints:
    """Everything that a sweep does, point by point.

    Args:
        frequency_F: In Hz.
        power_F: In dBm.
        bandwidth_F: In Hz.
    """

    frequency_F: NDArray[np.float64]
    power_F: NDArray[np.float64]
    bandwidth_F: NDArray[np.float64]

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> SweepPoints:
        """Return the points of some segments, one after the other."""
        counts = [segment.points for segment in segments]
        return cls(
            frequency_F=np.concatenate([np.linspace(part.start, part.stop, part.points) for part in segments]),
            power_F=np.repeat([part.power for part in segments], counts).astype(np.float64),
            bandwidth_F=np.repeat([part.bandwidth for part in segments], counts).astype(np.float64),
        )

    @property
    def duration(self) -> float:
        """Time of a sweep in s: at each point the filter settles in the inverse of its bandwidth."""
        return float((1 / self.bandwidth_F + SWITCHING).sum())

    def noise(self, floor: float) -> NDArray[np.float64]:
        """Return the standard deviation of the complex scattering parameter at each point.

        The receiver's noise is the same whatever comes in; the parameter is what was received over what was sent. So
        it grows with the root of the bandwidth, and falls by a factor of 10 for 20 dB more power.

        Args:
            floor: Noise of the receiver in a bandwidth of 1 Hz, in dBm.
        """
        return np.asarray(10 ** ((floor - self.power_F) / 20) * np.sqrt(self.bandwidth_F))
