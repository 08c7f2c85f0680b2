"""The exceptions physnet raises, all of them.

::

    PhysnetError
    |-- InputError            what was asked for can't be done; nothing was touched     (exit code 2)
    |   |-- ExperimentError   an experiment file, or a value set on the command line
    |   |-- DataError         a data file
    |   |-- SpecError         a system's description of itself contradicts itself
    |   |-- DriveError        a drive that the system's spec does not allow
    |   |-- ResponseError     a response that the system's spec does not allow
    |   `-- SessionError      a run folder that can't be read, or can't be written to
    |-- FaultError            a run that had begun had to stop; its session is sound     (exit code 3)
    |   |-- MeasurementError  a system could not measure; carries the rows it did measure
    |   |-- StorageError      the disk is full, or went away
    |   `-- TransportError    an exchange with an instrument failed; says what was sent and what came
    `-- Stopped               Ctrl-C or SIGTERM                                          (exit code 130, 143)

Foreign exceptions (h5py, pyvisa, pyserial, pydantic) are chained behind one of these. A message says what was wrong,
what was expected, and the way out.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .contracts import Reading

TransportFault = Literal["refused", "timeout", "disconnected", "garbled", "foreign", "rejected"]
_KEPT = 4096  # bytes of an exchange that an error carries
_SHOWN = 60  # bytes of it that a message shows


class PhysnetError(Exception):
    """Root of every exception that physnet raises on purpose."""

    exit_code = 1


class InputError(PhysnetError, ValueError):
    """What was asked for can't be done, and nothing was touched."""

    exit_code = 2


class ExperimentError(InputError):
    """An experiment file, or a value set on the command line, is wrong."""


class DataError(InputError):
    """A data file is missing, damaged, or not what was expected."""


class SpecError(InputError):
    """A system's description of itself contradicts itself."""


class DriveError(InputError):
    """A drive has a shape or a value that the system's spec does not allow. It was not sent."""


class ResponseError(InputError):
    """A response has a shape or a value that the system's own spec does not allow. It was not used."""


class SessionError(InputError):
    """A run folder can't be read, or can't be written to."""


class FaultError(PhysnetError):
    """A run that had begun had to stop. What it recorded so far is in its session."""

    exit_code = 3


class MeasurementError(FaultError):
    """A system could not measure some rows.

    A driver raises it to hand over what it did measure before the fault: the port keeps those rows and presents the
    others again.

    Args:
        message: What went wrong, and what to check.
        reading: The rows measured before the fault: the first `len(reading)` rows of the drive that was asked for. None
            when there are none.
    """

    def __init__(self, message: str, *, reading: Reading | None = None) -> None:
        super().__init__(message)
        self.reading = reading


class StorageError(FaultError):
    """A session could not be written: the disk is full, or went away."""


class TransportError(FaultError):
    """An exchange with an instrument failed.

    Args:
        problem: What went wrong, without a full stop.
        kind: `refused`, it could not be opened; `timeout`, not done by its deadline; `disconnected`, the line went
            away; `garbled`, the answer is not what was asked for; `foreign`, another instrument answered; `rejected`,
            the instrument's error queue said no.
        resource: Name of the resource.
        sent: What was sent, as far as known.
        received: What came, as far as known.
        advice: The way out.
    """

    def __init__(
        self,
        problem: str,
        *,
        kind: TransportFault,
        resource: str,
        sent: bytes = b"",
        received: bytes = b"",
        advice: str = "",
    ) -> None:
        self.problem, self.kind, self.resource = problem, kind, resource
        self.sent, self.received, self.advice = sent[:_KEPT], received[:_KEPT], advice
        parts = [f"{resource}: {problem}."]
        if sent:
            parts.append(f"Sent {_shown(sent)}; came {_shown(received)}.")
        elif received:
            parts.append(f"Came {_shown(received)}.")
        super().__init__(" ".join([*parts, advice]).strip())

    def answering(self, sent: bytes) -> TransportError:
        """Return the same fault, told as what came of sending this."""
        return type(self)(
            self.problem,
            kind=self.kind,
            resource=self.resource,
            sent=self.sent or sent,
            received=self.received,
            advice=self.advice,
        )


def _shown(data: bytes) -> str:
    """Return the beginning of some bytes for people."""
    if not data:
        return "nothing"
    return repr(data) if len(data) <= _SHOWN else f"{data[:_SHOWN]!r}... ({len(data)} bytes or more)"


class Stopped(PhysnetError):
    """The run was stopped by Ctrl-C, SIGTERM or SIGHUP.

    Args:
        signal_number: The signal that asked for it, `signal.SIGINT`, `signal.SIGTERM` or `signal.SIGHUP`.
    """

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """128 plus the signal number, as shells report it: 130, 143 or 129."""
        return 128 + self.signal_number
