"""A transport that plays a script: what a driver must send, and what it gets. For tests of drivers, also of others'."""

from __future__ import annotations

from dataclasses import dataclass

from .buffered import BufferedTransport
from .transport import Deadline


@dataclass(frozen=True)
class Step:
    """One step of a script.

    Args:
        sent: What must be sent, all of it and nothing else. Empty: the answer comes on its own.
        answer: What comes back; beyond it the line is silent, and a read is a timeout at once.
    """

    sent: bytes
    answer: bytes = b""


class ScriptedTransport(BufferedTransport):
    """Plays a script, without waiting for anything.

    Args:
        steps: What must happen, in this order.
        stream: Whether it behaves as a stream; otherwise each answer is one message.
        resource: Name that messages show.

    Raises:
        AssertionError: On a send that is not the next step's, and by `assert_used_up`.
    """

    def __init__(self, *steps: Step, stream: bool = True, resource: str = "SCRIPT::INSTR") -> None:
        super().__init__(resource, stream=stream)
        self._steps = list(steps)
        self._coming = bytearray()

    def assert_used_up(self) -> None:
        """Check that every step was taken and every answer read."""
        if self._steps:
            raise AssertionError(f"{len(self._steps)} steps were not taken, the next one: {self._steps[0]}")
        if left := bytes(self._coming) or self.waiting():
            raise AssertionError(f"an answer was not read: {left!r}")

    def _connect(self, deadline: Deadline) -> None:
        self._coming.clear()

    def _disconnect(self) -> None:
        self._coming.clear()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        if not self._steps:
            raise AssertionError(f"the script is over, and {data!r} was sent")
        step = self._steps.pop(0)
        if data != step.sent:
            raise AssertionError(f"{step.sent!r} must be sent next, got {data!r}")
        self._coming += step.answer

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        if not self._coming and self._steps and not self._steps[0].sent:
            self._coming += self._steps.pop(0).answer
        if not self._coming:
            raise self.timeout("the answer")
        count = min(len(buffer), len(self._coming))
        buffer[:count] = self._coming[:count]
        del self._coming[:count]
        self._ended = not self._stream and not self._coming
        return count

    def _peek(self) -> bytes:
        return bytes(self._coming[:64])
