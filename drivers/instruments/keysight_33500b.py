"""Arbitrary waveform generators of the Keysight 33500B series.

Axis letters: N rows; C channels; T samples of a row; S samples of a burst, all its rows.
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, TransportError

from ..roles import SourceCapabilities, SourceSetup
from ..transport import Deadline, Transport
from .burst_codes import burst_codes, round_up
from .command import Action, Choice, Number, Question, Setting, switch
from .exchange import ask_whole, complete, drop_errors, is_complete
from .instrument import ScpiInstrument

_CHANNELS = {"33511B": 1, "33512B": 2, "33521B": 1, "33522B": 2}
_CODE = 32767  # of the positive peak
_SMALLEST, _LARGEST, _IMPEDANCE = 2e-3, 20.0, 50.0  # V peak to peak into an open line; Ohm in series
_FEWEST = 8  # points of an arbitrary waveform
_KEPT = 32  # bursts kept in memory before it is cleared
_RATE = 2e5  # byte/s that an upload takes at the slowest
_POLL = 0.01  # s between two looks at whether a burst is over
_OVER = 1  # bit of *ESR? that *OPC sets
_NO_SUCH_OUTPUT = (-113, -114)  # undefined header, or a header's suffix out of range
_GRACE = 0.5  # s for an answer that was asked for before a deadline


class Keysight33500B(ScpiInstrument):
    """Generators Keysight or Agilent 33511B, 33512B, 33521B and 33522B: a source of bursts.

    A burst is one arbitrary waveform, played once at a bus trigger; the Sync output rises with its first sample and
    falls after its last. Sequences of waveforms could mark each row, but were seen refused in burst mode on the sister
    series 33600A, so only the beginning of a burst is marked.

    The output filter is off: each sample is held until the next, so that no voltage is ever played that is not in the
    waveform; the other filters overshoot or smear it. This limits the sample rate to 62.5 MHz. Amplitudes have four
    digits: the range is the next one at or above the peak.

    Whether the output returns to the first or the last sample of a waveform is told in both ways, so both must be 0 V.
    Bursts stay in memory until it is full: it is cleared with the outputs off, and their relays glitch. `setup` begins
    with `*RST`, which takes modulation, sweep, polarity and limits of an earlier user away.

    Tried on simulated hardware only.

    Args:
        resource: VISA name, such as `TCPIP::192.0.2.11::5025::SOCKET`.
        points: Points of the waveform memory of a channel: 1 000 000, or up to 16 000 000 with the memory option.
        backend: VISA library, as pyvisa names it.
        timeout: Longest time of one exchange in s, beside what an upload takes.
        transport: Takes the place of the line that `resource` names.
        check: Called while a lost line is waited for; it raises if the run is to stop.

    Raises:
        InputError: `points` is out of its range.

    Source:
        Agilent 33500 Series Operating and Service Guide (2012): output termination p. 61, BURSt p. 177, DATA p. 191,
        arbitrary waveforms p. 215, OUTPut p. 264, TRIGger and *OPC p. 318; Agilent 33500 Series User's Guide, Sync
        p. 108; Keysight Trueform Series Operating and Service Guide, 33500-90901, models.
    """

    EXPECT = r"(?i)^(agilent|keysight) technologies, ?335(11|12|21|22)B,"
    SAFE = ("OUTP1 OFF", "OUTP2 OFF", "ABOR")

    OUTPUT = switch("OUTP{channel}")
    LOAD = Number("OUTP{channel}:LOAD", unit="Ohm", low=1.0, high=1e4, infinite="INF")
    SYNC = switch("OUTP:SYNC")
    SYNC_MODE = Choice("OUTP:SYNC:MODE", {"normal": "NORM", "carrier": "CARR", "marker": "MARK"})
    SYNC_POLARITY = Choice("OUTP:SYNC:POL", {"normal": "NORM", "inverted": "INV"})
    SYNC_SOURCE = Choice("OUTP:SYNC:SOUR", {1: "CH1", 2: "CH2"})
    FUNCTION = Choice("SOUR{channel}:FUNC", {"arbitrary": "ARB"})
    FILTER = Choice("SOUR{channel}:FUNC:ARB:FILT", {"off": "OFF", "step": "STEP", "normal": "NORM"})
    SAMPLE_RATE = Number("SOUR{channel}:FUNC:ARB:SRAT", unit="Hz", low=1e-6, high=62.5e6)
    AMPLITUDE = Number("SOUR{channel}:VOLT", unit="V", low=_SMALLEST / 51, high=_LARGEST)
    OFFSET = Number("SOUR{channel}:VOLT:OFFS", unit="V", low=-_LARGEST / 2, high=_LARGEST / 2)
    AUTORANGE = switch("SOUR{channel}:VOLT:RANG:AUTO")
    TRIGGER = Choice("TRIG{channel}:SOUR", {"bus": "BUS", "immediate": "IMM", "external": "EXT", "timer": "TIM"})
    BURST_MODE = Choice("SOUR{channel}:BURS:MODE", {"triggered": "TRIG", "gated": "GAT"})
    BURST_CYCLES = Number("SOUR{channel}:BURS:NCYC", low=1, high=100_000, whole=True)
    BURST = switch("SOUR{channel}:BURS:STAT")
    BYTE_ORDER = Choice("FORM:BORD", {"little": "SWAP", "big": "NORM"})
    CLEAR = Action("SOUR{channel}:DATA:VOL:CLE")
    UPLOAD = Action("SOUR{channel}:DATA:ARB:DAC {name},")
    SELECT = Action("SOUR{channel}:FUNC:ARB {name}")
    SYNCHRONISE = Action("FUNC:ARB:SYNC")
    RESET = Action("*RST")
    FIRE = Action("*TRG")
    REPORT = Action("*OPC")
    EVENTS = Question("*ESR?")

    def __init__(
        self,
        *,
        resource: str,
        points: int = 1_000_000,
        backend: str = "",
        timeout: float = 5.0,
        transport: Transport | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        if not _FEWEST <= points <= 16_000_000:
            raise InputError(f"points of a 33500B must be {_FEWEST} to 16000000, got {points}.")
        super().__init__(resource=resource, backend=backend, timeout=timeout, transport=transport, check=check)
        self._points, self._timeout = points, timeout
        self._asked: SourceSetup | None = None
        self._made: SourceSetup | None = None
        self._used = self._names = 0
        self._state: Literal["empty", "loaded", "armed", "fired"] = "empty"

    @property
    def capabilities(self) -> SourceCapabilities:
        """What it can play. Before it was opened it has one channel."""
        found = re.search(r"335\d\dB", self.identity.upper())
        count = _CHANNELS.get(found[0], 1) if found else 1
        return SourceCapabilities(
            channels=tuple(range(1, count + 1)),
            sample_rate=(self.SAMPLE_RATE.low, self.SAMPLE_RATE.high),
            points=(_FEWEST, self._points),
            bits=16,
            marks="burst",
        )

    def make_safe(self) -> None:
        """Switch the outputs off and stop what they play, and make sure of it.

        Raises:
            TransportError: That is not certain.
        """
        complete(self.session, *self.SAFE)
        for channel in self.capabilities.channels:
            self.OUTPUT.confirm(self.session, False, channel=channel)
        if len(self.capabilities.channels) == 1:
            drop_errors(self.session, self.ERRORS, _NO_SUCH_OUTPUT)  # what it says about OUTP2

    def recover(self) -> Literal["cleared", "reopened"]:
        """Bring it back in step; it must be set up again afterwards.

        Raises:
            TransportError: It stays away.
            Stopped: The run is to stop.
        """
        self._asked = self._made = None
        self._state = "empty"
        return super().recover()

    def setup(self, setup: SourceSetup) -> SourceSetup:
        """Set it up with its outputs off.

        Returns:
            What was read back; `peak` is the voltage of the largest code.

        Raises:
            InputError: The setup is out of its range; nothing was sent.
            TransportError: It was refused, or the line failed.
        """
        amplitudes = self._check_setup(setup)
        self._asked = self._made = None
        self._state = "empty"
        self.make_safe()
        complete(self.session, self.RESET())
        pairs = zip(setup.load, amplitudes, strict=True)
        settings = [self._settings(load, amplitude, setup.sample_rate) for load, amplitude in pairs]
        for channel, wanted in zip(setup.channels, settings, strict=True):
            self.session.write(*(setting(value, channel=channel) for setting, value in wanted))
        shared = [self.BYTE_ORDER("little"), self.SYNC_MODE("normal"), self.SYNC_POLARITY("normal")]
        if len(self.capabilities.channels) > 1:
            shared.append(self.SYNC_SOURCE(1))
        self.session.write(*shared, self.SYNC(True))
        self._forget_bursts(setup.channels)
        self.check_errors()
        full = []
        for channel, peak, wanted in zip(setup.channels, setup.peak, settings, strict=True):
            last = {setting.header: (setting, value) for setting, value in wanted}
            _, amplitude = last.pop(self.AMPLITUDE.header)
            for setting, value in last.values():
                setting.confirm(self.session, value, channel=channel)
            full.append(self._full_scale(channel, peak, amplitude))
        self._asked, self._made = setup, dataclasses.replace(setup, peak=tuple(full))
        return self._made

    def load(self, waveform_NCT: NDArray[np.float64]) -> None:
        """Hand over the rows of a burst, in V into the load.

        Raises:
            InputError: It was not set up, or still plays. Nothing was sent.
            DriveError: A sample is not finite or beyond the peak, there are too few or too many, or it does not rest
                at 0 V. Nothing was sent.
            TransportError: It is not known whether they arrived, or they were refused.
        """
        asked, made = self._is_set_up()
        if self._state == "fired":
            raise InputError("a burst must be finished before the next one is loaded. Nothing was sent.")
        points = (_FEWEST, self._points)
        codes_CS = burst_codes(waveform_NCT, limit=asked.peak, full=made.peak, largest=_CODE, points=points)
        self._state = "empty"
        if self._names >= _KEPT or self._used + codes_CS.shape[1] > self._points:
            self._forget_bursts(asked.channels)
        name = f"B{self._names}"
        self._names, self._used = self._names + 1, self._used + codes_CS.shape[1]
        seconds = self._timeout + codes_CS[0].nbytes / _RATE
        for channel, codes_S in zip(asked.channels, codes_CS, strict=True):
            text = self.UPLOAD(channel=channel, name=name)
            answer = self.session.write_block(text, codes_S, query="*OPC?", timeout=seconds)
            is_complete(answer, resource=self.resource)
        for channel, peak in zip(made.channels, made.peak, strict=True):
            # Selecting a waveform may bring settings of its own along.
            self.session.write(
                self.SELECT(channel=channel, name=name),
                self.FUNCTION("arbitrary", channel=channel),
                self.SAMPLE_RATE(made.sample_rate, channel=channel),
                self.AMPLITUDE(2 * peak, channel=channel),
                self.OFFSET(0.0, channel=channel),
            )
        if len(asked.channels) > 1:
            self.session.write(self.SYNCHRONISE())
        self.check_errors()
        for channel, peak in zip(made.channels, made.peak, strict=True):
            self.SAMPLE_RATE.confirm(self.session, made.sample_rate, channel=channel)
            self.AMPLITUDE.confirm(self.session, 2 * peak, channel=channel)
            self.OFFSET.confirm(self.session, 0.0, channel=channel)
        self._state = "loaded"

    def arm(self) -> None:
        """Switch the outputs on at 0 V, where they wait for a bus trigger.

        The burst that was loaded last may be armed again once it is over.

        Raises:
            InputError: There is no burst. Nothing was sent.
            TransportError: It was refused, or the line failed.
        """
        asked, _ = self._is_set_up()
        if self._state not in ("loaded", "armed"):
            raise InputError("a burst must be loaded, and the one before must be finished, before a source is armed.")
        ask_whole(self.session, self.EVENTS(), 0, 255)  # empties it: the end of an earlier burst is none of this one
        complete(self.session, *(self.OUTPUT(True, channel=channel) for channel in asked.channels))
        for channel in asked.channels:
            self.OUTPUT.confirm(self.session, True, channel=channel)
            self.BURST.confirm(self.session, True, channel=channel)
            self.TRIGGER.confirm(self.session, "bus", channel=channel)
        self.check_errors()
        self._state = "armed"

    def fire(self) -> None:
        """Give the one trigger.

        Raises:
            InputError: It is not armed. Nothing was sent.
            TransportError: It is not known whether it arrived.
        """
        if self._state != "armed":
            raise InputError("a source must be armed before it is fired. Nothing was sent.")
        self._state = "fired"
        self.session.write(self.FIRE(), self.REPORT())

    def finish(self, deadline: Deadline) -> None:
        """Wait until the burst is over and its outputs rest at 0 V.

        Raises:
            InputError: It was not fired.
            TransportError: The burst was not over by the deadline (`timeout`; the session is sound), something was
                refused, or the line failed.
        """
        if self._state != "fired":
            raise InputError("a source must be fired before its burst can be waited for.")
        while True:
            seconds = min(self._timeout, deadline.remaining + _GRACE)
            if ask_whole(self.session, self.EVENTS(), 0, 255, timeout=seconds) & _OVER:
                break
            if deadline.passed:
                raise TransportError(
                    "the burst was not over by the deadline",
                    kind="timeout",
                    resource=self.resource,
                    advice="Its outputs may still play: make it safe. Allow at least the length of the burst.",
                )
            time.sleep(min(_POLL, deadline.remaining))
        self.check_errors()
        self._state = "loaded"

    def _check_setup(self, setup: SourceSetup) -> list[float]:
        """Refuse what it can't do, and return the amplitude of each channel in V peak to peak."""
        known = self.capabilities.channels
        if len(set(setup.channels)) != len(setup.channels) or not set(setup.channels) <= set(known):
            raise InputError(f"channels of this source must be different ones of {known}, got {setup.channels}.")
        self.SAMPLE_RATE.word(setup.sample_rate)
        amplitudes = []
        for channel, peak, load in zip(setup.channels, setup.peak, setup.load, strict=True):
            self.LOAD.word(load)
            part = 1.0 if load == math.inf else load / (load + _IMPEDANCE)
            amplitude = round_up(2 * peak) if peak <= _LARGEST else math.inf
            if not _SMALLEST * part <= amplitude <= _LARGEST * part:
                raise InputError(
                    f"peak of channel {channel} must be {_SMALLEST / 2 * part:g} to {_LARGEST / 2 * part:g} V into "
                    f"{load:g} Ohm, got {peak:g} V. Use an attenuator or an amplifier."
                )
            amplitudes.append(amplitude)
        return amplitudes

    def _settings(self, load: float, amplitude: float, rate: float) -> list[tuple[Setting, Any]]:
        """Return the settings of a channel, in the order in which they must be made."""
        return [
            (self.LOAD, load),
            (self.FUNCTION, "arbitrary"),
            (self.FILTER, "off"),
            (self.SAMPLE_RATE, rate),
            (self.AUTORANGE, True),
            (self.AMPLITUDE, amplitude),
            (self.OFFSET, 0.0),
            (self.AUTORANGE, False),
            (self.TRIGGER, "bus"),  # before the burst mode, whose own default would begin to play at once
            (self.BURST_MODE, "triggered"),
            (self.BURST_CYCLES, 1),
            (self.BURST, True),
        ]

    def _full_scale(self, channel: int, peak: float, amplitude: float) -> float:
        """Read which voltage the largest code of a channel has."""
        found = self.AMPLITUDE.read(self.session, channel=channel) / 2
        # Not below the peak, or codes overflow; not above what was set, or a burst is larger than it says.
        if not peak * (1 - 1e-6) <= found <= amplitude / 2 * (1 + 1e-3):
            raise TransportError(
                f"the largest voltage of channel {channel} must be {amplitude / 2:g} V as it was set, got {found:g} V",
                kind="rejected",
                resource=self.resource,
                advice="Another setting may limit it.",
            )
        return found

    def _forget_bursts(self, channels: Sequence[int]) -> None:
        """Clear the waveform memory, with the outputs off: it leaves a waveform behind that nobody asked for."""
        off = [self.OUTPUT(False, channel=channel) for channel in channels]
        complete(self.session, *off, *(self.CLEAR(channel=channel) for channel in channels))
        self._used = self._names = 0

    def _is_set_up(self) -> tuple[SourceSetup, SourceSetup]:
        if self._asked is None or self._made is None:
            raise InputError("a source must be set up first, again after it was recovered. Nothing was sent.")
        return self._asked, self._made
