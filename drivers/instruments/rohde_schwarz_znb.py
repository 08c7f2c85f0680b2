"""Vector network analysers of the Rohde & Schwarz ZNB family.

Axis letters: N sweeps; F points.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Literal

import numpy as np

from physnet.errors import InputError, MeasurementError, TransportError

from ..roles import Sweeps, SweepSetup
from ..transport import QUIET, Deadline, Transport
from .command import Action, Question, switch
from .exchange import ask_whole, complete
from .instrument import BACKOFF, ScpiInstrument
from .rohde_schwarz_channel import SweepChannel

_OVERLOAD = 9.8e37  # below 9.9E37 and 9.91E37, by which an overload and a missing value are told
_LOOKS = 8  # at a counter that must have gone back to 0
_POLL = 0.01  # s between two looks at the counter


class RohdeSchwarzZNB(ScpiInstrument):
    """R&S ZNB and ZNBT: an analyser that sweeps once for each pulse at its external trigger input.

    Channel 1 gets a trace of its own and is set up as far as `SweepSetup` says. Nothing is preset: calibration and
    other traces stay. All channels are taken out of continuous sweeping, and only channel 1 is started. Evenly spaced
    frequencies are swept linearly, others in segments of one point.

    The analyser counts the sweeps that are complete since the start: this tells a capture from an older one. Nothing
    says that it waits for a trigger, so it counts as armed once that counter is back at 0. A trigger that comes while
    it sweeps is skipped, and the counter stays behind.

    RF power is on from `arm` until `make_safe`, so that nothing warms up or cools down between captures.

    Tried on simulated hardware only.

    Args:
        resource: VISA name, such as `TCPIP::192.0.2.13::INSTR` or `TCPIP::192.0.2.13::5025::SOCKET`.
        power_limit: Largest power in dBm that is ever set: what is connected must bear it.
        backend: VISA library, as pyvisa names it.
        timeout: Longest time of one exchange in s, beside what a block takes.
        backoff: Waits between attempts to reopen a lost line, in s.
        quiet: Time without a byte after which the line counts as drained, in s: twice in each recovery.
        transport: Takes the place of the line that `resource` names.
        check: Called while a lost line is waited for; it raises if the run is to stop.

    Raises:
        InputError: `power_limit` is out of its range.

    Source:
        R&S ZNB/ZNBT User Manual, 1173.9163.02: edition 38, triggered sequence p. 403, OUTPut p. 953; edition 55, trace
        data p. 782; edition 62, parameters and their answers p. 816, status registers p. 832. R&S, example of
        simultaneous measurement and readout, firmware 3.50. Drivers of R&S (segments of one point) and QCoDeS (power,
        bandwidths).
    """

    EXPECT = r"(?i)^rohde.schwarz, ?ZNB"
    SAFE = ("OUTP OFF", "INIT:CONT:ALL OFF", "ABOR")

    OUTPUT = switch("OUTP")
    ABORT = Action("ABOR")
    BEGIN = Action("INIT1:IMM")
    COUNTED = Question("CALC1:DATA:NSW:COUN?")
    DATA = Question("CALC1:DATA:NSW:FIRS? SDAT,1,{sweeps}")

    def __init__(
        self,
        *,
        resource: str,
        power_limit: float = 0.0,
        backend: str = "",
        timeout: float = 5.0,
        backoff: tuple[float, ...] = BACKOFF,
        quiet: float = QUIET,
        transport: Transport | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        low, high = SweepChannel.POWER.low, SweepChannel.POWER.high
        if not low <= power_limit <= high:
            raise InputError(f"power_limit of a ZNB must be {low:g} to {high:g} dBm, got {power_limit:g} dBm.")
        super().__init__(
            resource=resource, backend=backend, timeout=timeout, backoff=backoff, quiet=quiet, transport=transport,
            check=check,
        )  # fmt: skip
        self._channel = SweepChannel(self.session, timeout=timeout)
        self._power_limit = power_limit
        self._setup: SweepSetup | None = None
        self._sweep_time = math.nan
        self._armed = 0  # sweeps of the capture; 0 when there is none

    @property
    def sweep_time(self) -> float:
        """How long one sweep takes as it is set up, in s, as the analyser says.

        Raises:
            InputError: It was not set up.
        """
        self._is_set_up()
        return self._sweep_time

    def make_safe(self) -> None:
        """Switch RF power off, end what it sweeps, and make sure of it.

        Raises:
            TransportError: That is not certain.
        """
        self._armed = 0
        complete(self.session, *self.SAFE)
        self.OUTPUT.confirm(self.session, False)

    def recover(self) -> Literal["cleared", "reopened"]:
        """Bring it back in step; it must be set up again afterwards.

        Raises:
            TransportError: It stays away.
            Stopped: The run is to stop.
        """
        self._setup, self._armed = None, 0
        return super().recover()

    def setup(self, setup: SweepSetup) -> SweepSetup:
        """Set channel 1 up with RF power off, and read everything back.

        Raises:
            InputError: The setup is out of its range; nothing was sent.
            TransportError: It was refused, or the line failed.
        """
        self._channel.check(setup, power_limit=self._power_limit)
        self._setup = None
        self.make_safe()
        self._channel.set(setup)
        self.check_errors()
        self._sweep_time = self._channel.confirm(setup)
        self.check_errors()
        self._setup = setup
        return setup

    def arm(self, sweeps: int | None = None) -> None:
        """Drop what it swept before, switch RF power on, and wait for triggers.

        Args:
            sweeps: Sweeps of this capture, at most those of the setup; None for as many.

        Raises:
            InputError: It was not set up, or `sweeps` is out of its range. Nothing was sent.
            TransportError: It was refused, a trigger came at once, or the line failed.
        """
        setup, channel = self._is_set_up(), self._channel
        count = setup.sweeps if sweeps is None else sweeps
        if not 1 <= count <= setup.sweeps:
            raise InputError(f"sweeps must be 1 to {setup.sweeps}, as it was set up, got {count}. Nothing was sent.")
        self._armed = 0
        self.session.write(self.ABORT(), channel.SWEEPS(count), self.OUTPUT(True))
        channel.SWEEPS.confirm(self.session, count)
        channel.TRIGGER.confirm(self.session, "external")
        channel.CONTINUOUS.confirm(self.session, False)
        self.OUTPUT.confirm(self.session, True)
        self.session.write(self.BEGIN())
        self._wait_for_zero()
        self.check_errors()
        self._armed = count

    def wait(self, deadline: Deadline) -> int:
        """Wait until all sweeps are done; return how many it counted, fewer when the deadline passed.

        Raises:
            InputError: It is not armed.
            TransportError: The line failed.
        """
        count = self._is_armed()
        while (found := self._counted()) < count and not deadline.passed:
            time.sleep(min(_POLL, deadline.remaining))
        return found

    def fetch(self) -> Sweeps:
        """Read all sweeps since it was armed, in one block.

        Raises:
            InputError: It is not armed.
            TransportError: They are not all there (`garbled`; the session is sound), or the block is another one.
            MeasurementError: A value is missing, or a receiver was overloaded.
        """
        setup, count = self._is_set_up(), self._is_armed()
        if (found := self._counted()) != count:
            raise TransportError(
                f"{count} sweeps must have been counted since it was armed, got {found}",
                kind="garbled",
                resource=self.resource,
                advice="Triggers were missed or came in excess, or it was started anew. Nothing was read.",
            )
        points = len(setup.frequencies)
        part_X = self._channel.read(self.DATA(sweeps=count), 2 * count * points)  # real, imaginary, real, ...
        bad_X = ~(np.abs(part_X) < _OVERLOAD)
        if bad_X.any():
            raise MeasurementError(
                f"{self.resource}: {np.count_nonzero(bad_X)} of {part_X.size} numbers are missing or overloaded. Lower "
                "the power, or check what is connected."
            )
        values_NF = part_X.view("<c16").reshape(count, points).astype(np.complex128)
        return Sweeps(values_NF=values_NF, counted=found)

    def _wait_for_zero(self) -> None:
        """Look at the counter until the sweeps before the start are forgotten."""
        for _ in range(_LOOKS):
            if not (found := self._counted()):
                return
            time.sleep(_POLL)
        raise TransportError(
            f"the sweep counter must be 0 after the start, got {found}",
            kind="rejected",
            resource=self.resource,
            advice="Something else pulses its trigger input, or somebody uses its front panel.",
        )

    def _counted(self) -> int:
        return ask_whole(self.session, self.COUNTED(), 0, int(SweepChannel.SWEEPS.high))

    def _is_set_up(self) -> SweepSetup:
        if self._setup is None:
            raise InputError("an analyser must be set up first, again after it was recovered. Nothing was sent.")
        return self._setup

    def _is_armed(self) -> int:
        if not self._armed:
            raise InputError("an analyser must be armed before its sweeps are waited for. Nothing was sent.")
        return self._armed
