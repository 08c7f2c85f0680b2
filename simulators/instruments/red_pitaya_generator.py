"""The generator of a simulated Red Pitaya.

Axis letters: S channels; T samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .codes import Refusal
from .rig import Burst

CLOCK = 125e6
"""Samples per s of both converters."""
BUFFER = 16384
"""Samples of a channel's memory, both ways."""
HALF = 8192
"""Codes of 14 bits from 0 V to full scale."""
_LONGEST = 1 << 24  # samples of a burst, all its repetitions


@dataclass
class Output:
    """One channel, as it was set up.

    Args:
        function: `SINE`, `DC` or `ARBITRARY`.
        frequency: Of a passage through 16384 points of memory, in Hz.
        amplitude: V of the waveform's 1.
        offset: V.
        burst: Whether it plays `cycles` passages and rests, or plays on.
        cycles: Passages of a burst.
        repetitions: Bursts for one trigger.
        period: Time from burst to burst in us.
        last: V after a burst.
        initial: V before the first trigger.
        trigger: `INT`, `EXT_PE` or `EXT_NE`.
        enabled: Whether the output is on.
        points: The arbitrary waveform, -1 to 1.
    """

    function: str = "SINE"
    frequency: float = 1000.0
    amplitude: float = 1.0
    offset: float = 0.0
    burst: bool = False
    cycles: int = 1
    repetitions: int = 1
    period: int = 1
    last: float = 0.0
    initial: float = 0.0
    trigger: str = "INT"
    enabled: bool = False
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros(BUFFER))

    @property
    def rate(self) -> float:
        """Points of the memory that are passed in a second; above the clock, points are left out."""
        return self.frequency * BUFFER

    @property
    def length(self) -> int:
        """Points of a passage: an arbitrary waveform that is shorter than the memory is repeated sooner."""
        return len(self.points) if self.function == "ARBITRARY" else BUFFER

    @property
    def sample_rate(self) -> float:
        """Samples that are played in a second."""
        return min(self.rate, CLOCK)

    def play(self, duration: float) -> NDArray[np.float64]:
        """Return what is played after a trigger, in V, one value a sample, each held until the next.

        Args:
            duration: How long an output that plays on is followed, in s.

        Raises:
            Refusal: It is too long to be simulated.
        """
        samples = math.ceil(duration * self.sample_rate)
        passage = self.cycles * self.length / self.rate
        spacing = max(self.period * 1e-6, passage)
        if self.burst:
            samples = math.ceil((passage + (self.repetitions - 1) * spacing) * self.sample_rate - 1e-6)
        if not samples <= _LONGEST:
            raise Refusal(-225, "the burst is too long to be simulated")
        level_T = np.arange(samples)
        memory = self._memory()
        if not self.burst:
            return np.asarray(
                memory[np.floor(level_T * (self.rate / self.sample_rate) + 1e-9).astype(np.int64) % self.length]
            )
        one_T = np.arange(math.ceil(passage * self.sample_rate - 1e-6))
        cycle_T = memory[np.floor(one_T * (self.rate / self.sample_rate) + 1e-9).astype(np.int64) % self.length]
        played_T = np.full(samples, _volts(self.last))
        for index in range(self.repetitions):
            first = round(index * spacing * self.sample_rate)
            played_T[first : first + len(cycle_T)] = cycle_T[: samples - first]
        return played_T

    def _passed(self, samples: int) -> NDArray[np.float64]:
        """What so many samples of a passage, and the next ones, are, in V."""
        place_T = np.floor(np.arange(samples) * (self.rate / self.sample_rate) + 1e-9).astype(np.int64)
        return np.asarray(self._memory()[place_T % self.length])

    def _memory(self) -> NDArray[np.float64]:
        """The points of a passage as the 14-bit converter gives them, in V."""
        if self.function == "ARBITRARY":
            shape = self.points
        elif self.function == "DC":
            shape = np.ones(BUFFER)
        else:
            shape = np.sin(2 * np.pi * np.arange(BUFFER) / BUFFER)
        code = np.clip(np.rint(shape * HALF), -HALF, HALF - 1)
        return np.asarray(_volts(code / HALF * self.amplitude + self.offset))


def _volts(value: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Round to what the converter can give; beyond its range it gives the last code."""
    return np.asarray(np.clip(np.rint(np.asarray(value) * HALF), -HALF, HALF - 1) / HALF)


def play_together(outputs: Sequence[Output], fired: Sequence[bool], *, duration: float) -> Burst:
    """Return what the outputs play from a trigger on: those that were fired and are on; the others rest.

    Channels of different rates are played at the higher one, each value held. What an output that plays on does after
    `duration` is not known: it is at 0 V.

    Args:
        outputs: All channels.
        fired: Which of them were triggered.
        duration: How long an output that plays on is followed, in s.
    """
    going = [output.enabled and hit for output, hit in zip(outputs, fired, strict=True)]
    rate = max((output.sample_rate for output, on in zip(outputs, going, strict=True) if on), default=CLOCK / BUFFER)
    rows = [
        _held(output, rate, duration) if on else np.full(1, _volts(output.initial) if output.enabled else 0.0)
        for output, on in zip(outputs, going, strict=True)
    ]
    length = max(2, *(len(row) for row in rows))  # of one sample, nobody could say what lies beside it
    volts = {}
    for channel, (output, on, row) in enumerate(zip(outputs, going, rows, strict=True), start=1):
        rest = float(_volts(output.last)) if on else float(row[0])
        volts[channel] = np.concatenate([row, np.full(length - len(row), rest)])
    return Burst(volts=volts, sample_rate=rate, rises=(0,), falls=(length,))


def _held(output: Output, rate: float, duration: float) -> NDArray[np.float64]:
    """Return what an output plays, at a rate at least its own."""
    row = output.play(duration)
    if output.sample_rate == rate:
        return row
    time_T = np.arange(math.ceil(len(row) * rate / output.sample_rate))
    return row[np.minimum((time_T * (output.sample_rate / rate)).astype(np.int64), len(row) - 1)]
