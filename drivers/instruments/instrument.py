"""What all SCPI instruments share: one line, one identity, safe commands, and counts of what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import ClassVar, Literal, Self

from ..resources import transport_for
from ..scpi import ScpiSession
from ..scpi_options import ScpiOptions
from ..transport import QUIET, Transport

SIMULATED = "SIMULATED"
"""In the serial number that a simulated instrument answers to `*IDN?`, so that nobody takes it for a real one."""
BACKOFF = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between attempts to reopen a line, in s."""


class ScpiInstrument:
    """An instrument on one line.

    `open` finds out who answers, and sends nothing else but `*CLS`. `make_safe` is what a bench calls next, and
    whenever anything went wrong.

    Args:
        resource: VISA name.
        backend: VISA library, as pyvisa names it.
        timeout: Longest time of one exchange in s.
        backoff: Waits between attempts to reopen a lost line, in s.
        quiet: Time without a byte after which the line counts as drained, in s: twice in each recovery.
        transport: Takes the place of the line that `resource` names.
        check: Called while a lost line is waited for; it raises if the run is to stop.
    """

    EXPECT: ClassVar[str]
    """Regular expression that is found in the identity of every unit of this kind."""
    SAFE: ClassVar[tuple[str, ...]] = ()
    """Commands that make its outputs safe, in this order; none for an instrument that only listens."""
    ERRORS: ClassVar[str] = "SYST:ERR?"
    TERMINATOR: ClassVar[bytes] = b"\n"
    """What ends a line, in both directions."""

    def __init__(
        self,
        *,
        resource: str,
        backend: str = "",
        timeout: float = 5.0,
        backoff: tuple[float, ...] = BACKOFF,
        quiet: float = QUIET,
        transport: Transport | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.session = ScpiSession(
            transport or transport_for(resource, backend=backend),
            ScpiOptions(
                timeout=timeout,
                terminator=self.TERMINATOR,
                backoff=backoff,
                quiet=quiet,
                expect=self.EXPECT,
                safe=self.SAFE,
                error_query=self.ERRORS,
            ),
            check=check,
        )

    @property
    def resource(self) -> str:
        """Name of its line."""
        return self.session.resource

    @property
    def identity(self) -> str:
        """Answer to `*IDN?`; empty before it was opened."""
        return self.session.identity

    @property
    def simulated(self) -> bool:
        """Whether it says of itself that it is none."""
        return SIMULATED in self.identity

    @property
    def faults(self) -> Mapping[str, int]:
        """How many faults of its line there were, by kind."""
        return self.session.faults

    def open(self) -> None:
        """Open the line and find out who answers.

        Raises:
            InputError: Something else in this process owns it.
            TransportError: Nothing answers, or another instrument.
        """
        self.session.open()

    def close(self) -> None:
        """Close the line; never raises."""
        self.session.close()

    def make_safe(self) -> None:
        """Send the safe commands, and make sure that the instrument carried them out.

        Raises:
            TransportError: That is not certain.
        """
        if self.SAFE:
            self.session.query("*OPC?", before=self.SAFE)

    def recover(self) -> Literal["cleared", "reopened"]:
        """Bring instrument and session back in step; after `reopened` the safe commands were sent.

        Raises:
            TransportError: It stays away.
            Stopped: The run is to stop.
        """
        return self.session.recover()

    def check_errors(self) -> None:
        """Read the error queue until it is empty.

        Raises:
            TransportError: It held errors.
        """
        self.session.check_errors()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
