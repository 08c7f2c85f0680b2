"""One declarative line a command: its header, the values it takes, and their unit.

A command is a value of a class that makes the text of it. What is out of range never becomes text, so it is never sent;
what comes back is read strictly, and held against the same range::

    FREQUENCY = Number("SOUR{channel}:FREQ", unit="Hz", low=1e-6, high=30e6)

    session.write(FREQUENCY(1e3, channel=1))                        # SOUR1:FREQ 1000.0
    FREQUENCY.read(session, channel=1)                              # asks SOUR1:FREQ?
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from physnet.errors import InputError, TransportError

from ..answers import parse_number
from ..scpi import ScpiSession

T = TypeVar("T")
Where = str | int


@dataclass(frozen=True)
class Action:
    """A command without a value, such as `ABOR`.

    Args:
        header: Its header; `{name}` is filled in by a keyword.
    """

    header: str

    def __call__(self, **where: Where) -> str:
        """Return its text."""
        return self.header.format(**where)


@dataclass(frozen=True)
class Question:
    """A query that is no setting, such as `*OPC?`.

    Args:
        header: Its header, question mark and arguments included.
    """

    header: str

    def __call__(self, **where: Where) -> str:
        """Return its text."""
        return self.header.format(**where)


@dataclass(frozen=True)
class Number:
    """A setting that is a number.

    Args:
        header: Its header; `{name}` is filled in by a keyword.
        unit: Its unit, SI.
        low: Lowest value.
        high: Highest value.
        whole: Whether it must be an integer.
        infinite: The word that stands for infinity, such as `INF` for a load. Empty: it must be finite.
        tolerance: How far an instrument may round it, as a fraction of the value, before `confirm` refuses.
    """

    header: str
    unit: str = "1"
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    infinite: str = ""
    tolerance: float = 1e-6

    def __call__(self, value: float, **where: Where) -> str:
        """Return the command that sets it.

        Raises:
            InputError: The value is out of range, or NaN.
        """
        return f"{self.header.format(**where)} {self.word(value)}"

    def word(self, value: float) -> str:
        """Return a value as it is sent.

        Raises:
            InputError: The value is out of range, or NaN.
        """
        if self.infinite and value == math.inf:
            return self.infinite
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise InputError(
                f"{self.header} must be {self.low:g} to {self.high:g} {self.unit}"
                f"{' or infinite' if self.infinite else ''}, got {value:g} {self.unit}. Nothing was sent."
            )
        if self.whole and value != int(value):
            raise InputError(f"{self.header} must be a whole number, got {value:g}. Nothing was sent.")
        return str(int(value)) if self.whole else repr(float(value))

    def ask(self, **where: Where) -> str:
        """Return the query for it."""
        return f"{self.header.format(**where)}?"

    def read(self, session: ScpiSession, *, before: Sequence[str] = (), **where: Where) -> float:
        """Ask for it.

        Raises:
            TransportError: There is no sound answer.
        """
        answer = session.query(self.ask(**where), before=before)
        value = parse_number(answer, resource=session.resource)
        # What instruments answer for an infinite load: 9.9E37 by SCPI-99, which `parse_number` knows.
        return value

    def confirm(self, session: ScpiSession, value: float, **where: Where) -> None:
        """Ask for it, and refuse to go on unless it is what was set.

        Raises:
            TransportError: It is not (`rejected`), or there is no sound answer.
        """
        found = self.read(session, before=(), **where)
        # An infinite difference is within any fraction of infinity.
        finite = math.isfinite(found) and math.isfinite(value)
        same = found == value or (finite and abs(found - value) <= self.tolerance * max(abs(value), abs(found)))
        if not same:
            raise TransportError(
                f"{self.header.format(**where)} must be {value:g} {self.unit} as it was set, got {found:g}",
                kind="rejected",
                resource=session.resource,
                advice="Another setting may limit it, or somebody turned a knob.",
            )


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A setting that is one of a few words.

    Args:
        header: Its header; `{name}` is filled in by a keyword.
        words: The word that is sent for each value.
        answers: Other words that instruments answer with, and what they mean; short and long forms belong here.
    """

    header: str
    words: Mapping[T, str]
    answers: Mapping[str, T] = field(default_factory=dict)

    def __call__(self, value: T, **where: Where) -> str:
        """Return the command that sets it.

        Raises:
            InputError: There is no such value.
        """
        return f"{self.header.format(**where)} {self.word(value)}"

    def word(self, value: T) -> str:
        """Return a value as it is sent.

        Raises:
            InputError: There is no such value.
        """
        if value not in self.words:
            known = ", ".join(str(key) for key in self.words)
            raise InputError(f"{self.header} must be one of {known}, got {value!r}. Nothing was sent.")
        return self.words[value]

    def ask(self, **where: Where) -> str:
        """Return the query for it."""
        return f"{self.header.format(**where)}?"

    def read(self, session: ScpiSession, *, before: Sequence[str] = (), **where: Where) -> T:
        """Ask for it.

        Raises:
            TransportError: There is no sound answer.
        """
        answer = session.query(self.ask(**where), before=before)
        word = answer.strip().strip('"').upper()
        for value, sent in self.words.items():
            if word == sent.upper():
                return value
        for other, value in self.answers.items():
            if word == other.upper():
                return value
        raise TransportError(
            f"{self.ask(**where)} must answer one of {', '.join([*self.words.values(), *self.answers])}",
            kind="garbled",
            resource=session.resource,
            received=answer.encode("ascii", "backslashreplace"),
        )

    def confirm(self, session: ScpiSession, value: T, **where: Where) -> None:
        """Ask for it, and refuse to go on unless it is what was set.

        Raises:
            TransportError: It is not (`rejected`), or there is no sound answer.
        """
        found = self.read(session, before=(), **where)
        if found != value:
            raise TransportError(
                f"{self.header.format(**where)} must be {value!r} as it was set, got {found!r}",
                kind="rejected",
                resource=session.resource,
                advice="Another setting may forbid it, or somebody turned a knob.",
            )


def switch(header: str) -> Choice[bool]:
    """Return a setting that is on or off, answered as `1`, `0`, `ON` or `OFF`."""
    return Choice(header, words={True: "ON", False: "OFF"}, answers={"1": True, "0": False, "+1": True, "+0": False})


Setting = Number | Choice[Any]
