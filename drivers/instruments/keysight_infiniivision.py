"""Oscilloscopes Keysight InfiniiVision 2000, 3000 and 4000 X-Series.

Axis letters: N segments; C channels, in the order that was asked for; P points that are transferred.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, MeasurementError, TransportError

from ..roles import Capture, DetectorCapabilities, DetectorSetup
from ..transport import QUIET, Deadline, Transport
from .command import Setting
from .exchange import ask_whole, complete
from .infiniivision_commands import NUMBERS, InfiniiVisionCommands
from .instrument import BACKOFF, ScpiInstrument
from .preamble import Preamble, read_preamble, refuse_holes
from .record_plan import RecordPlan, plan_record
from .setup_checks import check_detector_setup

_MEMORY = {"2": 100_000, "3": 2_000_000, "4": 4_000_000, "T": 4_000_000}  # points that the series has at least
_SEGMENTS = {"2": 25, "3": 1000, "4": 1000, "T": 1000}
_RUNNING = 8  # bit of the operation condition register
_HOLE, _LOWEST, _HIGHEST = 0, 0x0100, 0xFF00  # a byte's lowest and highest codes, shifted into a word
_LONGER = 1.6  # how much longer than needed a record may be
_LONGER_SEGMENT = 1.1  # or a segment, which must be over before the next trigger
_RESET = 5  # times as long as another exchange, a reset may take
_RATE = 3e5  # byte/s that a transfer has at the slowest
_POLL = 0.01  # s between two looks
_GRACE = 0.5  # s for an answer that was asked for before a deadline
_ROUNDING = 1e-6  # of a time that was read back

Places = tuple[Setting, Any, dict[str, int]]


class KeysightInfiniiVision(InfiniiVisionCommands, ScpiInstrument):
    """Oscilloscopes Keysight or Agilent DSO-X and MSO-X 2000, 3000 and 4000: a detector.

    It waits for an edge at its external trigger input, where the source's Sync output belongs, and records one piece,
    or into segmented memory one segment for each trigger.

    Its sample rate cannot be set: it follows from the time range and the memory. The driver sets the time range so that
    one of the numbers of points that can be transferred lies at the rate that was asked for, or at a multiple of which
    only every n-th is kept. So a record may last up to 1.6 times as long as needed, a segment 1.1 times. Where the
    instrument rounds the time range, `setup` returns the rate that comes out.

    Samples are words of which a byte is used (12 bits with `high_resolution`). The lowest and the highest code of that
    byte count as clipped. Voltages are those at the connectors. `setup` begins with `*RST`.

    Tried on simulated hardware only.

    Args:
        resource: VISA name, such as `TCPIP::192.0.2.12::5025::SOCKET` (not port 5024, which may put zeros into data).
        trigger_level: Of the edge at the external trigger input in V.
        impedance: Of the inputs in Ohm: 1e6, or 50 where the model has it.
        high_resolution: Average neighbouring samples of the converter, for more bits and less noise.
        backend: VISA library, as pyvisa names it.
        timeout: Longest time of one exchange in s, beside what a transfer takes.
        backoff: Waits between attempts to reopen a lost line, in s.
        quiet: Time without a byte after which the line counts as drained, in s: twice in each recovery.
        transport: Takes the place of the line that `resource` names.
        check: Called while a lost line is waited for; it raises if the run is to stop.

    Raises:
        InputError: An option is out of its range.

    Source:
        Agilent InfiniiVision 3000 X-Series Programmer's Guide: :AER pp. 192 and 209, :WAVeform p. 928; Keysight
        InfiniiVision 3000T X-Series Programmer's Guide: status p. 1255, :WAVeform:FORMat p. 1101, :POINts:MODE and
        :SEGMented pp. 1375 to 1384; Keysight InfiniiVision 4000 X-Series Programmer's Guide: :WAVeform:DATA p. 1243.
    """

    EXPECT = r"(?i)^(agilent|keysight) technologies, ?[DM]SO-?X ?[234]\d\d[24][AGT],"

    def __init__(
        self,
        *,
        resource: str,
        trigger_level: float = 1.5,
        impedance: float = 1e6,
        high_resolution: bool = False,
        backend: str = "",
        timeout: float = 5.0,
        backoff: tuple[float, ...] = BACKOFF,
        quiet: float = QUIET,
        transport: Transport | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.TRIGGER_LEVEL.word(trigger_level)
        self.IMPEDANCE.word(impedance)
        super().__init__(
            resource=resource, backend=backend, timeout=timeout, backoff=backoff, quiet=quiet, transport=transport,
            check=check,
        )  # fmt: skip
        self._level, self._impedance = trigger_level, impedance
        self._type = "high resolution" if high_resolution else "normal"
        self._timeout = timeout
        self._made: DetectorSetup | None = None
        self._plan = RecordPlan(points=NUMBERS[0], keep=1, duration=1.0)
        self._expected = 0  # segments of this capture; 0 when it is not armed
        self._counted = 0

    @property
    def recording(self) -> DetectorCapabilities:
        """What it can record, at least: memory options are not counted. Before it was opened it has two channels."""
        series, channels = self._model()
        return DetectorCapabilities(
            channels=tuple(range(1, channels + 1)),
            sample_rate=(NUMBERS[0] / self.DURATION.high, 1e9),
            points=_MEMORY[series],
            segments=_SEGMENTS[series],
            bits=12 if self._type == "high resolution" else 8,
        )

    def setup(self, setup: DetectorSetup) -> DetectorSetup:
        """Set it up.

        Returns:
            What was read back; `points` are as many as it will record, at least those asked for.

        Raises:
            InputError: The setup is out of its range; nothing was sent.
            TransportError: It was refused, or the line failed.
        """
        plan = self._check_setup(setup)
        settings = self._settings(setup, plan)
        self._made, self._expected = None, 0
        complete(self.session, self.RESET(), timeout=_RESET * self._timeout)
        self.session.write(*(setting(value, **where) for setting, value, where in settings))
        for channel in setup.channels:
            self.session.write(self.SOURCE(channel=channel), self.UNSIGNED(True))  # of each source
        self.check_errors()
        for setting, value, where in settings:
            if setting.header != self.DURATION.header:
                setting.confirm(self.session, value, **where)
        for channel in setup.channels:
            self.session.write(self.SOURCE(channel=channel))
            self.UNSIGNED.confirm(self.session, True)
        rate = self._rate(setup, plan)
        self._plan = plan
        self._made = dataclasses.replace(setup, sample_rate=rate, points=plan.samples)
        return self._made

    def arm(self, segments: int | None = None) -> None:
        """Drop what it recorded before and wait for triggers; return once it says that it is armed.

        Raises:
            InputError: It was not set up, or `segments` is out of its range. Nothing was sent.
            TransportError: It does not arm, or the line failed.
        """
        made = self._is_set_up()
        expected = made.segments if segments is None else segments
        if not 1 <= expected <= made.segments:
            raise InputError(f"segments of a capture must be 1 to {made.segments} as set up, got {segments}.")
        self._expected = self._counted = 0
        mode = [setting(value) for setting, value, _ in self._mode(expected)]
        complete(self.session, self.STOP(), *mode)
        for register in (self.ARMED, self.TRIGGERED):  # empties them
            ask_whole(self.session, register(), 0, 1)
        self.session.write(self.SINGLE())
        deadline = Deadline.after(self._timeout + made.before)
        while not ask_whole(self.session, self.ARMED(), 0, 1):
            if deadline.passed:
                raise TransportError("it does not arm", kind="timeout", resource=self.resource)
            time.sleep(_POLL)
        self._expected = expected

    def wait(self, deadline: Deadline) -> int:
        """Wait until all segments are recorded; return how many, fewer when the deadline passed.

        Raises:
            InputError: It was not armed.
            TransportError: The line failed.
        """
        if not self._expected:
            raise InputError("a detector must be armed before its triggers can be waited for.")
        while True:
            seconds = min(self._timeout, deadline.remaining + _GRACE)
            running = ask_whole(self.session, self.CONDITION(), 0, 0xFFFF, timeout=seconds) & _RUNNING
            if not running or deadline.passed:
                break
            time.sleep(min(_POLL, deadline.remaining))
        if running:
            complete(self.session, self.STOP())
        if not ask_whole(self.session, self.TRIGGERED(), 0, 1):
            self._counted = 0  # what it shows is from before it was armed
        elif self._expected > 1:
            self._counted = ask_whole(self.session, self.RECORDED(), 0, self._expected)
        else:
            self._counted = 0 if running else 1
        return self._counted

    def fetch(self) -> Capture:
        """Read what was recorded since it was armed.

        Raises:
            MeasurementError: Nothing was.
            TransportError: The record is not what was set up, has holes, or did not come.
        """
        made = self._is_set_up()
        if not self._counted:
            raise MeasurementError(
                f"{self.resource}: nothing was recorded since it was armed. Check the cable at its external trigger."
            )
        codes_NCP = np.empty((self._counted, len(made.channels), self._plan.points), "<u2")
        found = []
        # Answers that look alike never follow each other: one that came for the one before would not be told.
        for place, channel in enumerate(made.channels):
            if self._expected > 1:
                self._show(1)
            found.append(self._preamble(channel, made))
            self._read(codes_NCP[:, place], channel)
        refuse_holes(codes_NCP, made.channels, hole=_HOLE, resource=self.resource)
        return Capture(
            codes_NCT=codes_NCP[:, :, :: self._plan.keep],
            scale_C=np.array([preamble.scale for preamble in found]),
            offset_C=np.array([preamble.offset for preamble in found]),
            lowest=_LOWEST,
            highest=_HIGHEST,
            sample_rate=made.sample_rate,
            start=found[0].start,
            counted=self._counted,
        )

    def _check_setup(self, setup: DetectorSetup) -> RecordPlan:
        """Refuse what it can't do, and return how a record is made."""
        can = self.recording
        check_detector_setup(setup, can)
        if self._impedance == 50.0 and setup.coupling == "AC":
            raise InputError("coupling must be DC at an impedance of 50 Ohm, got AC. Use impedance = 1e6.")
        plan = plan_record(
            setup.points,
            setup.sample_rate,
            numbers=[number for number in NUMBERS if number * setup.segments <= can.points],
            longest=_LONGER if setup.segments == 1 else _LONGER_SEGMENT,
            durations=(self.DURATION.low, self.DURATION.high),
        )
        if not setup.before <= plan.duration:
            raise InputError(f"before must be within the record of {plan.duration:g} s, got {setup.before:g} s.")
        for setting, value, _ in self._settings(setup, plan):
            setting.word(value)
        return plan

    def _settings(self, setup: DetectorSetup, plan: RecordPlan) -> list[Places]:
        """Return all settings, in the order in which they are made."""
        settings: list[Places] = []
        for channel in self.recording.channels:
            where = {"channel": channel}
            settings.append((self.DISPLAY, channel in setup.channels, where))
        for channel, full_scale in zip(setup.channels, setup.full_scale, strict=True):
            where = {"channel": channel}
            settings += [
                (self.PROBE, 1.0, where),
                (self.IMPEDANCE, self._impedance, where),
                (self.COUPLING, setup.coupling, where),
                (self.RANGE, 2 * full_scale, where),  # of eight divisions, around 0 V
                (self.OFFSET, 0.0, where),
            ]
        return [
            *settings,
            (self.TIME_MODE, "main", {}),
            (self.TIME_REFERENCE, "center", {}),
            (self.DURATION, plan.duration, {}),
            (self.POSITION, plan.duration / 2 - setup.before, {}),  # of the middle, after the trigger
            (self.TYPE, self._type, {}),
            *self._mode(setup.segments),
            (self.TRIGGER_MODE, "edge", {}),
            (self.TRIGGER_SWEEP, "normal", {}),
            (self.TRIGGER_SOURCE, "external", {}),
            (self.TRIGGER_SLOPE, "rising", {}),
            (self.TRIGGER_RANGE, self.TRIGGER_RANGE.high, {}),
            (self.TRIGGER_LEVEL, self._level, {}),
            (self.FORMAT, "word", {}),
            (self.BYTE_ORDER, "little", {}),
        ]

    def _mode(self, segments: int) -> list[Places]:
        if segments == 1:
            return [(self.MODE, "single", {})]
        return [(self.MODE, "segments", {}), (self.SEGMENTS, segments, {})]

    def _rate(self, setup: DetectorSetup, plan: RecordPlan) -> float:
        """Read which rate came out, in Hz."""
        duration = self.DURATION.read(self.session)
        own = self.session.query_number(self.RATE())
        wanted = plan.points / plan.duration
        if not (own >= wanted * (1 - _ROUNDING) and self.DURATION.low <= duration <= self.DURATION.high):
            raise TransportError(
                f"it must sample at {wanted:g} Hz or more for {plan.duration:g} s, got {own:g} Hz for {duration:g} s",
                kind="rejected",
                resource=self.resource,
                advice="Its memory is shorter than thought: lower sample_rate, the record, or the segments.",
            )
        as_set = abs(duration - plan.duration) <= _ROUNDING * plan.duration  # but for the digits that it answers
        return setup.sample_rate if as_set else plan.points / (plan.keep * duration)

    def _show(self, segment: int) -> None:
        """Make a segment the one that waveforms are read from."""
        self.session.write(self.SEGMENT(segment))
        self.SEGMENT.confirm(self.session, segment)

    @property
    def _together(self) -> bool:
        """Whether all segments of a channel come in one block."""
        return self._expected > 1 and self._model()[0] == "T"

    def _preamble(self, channel: int, made: DetectorSetup) -> Preamble:
        """Say how a channel is read, and read what its codes mean."""
        points, step = self._plan.points, 1 / (made.sample_rate * self._plan.keep)
        one = [self.ALL_SEGMENTS(False)] if self._together else []
        before = (self.SOURCE(channel=channel), *one, self.RECORD("raw"), self.POINTS(points))
        return read_preamble(self.session, self.PREAMBLE(), before=before, points=points, step=step)

    def _read(self, codes_NP: NDArray[np.uint16], channel: int) -> None:
        """Read all segments of a channel: at once, or one by one, of which the first is shown already."""
        source = self.SOURCE(channel=channel)
        if self._together:
            before = [source, self.ALL_SEGMENTS(True)]
            seconds = self._seconds(codes_NP.size)
            block = self.session.query_block(self.DATA(), "<u2", codes_NP.size, before=before, timeout=seconds)
            codes_NP[:] = block.reshape(codes_NP.shape)
            return
        count, seconds = self._plan.points, self._seconds(self._plan.points)
        for segment, codes_P in enumerate(codes_NP):
            if segment:
                self._show(segment + 1)
            self.session.query_block(self.DATA(), "<u2", count, before=[source], timeout=seconds, out=codes_P)

    def _seconds(self, count: int) -> float:
        return self._timeout + 2 * count / _RATE

    def _model(self) -> tuple[str, int]:
        """Return the series, `T` for the 3000T, and the number of channels."""
        found = re.search(r"-?X ?([234])\d\d([24])([AGT])", self.identity.upper())
        if not found:
            return "2", 2
        return ("T" if found[3] == "T" else found[1]), int(found[2])

    def _is_set_up(self) -> DetectorSetup:
        if self._made is None:
            raise InputError("a detector must be set up first. Nothing was sent.")
        return self._made
