"""The digitiser of a simulated Red Pitaya: a ring of 16384 samples that stops some samples after a trigger.

Axis letters: C channels; T samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .red_pitaya_generator import BUFFER, CLOCK, HALF
from .rig import Trace

Codes = NDArray[np.int16]


@dataclass
class Digitiser:
    """Its settings, and where the ring stands.

    Args:
        decimation: Clocks of a sample.
        averaging: Whether a sample is the mean over its clocks.
        delay: Samples after the trigger beyond the half of the ring.
        source: What it waits for: `DISABLED`, `NOW`, `AWG_PE`, `AWG_NE`, `EXT_PE` or `EXT_NE`.
        high: Which channels have their jumper at +-20 V instead of +-1 V.
        binary: Whether data are sent in binary form.
        raw: Whether data are codes instead of volts.
    """

    decimation: int = 1
    averaging: bool = True
    delay: int = 0
    source: str = "DISABLED"
    high: list[bool] = field(default_factory=lambda: [False, False])
    binary: bool = False
    raw: bool = False
    started: float | None = None
    """When it began to write, by the clock of the device, in s; None while it stands."""
    triggered: float | None = None
    """When the trigger came; None before."""

    @property
    def rate(self) -> float:
        """Samples per s."""
        return CLOCK / self.decimation

    @property
    def after(self) -> int:
        """Samples that are written after the trigger."""
        return max(0, self.delay + BUFFER // 2)

    @property
    def armed(self) -> bool:
        """Whether it waits for a trigger."""
        return self.started is not None and self.triggered is None and self.source != "DISABLED"

    def start(self, now: float) -> None:
        """Begin to write."""
        self.started, self.triggered = now, None

    def trigger(self, now: float) -> None:
        """Take the trigger that it waited for."""
        self.triggered, self.source = now, "DISABLED"

    def filled(self, now: float) -> bool:
        """Whether all samples after the trigger were written."""
        return self.triggered is not None and now >= self.triggered + self.after / self.rate

    @property
    def trigger_position(self) -> int:
        """Place in the ring of the sample that was written when the trigger came."""
        if self.started is None or self.triggered is None:
            return 0
        return int((self.triggered - self.started) * self.rate) % BUFFER

    def write_position(self, now: float) -> int:
        """Place in the ring of the last sample that was written."""
        if self.started is None:
            return 0
        if self.filled(now):
            return (self.trigger_position + self.after) % BUFFER
        return int((now - self.started) * self.rate) % BUFFER

    def full_scale(self, channel: int) -> float:
        """Return the voltage that the largest code stands for, in V."""
        return 20.0 if self.high[channel] else 1.0

    def convert(self, volts_CT: NDArray[np.float64]) -> Codes:
        """Return the 14-bit codes of voltages, clipped."""
        scale_C = np.array([self.full_scale(channel) for channel in range(len(volts_CT))])
        code_CT = np.rint(volts_CT / scale_C[:, None] * HALF)
        return np.asarray(np.clip(code_CT, -HALF, HALF - 1), np.int16)


def sample(trace: Trace, channel: int, time_T: NDArray[np.float64], *, width: float) -> NDArray[np.float64]:
    """Return what a channel of the digitiser sees of a trace, in V.

    A sample that is as wide as a whole number of the trace's samples is their mean; any other is taken at its time.

    Args:
        trace: At the input.
        channel: Of the input.
        time_T: When each sample begins, in s after the first of the trace.
        width: How wide a sample is, in s; 0 for a single clock.
    """
    ratio = width * trace.sample_rate
    many = round(ratio) if abs(ratio - round(ratio)) < 1e-6 * ratio else 1
    total_T = np.zeros(len(time_T))
    place_T = time_T * trace.sample_rate
    # A time that rounding put a hair beside a sample is that sample's: beyond the first and the last there is nothing.
    place_T = np.where(np.abs(place_T - np.rint(place_T)) < 1e-6, np.rint(place_T), place_T)
    for index in range(max(1, many)):
        total_T += trace.at(channel, (place_T + index) / trace.sample_rate)
    return total_T / max(1, many)
