"""Requests and answers over a byte stream: credits, sequence numbers, deadlines, and a count of all that went wrong.

An answer is believed only if it carries the sequence number of a request that is still waiting and the kind that was
asked for. A number is used once, so that an answer to anything else (late, twice, from a program that ran before) can't
be taken for it. A serial line keeps the order: an answer that comes after that of a later request is dropped as well.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from physnet.errors import InputError, MeasurementError

from .frames import VERSION, Frame, FrameDecoder, encode_frame
from .messages import ERROR, IDEMPOTENT, OVERFLOW, REFUSALS, REPLY, STALE, BoardIdentity, BoardStatus, Kind
from .stream import ByteStream

_NUMBERS = 2**32
_READ = 65536
_ATTEMPTS = 4
_REMEMBERED = 1024  # sequence numbers that are kept to tell what an unexpected answer is
_SMALLEST = 4096  # bytes of an answer that are believed before the board said how long its frames are


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request.

    Args:
        payload: The answer; None when there is none.
        refusal: The board's reason for refusing it, a key of `REFUSALS`; 0 when it did not.
        sent: It may have reached the board.
    """

    payload: bytes | None = None
    refusal: int = 0
    sent: bool = False


class BoardLink:
    """The only user of a board's byte stream.

    Args:
        stream: Bytes to and from the board. The link closes it.
        name: How messages call the board.
        timeout: Longest wait for one answer beside what the board itself was asked to wait, in s.
        seconds_per_byte: Time that a byte takes on the line, in s.
        first: First sequence number; random when None, so that a program that ran before shares none.
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        name: str = "board",
        timeout: float = 1.0,
        seconds_per_byte: float = 0.0,
        first: int | None = None,
    ) -> None:
        self.settle = 0.0
        """What the board waits in every row, in s: deadlines grow by it."""
        self.faults: Counter[str] = Counter()
        """What went wrong, by kind; the decoder's own counts are under `dropped`."""
        self.lost = ""
        """Why the stream is gone; empty while it is there."""
        self._stream = stream
        self._name = name
        self._timeout = timeout
        self._per_byte = seconds_per_byte
        self._number = secrets.randbits(32) if first is None else first
        self._credits = 1
        self._decoder = FrameDecoder(_SMALLEST)
        self._waiting: OrderedDict[int, Kind] = OrderedDict()
        self._over: OrderedDict[int, str] = OrderedDict()
        self._other_version = 0

    @property
    def dropped(self) -> Counter[str]:
        """Frames that were damaged on the way here, by kind."""
        return self._decoder.dropped

    def identify(self, *, timeout: float) -> BoardIdentity:
        """Introduce the host: the board makes its outputs safe and says what it is.

        Raises:
            InputError: The board speaks another version of the protocol.
            MeasurementError: No board answered.
        """
        self._credits = 1
        payload = self.exchange(Kind.IDENTIFY, timeout=timeout)
        identity = BoardIdentity.parse(payload)
        self._check_version(identity.protocol)
        self._credits = identity.credits
        return identity

    def status(self) -> BoardStatus:
        """Ask the board for its state and its counts."""
        return BoardStatus.parse(self.exchange(Kind.STATUS))

    def exchange(self, kind: Kind, payload: bytes = b"", *, timeout: float | None = None) -> bytes:
        """Ask once and return the answer; a request that changes nothing is sent again when its answer is lost.

        Raises:
            MeasurementError: No answer came in time, the board refused, or the line is gone.
        """
        self._forget()
        (sequence,) = self._allot(1)
        attempts = _ATTEMPTS if kind in IDEMPOTENT else 1
        begun = time.monotonic()
        patience = self._patience(len(payload)) if timeout is None else timeout
        try:
            for attempt in range(attempts):
                until = begun + patience * (attempt + 1) / attempts
                self.faults["resent"] += attempt > 0
                self._send([Frame(kind, sequence, payload)], until)
                while self._waiting and time.monotonic() < until:
                    for answer in self._receive(until):
                        return self._accepted(kind, answer)
                    if kind is Kind.IDENTIFY and self._other_version:
                        self._check_version(self._other_version)
        except OSError as error:
            raise self._gone(error) from error
        self._end(sequence, "late")
        self.faults["timeout"] += 1
        raise MeasurementError(
            f"{self._name} must answer {kind.name} within {patience:g} s, got nothing. Check its cable and its power; "
            "raise the timeout if it is only slow."
        )

    def exchange_many(self, kind: Kind, payloads: Sequence[bytes]) -> list[Outcome]:
        """Send requests as credits allow and return what became of each, in their order. None is sent twice.

        It ends early, with the rest not sent, when the line is gone (`lost` says why), when the board stops answering,
        or when it refuses for a reason that all the others would meet.
        """
        self._forget()
        outcomes = [Outcome()] * len(payloads)
        if not payloads:
            return outcomes
        numbers = self._allot(len(payloads))
        place = {number: index for index, number in enumerate(numbers)}
        patience = self._patience(len(payloads[0]))
        sent, going = 0, True
        until = time.monotonic() + patience
        try:
            while (going and sent < len(payloads)) or self._waiting:
                room = self._credits - len(self._waiting)
                if going and room > 0 and sent < len(payloads):
                    burst = range(sent, min(sent + room, len(payloads)))
                    for index in burst:
                        outcomes[index] = Outcome(sent=True)
                    sent = burst.stop
                    self._send([Frame(kind, numbers[index], payloads[index]) for index in burst], until)
                answers = self._receive(until)
                for answer in answers:
                    outcome = self._outcome(answer)
                    outcomes[place[answer.sequence]] = outcome
                    going = going and outcome.refusal in (0, STALE, OVERFLOW)
                if answers:
                    until = time.monotonic() + patience
                elif time.monotonic() >= until:
                    self.faults["timeout"] += len(self._waiting)
                    self._forget("late")
                    if not (going and sent < len(payloads)):
                        break
                    # The board answers in order: once it tells its status, every credit is back.
                    self.status()
                    until = time.monotonic() + patience
        except OSError as error:
            self._gone(error)
        except MeasurementError:
            self.faults["silent"] += 1
        return outcomes

    def close(self) -> None:
        """Give the stream back; closing twice does nothing."""
        self.lost = self.lost or "it was closed"
        self._stream.close()

    def _patience(self, payload: int) -> float:
        line = self._per_byte * 2 * (payload + 64)
        return self._timeout + self._credits * (self.settle + line)

    def _allot(self, count: int) -> list[int]:
        numbers = [(self._number + index) % _NUMBERS for index in range(count)]
        self._number = (self._number + count) % _NUMBERS
        return numbers

    def _send(self, frames: list[Frame], deadline: float) -> None:
        if self.lost:
            raise ConnectionError(self.lost)
        for frame in frames:
            self._waiting[frame.sequence] = Kind(frame.kind)
        # A delimiter first: it ends whatever an interrupted write left on the line.
        self._stream.write(b"\0" + b"".join(map(encode_frame, frames)), deadline)

    def _receive(self, deadline: float) -> list[Frame]:
        """Return the awaited answers among what comes next; none when the deadline passed."""
        found = []
        for frame in self._decoder.feed(self._stream.read(_READ, deadline)):
            if frame.version != VERSION:
                self.faults["version"] += 1
                self._other_version = frame.version
            elif frame.sequence not in self._waiting:
                self.faults[self._over.get(frame.sequence, "stale")] += 1
            elif not _answers(frame, self._waiting[frame.sequence]):
                self.faults["kind"] += 1
            else:
                while (first := next(iter(self._waiting))) != frame.sequence:
                    self.faults["missing"] += 1
                    self._end(first, "reordered")
                self._end(frame.sequence, "duplicate")
                found.append(frame)
        return found

    def _end(self, sequence: int, then: str) -> None:
        """Stop waiting for a number; a further answer to it will be counted under `then`."""
        self._waiting.pop(sequence, None)
        self._over[sequence] = then
        if len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)

    def _forget(self, then: str = "stale") -> None:
        for sequence in list(self._waiting):
            self._end(sequence, then)

    def _outcome(self, answer: Frame) -> Outcome:
        if answer.kind != ERROR:
            return Outcome(payload=answer.payload, sent=True)
        self.faults["refused"] += 1
        return Outcome(refusal=answer.payload[0], sent=True)

    def _accepted(self, kind: Kind, answer: Frame) -> bytes:
        outcome = self._outcome(answer)
        if outcome.payload is None:
            reason = REFUSALS.get(outcome.refusal, f"for a reason unknown here ({outcome.refusal})")
            raise MeasurementError(f"{self._name} refused {kind.name}: {reason}.")
        return outcome.payload

    def _check_version(self, version: int) -> None:
        if version != VERSION:
            raise InputError(
                f"{self._name} must speak version {VERSION} of the protocol, got version {version}. Load the firmware "
                "that comes with this physnet, or install the physnet that goes with the board."
            )

    def _gone(self, error: OSError) -> MeasurementError:
        self.faults["lost"] += not self.lost
        self.lost = self.lost or str(error) or type(error).__name__
        self._stream.close()
        return MeasurementError(f"the line to {self._name} is gone: {self.lost}. Check its cable and its power.")


def _answers(frame: Frame, kind: Kind) -> bool:
    if frame.kind == ERROR:
        return len(frame.payload) == 3 and frame.payload[0] > 0 and frame.payload[2] == kind
    return frame.kind == kind | REPLY
