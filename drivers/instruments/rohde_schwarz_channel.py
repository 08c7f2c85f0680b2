"""Channel 1 of a Rohde & Schwarz network analyser: what it sweeps over, how, and what starts a sweep.

Axis letters: F points.
"""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, TransportError

from ..answers import parse_number
from ..roles import SweepSetup
from ..scpi import ScpiSession
from .command import Action, Choice, Number, Question, switch
from .exchange import complete

_TRACE = "physnet"
_POINTS = 100_001  # of a sweep
_LOWEST, _HIGHEST = 9e3, 43.5e9  # Hz; what a model reaches shows when the points are read back
_RESOLUTION = 1.0  # Hz, of a point's frequency
_UNEVEN = 1e-3  # Hz that a point may be off an even spacing and still be swept linearly
_BANDWIDTHS = (*(step * 10.0**power for power in range(6) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)), 1e6)
_RATE = 1e6  # byte/s that a block takes at the slowest


class SweepChannel:
    """How channel 1 is set up, and the one trace in it that is ours.

    Args:
        session: With the analyser.
        timeout: Longest time of one exchange in s, beside what a block takes.
    """

    POWER = Number("SOUR1:POW", unit="dBm", low=-80.0, high=25.0)
    BANDWIDTH = Number("SENS1:BAND", unit="Hz", low=_BANDWIDTHS[0], high=_BANDWIDTHS[-1])
    SWEEP_TYPE = Choice("SENS1:SWE:TYPE", {"linear": "LIN", "segments": "SEGM"})
    START = Number("SENS1:FREQ:STAR", unit="Hz", low=_LOWEST, high=_HIGHEST)
    STOP = Number("SENS1:FREQ:STOP", unit="Hz", low=_LOWEST, high=_HIGHEST)
    POINTS = Number("SENS1:SWE:POIN", low=2, high=_POINTS, whole=True)
    SHORTEST = switch("SENS1:SWE:TIME:AUTO")
    AVERAGE = switch("SENS1:AVER")
    SWEEPS = Number("SENS1:SWE:COUN", low=1, high=100_000, whole=True)
    FORGET_SEGMENTS = Action("SENS1:SEGM:DEL:ALL")
    ADD_SEGMENT = Action("SENS1:SEGM{segment}:ADD")
    SEGMENT_POINTS = Number("SENS1:SEGM{segment}:SWE:POIN", low=1, high=_POINTS, whole=True)
    SEGMENT_START = Number("SENS1:SEGM{segment}:FREQ:STAR", unit="Hz", low=_LOWEST, high=_HIGHEST)
    SEGMENT_STOP = Number("SENS1:SEGM{segment}:FREQ:STOP", unit="Hz", low=_LOWEST, high=_HIGHEST)
    OWN_POWER = switch("SENS1:SEGM:POW:CONT")
    OWN_BANDWIDTH = switch("SENS1:SEGM:BWID:CONT")
    OWN_TIME = switch("SENS1:SEGM:SWE:TIME:CONT")
    CONTINUOUS = switch("INIT1:CONT")
    SCOPE = Choice("INIT1:IMM:SCOP", {"channel": "SING", "all": "ALL"})
    TRIGGER = Choice("TRIG1:SOUR", {"external": "EXT", "immediate": "IMM"})
    TRIGGERED = Choice("TRIG1:LINK", {"sweep": "'SWEEP'"}, {"SWEEP": "sweep", "'SWE'": "sweep", "SWE": "sweep"})
    SLOPE = Choice("TRIG1:SLOP", {"rising": "POS", "falling": "NEG"})
    FORMAT = Choice("FORM", {"float64": "REAL,64"}, {"REAL, 64": "float64"})
    BYTE_ORDER = Choice("FORM:BORD", {"little": "SWAP", "big": "NORM"})
    TRACES = Question("CALC1:PAR:CAT?")
    DELETE = Action(f"CALC1:PAR:DEL '{_TRACE}'")
    DEFINE = Action(f"CALC1:PAR:SDEF '{_TRACE}', '{{parameter}}'")
    SELECT = Action(f"CALC1:PAR:SEL '{_TRACE}'")
    PARAMETER = Question(f"CALC1:PAR:MEAS? '{_TRACE}'")
    STIMULUS = Question("CALC1:DATA:STIM?")
    LINEAR_TIME = Question("SENS1:SWE:TIME?")
    SEGMENTS_TIME = Question("SENS1:SEGM:SWE:TIME:SUM?")

    def __init__(self, session: ScpiSession, *, timeout: float) -> None:
        self._session, self._timeout = session, timeout

    def check(self, setup: SweepSetup, *, power_limit: float) -> None:
        """Refuse what it can't do.

        Args:
            setup: How it is to sweep.
            power_limit: Largest power in dBm.

        Raises:
            InputError: The setup is out of its range.
        """
        if not re.fullmatch(r"S[1-4][1-4]", setup.parameter):
            raise InputError(f"parameter must be a scattering parameter such as S21, got {setup.parameter!r}.")
        if not 2 <= len(setup.frequencies) <= _POINTS:
            raise InputError(
                f"frequencies of a ZNB must be 2 to {_POINTS}, got {len(setup.frequencies)}. Add a second one and "
                "ignore it."
            )
        for frequency in setup.frequencies:
            self.START.word(frequency)
        step = float(np.diff(np.asarray(setup.frequencies, np.float64)).min())
        if not step >= _RESOLUTION:
            raise InputError(
                f"frequencies must rise by {_RESOLUTION:g} Hz or more from each to the next, got a step of {step:g} Hz."
            )
        self.POWER.word(setup.power)
        if not setup.power <= power_limit:
            raise InputError(
                f"power must be at most {power_limit:g} dBm, got {setup.power:g} dBm. The limit is the option "
                "power_limit, for what is connected."
            )
        self.BANDWIDTH.word(setup.bandwidth)
        if not np.isclose(_BANDWIDTHS, setup.bandwidth, rtol=self.BANDWIDTH.tolerance, atol=0.0).any():
            raise InputError(
                "bandwidth must be 1, 1.5, 2, 3, 5 or 7 times a power of ten, from 1 to 1e6 Hz, got "
                f"{setup.bandwidth:g} Hz."
            )
        self.SWEEPS.word(setup.sweeps)

    def set(self, setup: SweepSetup) -> None:
        """Set it up as was checked.

        Raises:
            TransportError: The trace was refused, or the line failed.
        """
        self._set_trace(setup.parameter)
        self._session.write(
            self.SCOPE("channel"),
            self.TRIGGER("external"),
            self.TRIGGERED("sweep"),
            self.SLOPE("rising"),
            self.AVERAGE(False),
            self.POWER(setup.power),
            self.BANDWIDTH(setup.bandwidth),
            self.SWEEPS(setup.sweeps),
            self.FORMAT("float64"),
            self.BYTE_ORDER("little"),
        )
        if _evenly_spaced(setup.frequencies):
            self._set_linear(setup.frequencies)
        else:
            self._set_segments(setup.frequencies)

    def confirm(self, setup: SweepSetup) -> float:
        """Compare everything with what was set, each point's frequency too.

        Returns:
            How long a sweep takes, in s.

        Raises:
            TransportError: Something differs (`rejected`), or the line failed.
        """
        session = self._session
        self.CONTINUOUS.confirm(session, False)
        self.SCOPE.confirm(session, "channel")
        self.TRIGGER.confirm(session, "external")
        self.TRIGGERED.confirm(session, "sweep")
        self.SLOPE.confirm(session, "rising")
        self.AVERAGE.confirm(session, False)
        self.POWER.confirm(session, setup.power)
        self.BANDWIDTH.confirm(session, setup.bandwidth)
        self.SWEEPS.confirm(session, setup.sweeps)
        self.FORMAT.confirm(session, "float64")
        self.BYTE_ORDER.confirm(session, "little")
        if _evenly_spaced(setup.frequencies):
            self.SWEEP_TYPE.confirm(session, "linear")
            self.SHORTEST.confirm(session, True)
            query = self.LINEAR_TIME()
        else:
            self.SWEEP_TYPE.confirm(session, "segments")
            for own in (self.OWN_POWER, self.OWN_BANDWIDTH, self.OWN_TIME):
                own.confirm(session, False)
            query = self.SEGMENTS_TIME()
        self._confirm_points(np.asarray(setup.frequencies, np.float64))
        seconds = parse_number(session.query(query), resource=session.resource)
        if not 0 < seconds < math.inf:
            raise TransportError(
                f"{query} must answer a time > 0 s, got {seconds:g} s", kind="garbled", resource=session.resource
            )
        return seconds

    def read(self, query: str, count: int) -> NDArray[np.float64]:
        """Ask for exactly `count` numbers of our trace, in one block.

        Raises:
            TransportError: The block is another one, or the line failed.
        """
        seconds = self._timeout + 8 * count / _RATE
        return self._session.query_block(query, "<f8", count, before=(self.SELECT(),), timeout=seconds)

    def _set_trace(self, parameter: str) -> None:
        session = self._session
        names = _unquoted(session.query(self.TRACES())).split(",")[::2]  # name, parameter, name, parameter, ...
        session.write(*([self.DELETE()] if _TRACE in names else []), self.DEFINE(parameter=parameter))
        session.check_errors()
        found = _unquoted(session.query(self.PARAMETER()))
        if found.upper() != parameter:
            raise TransportError(
                f"the trace must show {parameter} as it was set, got {found!r}",
                kind="rejected",
                resource=session.resource,
                advice="This model may have fewer ports.",
            )

    def _set_linear(self, frequencies: tuple[float, ...]) -> None:
        self._session.write(
            self.SWEEP_TYPE("linear"),
            self.START(frequencies[0]),
            self.STOP(frequencies[-1]),
            self.POINTS(len(frequencies)),
            self.SHORTEST(True),
        )

    def _set_segments(self, frequencies: tuple[float, ...]) -> None:
        self._session.write(self.FORGET_SEGMENTS())
        for segment, frequency in enumerate(frequencies, start=1):
            # A new segment reaches from the one before to the highest frequency: its end moves first.
            self._session.write(
                self.ADD_SEGMENT(segment=segment),
                self.SEGMENT_POINTS(1, segment=segment),
                self.SEGMENT_STOP(frequency, segment=segment),
                self.SEGMENT_START(frequency, segment=segment),
            )
        # Power, bandwidth and time are the channel's, not each segment's.
        off = [own(False) for own in (self.OWN_POWER, self.OWN_BANDWIDTH, self.OWN_TIME)]
        complete(self._session, *off, self.SWEEP_TYPE("segments"))

    def _confirm_points(self, frequency_F: NDArray[np.float64]) -> None:
        found_F = self.read(self.STIMULUS(), len(frequency_F))
        wrong_F = ~(np.abs(found_F - frequency_F) <= _RESOLUTION)
        if wrong_F.any():
            worst = int(np.argmax(wrong_F))
            raise TransportError(
                f"point {worst} must be at {frequency_F[worst]:.10g} Hz as it was set, got {found_F[worst]:.10g} Hz",
                kind="rejected",
                resource=self._session.resource,
                advice="This model may not reach it.",
            )


def _evenly_spaced(frequencies: tuple[float, ...]) -> bool:
    even_F = np.linspace(frequencies[0], frequencies[-1], len(frequencies))
    return bool((np.abs(even_F - frequencies) <= _UNEVEN).all())


def _unquoted(answer: str) -> str:
    return answer.strip().strip("'\"")
