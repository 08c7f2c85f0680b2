"""What a driver talks through: bytes out, exact bytes in, each exchange within one total deadline."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Protocol, Self

from physnet.errors import InputError

QUIET = 0.1  # s without a byte after which a stream counts as drained


@dataclass(slots=True)
class Deadline:
    """A moment by which an exchange must be over, all its reads and writes together.

    Args:
        moment: On `time.monotonic`, in s.
    """

    moment: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline that is this many seconds away.

        Raises:
            InputError: `seconds` is not > 0 and finite.
        """
        if not 0 < seconds < math.inf:
            raise InputError(
                f"a timeout must be > 0 s and finite, got {seconds} s. Without one a dead line hangs a run."
            )
        return cls(time.monotonic() + seconds)

    @property
    def remaining(self) -> float:
        """Time left in s; 0 when it has passed."""
        return max(0.0, self.moment - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() >= self.moment

    def sooner(self, seconds: float) -> Deadline:
        """Return the earlier one of this deadline and one that is `seconds` away."""
        return Deadline(min(self.moment, time.monotonic() + seconds))


class Transport(Protocol):
    """A line to one instrument, with one owner.

    A *stream* (TCP socket, serial port) carries bytes and nothing else: only the content says where an answer ends. A
    transport of *messages* (USBTMC, HiSLIP, VXI-11, GPIB) marks the last byte of an answer.

    Every method raises `TransportError`. After one, what is still on its way is unknown: nothing may be asked before
    `clear`, and an answer afterwards must be verified. It is not safe for threads: a session locks it.
    """

    @property
    def resource(self) -> str:
        """Name of the resource, for messages and sessions."""
        ...

    @property
    def stream(self) -> bool:
        """Whether only the content says where an answer ends."""
        ...

    @property
    def opened(self) -> bool:
        """Whether it is open, as far as is known."""
        ...

    def open(self, deadline: Deadline) -> None:
        """Open it, with nothing left over from before.

        Raises:
            InputError: Something else in this process owns the resource.
            TransportError: It can't be reached, or something else owns it.
        """
        ...

    def close(self) -> None:
        """Close it and give it up; never raises, and may be called twice."""
        ...

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Send all of it; it counts as one message."""
        ...

    def read_exactly(self, count: int, deadline: Deadline) -> bytes:
        """Return exactly `count` bytes, of any value."""
        ...

    def read_into(self, buffer: memoryview, deadline: Deadline) -> None:
        """Fill a buffer of bytes exactly."""
        ...

    def read_until(self, terminator: bytes, limit: int, deadline: Deadline) -> bytes:
        """Return a whole answer in text, at most `limit` bytes, without its terminator.

        Raises:
            TransportError: As ever; or more than `limit` bytes came, or something after the terminator.
        """
        ...

    def read_end(self, terminator: bytes, deadline: Deadline) -> None:
        """Check that the answer ends here: the terminator and nothing after it.

        The terminator may be missing where the transport marks the end itself.
        """
        ...

    def waiting(self) -> bytes:
        """Return what has come already and was not read, or its beginning. It stays there. Empty where unknown."""
        ...

    def clear(self, deadline: Deadline, *, quiet: float = QUIET) -> int:
        """Drop what is on its way: a device clear, or reading until nothing came for `quiet` s.

        Returns:
            How many bytes were dropped, as far as is known.
        """
        ...
