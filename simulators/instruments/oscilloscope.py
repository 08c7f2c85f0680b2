"""A simulated Keysight InfiniiVision oscilloscope.

Axis letters: P points that are transferred.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

from .codes import Refusal
from .commands import Answer, Call
from .device import ScpiDevice
from .digitiser import HIGHEST, HOLE, LOWEST, Converter, Sampling, Segment
from .faults import FaultKind, FaultPlan
from .messages import Message
from .oscilloscope_commands import COMMANDS, NUMBERS
from .rig import Rig, Trace

_MODELS = {"DSO-X 2024A": (4, 100_000, 2e9), "DSO-X 3024A": (4, 2_000_000, 4e9), "DSO-X 3024T": (4, 4_000_000, 5e9)}
_MODELS["DSO-X 3012A"] = 2, 2_000_000, 4e9
_SYNC = 3.3  # V of the Sync output when it is high
_AUTOMATIC = 0.05  # s after which it triggers on its own, where it may
_REARM = 1e-6  # s between a segment and the next trigger
_RUNNING, _WAITING = 8, 32  # bits of the operation status register
_SHARES = {"LEFT": 0.1, "CENT": 0.5, "RIGH": 0.9}  # of a record before its reference


class Oscilloscope(ScpiDevice):
    """A DSO-X of the 2000, 3000 or 4000 X-Series at the end of a rig.

    Its external trigger input is connected to the generator's Sync output. Records are taken when they are read: the
    raw sample rate, which follows from memory and time range as in the real one, only limits how many points there
    are. A trigger is not seen while the segment before is still being recorded.

    Args:
        rig: What it is connected to.
        role: Its name in the rig's log.
        model: Decides channels, memory and rate.
        noise: At its inputs, as a share of the full scale, half of the range; by default a quarter of a code of 8 bits.
        clock: Relative error of its clock; positive where samples are too far apart.
        jitter: Standard deviation of the trigger's time, in s.
        corner: Of AC coupling, in Hz.
        seed: Of noise and jitter.
        faults: Plan of `missed_trigger`; an exchange is a trigger that it should have seen.

    Raises:
        SpecError: An argument is out of its range.

    Source:
        Keysight InfiniiVision 3000 X-Series Programmer's Guide: :AER p. 192, :OPERegister pp. 207 to 209; 3000T: status
        p. 1255, :WAVeform p. 1095; 4000 X-Series: :WAVeform:DATA p. 1243; 2000 X-Series: :WAVeform:PREamble p. 644.
    """

    COMMANDS = COMMANDS
    SUFFIXES: ClassVar[dict[str, int]] = {"CHAN": 4}
    QUEUE = 30
    NUMBER_FORMAT = "+.5E"
    BLOCK_DIGITS = 8

    def __init__(
        self,
        rig: Rig,
        *,
        role: str = "detector",
        model: str = "DSO-X 3024T",
        noise: float = 2e-3,
        clock: float = 0.0,
        jitter: float = 0.0,
        corner: float = 10.0,
        seed: int = 0,
        faults: FaultPlan | None = None,
    ) -> None:
        if model not in _MODELS:
            raise SpecError(f"model of an oscilloscope must be one of {', '.join(_MODELS)}, got {model!r}.")
        if not (0 <= noise < math.inf and abs(clock) < 0.01 and 0 <= jitter < math.inf and 0 < corner < math.inf):
            raise SpecError(
                "an oscilloscope must have noise and jitter >= 0, |clock| < 0.01 and corner > 0 Hz, got "
                f"{noise}, {jitter} s, {clock} and {corner} Hz."
            )
        channels, self._memory, self._fastest = _MODELS[model]
        self.channels = tuple(range(1, channels + 1))
        super().__init__(suffixes={"CHAN": channels})
        self.IDENTITY = f"KEYSIGHT TECHNOLOGIES,{model},SIMULATED,07.50.2021102830"  # type: ignore[misc]
        self._rig, self._role, self._noise, self._corner = rig, role, noise, corner
        self._sampling = Sampling(start=0.0, duration=1.0, clock=clock, jitter=jitter, seed=seed)
        self._taken = self._sampling
        self._faults = faults or FaultPlan()
        self._state: Literal["stopped", "single", "running"] = "running"
        self._armed_event = self._trigger_event = False
        self._armed_at = time.monotonic()
        self._segments: list[Segment] = []
        self._converters: dict[int, Converter] = {}
        self._records = self._triggers = 0
        self._clean = True  # nothing was recorded since it was armed
        rig.connect(self)

    def hear(self, trace: Trace) -> None:
        """Record what a burst became, where a trigger is waited for."""
        with self.lock:
            busy_until = -math.inf
            for moment in self._edges(trace):
                if self._state == "stopped":
                    break
                sampling = self._plan()
                if moment + min(sampling.start, 0.0) < busy_until:
                    continue
                number, self._triggers = self._triggers, self._triggers + 1
                if self._faults.draw(number, among={FaultKind.MISSED_TRIGGER}) is not None:
                    continue
                self._record(Segment(trace=trace, trigger=moment, number=self._records))
                self._trigger_event = True
                busy_until = moment + max(sampling.start + sampling.duration, 0.0) + _REARM

    def arm(self, state: Literal["single", "running"]) -> None:
        """Drop what was recorded and wait for triggers."""
        self._state, self._clean = state, True
        self._armed_event, self._armed_at = True, time.monotonic()
        self._rig.note(self._role, "armed")

    def stop(self) -> None:
        """Wait no longer; what was recorded stays."""
        if self._state != "stopped":
            self._state = "stopped"
            self._rig.note(self._role, "stopped")
        self.changed()

    def digitise(self) -> None:
        """Record once, and carry out no further command before it is done."""
        self.arm("single")
        self.wait_for(lambda: self._trigger_alone() or self._state != "single", every=_AUTOMATIC)

    def execute(self, message: Message) -> list[Answer]:
        """Carry out a message; a trigger that comes on its own comes before it."""
        with self.lock:
            self._trigger_alone()
            return super().execute(message)

    def on_reset(self) -> None:
        """Run, with automatic triggers, as the real one does."""
        self.arm("running")

    def _trigger_alone(self) -> bool:
        """Trigger without a trigger where that is allowed and none came; return whether it did."""
        waited = time.monotonic() - self._armed_at
        if self._state == "stopped" or self.value("sweep") != "AUTO" or not self._clean or waited < _AUTOMATIC:
            return False
        self._record(Segment(trace=None, trigger=0.0, number=self._records))
        return True

    def _record(self, segment: Segment) -> None:
        self._records += 1
        segmented = self.value("mode") == "SEGM"
        if self._clean or not segmented:
            self._segments, self._clean = [], False
            self._taken, self._converters = self._plan(), {n: self._converter(n) for n in self.channels}
        self._segments.append(segment)
        if len(self._segments) >= int(self.value("segments")) if segmented else self._state == "single":
            self.stop()

    def _edges(self, trace: Trace) -> Sequence[float]:
        """Return the times at which the trigger input crosses its level the right way."""
        level, source = float(self.value("level")), str(self.value("trigger_source"))
        if source.startswith("CHAN"):
            channel = int(source[4:])
            corner = self._corner if self.value("coupling", channel) == "AC" else 0.0
            rises, falls = trace.crossings(channel, level, corner=corner)
        elif source == "EXT" and 0 < level < _SYNC:
            rises, falls = trace.rises, trace.falls
        else:
            return []
        found = {"POS": rises, "NEG": falls}.get(str(self.value("slope")), np.sort(np.concatenate([rises, falls])))
        return [float(moment) for moment in found]

    def depth(self) -> int:
        """Return how many raw points a segment has."""
        share = int(self.value("segments")) if self.value("mode") == "SEGM" else 1
        return min(self._memory // share, math.floor(self.rate() * float(self.value("time_range")) + 1e-6))

    def rate(self) -> float:
        """Return the raw sample rate in Hz: the fastest of a ladder whose record fits into the memory."""
        share = int(self.value("segments")) if self.value("mode") == "SEGM" else 1
        longest = self._memory // share / float(self.value("time_range"))
        power = 10.0 ** math.floor(math.log10(longest))
        fitting = max(step * power for step in (1.0, 2.0, 5.0) if step * power <= longest * (1 + 1e-9))
        return float(min(fitting, self._fastest))

    def _plan(self) -> Sampling:
        duration = float(self.value("time_range"))
        start = float(self.value("position")) - _SHARES[str(self.value("reference"))] * duration
        return dataclasses.replace(self._sampling, start=start, duration=duration)

    def _converter(self, channel: int) -> Converter:
        fine = self.value("type") == "HRES"  # averages 16 samples: four bits more, and a quarter of the noise
        span = float(self.value("range", channel))
        return Converter(
            range=span,
            offset=float(self.value("offset", channel)),
            bits=12 if fine else 8,
            noise=self._noise * span / 2 / (4 if fine else 1),
            coupling="AC" if self.value("coupling", channel) == "AC" else "DC",
            corner=self._corner,
        )

    def points(self) -> int:
        """Return how many points of a segment are transferred."""
        most = min(self.depth(), 1000 if self.value("points_mode") == "NORM" else self._memory)
        wanted = min(float(self.value("points")), most)
        return max((number for number in NUMBERS if number <= wanted), default=NUMBERS[0])

    def preamble(self) -> str:
        """Return what words, bytes and points mean.

        Raises:
            Refusal: Nothing was recorded.
        """
        channel, points = self._source(), self.points()
        converter = self._converters[channel]
        form = str(self.value("format"))
        unit = 1 if form == "WORD" else 256
        middle = 0 if not self.value("unsigned") else 32768 // unit
        fields = [{"BYTE": 0, "WORD": 1, "ASC": 4}[form], 3 if self.value("type") == "HRES" else 0, points, 1]
        x_axis = [f"{self._taken.duration / points:+.8E}", f"{self._taken.start:+.14E}", "+0"]
        y_axis = [f"{converter.step * unit:+.8E}", f"{converter.offset:+.8E}", f"{middle:+d}"]
        return ",".join([*(f"{value:+d}" for value in fields), *x_axis, *y_axis])

    def data(self) -> bytes:
        """Return the points of the segment that is shown, or of all.

        Raises:
            Refusal: Nothing was recorded.
        """
        channel, points = self._source(), self.points()
        shown = self._segments if self.value("all_segments") else [self._segments[self._index()]]
        parts = [self._taken.record(segment, channel, points, self._converters[channel]) for segment in shown]
        words = np.concatenate(parts)
        if self.value("format") == "ASC":
            converter = self._converters[channel]
            volts = (words.astype(np.float64) - 32768) * converter.step + converter.offset
            return ",".join(f"{volt:.5E}" for volt in volts).encode()
        return self._packed(words)

    def show(self, call: Call) -> None:
        """Choose the segment that is shown.

        Raises:
            Refusal: There is none of this number.
        """
        call.at_most(1)
        self.keep("index", (), round(call.number(low=1, high=max(1, len(self._segments)), default=1)))

    def recorded(self) -> int:
        """Return how many segments were recorded since it was armed."""
        return 0 if self._clean else len(self._segments)

    def condition(self) -> int:
        """Return the operation condition register."""
        running = self._state != "stopped"
        return _RUNNING * running + _WAITING * running

    def take_armed(self) -> bool:
        """Return whether it was armed since this was asked last."""
        found, self._armed_event = self._armed_event, False
        return found

    def take_triggered(self) -> bool:
        """Return whether a trigger came since this was asked last."""
        found, self._trigger_event = self._trigger_event, False
        return found

    def overloaded(self, answer: Answer) -> Answer | None:
        """Return data with clipped points and holes in them."""
        if isinstance(answer, str):
            return super().overloaded(answer)
        if self.value("format") == "ASC":
            return answer.replace(answer.partition(b",")[0], b"9.91000E+37")
        words: NDArray[Any] = np.frombuffer(answer, "u1" if self.value("format") == "BYTE" else "<u2").copy()
        words[len(words) // 4 : len(words) // 2] = HIGHEST & np.iinfo(words.dtype).max
        words[len(words) // 2 : len(words) // 2 + 1 + len(words) // 8] = HOLE
        return words.tobytes()

    def _packed(self, words: NDArray[np.uint16]) -> bytes:
        """Return words as they are sent."""
        codes: NDArray[Any] = words
        if self.value("format") == "BYTE":
            codes = np.where(words == LOWEST, 1, words >> 8).astype(np.uint8)
        if not self.value("unsigned"):
            codes = codes ^ codes.dtype.type(1 << (8 * codes.itemsize - 1))
        order: Literal["<", ">"] = "<" if self.value("byte_order") == "LSBF" else ">"
        return codes.astype(codes.dtype.newbyteorder(order)).tobytes()

    def _source(self) -> int:
        channel = int(str(self.value("source"))[4:])
        if not self.value("display", channel):
            raise Refusal(-221, "the source must be on")
        if not self._segments:
            raise Refusal(-230, "nothing was recorded")
        return channel

    def _index(self) -> int:
        return min(int(self.value("index")), len(self._segments)) - 1
