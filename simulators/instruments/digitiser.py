"""What an oscilloscope's converters make of a trace.

Axis letters: T points of a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..keyed import keyed_normal
from .medium import Volts
from .rig import Trace

HOLE, LOWEST, HIGHEST = 0, 0x0001, 0xFFFF
"""Words for a point that was not taken, and for one clipped at the bottom or the top."""

_NOISE, _JITTER = 0x0500, 0x05FF  # streams of keyed_normal; a channel's number is added to the first


@dataclass(frozen=True, kw_only=True)
class Converter:
    """How a channel is digitised.

    Args:
        range: Voltage from the lowest to the highest code, V.
        offset: Voltage in the middle, V.
        bits: Of the converter, 8 to 16.
        noise: Standard deviation at its input, V.
        coupling: Of the input.
        corner: Of AC coupling, Hz.
    """

    range: float
    offset: float = 0.0
    bits: int = 8
    noise: float = 0.0
    coupling: Literal["DC", "AC"] = "DC"
    corner: float = 10.0

    @property
    def step(self) -> float:
        """Voltage of a word, 1/65536 of the range."""
        return self.range / 65536

    def words(self, volts_T: Volts) -> NDArray[np.uint16]:
        """Return the nearest codes as words: code 0x8000 is the offset, 0 stands for a hole and never comes."""
        shift = 16 - self.bits
        code_T = np.round((volts_T - self.offset) / self.range * 2**self.bits) + 2 ** (self.bits - 1)
        last = 2**self.bits - 1
        word_T: NDArray[np.uint16] = np.clip(code_T, 1, last).astype(np.uint16) << np.uint16(shift)
        word_T[code_T < 1] = LOWEST
        word_T[code_T > last] = HIGHEST
        return word_T


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """One trigger's record.

    Args:
        trace: What was at the inputs; None for nothing: the trigger came on its own.
        trigger: Time of the trigger in it, in s.
        number: Of the segment since the instrument was made: it keys noise and jitter.
    """

    trace: Trace | None
    trigger: float
    number: int


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """When samples are taken.

    Args:
        start: Of the first one after the trigger, in s.
        duration: Of a record in s.
        clock: Relative error of the clock: positive where it is slow, so that samples are too far apart.
        jitter: Standard deviation of the trigger's time in s.
        seed: Of noise and jitter.
    """

    start: float
    duration: float
    clock: float = 0.0
    jitter: float = 0.0
    seed: int = 0

    def record(self, segment: Segment, channel: int, points: int, converter: Converter) -> NDArray[np.uint16]:
        """Return the words of one channel.

        The same points of the same segment are the same again; other numbers of points have other noise.
        """
        key = np.array([segment.number], np.int64)
        volts_T = np.zeros(points)
        if segment.trace is not None:
            late = self.jitter * float(keyed_normal(self.seed, key, 1, stream=_JITTER)) if self.jitter else 0.0
            passed_T = np.arange(points, dtype=np.float64) * (self.duration / points * (1 + self.clock))
            corner = converter.corner if converter.coupling == "AC" else 0.0
            volts_T = segment.trace.at(channel, segment.trigger + late + self.start + passed_T, corner=corner)
        if converter.noise:
            noise_NT = keyed_normal(self.seed, key, points, stream=_NOISE + channel)
            volts_T = volts_T + converter.noise * noise_NT[0].numpy().astype(np.float64)
        return converter.words(volts_T)
