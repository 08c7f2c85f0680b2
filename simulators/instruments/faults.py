"""Faults of simulated instruments and their lines: by rate, or at a given place.

A server asks its plan once for each exchange, with the kinds that can act there::

    plan = FaultPlan(rates={"delay": 0.01}, script={4: "truncated"}, seed=1)
    kind = plan.draw(exchange, among=LINE_FAULTS | BLOCK_FAULTS)

Whether a fault is drawn depends on seed, kind and number of the exchange alone: neither threads nor other kinds change
it. What an exchange is, is up to whoever asks: a message to an instrument, a frame to a board, a trigger.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any

from physnet.errors import SpecError


class FaultKind(StrEnum):
    """What can go wrong."""

    DELAY = "delay"
    """The answer comes late."""
    STALL = "stall"
    """The answer never comes; later ones do."""
    DRIBBLE = "dribble"
    """The answer comes byte by byte."""
    DROPPED = "dropped"
    """The connection is closed instead of an answer."""
    REFUSED = "refused"
    """As `dropped`, and new connections are refused for some time."""
    QUEUED_ERROR = "queued_error"
    """An entry appears in the error queue out of nothing."""
    EXTRA = "extra"
    """More bytes follow the answer."""
    GARBAGE = "garbage"
    """Random bytes come instead of the answer."""
    STALE = "stale"
    """The answer before comes instead of this one."""
    TRUNCATED = "truncated"
    """A binary block ends in the middle."""
    WRONG_LENGTH = "wrong_length"
    """The header of a binary block says another length than it has."""
    OVERLOAD = "overload"
    """Data hold codes for overload, clipped or missing values."""
    MISSED_TRIGGER = "missed_trigger"
    """A trigger does not reach the detector."""
    LOST = "lost"
    """A frame is lost."""
    REORDERED = "reordered"
    """A frame comes after the one that was sent after it."""
    CORRUPTED = "corrupted"
    """Bits of a frame are flipped."""


LINE_FAULTS = frozenset({FaultKind.DELAY, FaultKind.STALL, FaultKind.DRIBBLE, FaultKind.DROPPED, FaultKind.REFUSED})
"""Act on any answer."""
ANSWER_FAULTS = LINE_FAULTS | {FaultKind.EXTRA, FaultKind.GARBAGE, FaultKind.STALE}
"""Act on an answer of an instrument; `stale` only where there was one before."""
BLOCK_FAULTS = frozenset({FaultKind.TRUNCATED, FaultKind.WRONG_LENGTH})
"""Act on a binary block."""
FRAME_FAULTS = frozenset({FaultKind.LOST, FaultKind.REORDERED, FaultKind.CORRUPTED})
"""Act on a frame."""

_ALL = frozenset(FaultKind)
_TIMES = ("delay", "pause", "refuse_for")


class FaultPlan:
    """Draws faults and counts them. Threads may share it.

    Args:
        rates: Probability of each kind per exchange at which it can act, 0 to 1.
        script: Faults at given exchanges, counted from 0: `{number: kind}`, or pairs, several of which may have one
            number. A fault that can't act there waits for the next exchange where it can. Each happens once.
        seed: Of the rates, and of random bytes.
        delay: Time by which a late answer is late, in s.
        pause: Time between two bytes of an answer that dribbles, in s.
        refuse_for: Time for which connections are refused, in s.
        refusals: Connections that are reset after that, as soon as they are made.

    Raises:
        SpecError: A kind is unknown, or a number is out of its range.
    """

    def __init__(
        self,
        *,
        rates: Mapping[Any, float] | None = None,
        script: Mapping[int, Any] | Iterable[tuple[int, Any]] = (),
        seed: int = 0,
        delay: float = 0.05,
        pause: float = 1e-3,
        refuse_for: float = 0.0,
        refusals: int = 1,
    ) -> None:
        self._lock = threading.Lock()
        self._script: list[tuple[int, FaultKind]] = []
        self.seed, self.delay, self.pause, self.refuse_for, self.refusals = seed, delay, pause, refuse_for, refusals
        self.set_rates(rates or {})
        for name in _TIMES:
            if not 0 <= getattr(self, name) < math.inf:
                raise SpecError(f"{name} of faults must be >= 0 s and finite, got {getattr(self, name)} s.")
        if not refusals >= 0:
            raise SpecError(f"refusals must be >= 0, got {refusals}.")
        self._counts: Counter[FaultKind] = Counter()
        for number, kind in script.items() if isinstance(script, Mapping) else script:
            self.add(kind, number)

    @property
    def counts(self) -> dict[FaultKind, int]:
        """How many faults there were, by kind."""
        with self._lock:
            return dict(self._counts)

    @property
    def pending(self) -> tuple[tuple[int, FaultKind], ...]:
        """What is left of the script."""
        with self._lock:
            return tuple(self._script)

    def set_rates(self, rates: Mapping[Any, float]) -> None:
        """Change the rates, from the next exchange on.

        Args:
            rates: Probability of each kind per exchange at which it can act, 0 to 1; of those left out, 0.

        Raises:
            SpecError: A kind is unknown, or a rate is out of its range.
        """
        found = {fault_kind(kind): rate for kind, rate in rates.items()}
        for kind, rate in found.items():
            if not 0 <= rate <= 1:
                raise SpecError(f"the rate of fault {kind.value!r} must be 0 to 1 per exchange, got {rate}.")
        with self._lock:
            self.rates = found

    def add(self, kind: Any, exchange: int = 0) -> None:
        """Add a fault to the script: at an exchange, or the first one after it at which it can act.

        Raises:
            SpecError: The kind is unknown, or the number is not >= 0.
        """
        if not exchange >= 0:
            raise SpecError(f"faults must be scripted for exchanges >= 0, got {exchange}.")
        with self._lock:
            self._script = sorted([*self._script, (exchange, fault_kind(kind))], key=lambda pair: pair[0])

    def draw(self, exchange: int, *, among: Collection[FaultKind] = _ALL) -> FaultKind | None:
        """Return the fault of an exchange, counted; None for none.

        Args:
            exchange: Its number, from 0.
            among: Kinds that can act on it.
        """
        with self._lock:
            kind = self._scripted(exchange, among)
            if kind is None:
                kind = next((kind for kind in self.rates if kind in among and self._strikes(kind, exchange)), None)
            if kind is not None:
                self._counts[kind] += 1
            return kind

    def noise(self, exchange: int, length: int) -> bytes:
        """Return random bytes for an exchange: garbage, or bits to flip."""
        return hashlib.shake_128(f"{self.seed}/{exchange}".encode()).digest(length)

    def _scripted(self, exchange: int, among: Collection[FaultKind]) -> FaultKind | None:
        for index, (number, kind) in enumerate(self._script):
            if number > exchange:
                break
            if kind in among:
                return self._script.pop(index)[1]
        return None

    def _strikes(self, kind: FaultKind, exchange: int) -> bool:
        word = hashlib.blake2b(f"{self.seed}/{kind.value}/{exchange}".encode(), digest_size=8).digest()
        return int.from_bytes(word, "big") < self.rates[kind] * 2.0**64


def fault_kind(name: Any) -> FaultKind:
    """Return a kind by its name.

    Raises:
        SpecError: There is none.
    """
    try:
        return FaultKind(name)
    except ValueError:
        raise SpecError(f"{name!r} is no kind of fault. There are {', '.join(FaultKind)}.") from None
