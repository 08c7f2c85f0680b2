"""Arbitrary waveform generators of the Keysight 33500B series.

Axis letters: N rows; C channels; T samples of a row; S samples of a burst, all its rows.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, TransportError

from ..roles import SourceCapabilities, SourceSetup
from ..transport import QUIET, Deadline, Transport
from .arb_channel import FEWEST, LARGEST_CODE, ArbChannel
from .burst_codes import burst_codes
from .command import Action, Choice, Question, switch
from .exchange import ask_whole, complete, drop_errors
from .instrument import BACKOFF, ScpiInstrument

_CHANNELS = {"33511B": 1, "33512B": 2, "33521B": 1, "33522B": 2}
_KEPT = 32  # bursts kept in memory before it is cleared
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
    waveform; the other filters overshoot or smear it. This limits the sample rate to 62.5 MHz.

    The amplitude of an arbitrary waveform is that of its own lowest and highest point, as users saw on a 33522B, not
    that of the converter; `setup` finds out which. So each burst gets its own amplitude, in a range that is fixed: the
    volts of a code stay what they are. Amplitudes have four digits, so the outermost samples of a burst are drawn in by
    up to a thousandth of what it spans. What spans less than 1 mV into 50 Ohm, also silence, gets two samples of 0.5 mV
    at its beginning.

    Whether the output returns to the first or the last sample of a waveform is told in both ways, so both must be 0 V.
    Bursts stay in memory until it is full: it is cleared with the outputs off, and their relays glitch. `setup` begins
    with `*RST`, which takes modulation, sweep, polarity and limits of an earlier user away.

    Tried on simulated hardware only.

    Args:
        resource: VISA name, such as `TCPIP::192.0.2.11::5025::SOCKET`.
        points: Points of the waveform memory of a channel: 1 000 000, or up to 16 000 000 with the memory option.
        backend: VISA library, as pyvisa names it.
        timeout: Longest time of one exchange in s, beside what an upload takes.
        backoff: Waits between attempts to reopen a lost line, in s.
        quiet: Time without a byte after which the line counts as drained, in s: twice in each recovery.
        transport: Takes the place of the line that `resource` names.
        check: Called while a lost line is waited for; it raises if the run is to stop.

    Raises:
        InputError: `points` is out of its range.

    Source:
        Agilent 33500 Series Operating and Service Guide (2012): output termination p. 61, BURSt p. 177, DATA p. 191,
        arbitrary waveforms p. 215, OUTPut p. 264, TRIGger and *OPC p. 318; Agilent 33500 Series User's Guide, Sync
        p. 108; Keysight Trueform Series Operating and Service Guide, 33500-90901, models; amplitude of arbitrary
        waveforms: guide of 2012, p. 191, and community.keysight.com/thread/22573.
    """

    EXPECT = r"(?i)^(agilent|keysight) technologies, ?335(11|12|21|22)B,"
    SAFE = ("OUTP1 OFF", "OUTP2 OFF", "ABOR")

    SYNC = switch("OUTP:SYNC")
    SYNC_MODE = Choice("OUTP:SYNC:MODE", {"normal": "NORM", "carrier": "CARR", "marker": "MARK"})
    SYNC_POLARITY = Choice("OUTP:SYNC:POL", {"normal": "NORM", "inverted": "INV"})
    SYNC_SOURCE = Choice("OUTP:SYNC:SOUR", {1: "CH1", 2: "CH2"})
    BYTE_ORDER = Choice("FORM:BORD", {"little": "SWAP", "big": "NORM"})
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
        backoff: tuple[float, ...] = BACKOFF,
        quiet: float = QUIET,
        transport: Transport | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        if not FEWEST <= points <= 16_000_000:
            raise InputError(f"points of a 33500B must be {FEWEST} to 16000000, got {points}.")
        super().__init__(
            resource=resource, backend=backend, timeout=timeout, backoff=backoff, quiet=quiet, transport=transport,
            check=check,
        )  # fmt: skip
        self._points, self._timeout = points, timeout
        self._asked: SourceSetup | None = None
        self._made: SourceSetup | None = None
        self._channels: tuple[ArbChannel, ...] = ()
        self._names = 0  # bursts in memory
        self._state: Literal["empty", "loaded", "armed", "fired"] = "empty"

    @property
    def capabilities(self) -> SourceCapabilities:
        """What it can play. Before it was opened it has one channel."""
        found = re.search(r"335\d\dB", self.identity.upper())
        count = _CHANNELS.get(found[0], 1) if found else 1
        return SourceCapabilities(
            channels=tuple(range(1, count + 1)),
            sample_rate=(ArbChannel.SAMPLE_RATE.low, ArbChannel.SAMPLE_RATE.high),
            points=(FEWEST, self._points),
            bits=16,
            marks="burst",
        )

    def make_safe(self) -> None:
        """Switch the outputs off and stop what they play, and make sure of it.

        Raises:
            TransportError: That is not certain.
        """
        complete(self.session, *self.SAFE)
        self._state = "loaded" if self._state in ("armed", "fired") else self._state
        for channel in self.capabilities.channels:
            ArbChannel.OUTPUT.confirm(self.session, False, channel=channel)
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
        self._check_setup(setup)
        self._asked = self._made = None
        self._state = "empty"
        self.make_safe()
        complete(self.session, self.RESET())
        shared = [self.BYTE_ORDER("little"), self.SYNC_MODE("normal"), self.SYNC_POLARITY("normal")]
        if len(self.capabilities.channels) > 1:
            shared.append(self.SYNC_SOURCE(1))
        self.session.write(*shared, self.SYNC(True))
        self._names = 0
        self._channels = tuple(
            ArbChannel(self.session, number, points=self._points, timeout=self._timeout) for number in setup.channels
        )
        each = zip(self._channels, setup.load, setup.peak, strict=True)
        full = tuple(channel.set_up(load=load, rate=setup.sample_rate, peak=peak) for channel, load, peak in each)
        self.check_errors()
        self._asked, self._made = setup, dataclasses.replace(setup, peak=full)
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
        codes_CS = burst_codes(
            waveform_NCT, limit=asked.peak, full=made.peak, largest=LARGEST_CODE, points=self.capabilities.points
        )
        self._state = "empty"
        if self._names >= _KEPT or not all(channel.has_room(codes_CS.shape[1]) for channel in self._channels):
            for channel in self._channels:
                channel.forget()
            self._names = 0
        for channel, codes_S in zip(self._channels, codes_CS, strict=True):
            channel.put(f"B{self._names}", codes_S)
        self._names += 1
        if len(self._channels) > 1:
            self.session.write(self.SYNCHRONISE())
        self.check_errors()
        for channel in self._channels:
            channel.confirm()
        self._state = "loaded"

    def arm(self) -> None:
        """Switch the outputs on at 0 V, where they wait for a bus trigger.

        The burst that was loaded last may be armed again once it is over.

        Raises:
            InputError: There is no burst. Nothing was sent.
            TransportError: It was refused, or the line failed.
        """
        self._is_set_up()
        if self._state not in ("loaded", "armed"):
            raise InputError("a burst must be loaded, and the one before must be finished, before a source is armed.")
        ask_whole(self.session, self.EVENTS(), 0, 255)  # empties it: the end of an earlier burst is none of this one
        on = [channel.OUTPUT(True, channel=channel.number) for channel in self._channels]
        complete(self.session, *on)
        for channel in self._channels:
            channel.confirm_armed()
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

    def _check_setup(self, setup: SourceSetup) -> None:
        known = self.capabilities.channels
        if len(set(setup.channels)) != len(setup.channels) or not set(setup.channels) <= set(known):
            raise InputError(f"channels of this source must be different ones of {known}, got {setup.channels}.")
        for channel, peak, load in zip(setup.channels, setup.peak, setup.load, strict=True):
            ArbChannel.check(channel, load=load, rate=setup.sample_rate, peak=peak)

    def _is_set_up(self) -> tuple[SourceSetup, SourceSetup]:
        if self._asked is None or self._made is None:
            raise InputError("a source must be set up first, again after it was recovered. Nothing was sent.")
        return self._asked, self._made
