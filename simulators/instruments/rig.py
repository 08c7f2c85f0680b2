"""The cables of a simulated bench: a generator's outputs and its Sync, the medium, an oscilloscope's inputs.

Axis letters: S source channels; C detector channels; T samples.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, signal

from physnet.errors import SpecError

from .medium import Medium, PatternMedium, Volts

__all__ = ["Burst", "Event", "Listener", "PatternMedium", "Rig", "Trace"]

_EVENTS = 10_000
Coupling = Literal["DC", "AC"]
Happening = Literal["on", "off", "burst", "cut", "armed", "stopped"]


@dataclass(frozen=True)
class Event:
    """Something that outputs or a detector did.

    Args:
        time: When, by `time.monotonic`, in s.
        role: Of the instrument on the bench.
        kind: `on` and `off`, an output's switch; `burst`, played; `cut`, ended early; `armed` and `stopped`, a
            detector.
        channel: Of the output; 0 where it is none's.
        peak: Largest absolute voltage that was played, at the load, in V.
    """

    time: float
    role: str
    kind: Happening
    channel: int = 0
    peak: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Burst:
    """What a generator played at one trigger.

    Args:
        volts: Of each of its channels at its load, in V; all of one length.
        sample_rate: In Hz.
        rises: Samples at which its Sync output rises.
        falls: Samples at which it falls.
    """

    volts: Mapping[int, Volts]
    sample_rate: float
    rises: Sequence[int]
    falls: Sequence[int]


@dataclass(kw_only=True, eq=False)
class Trace:
    """What a burst became at the inputs of a detector; 0 V before and after it.

    Args:
        volts: Of each input channel, in V, from the burst's first sample on.
        sample_rate: In Hz.
        rises: Times at which the trigger input rises, in s after the first sample.
        falls: Times at which it falls.
        number: Of the burst, from 0.
    """

    volts: Mapping[int, Volts]
    sample_rate: float
    rises: NDArray[np.float64]
    falls: NDArray[np.float64]
    number: int
    _curves: dict[tuple[int, float], interpolate.CubicSpline] = field(default_factory=dict)

    def at(self, channel: int, time_T: NDArray[np.float64], *, corner: float = 0.0) -> Volts:
        """Return the voltage of a channel at any times, interpolated between samples.

        The error between samples is below `(2 pi f / sample_rate)^4 / 384` of a tone of frequency f; on a sample there
        is none but rounding.

        Args:
            channel: Of the detector; one without a cable is at 0 V.
            time_T: In s.
            corner: Of a high-pass of first order before it, in Hz; 0 for none.
        """
        if channel not in self.volts:
            return np.zeros(len(time_T))
        curve = self._curve(channel, corner)
        inside = (time_T >= 0) & (time_T <= curve.x[-1])
        return np.where(inside, curve(np.clip(time_T, 0, curve.x[-1])), 0.0)

    def crossings(self, channel: int, level: float, *, corner: float = 0.0) -> tuple[NDArray[np.float64], ...]:
        """Return the times at which a channel rises, and falls, through a level, in s."""
        if channel not in self.volts:
            return np.zeros(0), np.zeros(0)
        curve = self._curve(channel, corner)
        wave_T = curve(curve.x) - level
        found = []
        for sign in (1, -1):
            before = np.flatnonzero((sign * wave_T[:-1] < 0) & (sign * wave_T[1:] >= 0))
            share = wave_T[before] / (wave_T[before] - wave_T[before + 1])
            found.append((before + share) / self.sample_rate)
        return tuple(found)

    def _curve(self, channel: int, corner: float) -> interpolate.CubicSpline:
        if (channel, corner) not in self._curves:
            wave_T = self.volts[channel]
            if corner:
                wave_T = signal.lfilter(*signal.butter(1, corner, "high", fs=self.sample_rate), wave_T)
            self._curves[channel, corner] = interpolate.CubicSpline(np.arange(len(wave_T)) / self.sample_rate, wave_T)
        return self._curves[channel, corner]


class Listener(Protocol):
    """A detector at the end of the cables."""

    def hear(self, trace: Trace) -> None:
        """Take in what a burst became; called in the generator's thread, one burst at a time."""
        ...


class Rig:
    """Connects one generator, a medium, and detectors.

    Args:
        medium: What lies between.
        sources: Channels of the generator that are connected, in the order of the medium's.
        detectors: Channels of the detector that are connected, likewise.

    Raises:
        SpecError: The medium has other numbers of channels.
    """

    def __init__(self, medium: Medium, *, sources: Sequence[int] = (1,), detectors: Sequence[int] = (1,)) -> None:
        if (medium.sources, medium.detectors) != (len(sources), len(detectors)):
            raise SpecError(
                f"a medium between {len(sources)} source and {len(detectors)} detector channels must have as many, got "
                f"{medium.sources} and {medium.detectors}."
            )
        self.medium, self._sources, self._detectors = medium, tuple(sources), tuple(detectors)
        self._listeners: list[Listener] = []
        self._events: deque[Event] = deque(maxlen=_EVENTS)
        self._numbers = itertools.count()
        self._lock, self._noting = threading.Lock(), threading.Lock()

    @property
    def log(self) -> tuple[Event, ...]:
        """What outputs and detectors did, in order; the last ten thousand events."""
        with self._noting:
            return tuple(self._events)

    def note(self, role: str, kind: Happening, *, channel: int = 0, peak: float = 0.0) -> None:
        """Add to the log."""
        with self._noting:  # so that order and times agree
            self._events.append(Event(time.monotonic(), role, kind, channel, peak))

    def connect(self, listener: Listener) -> None:
        """Let a detector hear what is played from now on."""
        self._listeners.append(listener)

    def play(self, burst: Burst) -> None:
        """Send a burst through the medium, and let the detectors hear it.

        Raises:
            PhysnetError: The medium can't compute it.
        """
        with self._lock:
            length = max(len(volts_T) for volts_T in burst.volts.values())
            played_ST = np.stack([burst.volts.get(channel, np.zeros(length)) for channel in self._sources])
            heard_CT = self.medium.respond(played_ST, burst.sample_rate)
            trace = Trace(
                volts=dict(zip(self._detectors, heard_CT, strict=True)),
                sample_rate=burst.sample_rate,
                rises=np.asarray(burst.rises, np.float64) / burst.sample_rate,
                falls=np.asarray(burst.falls, np.float64) / burst.sample_rate,
                number=next(self._numbers),
            )
            for listener in self._listeners:
                listener.hear(trace)
