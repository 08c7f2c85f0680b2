"""A storm of faults: what is set loose, and who looks at every answer and every wait in it.

Axis letters: N rows; D drives; R responses.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.drivers.boards.stream import ByteStream
from physnet.drivers.transport import QUIET, Deadline, Transport
from physnet.drivers.watched import WatchedTransport
from physnet.exchange import Exchange
from physnet.simulators.instruments.faults import ANSWER_FAULTS, BLOCK_FAULTS, FaultKind, FaultPlan
from physnet.simulators.instruments.frame_faults import BOARD_FAULTS

SHARE = 0.05
"""Of the exchanges, a fault happens to so many at least."""
BUSY = 2.0
"""s that a computer with other things to do may add to any time."""

_SCPI = ANSWER_FAULTS | {FaultKind.QUEUED_ERROR}
# A kind that can't act on most exchanges comes more often on those where it can.
RATES: Mapping[str, Mapping[FaultKind, float]] = {
    "instrument": {
        **dict.fromkeys(sorted(_SCPI), SHARE / len(_SCPI)),
        **dict.fromkeys(sorted(BLOCK_FAULTS), 0.05),
        FaultKind.OVERLOAD: 0.01,
    },
    "board": dict.fromkeys(sorted(BOARD_FAULTS), 1.1 * SHARE / len(BOARD_FAULTS)),
}


class Judge:
    """Shown every call of `measure`, holds what was accepted against the medium, and the time against the deadlines.

    Args:
        direct: The medium, driven directly.
        bound: How far a response may be from it.
        plans: What goes wrong.
        longest: Time that one fault may cost, in s: what is waited for until it is noticed, and the way back.
    """

    def __init__(
        self,
        direct: Callable[[NDArray[Any]], NDArray[Any]],
        bound: float | NDArray[np.float64],
        plans: Mapping[str, FaultPlan],
        *,
        longest: float,
    ) -> None:
        self._direct, self._bound, self.plans, self._longest = direct, bound, plans, longest
        self.accepted = self.refused = 0
        """Rows."""
        self.misses: list[str] = []
        """What broke a promise."""
        self._seen = 0

    @property
    def counts(self) -> Counter[str]:
        """Faults that happened, by kind."""
        total: Counter[str] = Counter()
        for plan in self.plans.values():
            total.update({kind.value: count for kind, count in plan.counts.items()})
        return total

    def __call__(self, exchange: Exchange) -> None:
        """Judge a call."""
        before, self._seen = self._seen, self.counts.total()
        seconds, most = exchange.stopped - exchange.started, BUSY + (self._seen - before) * self._longest
        if not seconds <= most:
            self.misses.append(f"{self._seen - before} faults took {seconds:.3g} s, not {most:.3g}: {exchange.fault}")
        usable = exchange.usable
        self.accepted, self.refused = self.accepted + int(usable.sum()), self.refused + int((~usable).sum())
        if exchange.reading is None or not usable.any():
            return
        found = np.asarray(exchange.reading.response)
        good = usable[: len(found)]
        error = np.abs(found[good] - self._direct(np.asarray(exchange.drive)[: len(found)][good]))
        if not (error <= self._bound).all():
            self.misses.append(f"a response is {(error / self._bound).max():.3g} times too far from the medium's")


@contextmanager
def loose(plans: Mapping[str, FaultPlan], *, share: float = 1.0) -> Iterator[None]:
    """Let faults happen, at a share of the storm's rates."""
    for role, plan in plans.items():
        rates = dict(RATES["board" if role == "board" else "instrument"])
        if role in ("detector", "analyser"):
            rates[FaultKind.MISSED_TRIGGER] = 0.05 if role == "detector" else 0.005
        plan.set_rates({kind: share * rate for kind, rate in rates.items()})
    try:
        yield
    finally:
        for plan in plans.values():
            plan.set_rates({})


class Clock:
    """Looks at how far beyond its deadline any read or write returns."""

    def __init__(self) -> None:
        self.late = 0.0
        """Longest time beyond a deadline in s."""
        self.waits = 0
        """Reads and writes."""

    @contextmanager
    def watch(self, moment: float) -> Iterator[None]:
        """Look at what is done within."""
        try:
            yield
        finally:
            self.waits += 1
            self.late = max(self.late, time.monotonic() - moment)

    def transport(self, role: str, line: Transport) -> Transport:
        """Return a transport that is looked at."""
        return _TimedTransport(line, self)

    def stream(self, line: ByteStream) -> ByteStream:
        """Return a board's stream that is looked at."""
        return _TimedStream(line, self)


class _TimedTransport(WatchedTransport):
    def __init__(self, line: Transport, clock: Clock) -> None:
        super().__init__(line, lambda text: None)
        self._clock = clock

    def open(self, deadline: Deadline) -> None:
        with self._clock.watch(deadline.moment):
            super().open(deadline)

    def write(self, data: bytes, deadline: Deadline) -> None:
        with self._clock.watch(deadline.moment):
            super().write(data, deadline)

    def read_exactly(self, count: int, deadline: Deadline) -> bytes:
        with self._clock.watch(deadline.moment):
            return super().read_exactly(count, deadline)

    def read_into(self, buffer: memoryview, deadline: Deadline) -> None:
        with self._clock.watch(deadline.moment):
            super().read_into(buffer, deadline)

    def read_until(self, terminator: bytes, limit: int, deadline: Deadline) -> bytes:
        with self._clock.watch(deadline.moment):
            return super().read_until(terminator, limit, deadline)

    def read_end(self, terminator: bytes, deadline: Deadline) -> None:
        with self._clock.watch(deadline.moment):
            super().read_end(terminator, deadline)

    def clear(self, deadline: Deadline, *, quiet: float = QUIET) -> int:
        with self._clock.watch(deadline.moment):
            return super().clear(deadline, quiet=quiet)


class _TimedStream:
    def __init__(self, line: ByteStream, clock: Clock) -> None:
        self._line, self._clock = line, clock

    def read(self, limit: int, deadline: float) -> bytes:
        with self._clock.watch(deadline):
            return self._line.read(limit, deadline)

    def write(self, data: bytes, deadline: float) -> None:
        with self._clock.watch(deadline):
            self._line.write(data, deadline)

    def close(self) -> None:
        self._line.close()
