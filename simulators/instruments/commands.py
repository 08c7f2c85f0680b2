"""The table of an instrument's commands: header patterns as the manuals print them, and what a command does.

A pattern shows the short form of a mnemonic in upper case, optional nodes in brackets, and `#` where a number may
follow, which is 1 when left out: `[SOURce#]:VOLTage[:LEVel][:IMMediate][:AMPLitude]`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .codes import Refusal
from .messages import Parameter, Unit

if TYPE_CHECKING:
    from .device import ScpiDevice

Answer = str | bytes
"""Text, or what a binary block is to hold."""
Limit = float | Callable[[Any, "Call"], float]
"""A number, or what computes it from the instrument and the command."""

_NODE = re.compile(r"(?P<optional>\[)?:?(?P<name>\*?[A-Za-z]\w*)(?P<number>#)?:?\]?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,5})?", re.ASCII)
_KNOWN = 1024  # headers that are remembered
_TRUE, _FALSE = ("ON", "1"), ("OFF", "0")


@dataclass(frozen=True)
class Call:
    """A command as it reached its handler.

    Args:
        numbers: Suffix of each `#` of the pattern.
        parameters: What followed the header.
    """

    numbers: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()

    def __len__(self) -> int:
        return len(self.parameters)

    def number(self, index: int = 0, *, low: float = -math.inf, high: float = math.inf, default: float = 0) -> float:
        """Return a number; `MIN`, `MAX` and `DEF` stand for the limits and the default.

        Raises:
            Refusal: It is none, or out of range.
        """
        word = self._text(index).upper()
        for names, value in ((("MIN", "MINIMUM"), low), (("MAX", "MAXIMUM"), high), (("DEF", "DEFAULT"), default)):
            if word in names:
                return value
        if word in ("INF", "INFINITY") and high == math.inf:
            return math.inf
        if not _NUMBER.fullmatch(word):
            raise Refusal(-104 if self.parameters[index].quoted else -121, word[:32])
        value = float(word)
        if not low <= value <= high:
            raise Refusal(-222, f"value must be {low:g} to {high:g}")
        return value

    def word(self, *patterns: str, index: int = 0) -> str:
        """Return which of some words was given, as its pattern's short form.

        Raises:
            Refusal: It is none of them.
        """
        given = self._text(index).upper()
        for pattern in patterns:
            if given in _forms(pattern):
                return short_form(pattern)
        raise Refusal(-224, given[:32])

    def boolean(self, index: int = 0) -> bool:
        """Return what `ON`, `1`, `OFF` or `0` means.

        Raises:
            Refusal: It is neither.
        """
        given = self._text(index).upper()
        if given not in _TRUE + _FALSE:
            raise Refusal(-224, given[:32])
        return given in _TRUE

    def string(self, index: int = 0) -> str:
        """Return a string, quoted or a bare word.

        Raises:
            Refusal: It is missing, or a block.
        """
        return self._text(index)

    def block(self, index: int = 0) -> bytes:
        """Return what a block holds.

        Raises:
            Refusal: It is missing, or none.
        """
        self._text(index, block=True)
        found = self.parameters[index].block
        if found is None:
            raise Refusal(-104, "a block is needed")
        return found

    def at_most(self, count: int) -> None:
        """Refuse more parameters than this.

        Raises:
            Refusal: There are more.
        """
        if len(self.parameters) > count:
            raise Refusal(-108)

    def _text(self, index: int, *, block: bool = False) -> str:
        if index >= len(self.parameters):
            raise Refusal(-109)
        if self.parameters[index].block is not None and not block:
            raise Refusal(-168)
        return self.parameters[index].text


@dataclass(frozen=True)
class Command:
    """One line of a table.

    Args:
        pattern: Of its header.
        write: Carries out the command; None where there is only a query.
        ask: Answers the query; None where there is none. A `bytes` answer is sent as a block.
        name: Under which the instrument keeps what is set; empty for none.
        default: What that is after a reset.
    """

    pattern: str
    write: Callable[[Any, Call], None] | None = None
    ask: Callable[[Any, Call], Answer] | None = None
    name: str = ""
    default: Any = None


def number_setting(
    pattern: str,
    name: str,
    *,
    default: float,
    low: Limit = -math.inf,
    high: Limit = math.inf,
    whole: bool = False,
    clip: bool = False,
    check: Callable[[Any, Call, float], float] | None = None,
) -> Command:
    """Return a command whose number the instrument keeps under `name`, one for each suffix.

    Args:
        pattern: Of its header.
        name: Under which `ScpiDevice.value` finds it.
        default: After a reset.
        low: Lowest value, or a function of the instrument and the call.
        high: Highest value, likewise.
        whole: Whether it is an integer.
        clip: Whether a number out of range becomes the limit, and is refused as well.
        check: Returns the value to keep, perhaps rounded; refuses what other settings forbid.
    """

    def read(device: ScpiDevice, call: Call) -> float:
        call.at_most(1)
        return call.number(low=_limit(low, device, call), high=_limit(high, device, call), default=default)

    def write(device: ScpiDevice, call: Call) -> None:
        try:
            value = read(device, call)
        except Refusal as refusal:
            if not clip or refusal.code != -222:
                raise
            device.report(refusal)
            value = min(max(call.number(), _limit(low, device, call)), _limit(high, device, call))
        if whole and math.isfinite(value):
            value = round(value)
        device.keep(name, call.numbers, value if check is None else check(device, call, value))

    def ask(device: ScpiDevice, call: Call) -> str:
        value = read(device, call) if len(call) else device.value(name, *call.numbers)
        return f"{int(value):+d}" if whole else device.format_number(value)

    return Command(pattern, write, ask, name, default)


def word_setting(
    pattern: str,
    name: str,
    words: Sequence[str],
    *,
    default: str,
    check: Callable[[Any, Call, str], None] | None = None,
) -> Command:
    """Return a command whose word, one of `words`, the instrument keeps; it is answered in its short form."""

    def write(device: ScpiDevice, call: Call) -> None:
        call.at_most(1)
        value = call.word(*words)
        if check is not None:
            check(device, call, value)
        device.keep(name, call.numbers, value)

    def ask(device: ScpiDevice, call: Call) -> str:
        call.at_most(0)
        return str(device.value(name, *call.numbers))

    return Command(pattern, write, ask, name, default)


def switch_setting(
    pattern: str, name: str, *, default: bool, check: Callable[[Any, Call, bool], None] | None = None
) -> Command:
    """Return a command that is on or off; it is answered as 1 or 0."""

    def write(device: ScpiDevice, call: Call) -> None:
        call.at_most(1)
        value = call.boolean()
        if check is not None:
            check(device, call, value)
        device.keep(name, call.numbers, value)

    def ask(device: ScpiDevice, call: Call) -> str:
        call.at_most(0)
        return "1" if device.value(name, *call.numbers) else "0"

    return Command(pattern, write, ask, name, default)


class CommandTable:
    """Finds what a header means.

    Args:
        commands: Later ones win.
        suffixes: Largest number of a mnemonic with `#`, by its short form; 1 where it is not listed.
    """

    def __init__(self, commands: Sequence[Command], suffixes: Mapping[str, int]) -> None:
        self._rows = [(_nodes(command.pattern), command) for command in reversed(commands)]
        self._suffixes = suffixes
        self._known: dict[str, tuple[Command, tuple[int, ...]]] = {}
        self.defaults = {command.name: command.default for command in commands if command.name}
        """What settings are after a reset."""

    def find(self, unit: Unit) -> tuple[Command, tuple[int, ...]]:
        """Return the command of a header, and the numbers in it.

        Raises:
            Refusal: There is none, or a number is out of its range.
        """
        if unit.header in self._known:
            return self._known[unit.header]
        words = unit.header.split(":")
        for nodes, command in self._rows:
            numbers = _match(nodes, words, self._suffixes)
            if numbers is not None:
                if len(self._known) < _KNOWN:
                    self._known[unit.header] = command, numbers
                return command, numbers
        raise Refusal(-113, unit.header[:64])


@dataclass(frozen=True)
class _Node:
    forms: tuple[str, ...]
    numbered: bool
    optional: bool


def short_form(word: str) -> str:
    """Return the capitals of a word of a pattern."""
    return "".join(letter for letter in word if not letter.islower())


def _forms(word: str) -> tuple[str, str]:
    return short_form(word), word.upper()


def _nodes(pattern: str) -> tuple[_Node, ...]:
    nodes = [
        _Node(_forms(found["name"]), bool(found["number"]), bool(found["optional"]))
        for found in _NODE.finditer(pattern)
    ]
    return tuple(nodes)


def _match(nodes: Sequence[_Node], words: Sequence[str], suffixes: Mapping[str, int]) -> tuple[int, ...] | None:
    if not nodes:
        return None if words else ()
    node = nodes[0]
    if words:
        name, number = words[0], 1
        if node.numbered:
            name = words[0].rstrip("0123456789")
            digits = words[0][len(name) :]
            number = int(digits[:9]) if digits else 1
        if name in node.forms:
            rest = _match(nodes[1:], words[1:], suffixes)
            if rest is not None:
                if node.numbered and not 1 <= number <= suffixes.get(node.forms[0], 1):
                    raise Refusal(-114, words[0])
                return (number, *rest) if node.numbered else rest
    if node.optional:
        rest = _match(nodes[1:], words, suffixes)
        if rest is not None:
            return (1, *rest) if node.numbered else rest
    return None


def _limit(limit: Limit, device: ScpiDevice, call: Call) -> float:
    return limit(device, call) if callable(limit) else limit
