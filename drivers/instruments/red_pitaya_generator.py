"""The generator of a Red Pitaya: two outputs that play one table of 16384 samples at a trigger.

Axis letters: N rows; C channels; T samples of a row; S samples of the table.
"""

from __future__ import annotations

import math
import time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import DriveError, InputError, TransportError

from ..roles import SourceCapabilities, SourceSetup
from ..scpi import ScpiSession
from ..transport import Deadline
from .command import Action, Choice, Number, switch
from .exchange import complete

CLOCK = 125e6
"""Of converters and logic, in Hz."""
BUFFER = 16384
"""Samples of a table, and of a record."""

_DIVISIONS = 13  # 1, 2, 4 ... 4096: slower than that, a table would be played less often than 1 Hz, which some refuse
_MARGIN = 0.01  # s after the last sample until a burst counts as over: its beginning is known to a network's delay
_RATE = 1e5  # byte/s that an upload takes at the slowest
_DIGITS = 5  # of a sample: a twelfth of a code of the converter


class RedPitayaGenerator:
    """Plays bursts.

    A channel always plays its whole table of 16384 samples, filled up with zeros. How often the table is played in a
    second is what the board is told; at 125 MHz over a power of two each sample lasts a whole number of clocks, at any
    other rate the logic would leave samples out or repeat them.

    Args:
        session: With the board.
        volts_out: Voltage into the load at full scale, per output in V; None for 1 V into 50 Ohm.
        timeout: Longest time of one exchange in s, beside what an upload takes.
    """

    OUTPUT = switch("OUTPUT{channel}:STATE")
    RESET = Action("GEN:RST")
    FUNCTION = Choice("SOUR{channel}:FUNC", {"arbitrary": "ARBITRARY"})
    FREQUENCY = Number("SOUR{channel}:FREQ:FIX", unit="Hz", low=1.0, high=CLOCK / BUFFER, tolerance=1e-5)
    AMPLITUDE = Number("SOUR{channel}:VOLT", unit="V", low=1e-3, high=1.0, tolerance=1e-5)
    OFFSET = Number("SOUR{channel}:VOLT:OFFS", unit="V", low=-1.0, high=1.0)
    MODE = Choice("SOUR{channel}:BURS:STAT", {"burst": "BURST", "continuous": "CONTINUOUS"})
    CYCLES = Number("SOUR{channel}:BURS:NCYC", low=1, high=50_000, whole=True)
    REPETITIONS = Number("SOUR{channel}:BURS:NOR", low=1, high=50_000, whole=True)
    LAST = Number("SOUR{channel}:BURS:LASTValue", unit="V", low=-1.0, high=1.0)
    FIRST = Number("SOUR{channel}:INITValue", unit="V", low=-1.0, high=1.0)
    TRIGGER = Choice("SOUR{channel}:TRIG:SOUR", {"internal": "INT", "rising": "EXT_PE", "falling": "EXT_NE"})
    TABLE = Action("SOUR{channel}:TRAC:DATA:DATA {values}")
    FIRE = Action("SOUR:TRIG:INT")

    def __init__(self, session: ScpiSession, *, volts_out: tuple[float, float] | None, timeout: float) -> None:
        self._session, self._volts_out, self._timeout = session, volts_out, timeout
        self.setting: SourceSetup | None = None
        """How it is set up; None before that."""
        self._state: Literal["empty", "loaded", "armed", "fired"] = "empty"
        self._over = 0.0  # moment on time.monotonic by which the burst is over

    @property
    def capabilities(self) -> SourceCapabilities:
        """What it can play."""
        return SourceCapabilities(
            channels=(1, 2),
            sample_rate=(CLOCK / 2 ** (_DIVISIONS - 1), CLOCK),
            points=(1, BUFFER),
            bits=14,
            marks="burst",
        )

    def forget(self) -> None:
        """Take nothing for granted: not how it was set up, nor what it holds."""
        self.setting, self._state = None, "empty"

    def rest(self) -> None:
        """Note that the outputs were switched off."""
        if self._state != "empty":
            self._state = "loaded"

    def check(self, setup: SourceSetup) -> None:
        """Refuse what it can't do.

        Raises:
            InputError: The setup is out of its range.
        """
        if len(set(setup.channels)) != len(setup.channels) or not set(setup.channels) <= {1, 2}:
            raise InputError(f"channels of this source must be different ones of (1, 2), got {setup.channels}.")
        check_rate(setup.sample_rate, _DIVISIONS)
        for channel, peak, load in zip(setup.channels, setup.peak, setup.load, strict=True):
            if self._volts_out is None and load != 50.0:
                raise InputError(
                    f"load of output {channel} must be 50 Ohm, got {load:g} Ohm. For another load measure the voltage "
                    "at full scale, and give it as volts_out."
                )
            full = self._full(channel)
            low = self.AMPLITUDE.low * full
            if not low <= peak <= full:
                raise InputError(
                    f"peak of output {channel} must be {low:g} to {full:g} V, got {peak:g} V. Use an attenuator or an "
                    "amplifier."
                )

    def set(self, setup: SourceSetup) -> SourceSetup:
        """Set it up as was checked, with its outputs off, and read it back.

        Raises:
            TransportError: It was refused, or the line failed.
        """
        self.forget()
        frequency = setup.sample_rate / BUFFER
        amplitudes = {
            channel: min(peak / self._full(channel), 1.0)
            for channel, peak in zip(setup.channels, setup.peak, strict=True)
        }
        # The reset also takes phase, sweep and an earlier user's burst away.
        commands = [self.RESET(), *(self.OUTPUT(False, channel=channel) for channel in (1, 2))]
        for channel, amplitude in amplitudes.items():
            commands += [
                self.FUNCTION("arbitrary", channel=channel),
                self.FREQUENCY(frequency, channel=channel),
                self.AMPLITUDE(amplitude, channel=channel),
                self.OFFSET(0.0, channel=channel),
                self.MODE("burst", channel=channel),
                self.CYCLES(1, channel=channel),
                self.REPETITIONS(1, channel=channel),
                self.LAST(0.0, channel=channel),
                self.FIRST(0.0, channel=channel),
                # The board may trigger once at this; its outputs are off.
                self.TRIGGER("internal", channel=channel),
            ]
        complete(self._session, *commands)
        self._session.check_errors()
        for channel, amplitude in amplitudes.items():
            self._confirm(channel, frequency, amplitude)
        self.setting = setup
        return setup

    def load(self, waveform_NCT: NDArray[np.float64]) -> None:
        """Hand over the rows of a burst; see `Source.load`."""
        setup = self._is_set_up()
        if self._state == "fired":
            raise InputError("a burst must be finished before the next one is loaded. Nothing was sent.")
        tables = _tables(waveform_NCT, setup)
        self._state = "empty"
        off = [self.OUTPUT(False, channel=channel) for channel in setup.channels]
        uploads = [
            self.TABLE(channel=channel, values=table) for channel, table in zip(setup.channels, tables, strict=True)
        ]
        complete(self._session, *off, *uploads, timeout=self._timeout + sum(map(len, uploads)) / _RATE)
        self._session.check_errors()
        for channel, peak in zip(setup.channels, setup.peak, strict=True):
            self.FREQUENCY.confirm(self._session, setup.sample_rate / BUFFER, channel=channel)
            self.AMPLITUDE.confirm(self._session, min(peak / self._full(channel), 1.0), channel=channel)
        self._state = "loaded"

    def check_loaded(self) -> SourceSetup:
        """Refuse to go on unless there is a burst to play, and return how it is set up.

        Raises:
            InputError: There is none, or it still plays.
        """
        setup = self._is_set_up()
        if self._state not in ("loaded", "armed"):
            raise InputError("a burst must be loaded, and the one before must be finished, before a source is armed.")
        return setup

    def arm(self) -> None:
        """Switch the outputs on, where they wait at 0 V; see `Source.arm`."""
        setup = self.check_loaded()
        self._session.write(*(self.OUTPUT(True, channel=channel) for channel in setup.channels))
        for channel in setup.channels:
            self.OUTPUT.confirm(self._session, True, channel=channel)
            self.MODE.confirm(self._session, "burst", channel=channel)
        self._session.check_errors()
        self._state = "armed"

    def fire(self) -> None:
        """Give the one trigger, to both outputs in the same clock; see `Source.fire`."""
        setup = self._is_set_up()
        if self._state != "armed":
            raise InputError("a source must be armed before it is fired. Nothing was sent.")
        self._state = "fired"
        # The answer to *OPC? comes after the trigger: from there on the whole table and no more is to come.
        complete(self._session, self.FIRE())
        self._over = time.monotonic() + BUFFER / setup.sample_rate + _MARGIN

    def finish(self, deadline: Deadline) -> None:
        """Wait until the burst is over; see `Source.finish`.

        No query says whether a burst is over, so this waits for as long as a table lasts.
        """
        if self._state != "fired":
            raise InputError("a source must be fired before its burst can be waited for.")
        while (left := self._over - time.monotonic()) > 0:
            if deadline.passed:
                raise TransportError(
                    "the burst was not over by the deadline",
                    kind="timeout",
                    resource=self._session.resource,
                    advice=f"Its outputs may still play: make it safe. A burst lasts {BUFFER} samples, zeros included.",
                )
            time.sleep(min(left, max(deadline.remaining, 1e-3)))
        self._session.check_errors()
        self._state = "loaded"

    def _confirm(self, channel: int, frequency: float, amplitude: float) -> None:
        session = self._session
        self.FUNCTION.confirm(session, "arbitrary", channel=channel)
        self.FREQUENCY.confirm(session, frequency, channel=channel)
        self.AMPLITUDE.confirm(session, amplitude, channel=channel)
        self.OFFSET.confirm(session, 0.0, channel=channel)
        self.MODE.confirm(session, "burst", channel=channel)
        self.CYCLES.confirm(session, 1, channel=channel)
        self.REPETITIONS.confirm(session, 1, channel=channel)
        self.LAST.confirm(session, 0.0, channel=channel)
        self.FIRST.confirm(session, 0.0, channel=channel)
        self.TRIGGER.confirm(session, "internal", channel=channel)
        self.OUTPUT.confirm(session, False, channel=channel)

    def _full(self, channel: int) -> float:
        return 1.0 if self._volts_out is None else self._volts_out[channel - 1]

    def _is_set_up(self) -> SourceSetup:
        if self.setting is None:
            raise InputError("a source must be set up first, again after it was recovered. Nothing was sent.")
        return self.setting


def check_rate(sample_rate: float, divisions: int) -> int:
    """Return by what power of two the clock is divided for a sample rate.

    Raises:
        InputError: It is none of the first `divisions` of them.
    """
    power = round(math.log2(CLOCK / sample_rate)) if 0 < sample_rate < math.inf else -1
    if not (0 <= power < divisions and math.isclose(sample_rate, CLOCK / 2**power, rel_tol=1e-9)):
        nearest = CLOCK / 2 ** min(max(power, 0), divisions - 1)
        raise InputError(
            f"sample_rate of a Red Pitaya must be 125 MHz over a power of two, 1 to {2 ** (divisions - 1)}, got "
            f"{sample_rate:.10g} Hz. The nearest one is {nearest:.10g} Hz."
        )
    return power


def _tables(waveform_NCT: NDArray[np.float64], setup: SourceSetup) -> list[str]:
    """Return a table for each channel, in parts of its peak, once it is certain that nothing in it is too large.

    Raises:
        DriveError: Shape or type are wrong, there are too many samples, or one is not finite or beyond the peak.
    """
    shape, channels = waveform_NCT.shape, len(setup.channels)
    if waveform_NCT.dtype.kind not in "iuf" or len(shape) != 3 or shape[1] != channels:
        raise DriveError(
            f"a waveform must be real, of shape (rows, {channels}, samples), got {waveform_NCT.dtype} of {shape}."
        )
    samples = shape[0] * shape[2]
    if not 1 <= samples <= BUFFER:
        raise DriveError(
            f"a burst must have 1 to {BUFFER} samples, got {shape[0]} rows of {shape[2]}. Load fewer rows at a time, "
            "or lower the sample rate."
        )
    tables = []
    for place, (channel, peak) in enumerate(zip(setup.channels, setup.peak, strict=True)):
        burst_S = waveform_NCT[:, place].reshape(-1).astype(np.float64)
        good_S = np.abs(burst_S) <= peak
        if not good_S.all():
            raise DriveError(
                f"samples of output {channel} must be within -{peak:g} to {peak:g} V, got {burst_S[~good_S][0]:g} V. "
                "The limit is the peak of the setup; nothing was sent."
            )
        table_S = np.zeros(BUFFER)
        table_S[:samples] = np.round(burst_S / peak, _DIGITS)
        tables.append(",".join(f"{value:.{_DIGITS}g}" if value else "0" for value in table_S.tolist()))
    return tables
