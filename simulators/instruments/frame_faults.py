"""Faults between a host and a board: frames that are lost, late, damaged, turned round or repeated.

An exchange is a request. Which fault it meets is the plan's; what that does to a frame is here:

| fault | request | answer |
|---|---|---|
| `lost` | never comes | |
| `corrupted` | a bit is flipped, or | a bit is flipped |
| `reordered` | | comes after the next one |
| `stall` | | never comes |
| `delay`, `dribble` | | comes late, or byte by byte |
| `garbage` | | random bytes before it |
| `extra` | | comes twice |
| `stale` | | the one before comes instead |
| `dropped`, `refused` | | the line is gone, for `refuse_for` with `refused` |
"""

from __future__ import annotations

from collections.abc import Callable

from .faults import FaultKind, FaultPlan
from .serial_line import Line

BOARD_FAULTS = frozenset(FaultKind) - {
    FaultKind.QUEUED_ERROR,
    FaultKind.TRUNCATED,
    FaultKind.WRONG_LENGTH,
    FaultKind.OVERLOAD,
    FaultKind.MISSED_TRIGGER,
}
"""What can happen to an exchange with a board."""

_LONGEST = 60  # bytes of garbage
_KEPT = 2048  # bytes of a request that has not ended: more than any frame has


class FrameFaults:
    """Stands between a line and a board.

    Args:
        line: The line.
        plan: What goes wrong, and when; None for nothing.
        wait: Waits for a time in s.
    """

    def __init__(self, line: Line, plan: FaultPlan | None, wait: Callable[[float], object]) -> None:
        self._line, self._plan, self._wait = line, plan, wait
        self.exchanges = 0
        """Requests so far."""
        self._rest = b""
        self._due: list[tuple[FaultKind, int]] = []  # faults of the answers to come, and their exchange
        self._held = b""
        self._before = b""

    def receive(self, data: bytes) -> bytes:
        """Take what the line gave and return what reaches the board."""
        if self._plan is None or not data:
            return data
        *frames, self._rest = (self._rest + data).split(b"\0")
        reached = b"".join(self._request(frame) + b"\0" for frame in frames)
        if len(self._rest) > _KEPT:
            reached, self._rest = reached + self._rest, b""
        return reached

    def send(self, answer: bytes) -> None:
        """Take an answer, its delimiter included, and give the line what a host is to see of it."""
        held, self._held = self._held, b""
        kind, exchange = self._due.pop(0) if self._due else (None, 0)
        assert self._plan is not None or kind is None
        noise = self._plan.noise(exchange, _LONGEST) if self._plan is not None and kind else b""
        match kind:
            case FaultKind.STALL:
                out = b""
            case FaultKind.REORDERED:
                out, self._held = b"", answer
            case FaultKind.CORRUPTED:
                out = _flip(answer, noise)
            case FaultKind.GARBAGE:
                out = noise[: 1 + noise[0] % _LONGEST] + answer
            case FaultKind.EXTRA:
                out = answer + answer
            case FaultKind.STALE:
                out = self._before
            case _:
                out = answer
        self._before = answer
        if kind in (FaultKind.DROPPED, FaultKind.REFUSED):
            self._go_away(kind)
        elif kind is FaultKind.DRIBBLE:
            self._dribble(out + held)
        else:
            if kind is FaultKind.DELAY and self._plan is not None:
                self._wait(self._plan.delay)
            self._line.write(out + held)

    def _request(self, frame: bytes) -> bytes:
        if not frame or self._plan is None:
            return frame
        exchange, self.exchanges = self.exchanges, self.exchanges + 1
        kind = self._plan.draw(exchange, among=BOARD_FAULTS)
        if kind is FaultKind.LOST:
            return b""
        if kind is FaultKind.CORRUPTED and self._plan.noise(exchange, 1)[0] & 1:
            return _flip(frame, self._plan.noise(exchange, _LONGEST))
        if kind is not None:
            self._due.append((kind, exchange))
        return frame

    def _go_away(self, kind: FaultKind) -> None:
        assert self._plan is not None
        self._line.drop(self._plan.refuse_for if kind is FaultKind.REFUSED else 0.0)
        self._rest = b""
        self._due.clear()

    def _dribble(self, data: bytes) -> None:
        assert self._plan is not None
        for index in range(len(data)):
            self._wait(self._plan.pause)
            self._line.write(data[index : index + 1])


def _flip(data: bytes, noise: bytes) -> bytes:
    """Flip one bit; the delimiter may be hit, or made."""
    place = int.from_bytes(noise[:4], "big") % len(data)
    return data[:place] + bytes([data[place] ^ 1 << noise[4] % 8]) + data[place + 1 :]
