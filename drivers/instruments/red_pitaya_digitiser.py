"""The digitiser of a Red Pitaya: two inputs that are written into a ring of 16384 samples around a trigger.

Axis letters: N segments; C channels; T samples.
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, TransportError

from ..answers import parse_number
from ..roles import Capture, DetectorCapabilities, DetectorSetup
from ..scpi import ScpiSession
from ..transport import Deadline
from .command import Action, Choice, Number, Question, switch
from .exchange import ask_whole, complete
from .red_pitaya_generator import BUFFER, CLOCK, check_rate
from .setup_checks import check_detector_setup

Jumper = Literal["LV", "HV"]

_DIVISIONS = 17  # 1, 2, 4 ... 65536
_CODES = 8192  # of full scale, to either side
_FULL: dict[Jumper, float] = {"LV": 1.0, "HV": 20.0}  # V, for the position of the jumper
_SPARE = 16  # samples of the ring that are left alone: firmware differs by some in where it stops
_HALF = 8192  # samples recorded after a trigger at a delay of 0
_POLL = 0.01  # s between two looks at whether a record is whole
_CHANGED = "the record must not change while it is read, and another one was begun"


class RedPitayaDigitiser:
    """Records bursts.

    The ring is written without end from `ACQ:START` on; some samples after a trigger it stops. A new start clears the
    flags that tell of trigger and record, and there is no counter: a record is new if both flags were seen cleared
    when it was armed, and set when it is read.

    Args:
        session: With the board.
        jumpers: Where the jumpers of the inputs are.
        trigger: What stops the ring.
    """

    RESET = Action("ACQ:RST")
    START = Action("ACQ:START")
    DECIMATION = Number("ACQ:DEC", low=1, high=2 ** (_DIVISIONS - 1), whole=True)
    AVERAGE = switch("ACQ:AVG")
    GAIN: Choice[Jumper] = Choice("ACQ:SOUR{channel}:GAIN", {"LV": "LV", "HV": "HV"})
    FORMAT = Choice("ACQ:DATA:FORMAT", {"binary": "BIN", "text": "ASCII"})
    UNITS = Choice("ACQ:DATA:UNITS", {"codes": "RAW", "volts": "VOLTS"})
    DELAY = Number("ACQ:TRIG:DLY", low=-_HALF, high=BUFFER - _HALF, whole=True)
    TRIGGER = Action("ACQ:TRIG {source}")
    TRIGGERED = Question("ACQ:TRIG:STAT?")
    FULL = Question("ACQ:TRIG:FILL?")
    PLACE = Question("ACQ:TPOS?")
    RATE = Question("ACQ:SRATE?")
    DATA = Question("ACQ:SOUR{channel}:DATA:STA:N? {start},{count}")

    def __init__(self, session: ScpiSession, *, jumpers: tuple[Jumper, Jumper], trigger: str) -> None:
        self._session, self._jumpers, self._trigger = session, jumpers, trigger
        self.setting: DetectorSetup | None = None
        """How it is set up; None before that."""
        self._before = 0  # samples before the trigger
        self._armed = False

    @property
    def capabilities(self) -> DetectorCapabilities:
        """What it can record."""
        rates = tuple(CLOCK / 2**power for power in reversed(range(_DIVISIONS)))
        return DetectorCapabilities(
            channels=(1, 2),
            sample_rates=rates,
            sample_rate=(rates[0], rates[-1]),
            points=BUFFER - _SPARE,
            segments=1,
            bits=14,
        )

    def forget(self) -> None:
        """Take nothing for granted: not how it was set up, nor that it is armed."""
        self.setting, self._armed = None, False

    def rest(self) -> None:
        """Note that the ring was stopped."""
        self._armed = False

    def check(self, setup: DetectorSetup) -> None:
        """Refuse what it can't do.

        Raises:
            InputError: The setup is out of its range.
        """
        check_detector_setup(setup, self.capabilities)
        check_rate(setup.sample_rate, _DIVISIONS)
        for channel, volts in zip(setup.channels, setup.full_scale, strict=True):
            most = self._full(channel)
            if not volts <= most:
                raise InputError(
                    f"full_scale of input {channel} must be at most {most:g} V, got {volts:g} V. The range is that of "
                    "its jumper: move it, and say so in jumpers."
                )
        if setup.coupling != "DC":
            raise InputError(f"coupling of a Red Pitaya must be DC, got {setup.coupling}.")
        if not setup.points <= BUFFER - _SPARE:
            raise InputError(f"points of a Red Pitaya must be 1 to {BUFFER - _SPARE}, got {setup.points}.")
        if not setup.before * setup.sample_rate <= setup.points - 1:
            raise InputError(
                f"before must be 0 to {(setup.points - 1) / setup.sample_rate:g} s, within the record, got "
                f"{setup.before:g} s."
            )

    def set(self, setup: DetectorSetup) -> DetectorSetup:
        """Set it up as was checked, and read it back.

        Returns:
            The same with the ranges that the inputs have.

        Raises:
            TransportError: It was refused, or the line failed.
        """
        self.forget()
        session = self._session
        decimation = 2 ** check_rate(setup.sample_rate, _DIVISIONS)
        before = math.ceil(setup.before * setup.sample_rate)
        delay = setup.points - before + _SPARE // 2 - _HALF
        complete(
            session,
            self.RESET(),
            self.DECIMATION(decimation),
            self.AVERAGE(True),
            *(self.GAIN(self._jumpers[channel - 1], channel=channel) for channel in setup.channels),
            self.FORMAT("binary"),
            self.UNITS("codes"),
            self.DELAY(delay),
        )
        session.check_errors()
        self.DECIMATION.confirm(session, decimation)
        self.AVERAGE.confirm(session, True)
        for channel in setup.channels:
            self.GAIN.confirm(session, self._jumpers[channel - 1], channel=channel)
        self.FORMAT.confirm(session, "binary")
        self.UNITS.confirm(session, "codes")
        self.DELAY.confirm(session, delay)
        self._confirm_rate(setup.sample_rate)
        self._before = before
        self.setting = dataclasses.replace(setup, full_scale=tuple(map(self._full, setup.channels)))
        return self.setting

    def arm(self, segments: int | None) -> None:
        """Drop the record, and wait for the trigger; see `Detector.arm`."""
        setup = self._is_set_up()
        if segments not in (None, 1):
            raise InputError(f"a Red Pitaya records 1 segment a burst, got {segments}. Nothing was sent.")
        self._armed = False
        self._session.write(self.START())
        if self._before:
            # What a trigger is to find before it must have been written.
            time.sleep((self._before + _SPARE) / setup.sample_rate)
        self._session.write(self.TRIGGER(source=self._trigger))
        if self._flags() != (False, False):
            raise TransportError(
                "the digitiser must wait for its trigger once it is armed, and has one already",
                kind="rejected",
                resource=self._session.resource,
                advice="Something else pulses its trigger input, or another program uses it.",
            )
        self._armed = True

    def waits(self) -> bool:
        """Return whether it is armed, and nothing has triggered it since.

        Raises:
            TransportError: The line failed.
        """
        return self._armed and self._flags() == (False, False)

    def wait(self, deadline: Deadline) -> int:
        """Wait for a whole record; return 1, or 0 when the deadline passed. See `Detector.wait`."""
        self._is_armed()
        while not (all(flags := self._flags()) or deadline.passed):
            time.sleep(min(_POLL, deadline.remaining))
        return int(all(flags))

    def fetch(self) -> Capture:
        """Read the record; see `Detector.fetch`."""
        setup = self._is_set_up()
        self._is_armed()
        if not all(self._flags()):
            raise self._stale("there must be a whole record since it was armed, and there is none")
        place = self._place()
        start = (place - self._before) % BUFFER
        rows: list[NDArray[np.int16]] = []
        for channel in setup.channels:
            # Between two blocks, too: the first one once more would be taken for the second.
            if rows and self._place() != place:
                raise self._stale(_CHANGED)
            data = self.DATA(channel=channel, start=start, count=setup.points)
            rows.append(self._session.query_block(data, ">i2", setup.points).astype(np.int16))
        if not all(self._flags()) or self._place() != place:
            raise self._stale(_CHANGED)
        code_CT = np.stack(rows)
        if not ((code_CT >= -_CODES) & (code_CT < _CODES)).all():
            raise self._stale(f"codes must be {-_CODES} to {_CODES - 1}, and some are beyond")
        return Capture(
            codes_NCT=code_CT[None],
            scale_C=np.array([self._full(channel) / _CODES for channel in setup.channels]),
            offset_C=np.zeros(len(setup.channels)),
            lowest=-_CODES,
            highest=_CODES - 1,
            sample_rate=setup.sample_rate,
            start=-self._before / setup.sample_rate,
            counted=1,
        )

    def _flags(self) -> tuple[bool, bool]:
        """Ask whether there was a trigger, and whether the record is whole."""
        return _word(self._session, self.TRIGGERED(), {"WAIT": False, "TD": True}), bool(
            ask_whole(self._session, self.FULL(), 0, 1)
        )

    def _place(self) -> int:
        """Ask where in the ring the trigger was."""
        return ask_whole(self._session, self.PLACE(), 0, BUFFER - 1)

    def _confirm_rate(self, sample_rate: float) -> None:
        answer = self._session.query(self.RATE())
        found = parse_number(re.sub(r" *Hz *$", "", answer), resource=self._session.resource)
        # The board rounds to whole hertz.
        if not abs(found - sample_rate) <= 1.0:
            raise TransportError(
                f"sample_rate must be {sample_rate:.10g} Hz as it was set, got {found:.10g} Hz",
                kind="rejected",
                resource=self._session.resource,
                advice="Only boards with a clock of 125 MHz are known.",
            )

    def _full(self, channel: int) -> float:
        return _FULL[self._jumpers[channel - 1]]

    def _stale(self, problem: str) -> TransportError:
        return TransportError(
            problem,
            kind="garbled",
            resource=self._session.resource,
            advice="Another program may use the board. The record is not used; arm anew.",
        )

    def _is_set_up(self) -> DetectorSetup:
        if self.setting is None:
            raise InputError("a detector must be set up first, again after it was recovered. Nothing was sent.")
        return self.setting

    def _is_armed(self) -> None:
        if not self._armed:
            raise InputError("a detector must be armed before its record is waited for. Nothing was sent.")


def _word(session: ScpiSession, query: str, words: dict[str, bool]) -> bool:
    answer = session.query(query)
    if (found := words.get(answer.strip().upper())) is None:
        raise TransportError(
            f"{query} must answer one of {', '.join(words)}",
            kind="garbled",
            resource=session.resource,
            received=answer.encode("ascii", "backslashreplace"),
        )
    return found
