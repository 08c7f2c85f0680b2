"""One channel of a 33500B: how it is set up, and the waveforms in its memory.

Axis letters: S samples of a waveform.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, TransportError

from ..scpi import ScpiSession
from .burst_codes import fit_amplitude, four_digits
from .command import Action, Choice, Number, Question, Setting, switch
from .exchange import complete, is_complete

LARGEST_CODE = 32767
FEWEST = 8
"""Points of a waveform."""
_IMPEDANCE = 50.0  # Ohm, in series with each output
_SMALLEST, _LARGEST = 2e-3, 20.0  # V peak to peak into an open line
_RATE = 2e5  # byte/s that an upload takes at the slowest
_TOLERANCE = 0.05  # of the ratio between two amplitudes that are allowed


class ArbChannel:
    """A channel.

    Args:
        session: With the generator.
        number: Its number.
        points: Of its waveform memory.
        timeout: Longest time of one exchange in s, beside what an upload takes.
    """

    OUTPUT = switch("OUTP{channel}")
    LOAD = Number("OUTP{channel}:LOAD", unit="Ohm", low=1.0, high=1e4, infinite="INF")
    FUNCTION = Choice("SOUR{channel}:FUNC", {"arbitrary": "ARB"})
    FILTER = Choice("SOUR{channel}:FUNC:ARB:FILT", {"off": "OFF", "step": "STEP", "normal": "NORM"})
    SAMPLE_RATE = Number("SOUR{channel}:FUNC:ARB:SRAT", unit="Hz", low=1e-6, high=62.5e6)
    AMPLITUDE = Number("SOUR{channel}:VOLT", unit="V", low=_SMALLEST / 51, high=_LARGEST)
    MOST = Question("SOUR{channel}:VOLT? MAX")
    OFFSET = Number("SOUR{channel}:VOLT:OFFS", unit="V", low=-_LARGEST / 2, high=_LARGEST / 2)
    AUTORANGE = switch("SOUR{channel}:VOLT:RANG:AUTO")
    TRIGGER = Choice("TRIG{channel}:SOUR", {"bus": "BUS", "immediate": "IMM", "external": "EXT", "timer": "TIM"})
    BURST_MODE = Choice("SOUR{channel}:BURS:MODE", {"triggered": "TRIG", "gated": "GAT"})
    BURST_CYCLES = Number("SOUR{channel}:BURS:NCYC", low=1, high=100_000, whole=True)
    BURST = switch("SOUR{channel}:BURS:STAT")
    CLEAR = Action("SOUR{channel}:DATA:VOL:CLE")
    UPLOAD = Action("SOUR{channel}:DATA:ARB:DAC {name},")
    SELECT = Action("SOUR{channel}:FUNC:ARB {name}")

    def __init__(self, session: ScpiSession, number: int, *, points: int, timeout: float) -> None:
        self._session, self.number = session, number
        self._points, self._timeout = points, timeout
        self._used = 0  # points of its memory
        self._rate = self._smallest = self._amplitude = 0.0  # Hz; V peak to peak, the latter as it was set last
        self._full = 0.0  # V of the largest code
        self._fits = True  # an amplitude is that of the waveform, not of all codes

    @classmethod
    def check(cls, channel: int, *, load: float, rate: float, peak: float) -> None:
        """Refuse what it can't do.

        Raises:
            InputError: It is out of range.
        """
        cls.SAMPLE_RATE.word(rate)
        cls.LOAD.word(load)
        part = _part(load)
        if not (peak <= _LARGEST and _SMALLEST * part <= four_digits(2 * peak, up=True) <= _LARGEST * part):
            raise InputError(
                f"peak of channel {channel} must be {_SMALLEST / 2 * part:g} to {_LARGEST / 2 * part:g} V into "
                f"{load:g} Ohm, got {peak:g} V. Use an attenuator or an amplifier."
            )

    def set_up(self, *, load: float, rate: float, peak: float) -> float:
        """Set it up after a reset, and read it back.

        Returns:
            The voltage of the largest code.

        Raises:
            TransportError: It was refused, or the line failed.
        """
        session, where = self._session, {"channel": self.number}
        complete(session, self.CLEAR(**where), self.LOAD(load, **where))
        self._used, self._rate = 0, rate
        self._smallest = four_digits(_SMALLEST * _part(load), up=True)
        self._fits = self._amplitude_is_of_the_waveform()
        self._amplitude = four_digits(2 * peak, up=True)
        settings: list[tuple[Setting, Any]] = [
            (self.LOAD, load),
            (self.FUNCTION, "arbitrary"),
            (self.FILTER, "off"),
            (self.SAMPLE_RATE, rate),
            (self.AUTORANGE, True),
            (self.AMPLITUDE, self._amplitude),
            (self.OFFSET, 0.0),
            (self.AUTORANGE, False),
            (self.TRIGGER, "bus"),  # before the burst mode, whose own default would begin to play at once
            (self.BURST_MODE, "triggered"),
            (self.BURST_CYCLES, 1),
            (self.BURST, True),
        ]
        session.write(*(setting(value, **where) for setting, value in settings))
        last = {setting.header: (setting, value) for setting, value in settings}
        for setting, value in last.values():
            setting.confirm(session, value, **where)
        self._full = self._amplitude / 2
        return self._full

    def has_room(self, count: int) -> bool:
        """Return whether a waveform of so many points fits into its memory beside the others."""
        return self._used + count <= self._points

    def forget(self) -> None:
        """Clear its memory, with the output off: what is selected then is a waveform that nobody asked for."""
        where = {"channel": self.number}
        self._amplitude = self._smallest  # allowed for that one
        off, small = self.OUTPUT(False, **where), self.AMPLITUDE(self._amplitude, **where)
        complete(self._session, off, small, self.CLEAR(**where))
        self._used = 0

    def put(self, name: str, codes_S: NDArray[np.int16]) -> None:
        """Upload a waveform and select it.

        Raises:
            TransportError: It is not known whether it arrived.
        """
        where, amplitude = {"channel": self.number}, 2 * self._full
        if self._fits:
            codes_S, amplitude = fit_amplitude(codes_S, self._full / LARGEST_CODE, self._smallest)
        self._upload(name, codes_S)
        self._session.write(
            self.AMPLITUDE(min(amplitude, self._amplitude), **where),  # allowed for both waveforms
            self.SELECT(name=name, **where),
            self.FUNCTION("arbitrary", **where),
            self.SAMPLE_RATE(self._rate, **where),  # a waveform may bring settings of its own along
            self.AMPLITUDE(amplitude, **where),
            self.OFFSET(0.0, **where),
        )
        self._amplitude = amplitude

    def confirm(self) -> None:
        """Compare with what belongs to the waveform that was selected.

        Raises:
            TransportError: It differs (`rejected`), or there is no sound answer.
        """
        where = {"channel": self.number}
        self.SAMPLE_RATE.confirm(self._session, self._rate, **where)
        self.AMPLITUDE.confirm(self._session, self._amplitude, **where)
        self.OFFSET.confirm(self._session, 0.0, **where)

    def confirm_armed(self) -> None:
        """Make sure that its output is on and waits for a bus trigger.

        Raises:
            TransportError: It does not (`rejected`), or there is no sound answer.
        """
        where = {"channel": self.number}
        self.OUTPUT.confirm(self._session, True, **where)
        self.BURST.confirm(self._session, True, **where)
        self.TRIGGER.confirm(self._session, "bus", **where)

    def _amplitude_is_of_the_waveform(self) -> bool:
        """Find out whether an amplitude is that of the waveform, or of all codes; the latter stay selected.

        The manual limits the amplitude of a waveform that does not span all codes. So the largest amplitude of one that
        spans half of them is compared with that of one that spans all.
        """
        most = []
        for name, code in (("HALF", LARGEST_CODE // 2), ("FULL", LARGEST_CODE)):
            self._upload(name, np.array([0, code, -code, 0, 0, 0, 0, 0], "<i2"))
            self._session.write(
                self.SELECT(channel=self.number, name=name), self.FUNCTION("arbitrary", channel=self.number)
            )
            most.append(self._session.query_number(self.MOST(channel=self.number)))
        ratio = most[0] / most[1] if most[1] > 0 else math.nan
        for expected in (0.5, 1.0):
            if abs(ratio - expected) <= _TOLERANCE:
                return expected < 1.0
        raise TransportError(
            f"amplitudes of waveforms of half and of all codes must be limited as 1 to 2 or 1 to 1, got {most} V",
            kind="rejected",
            resource=self._session.resource,
            advice="What an amplitude means on this unit is not clear, so nothing is played.",
        )

    def _upload(self, name: str, codes_S: NDArray[np.int16]) -> None:
        text = self.UPLOAD(channel=self.number, name=name)
        seconds = self._timeout + codes_S.nbytes / _RATE
        answer = self._session.write_block(text, codes_S, query="*OPC?", timeout=seconds)
        is_complete(answer, resource=self._session.resource)
        self._used += len(codes_S)


def _part(load: float) -> float:
    """Return how much of the voltage of an open line a load leaves."""
    return 1.0 if load == math.inf else load / (load + _IMPEDANCE)
