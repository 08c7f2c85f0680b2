"""A Red Pitaya: source and detector in one, on one clock.

Axis letters: N rows; C channels; T samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError, TransportError

from ..roles import Capture, DetectorCapabilities, DetectorSetup, SourceCapabilities, SourceSetup
from ..transport import QUIET, Deadline, Transport
from .command import Question
from .exchange import complete
from .instrument import BACKOFF, ScpiInstrument
from .red_pitaya_digitiser import Jumper, RedPitayaDigitiser
from .red_pitaya_generator import RedPitayaGenerator

_MODEL = "125-14"


class RedPitaya(ScpiInstrument):
    """A STEMlab 125-14 with the SCPI server of Red Pitaya OS 2.07.

    A bench names it as its source, and as its detector `type = "source"`; with `trigger = "EXT_PE"` it also records for
    another source, whose trigger goes to DIO0_P (3.3 V). One trigger plays one burst of at most 16384 samples in each
    output, and gives one record of one segment.

    What may surprise:

    - Sample rates are 125 MHz over a power of two, and a burst always lasts 16384 samples: it is filled up with zeros.
    - Only output 1 tells the digitiser that a burst begins, so it must be one of those that play.
    - Outputs rest at 0 V. Firmware older than 2.07 shows the first sample of a burst while it waits.
    - A decimated record begins within one of its samples: the trigger may fall anywhere in it. At the full rate it is
      one sample off between versions of the logic. Align to the signal where that matters.
    - Codes are calibrated by the board only in the newest firmware; before that gain and offset may be off by some per
      cent. What is called volts is the nominal range.
    - The board counts no captures. A record counts as new because the flags of the one before were seen cleared.
    - An unknown command is not answered, so it shows as a time-out; each setting is therefore read back. OS 2.04 and
      before answers some of these questions wrongly, and is refused by that.

    Tried on simulated hardware only.

    Args:
        resource: VISA name, such as `TCPIP::192.0.2.14::5000::SOCKET`.
        jumpers: Of the inputs: `LV` for 1 V, `HV` for 20 V.
        volts_out: Voltage into the load that each output has at full scale in V, measured; left out, it is 1 V into
            50 Ohm, and no other load is allowed.
        trigger: What starts a record: the beginning of a burst (`AWG_PE`), or a rising edge at DIO0_P (`EXT_PE`).
        backend: VISA library, as pyvisa names it.
        timeout: Longest time of one exchange in s, beside what an upload takes; the board takes 50 ms for a short one.
        backoff: Waits between attempts to reopen a lost line, in s.
        quiet: Time without a byte after which the line counts as drained, in s: twice in each recovery.
        transport: Takes the place of the line that `resource` names.
        check: Called while a lost line is waited for; it raises if the run is to stop.

    Raises:
        InputError: An option is out of its range.

    Source:
        Red Pitaya documentation, 2.07, list of SCPI commands, and known issues of 2.04; sources of the SCPI server, of
        `rp-api` and of the logic (`red_pitaya_asg.v`, `red_pitaya_scope.v`) at github.com/RedPitaya.
    """

    EXPECT = r"(?i)^red ?pitaya,"
    SAFE = ("OUTPUT1:STATE OFF", "OUTPUT2:STATE OFF", "ACQ:STOP")
    TERMINATOR = b"\r\n"

    MODEL = Question("SYST:BRD:NAME?")

    def __init__(
        self,
        *,
        resource: str,
        jumpers: tuple[Jumper, Jumper] = ("LV", "LV"),
        volts_out: tuple[float, float] | None = None,
        trigger: Literal["AWG_PE", "EXT_PE"] = "AWG_PE",
        backend: str = "",
        timeout: float = 5.0,
        backoff: tuple[float, ...] = BACKOFF,
        quiet: float = QUIET,
        transport: Transport | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        if len(jumpers) != 2 or not set(jumpers) <= {"LV", "HV"}:
            raise InputError(f"jumpers of a Red Pitaya must be LV or HV for each of 2 inputs, got {jumpers}.")
        if volts_out is not None and not (len(volts_out) == 2 and all(0.01 <= volts <= 100.0 for volts in volts_out)):
            raise InputError(f"volts_out of a Red Pitaya must be 0.01 to 100 V for each of 2 outputs, got {volts_out}.")
        if trigger not in ("AWG_PE", "EXT_PE"):
            raise InputError(f"trigger of a Red Pitaya must be AWG_PE or EXT_PE, got {trigger!r}.")
        super().__init__(
            resource=resource, backend=backend, timeout=timeout, backoff=backoff, quiet=quiet, transport=transport,
            check=check,
        )  # fmt: skip
        self._generator = RedPitayaGenerator(self.session, volts_out=volts_out, timeout=timeout)
        self._digitiser = RedPitayaDigitiser(self.session, jumpers=jumpers, trigger=trigger)
        self._trigger = trigger

    @property
    def capabilities(self) -> SourceCapabilities:
        """What it can play."""
        return self._generator.capabilities

    @property
    def recording(self) -> DetectorCapabilities:
        """What it can record."""
        return self._digitiser.capabilities

    def open(self) -> None:
        """Open the line and find out who answers.

        Raises:
            InputError: Something else in this process owns it.
            TransportError: Nothing answers, or another instrument.
        """
        self._forget()
        super().open()

    def make_safe(self) -> None:
        """Switch both outputs off, end a record, and make sure of it.

        Raises:
            TransportError: That is not certain.
        """
        complete(self.session, *self.SAFE)
        for channel in (1, 2):
            RedPitayaGenerator.OUTPUT.confirm(self.session, False, channel=channel)
        self._generator.rest()
        self._digitiser.rest()

    def recover(self) -> Literal["cleared", "reopened"]:
        """Bring it back in step; both sides must be set up again afterwards.

        Raises:
            TransportError: It stays away.
            Stopped: The run is to stop.
        """
        self._forget()
        return super().recover()

    @overload
    def setup(self, setup: SourceSetup) -> SourceSetup: ...

    @overload
    def setup(self, setup: DetectorSetup) -> DetectorSetup: ...

    def setup(self, setup: SourceSetup | DetectorSetup) -> SourceSetup | DetectorSetup:
        """Set one side up with the outputs off, and read back what the board made of it.

        Raises:
            InputError: The setup is out of its range; nothing was sent.
            TransportError: It was refused, or the line failed.
        """
        if isinstance(setup, SourceSetup):
            self._generator.check(setup)
        else:
            self._digitiser.check(setup)
        self.make_safe()
        self._confirm_model()
        if isinstance(setup, SourceSetup):
            return self._generator.set(setup)
        return self._digitiser.set(setup)

    def load(self, waveform_NCT: NDArray[np.float64]) -> None:
        """Hand over the rows of a burst, in V into the load; takes a second or so.

        Raises:
            InputError: It was not set up as a source, or still plays. Nothing was sent.
            DriveError: A sample is not finite or beyond the peak, or there are too many. Nothing was sent.
            TransportError: It is not known whether they arrived, or they were refused.
        """
        self._generator.load(waveform_NCT)

    def arm(self, segments: int | None = None) -> None:
        """Drop what was recorded and wait for the trigger; then switch the outputs on, if there is a burst to play.

        It may be called for both roles. The second time it only makes sure.

        Args:
            segments: 1, or None for as many.

        Raises:
            InputError: It was not set up, output 1 is missing, or more than one segment is asked for. Nothing was sent.
            TransportError: It was refused, a trigger came at once, or the line failed.
        """
        source, detector = self._generator.setting, self._digitiser.setting
        if source is None and detector is None:
            raise InputError("a Red Pitaya must be set up first, again after it was recovered. Nothing was sent.")
        if source is not None:
            self._generator.check_loaded()
        if detector is not None:
            if self._trigger == "AWG_PE" and (source is None or 1 not in source.channels):
                raise InputError(
                    "output 1 must be one of the channels that play: it alone starts a record. Add it, or set trigger "
                    "to EXT_PE and connect DIO0_P. Nothing was sent."
                )
            if segments is not None or not self._digitiser.waits():
                self._digitiser.arm(segments)
        if source is not None:
            self._generator.arm()

    def fire(self) -> None:
        """Give the one trigger, to both outputs in the same clock.

        Raises:
            InputError: It is not armed. Nothing was sent.
            TransportError: It is not known whether it arrived.
        """
        self._generator.fire()

    def finish(self, deadline: Deadline) -> None:
        """Wait until the burst is over, zeros at its end included.

        Raises:
            InputError: It was not fired.
            TransportError: It was not over by the deadline (`timeout`; the session is sound), something was refused, or
                the line failed.
        """
        self._generator.finish(deadline)

    def wait(self, deadline: Deadline) -> int:
        """Wait for a whole record; return 1, or 0 when the deadline passed.

        Raises:
            InputError: It is not armed as a detector.
            TransportError: The line failed.
        """
        return self._digitiser.wait(deadline)

    def fetch(self) -> Capture:
        """Read the record since it was armed.

        Raises:
            InputError: It is not armed as a detector.
            TransportError: There is no whole record, or another one was begun (`garbled`; the session is sound), or the
                line failed.
        """
        return self._digitiser.fetch()

    def _forget(self) -> None:
        self._generator.forget()
        self._digitiser.forget()

    def _confirm_model(self) -> None:
        """The identity says nothing of the board, and clock and converters are that of the 125-14."""
        found = self.session.query(self.MODEL())
        if _MODEL not in found:
            raise TransportError(
                f"the board must be a STEMlab {_MODEL}, got {found!r}",
                kind="foreign",
                resource=self.resource,
                advice="Other boards have another clock, or other ranges.",
            )
