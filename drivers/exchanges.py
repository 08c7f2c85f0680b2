"""Exchanges with an instrument that are whole, or known not to be.

After any fault the next answer could be the previous one: nothing more is exchanged until somebody has shown that both
sides are in step again.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from physnet.errors import TransportError

from .scpi_options import ScpiOptions, check_command, printable
from .transport import Deadline, Transport


class Exchanges:
    """Sends messages and receives answers, one exchange at a time, each within one deadline.

    Args:
        transport: The line to the instrument.
        options: How it talks.
    """

    def __init__(self, transport: Transport, options: ScpiOptions) -> None:
        self._transport, self._options = transport, options
        self._lock = threading.Lock()
        self._dirty = False
        self._faults: Counter[str] = Counter()

    @property
    def resource(self) -> str:
        """Name of the resource."""
        return self._transport.resource

    @property
    def dirty(self) -> bool:
        """Whether what is on its way is unknown, so that `recover` must come first."""
        return self._dirty

    @property
    def faults(self) -> dict[str, int]:
        """How many faults there were, by kind."""
        return dict(self._faults)

    @contextmanager
    def _exchange(self, sent: bytes, seconds: float | None) -> Iterator[Deadline]:
        deadline = Deadline.after(self._options.timeout if seconds is None else seconds)
        if not self._lock.acquire(timeout=deadline.remaining):
            raise TransportError(
                "another thread's exchange was not over by the deadline", kind="timeout", resource=self.resource
            )
        try:
            if self._dirty:
                raise TransportError(
                    "an exchange before this one failed, so the next answer could be an old one",
                    kind="garbled",
                    resource=self.resource,
                    advice="Call `recover` first. Nothing was sent.",
                )
            self._dirty = True  # whatever interrupts the exchange, Ctrl-C included, leaves it so
            try:
                if stale := self._transport.waiting():
                    raise TransportError(
                        "an answer that nobody waits for was there; nothing was sent",
                        kind="garbled",
                        resource=self.resource,
                        received=stale,
                        advice="Call `recover`. Something else may be talking to it, or a command answers.",
                    )
                self._transport.write(sent, deadline)
                yield deadline
            except TransportError as error:
                self._count(error)
                raise error.answering(sent) from error
            self._dirty = False
        finally:
            self._lock.release()

    def _answer(self, deadline: Deadline) -> str:
        found = self._transport.read_until(self._options.terminator, self._options.answer_limit, deadline)
        try:
            answer = found.decode("ascii")
        except UnicodeDecodeError:
            answer = "\x00"
        if answer and not printable(answer):
            raise TransportError(
                "the answer is not printable ASCII",
                kind="garbled",
                resource=self.resource,
                received=found,
                advice=f"It may be a binary block, or end with something else than {self._options.terminator!r}.",
            )
        return answer

    def _message(self, *commands: str, query: str = "") -> bytes:
        lines = [check_command(text, query=False) for text in commands]
        return self._joined([*lines, check_command(query, query=True)] if query or not lines else lines)

    def _joined(self, lines: list[bytes]) -> bytes:
        """Put commands into one message: lines on a stream, a compound command where one message is one line."""
        end = self._options.terminator
        if self._transport.stream:
            return end.join(lines) + end
        rooted = [line if line.startswith((b"*", b":")) else b":" + line for line in lines[1:]]
        return b";".join([lines[0], *rooted]) + end

    def _count(self, error: BaseException) -> None:
        if isinstance(error, TransportError):
            self._faults[error.kind] += 1
