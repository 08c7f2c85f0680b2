"""What all transports share: one owner, one buffer, exact reads to a deadline."""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod

from physnet.errors import InputError, TransportError, TransportFault

from .transport import QUIET, Deadline

_CAPACITY = 1 << 14  # bytes; an answer to be read into an array goes past the buffer once this is empty

_owners: dict[str, BufferedTransport] = {}
_owners_lock = threading.Lock()


class BufferedTransport(ABC):
    """Shared part of the transports; a child connects, sends and receives.

    Args:
        resource: Name of the resource.
        stream: Whether only the content says where an answer ends.
    """

    def __init__(self, resource: str, *, stream: bool) -> None:
        self._resource, self._stream = resource, stream
        self._key = re.sub(r"^([a-z]+)0::", r"\1::", resource.casefold())  # board 0 may be left out of a name
        self._buffer = memoryview(bytearray(_CAPACITY))
        self._start = self._stop = 0
        self._ended = False  # the last byte received ended a message
        self._open = False

    @property
    def resource(self) -> str:
        """Name of the resource, for messages and sessions."""
        return self._resource

    @property
    def stream(self) -> bool:
        """Whether only the content says where an answer ends."""
        return self._stream

    @property
    def opened(self) -> bool:
        """Whether it is open, as far as is known."""
        return self._open

    def open(self, deadline: Deadline) -> None:
        """Open it, with nothing left over from before."""
        if self._open:
            raise InputError(f"{self._resource} is open already. Close it first.")
        with _owners_lock:
            if _owners.setdefault(self._key, self) is not self:
                raise InputError(
                    f"{self._resource} is already open in this process. An instrument has one owner: share the "
                    "session, or close it first."
                )
        self._forget()
        try:
            self._connect(deadline)
        except BaseException:
            self.close()
            raise
        self._open = True

    def close(self) -> None:
        """Close it and give it up; never raises, and may be called twice."""
        try:
            self._disconnect()
        finally:
            self._open = False
            self._forget()
            with _owners_lock:
                if _owners.get(self._key) is self:
                    del _owners[self._key]

    def write(self, data: bytes, deadline: Deadline) -> None:
        """Send all of it; it counts as one message."""
        self._needs_open()
        self._send(data, deadline)

    def read_exactly(self, count: int, deadline: Deadline) -> bytes:
        """Return exactly `count` bytes, of any value."""
        if self._stop - self._start >= count:
            found = bytes(self._buffer[self._start : self._start + count])
            self._start += count
            return found
        data = bytearray(count)
        with memoryview(data) as view:
            self.read_into(view, deadline)
        return bytes(data)

    def read_into(self, buffer: memoryview, deadline: Deadline) -> None:
        """Fill a buffer of bytes exactly."""
        self._needs_open()
        wanted, done = len(buffer), 0
        while done < wanted:
            ready = self._stop - self._start
            if ready:
                taken = min(ready, wanted - done)
                buffer[done : done + taken] = self._buffer[self._start : self._start + taken]
                self._start += taken
                done += taken
                continue
            try:
                if self._ended:
                    raise self.fault("garbled", f"the answer ended after {done} of {wanted} bytes")
                if wanted - done >= _CAPACITY:
                    done += self._receive_long(buffer[done:], deadline)
                else:
                    self._fill(wanted - done, deadline)
            except TransportError as error:
                raise self.fault(
                    error.kind, f"{error.problem}, {done} of {wanted} bytes read", bytes(buffer[:done]), error.advice
                ) from error

    def read_until(self, terminator: bytes, limit: int, deadline: Deadline) -> bytes:
        """Return a whole answer in text, at most `limit` bytes, without its terminator."""
        self._needs_open()
        answer = bytearray()
        while True:
            if self._start == self._stop:
                if self._ended:
                    self._ended = False
                    return bytes(answer)
                try:
                    self._fill(1, deadline)
                except TransportError as error:
                    raise self.fault(error.kind, error.problem, bytes(answer), error.advice) from error
            searched = max(0, len(answer) - len(terminator) + 1)
            answer += self._buffer[self._start : self._stop]
            self._start = self._stop
            found = answer.find(terminator, searched)
            if found >= 0 and (self._stream or self._ended):
                self._no_more(bytes(answer[found + len(terminator) :]))
                self._ended = False
                if found <= limit:
                    return bytes(answer[:found])
            if len(answer) > limit + len(terminator):
                raise self.fault(
                    "garbled",
                    f"no end of the answer within {limit} bytes",
                    bytes(answer),
                    f"It must end with {terminator!r}: set the instrument's terminator, or the session's.",
                )

    def read_end(self, terminator: bytes, deadline: Deadline) -> None:
        """Check that the answer ends here: the terminator and nothing after it."""
        if self._ended and self._start == self._stop:
            self._ended = False
            return
        found = self.read_exactly(len(terminator), deadline)
        if found != terminator:
            raise self.fault(
                "garbled",
                f"the answer must end with {terminator!r} here",
                found,
                "It is longer than it says, or the terminators of instrument and session differ.",
            )
        self._no_more(bytes(self._buffer[self._start : self._stop]))
        if not self._stream and not self._ended:
            raise self.fault("garbled", "the message goes on after its terminator")
        self._ended = False

    def waiting(self) -> bytes:
        """Return what has come already and was not read, or its beginning. It stays there. Empty where unknown."""
        return bytes(self._buffer[self._start : self._stop]) or self._peek()

    def clear(self, deadline: Deadline, *, quiet: float = QUIET) -> int:
        """Drop what is on its way: a device clear, or reading until nothing came for `quiet` s."""
        self._needs_open()
        dropped = self._stop - self._start
        self._forget()
        self._clear_device(deadline)
        while self._stream:
            try:
                dropped += self._receive(self._buffer, 1, deadline.sooner(quiet))
            except TransportError as error:
                if error.kind != "timeout":
                    raise
                if not deadline.passed:
                    break
            if deadline.passed:
                raise self.fault("garbled", f"it never fell silent, {dropped} bytes were dropped")
        return dropped

    def fault(self, kind: TransportFault, problem: str, received: bytes = b"", advice: str = "") -> TransportError:
        """Return an error of this resource."""
        return TransportError(problem, kind=kind, resource=self._resource, received=received, advice=advice)

    def timeout(self, doing: str) -> TransportError:
        """Return the error of a deadline that passed."""
        advice = "Look whether it is on and not waiting for a trigger, or allow it more time."
        return self.fault("timeout", f"{doing} was not over by the deadline", advice=advice)

    def disconnected(self, reason: object) -> TransportError:
        """Return the error of a line that went away, which is closed."""
        self._disconnect()
        self._open = False
        return self.fault("disconnected", f"the line went away ({reason})", advice="Check power and cable.")

    def _needs_open(self) -> None:
        if not self._open:
            raise self.fault("disconnected", "it is not open", advice="Open it, or recover the session.")

    def _no_more(self, rest: bytes) -> None:
        if rest:
            raise self.fault("garbled", "bytes came after the end of the answer", rest)

    def _fill(self, need: int, deadline: Deadline) -> None:
        count = self._receive(self._buffer, min(need, _CAPACITY), deadline)
        self._start, self._stop = 0, count

    def _forget(self) -> None:
        self._start = self._stop = 0
        self._ended = False

    @abstractmethod
    def _connect(self, deadline: Deadline) -> None:
        """Connect, or raise `TransportError`."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Disconnect; never raise, and take a second call."""

    @abstractmethod
    def _send(self, data: bytes, deadline: Deadline) -> None:
        """Send all of it."""

    @abstractmethod
    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        """Receive at least one byte to the beginning of a buffer, and return how many.

        A child that can only wait for a fixed number must not wait for more than `need` bytes. One that carries
        messages sets `_ended` with the last byte of one.
        """

    def _receive_long(self, buffer: memoryview, deadline: Deadline) -> int:
        """Receive into a caller's buffer, all of which is needed. What comes behind it may go to the own buffer."""
        return self._receive(buffer, len(buffer), deadline)

    def _peek(self) -> bytes:
        return b""

    def _clear_device(self, deadline: Deadline) -> None:  # noqa: B027  # most have nothing to clear
        """Clear the device's own buffers, where there is a way."""
