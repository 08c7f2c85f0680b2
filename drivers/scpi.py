"""A session with an instrument that speaks SCPI: what is asked of it, who it is, and how it is brought back in step.

After any fault the session is *dirty*, and refuses to go on until `recover` has shown that instrument and session are
in step again. Nothing is ever sent twice on its own account.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from physnet.errors import MeasurementError, TransportError

from .answers import QueuedError, name_code, parse_number, parse_numbers, parse_queued_error
from .blocks import block_dtype, encode_block, read_block
from .exchanges import Exchanges
from .scpi_options import ScpiOptions, check_command
from .transport import Deadline, Transport

_POLL = 0.05  # s between two looks at whether a stop was asked for


class ScpiSession(Exchanges):
    """The one session with an instrument.

    Threads may share it: each exchange is made under a lock. `open` finds out who answers, and drops what an earlier
    program left behind.

    Args:
        transport: The line to it. The session owns it.
        options: How it talks.
        check: Called while `recover` waits; it raises if the run is to stop, such as `StopRequest().check`.
    """

    def __init__(
        self, transport: Transport, options: ScpiOptions | None = None, *, check: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(transport, options or ScpiOptions())
        self._check = check
        self._identity = ""
        self._reopened = 0

    @property
    def identity(self) -> str:
        """Answer to `*IDN?`; empty before the session was opened."""
        return self._identity

    @property
    def reopened(self) -> int:
        """How often `recover` had to reopen it. An instrument that was off has forgotten how it was set up."""
        return self._reopened

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the line and find out who answers.

        Raises:
            InputError: Something else in this process owns the resource.
            TransportError: Nothing answers, or not what `expect` asks for.
        """
        with self._lock:
            self._transport.open(Deadline.after(self._options.timeout))
            try:
                self._identity = self._verified()
            except BaseException as error:
                self._transport.close()
                self._count(error)
                raise
            self._dirty = False

    def close(self) -> None:
        """Close the line; never raises."""
        self._transport.close()

    def write(self, *commands: str, timeout: float | None = None) -> None:
        """Send commands that have no answer, in one send.

        Raises:
            InputError: One can't be sent, or asks. Nothing was sent.
            TransportError: It is not known whether they arrived.
        """
        with self._exchange(self._message(*commands), timeout):
            pass

    def query(self, text: str, *, before: Sequence[str] = (), timeout: float | None = None) -> str:
        """Send commands and then a query, in one send, and return the answer without its terminator.

        Args:
            text: The query.
            before: Commands to send with it.
            timeout: Longest time of it all in s; that of the options unless told otherwise.

        Raises:
            InputError: Something can't be sent. Nothing was sent.
            TransportError: There is no answer, or no sound one.
        """
        with self._exchange(self._message(*before, query=text), timeout) as deadline:
            return self._answer(deadline)

    def query_numbers(
        self, text: str, count: int, *, before: Sequence[str] = (), timeout: float | None = None
    ) -> NDArray[np.float64]:
        """Ask for exactly `count` numbers in text, separated by commas.

        Returns:
            Shape `(count,)`. The code 9.91E37 (no number) is NaN; 9.9E37 and -9.9E37 (overloads) are infinities.

        Raises:
            TransportError: As `query`, or it is not `count` numbers.
        """
        with self._exchange(self._message(*before, query=text), timeout) as deadline:
            return parse_numbers(self._answer(deadline), count, resource=self.resource)

    def query_number(self, text: str, *, before: Sequence[str] = (), timeout: float | None = None) -> float:
        """Ask for one finite number.

        Raises:
            MeasurementError: The instrument measured none, and says so. The session is sound.
            TransportError: As `query`, or it is no number.
        """
        with self._exchange(self._message(*before, query=text), timeout) as deadline:
            value = parse_number(self._answer(deadline), resource=self.resource)
        if not np.isfinite(value):
            raise MeasurementError(
                f"{self.resource}: {text} answered {name_code(value)}. Check the signal, and the instrument's range."
            )
        return value

    def query_block(
        self,
        text: str,
        dtype: DTypeLike,
        count: int,
        *,
        before: Sequence[str] = (),
        timeout: float | None = None,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """Ask for a binary block of exactly `count` numbers.

        Args:
            text: The query.
            dtype: Type of its elements with the byte order set on the instrument, such as `">f4"`.
            count: How many there must be.
            before: Commands to send with it.
            timeout: Longest time of it all in s.
            out: Where the numbers go, such as a row of a batch: `count` of them, of this dtype, contiguous. After an
                error what it holds means nothing.

        Returns:
            Shape `(count,)`, an array of its own; `out` where it was given.

        Raises:
            InputError: Something can't be sent, `dtype` is no type of numbers, or `out` does not fit. Nothing was sent.
            TransportError: As `query`, or the block is not the declared one.
        """
        kind = block_dtype(dtype, count, out)
        with self._exchange(self._message(*before, query=text), timeout) as deadline:
            end = self._options.terminator
            return read_block(self._transport, kind, count, terminator=end, deadline=deadline, out=out)

    def write_block(self, text: str, values: NDArray[Any], *, query: str = "", timeout: float | None = None) -> str:
        """Send a command that ends in a binary block, and a query behind it if there is one, in one send.

        Args:
            text: The command up to the block, such as `"DATA:ARB ramp,"`.
            values: The numbers, in the byte order that the instrument takes.
            query: What to ask behind it, such as `"*OPC?"`. Empty: nothing.
            timeout: Longest time of it all in s.

        Returns:
            The answer to `query`; empty without one.

        Raises:
            InputError: It can't be sent. Nothing was sent.
            TransportError: It is not known whether it arrived.
        """
        start = check_command(text, query=False)
        message = self._joined([start + encode_block(values), *([check_command(query, query=True)] if query else [])])
        with self._exchange(message, timeout) as deadline:
            return self._answer(deadline) if query else ""

    def check_errors(self) -> None:
        """Read the error queue until it is empty. Once a batch is enough.

        Raises:
            TransportError: It held errors (`rejected`; the session is sound), or could not be read.
        """
        found: list[QueuedError] = []
        message = self._message(query=self._options.error_query)
        for _ in range(self._options.errors_at_most):
            with self._exchange(message, None) as deadline:
                entry = parse_queued_error(self._answer(deadline), resource=self.resource)
            if not entry.code:
                break
            found.append(entry)
        if found:
            more = " and perhaps more" if len(found) == self._options.errors_at_most else ""
            shown = "; ".join(f"{entry.code} {entry.text}" for entry in found[:8])
            error = TransportError(
                f"the instrument reports {len(found)} errors{more}: {shown}",
                kind="rejected",
                resource=self.resource,
                advice="A command of this batch was not carried out: its manual says what the numbers mean.",
            )
            self._count(error)
            raise error

    def recover(self) -> Literal["cleared", "reopened"]:
        """Bring instrument and session back in step, and prove it.

        First by a device clear (on a stream: by reading until it is quiet), then by closing and reopening with the
        waits of `backoff`. In step means: the answer to `*IDN?` is the identity found at first, and nothing follows it.
        No command of the failed exchange is sent again: only its author knows whether it may be.

        Returns:
            `cleared`, or `reopened`: then the commands of `safe` were sent, and all settings may be lost.

        Raises:
            TransportError: All attempts failed; the line is closed. It may be called again.
            Stopped: The run is to stop, as `check` says.
        """
        with self._lock:
            self._dirty = True
            last: TransportError | None = None
            for attempt, wait in enumerate((0.0, 0.0, *self._options.backoff)):
                self._pause(wait)
                try:
                    if attempt == 0 and not self._transport.opened:
                        continue
                    if attempt:
                        self._reopen()
                    else:
                        self._identity = self._verified()
                except TransportError as error:
                    self._count(error)
                    last = error
                    continue
                self._dirty = False
                self._reopened += bool(attempt)
                return "reopened" if attempt else "cleared"
            self._transport.close()
            assert last is not None
            raise TransportError(
                f"it could not be recovered in {len(self._options.backoff) + 1} attempts; the last one: {last.problem}",
                kind=last.kind,
                resource=self.resource,
                sent=last.sent,
                received=last.received,
                advice=last.advice or "Check power, cable and address, then recover again.",
            ) from last

    def _reopen(self) -> None:
        deadline = Deadline.after(self._options.timeout)
        self._transport.close()
        self._transport.open(deadline)
        self._identity = self._verified()
        if self._options.safe:
            self._transport.write(self._message(*self._options.safe), Deadline.after(self._options.timeout))

    def _verified(self) -> str:
        """Drop what is on its way, and return who answers once that is the right one and says nothing more."""
        # Waiting until it is quiet, before and after, takes nothing of the answer's time.
        deadline = Deadline.after(self._options.timeout + 2 * self._options.quiet)
        self._transport.clear(deadline, quiet=self._options.quiet)
        sent = self._message("*CLS", query="*IDN?")
        try:
            self._transport.write(sent, deadline)
            found = self._answer(deadline)
            wanted = self._identity or self._options.expect
            if not found or (found != self._identity if self._identity else not re.search(wanted, found)):
                raise TransportError(
                    f"its identity must be {wanted!r}" if wanted else "its identity must not be empty",
                    kind="foreign",
                    resource=self.resource,
                    received=found.encode(),
                    advice="Another instrument is at this address, or an old answer came late.",
                )
            if self._transport.stream and self._transport.clear(deadline, quiet=self._options.quiet):
                raise TransportError("more came after its identity", kind="garbled", resource=self.resource)
        except TransportError as error:
            raise error.answering(sent) from error
        return found

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._check()
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _POLL))
            self._check()
