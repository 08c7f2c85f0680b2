"""A simulated vector network analyser with the commands of the R&S ZNB.

Axis letters: N sweeps; E elements; F points.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..keyed import keyed_normal
from .analyser_commands import COMMANDS, SWEEP_SETTINGS, overload
from .codes import Refusal
from .commands import Answer
from .device import ScpiDevice
from .faults import FaultKind, FaultPlan
from .medium import PatternMedium
from .messages import Message
from .sweep_points import Segment, SweepPoints
from .sweep_sequence import Pattern, SweepSequence

_NOISE = 65  # stream of keyed_normal
_REMEMBERED = 10_000  # switchings
_MODELS = (("ZNB4", 9e3, 4.5e9), ("ZNB8", 9e3, 8.5e9), ("ZNB20", 100e3, 20e9), ("ZNB40", 10e6, 40e9))


class Network(PatternMedium, Protocol):
    """What lies between the ports: S21 for patterns of elements that are on (1) or off."""

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Where it is known, in rising order, in Hz."""
        ...


class SimulatedNetworkAnalyser(ScpiDevice):
    """Sweeps over a network, once for each pulse at its trigger input.

    It has one channel and S21. Between the frequencies of the network its values are interpolated linearly, beyond
    them they stay at the ends. The noise of a sweep is Gaussian and circular (`SweepPoints.noise`), keyed by seed and
    number of the sweep. With its output off, noise is all that it sees. A sweep takes real time
    (`SweepPoints.duration`, or longer if told so); it shows what was latched when it began.

    A trigger that comes while it sweeps is missed: the sweep counter shows it, as on the real one. A change of a sweep
    setting ends a sequence.

    Args:
        network: What it measures.
        latched: Returns the pattern that is latched now, for sweeps without triggers.
        noise_floor: Of the receiver in 1 Hz, in dBm.
        seed: Of the noise.
        faults: Triggers that do not reach it (`missed_trigger`); None for none.
        now: Clock in s.

    Source:
        R&S ZNB/ZNBT Vector Network Analyzers, User Manual, chapter on remote control, as its public drivers use it:
        QCoDeS (`ZNB.py`), qkit (`RS_VNA.py`), and R&S's own. What these do not show is left out.
    """

    SUFFIXES: ClassVar = {"SEGM": 1000, "POW": 2, "WIND": 4, "TRAC": 16}
    NO_ERROR: ClassVar = '0,"No error"'
    COMMANDS = COMMANDS

    def __init__(
        self,
        network: Network,
        *,
        latched: Callable[[], Pattern],
        noise_floor: float = -130.0,
        seed: int = 0,
        faults: FaultPlan | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._network, self._latched = network, latched
        self._floor, self._seed, self._faults, self._now = noise_floor, seed, faults, now
        highest = float(network.frequencies[-1])
        model, self.lowest, self.highest = next((row for row in _MODELS if row[2] >= highest), _MODELS[-1])
        self.IDENTITY = f"Rohde-Schwarz,{model}-2Port,SIMULATED,3.32"  # type: ignore[misc]
        self.segments: list[Segment] = []
        """The segment table."""
        self.traces: dict[str, str] = {}
        """Names of traces, and what they show."""
        self.selected = ""
        """Name of the active trace."""
        self.ignored = 0
        """Triggers that came while it waited for none."""
        self._switched: deque[tuple[float, bool]] = deque(maxlen=_REMEMBERED)
        self._missed = 0
        self._triggers = 0
        self._taken = 0
        self._sequence: SweepSequence | None = None
        self.on_reset()

    @property
    def switched(self) -> tuple[tuple[float, bool], ...]:
        """When its RF output was switched, by `time.monotonic` in s, and whether on; the last 10 000 times."""
        return tuple(self._switched.copy())

    @property
    def missed(self) -> int:
        """Triggers that came while it swept."""
        with self.lock:
            return self._missed + (self._sequence.missed if self._sequence else 0)

    def trigger(self, pattern_E: Pattern) -> None:
        """Take a pulse at the trigger input.

        Args:
            pattern_E: What is latched.
        """
        with self.lock:
            number, self._triggers = self._triggers, self._triggers + 1
            if self._faults and self._faults.draw(number, among=(FaultKind.MISSED_TRIGGER,)):
                return
            if self._sequence is None or self.value("trigger") != "EXT" or not self.busy():
                self.ignored += 1
                return
            self._sequence.trigger(pattern_E, self._now())
            self.lock.notify_all()

    def value(self, name: str, *numbers: int) -> Any:
        """Return a setting: there is one channel, and its ports are alike."""
        return super().value(name)

    def keep(self, name: str, numbers: tuple[int, ...], value: Any) -> None:
        """Change a setting."""
        super().keep(name, (), value)

    def execute(self, message: Message) -> list[Answer]:
        """Carry out a message; sweeps have gone on in the meantime."""
        with self.lock:
            self.changed()
            return super().execute(message)

    def overloaded(self, answer: Answer) -> Answer | None:
        """Return data with numbers that stand for an overload and for a missing value."""
        return super().overloaded(answer) if isinstance(answer, str) else overload(self, answer)

    def busy(self) -> bool:
        """Whether sweeps are to come."""
        self._catch_up()
        return self._sequence is not None and not self._sequence.over(self._now())

    def wait_for(self, condition: Callable[[], bool], *, every: float | None = None) -> None:
        """Wait as every instrument does, and look again when a sweep is over."""
        while not (self._closed or condition()):
            due = None if self._sequence is None else self._sequence.due(self._now())
            self.lock.wait(min((time for time in (due, every) if time is not None), default=None))

    def on_reset(self) -> None:
        """Go back to one trace of S21, without segments."""
        self.segments, self.traces, self.selected = [], {"Trc1": "S21"}, "Trc1"
        self.abort()

    def on_setting(self, name: str, numbers: tuple[int, ...]) -> None:
        """Drop a sequence whose sweeps would not be alike, and note what the output does."""
        if name in SWEEP_SETTINGS:
            self.drop()
        if name == "output":
            self._switched.append((time.monotonic(), bool(self.value("output"))))

    def on_trigger(self) -> None:
        """Take `*TRG` as a trigger by hand."""
        if self._sequence is None or self.value("trigger") != "MAN":
            raise Refusal(-211)
        self._sequence.trigger(self._latched(), self._now())

    def points(self) -> SweepPoints:
        """Return what a sweep does as it is set up.

        Raises:
            Refusal: The segment table is empty.
        """
        power, bandwidth = self.value("power"), self.value("bandwidth")
        if self.value("type") == "SEGM":
            return self._segmented()
        if self.value("type") == "CW":
            start = stop = self.value("cw")
        else:
            start, stop = self.frequency("start"), self.frequency("stop")
        points = int(self.value("points"))
        return SweepPoints.of([Segment(start=start, stop=stop, points=points, power=power, bandwidth=bandwidth)])

    def segments_time(self) -> float:
        """Return how long a sweep over the segments takes, in s."""
        return self._segmented().duration if self.segments else 0.0

    def frequency(self, name: str) -> float:
        """Return `start` or `stop` of a linear sweep in Hz; as far as it goes until they are set."""
        value: float | None = self.value(name)
        return value if value is not None else self.lowest if name == "start" else self.highest

    def sweep_time(self) -> float:
        """Return how long a sweep takes as it is set up, in s."""
        return max(self.points().duration, 0.0 if self.value("automatic") else self.value("time"))

    def start(self) -> None:
        """Begin a sequence of sweeps.

        Raises:
            Refusal: It sweeps without end already.
        """
        if self.value("continuous"):
            raise Refusal(-213)
        self.drop()
        points, count = self.points(), int(self.value("count"))
        self._sequence = SweepSequence(points=points, count=count, duration=self.sweep_time(), first=self._taken)
        self._taken += count
        self._catch_up()

    def abort(self) -> None:
        """End a sequence; the sweeps that are over stay."""
        if self._sequence is not None:
            self._sequence.count = self._sequence.completed(self._now())
            self.changed()

    def drop(self) -> None:
        """End a sequence and forget its sweeps."""
        if self._sequence is not None:
            self._missed += self._sequence.missed
        self._sequence = None
        self.changed()

    def completed(self) -> int:
        """Return how many sweeps of the sequence are over."""
        return 0 if self._sequence is None else self._sequence.completed(self._now())

    def sweeps(self, first: int, last: int) -> NDArray[np.complex128]:
        """Return what some sweeps saw, shape `(sweeps, points)`.

        Args:
            first: The first one, from 1.
            last: The last one.

        Raises:
            Refusal: They are not over.
        """
        sequence = self._sequence
        if sequence is None or not 1 <= first <= last <= self.completed():
            raise Refusal(-230, "no such sweep")
        numbers = np.arange(sequence.first + first - 1, sequence.first + last, dtype=np.int64)
        return self._measured(sequence.points, sequence.patterns(first - 1, last), numbers)

    def current(self) -> NDArray[np.complex128]:
        """Return the last sweep of the sequence; without one, a sweep that is taken now, shape `(points,)`."""
        if self._sequence is not None and self.completed():
            value_NF = self.sweeps(self.completed(), self.completed())
        else:
            numbers = np.array([self._taken], np.int64)
            self._taken += 1
            value_NF = self._measured(self.points(), self._latched()[None], numbers)
        return np.asarray(value_NF[0])

    def _segmented(self) -> SweepPoints:
        if not self.segments:
            raise Refusal(-221, "there are no segments")
        common = {name: self.value(name) for name in ("power", "bandwidth") if not self.value(f"own {name}")}
        return SweepPoints.of([dataclasses.replace(segment, **common) for segment in self.segments])

    def _measured(self, points: SweepPoints, pattern_NE: Pattern, numbers: NDArray[np.int64]) -> NDArray[np.complex128]:
        count = len(points.frequency_F)
        noise_NX = keyed_normal(self._seed, numbers, 2 * count, stream=_NOISE).numpy().astype(np.float64)
        # A complex number of standard deviation 1 has parts of standard deviation sqrt(1/2).
        noise_NF = (noise_NX[:, :count] + 1j * noise_NX[:, count:]) * np.sqrt(0.5) * points.noise(self._floor)
        if not self.value("output"):
            return np.asarray(noise_NF)
        known_F = self._network.frequencies
        rows = [
            np.interp(points.frequency_F, known_F, row_F.real) + 1j * np.interp(points.frequency_F, known_F, row_F.imag)
            for row_F in self._network.respond(pattern_NE)
        ]
        return np.asarray(np.stack(rows) + noise_NF)

    def _catch_up(self) -> None:
        """Begin what has begun by now without a trigger."""
        if self._sequence is not None and self.value("trigger") == "IMM":
            self._sequence.run_on(self._latched, self._now())
