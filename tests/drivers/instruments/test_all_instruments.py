"""What every registered instrument of ours must hold to, whoever wrote it."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from physnet.drivers.buffered import BufferedTransport
from physnet.drivers.instruments.command import Choice, Number
from physnet.drivers.roles import Analyser, Detector, Source
from physnet.drivers.transport import Deadline
from physnet.errors import InputError, TransportError
from tests.drivers.instruments.examples import EXAMPLES
from tests.drivers.instruments.sound_double import SoundDouble

PACKAGE = "physnet.drivers.instruments."
ENTRIES = {
    entry.name: entry
    for entry in importlib.metadata.entry_points(group="physnet.instruments")
    if entry.value.startswith("physnet.")
}
WITH_A_LINE = sorted(name for name, example in EXAMPLES.items() if example.identity)
FOREIGN = "ACME,WIDGET,1,0"
ROLES = ({"Source"}, {"Detector"}, {"Source", "Detector"}, {"Analyser"})


class Recorder(BufferedTransport):
    """Notes what is sent; answers the identity, `1` to `*OPC?`, and otherwise what was set last."""

    def __init__(self, identity: str, terminator: bytes) -> None:
        super().__init__("RECORDER::INSTR", stream=True)
        self.sent: list[str] = []
        self.mute = ""
        self._values = {"*IDN": identity, "*OPC": "1", "SYST:ERR": '0,"No error"'}
        self._terminator = terminator
        self._coming = bytearray()

    def _connect(self, deadline: Deadline) -> None:
        self._coming.clear()

    def _disconnect(self) -> None:
        self._coming.clear()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        *lines, rest = data.split(self._terminator)
        assert not rest
        for line in lines:
            text = line.decode("ascii")
            self.sent.append(text)
            header, _, value = text.partition(" ")
            if text == self.mute:
                continue
            if header.endswith("?"):
                self._coming += self._values[header[:-1]].encode() + self._terminator
            elif value:
                self._values[header] = value

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        if not self._coming:
            raise self.timeout("the answer")
        count = min(len(buffer), len(self._coming))
        buffer[:count] = self._coming[:count]
        del self._coming[:count]
        return count


def driver(name: str) -> Any:
    return ENTRIES[name].load()


@contextmanager
def opened(name: str, identity: str = "") -> Iterator[tuple[Any, Recorder]]:
    """An instrument behind a recorder, open."""
    example = EXAMPLES[name]
    line = Recorder(identity or example.identity, driver(name).TERMINATOR)
    instrument = driver(name)(resource="RECORDER::INSTR", transport=line, **example.options)
    try:
        instrument.open()
        yield instrument, line
    finally:
        instrument.close()


@contextmanager
def any_opened(name: str) -> Iterator[Any]:
    if EXAMPLES[name].identity:
        with opened(name) as (instrument, _):
            yield instrument
        return
    card = driver(name)(resource="SOUND::Scarlett 2i2, Fine", library=SoundDouble(), **EXAMPLES[name].options)
    try:
        card.open()
        yield card
    finally:
        card.close()


def roles(instrument: Any) -> set[str]:
    """Looked up on its class: a property may refuse to answer before a setup."""
    names = {name for cls in type(instrument).__mro__ for name in vars(cls)}
    members = {
        role.__name__: {name for cls in role.__mro__ if cls is not object for name in vars(cls) if name[0] != "_"}
        for role in (Source, Detector, Analyser)
    }
    return {role for role, needed in members.items() if needed <= names}


def commands(module: ModuleType) -> dict[str, Number | Choice[Any]]:
    """The settings of a driver's module, of its classes, and of the modules of ours that it takes classes from."""
    found: dict[str, Number | Choice[Any]] = {}
    waiting, seen = [module], {PACKAGE + "command", PACKAGE + "instrument"}
    while waiting:
        module = waiting.pop()
        seen.add(module.__name__)
        for label, value in vars(module).items():
            owner = getattr(value, "__module__", "")
            if isinstance(value, type) and owner.startswith(PACKAGE) and owner not in seen:
                waiting.append(importlib.import_module(owner))
                seen.add(owner)
            members = vars(value) if isinstance(value, type) and owner == module.__name__ else {label: value}
            for key, command in members.items():
                if isinstance(command, Number | Choice):
                    found[f"{module.__name__}.{label}.{key}"] = command
    return found


def settings() -> list[Any]:
    """One parameter for each setting; a module that can't be imported fails here."""
    return [
        pytest.param(command, id=f"{name}-{label.rpartition('.')[2]}")
        for name in WITH_A_LINE
        for label, command in commands(importlib.import_module(ENTRIES[name].value.partition(":")[0])).items()
    ]


def test_every_registered_instrument_has_an_example_and_none_is_missing() -> None:
    assert sorted(ENTRIES) == sorted(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_it_is_made_by_keywords_and_names_its_document(name: str) -> None:
    parameters = inspect.signature(driver(name)).parameters
    line = "transport" if EXAMPLES[name].identity else "library"
    assert {"resource", line} <= set(parameters)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters.values())
    assert [key for key, value in parameters.items() if value.default is value.empty] == ["resource"]
    text = inspect.getdoc(driver(name)) or ""
    where = "on simulated hardware only" if EXAMPLES[name].identity else "on a virtual device only"
    assert f"Tried {where}" in re.sub(r"\s+", " ", text)
    assert re.search(r"Source:\s.*(Manual|Guide|documentation)", text, re.DOTALL)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_it_plays_one_part_and_says_what_it_can(name: str) -> None:
    with any_opened(name) as instrument:
        assert instrument.identity and not instrument.simulated
        assert roles(instrument) in ROLES
        if "Source" in roles(instrument):
            can = instrument.capabilities
            assert can.channels and list(can.channels) == sorted(set(can.channels)) and can.channels[0] >= 1
            assert 0 < can.sample_rate[0] <= can.sample_rate[1] < math.inf
            assert 1 <= can.points[0] <= can.points[1] and can.step >= 1
            assert 8 <= can.bits <= 32 and can.marks in ("row", "burst")
        if "Detector" in roles(instrument):
            can = instrument.recording
            assert can.channels and list(can.channels) == sorted(set(can.channels)) and can.channels[0] >= 1
            assert 0 < can.sample_rate[0] <= can.sample_rate[1] < math.inf
            assert list(can.sample_rates) == sorted(set(can.sample_rates))
            assert all(can.sample_rate[0] <= rate <= can.sample_rate[1] for rate in can.sample_rates)
            assert can.points >= 1 and can.segments >= 1 and 8 <= can.bits <= 32


@pytest.mark.parametrize("name", WITH_A_LINE)
def test_opening_sends_nothing_but_the_handshake(name: str) -> None:
    with opened(name) as (instrument, line):
        assert line.sent == ["*CLS", "*IDN?"]
        assert instrument.identity == EXAMPLES[name].identity


@pytest.mark.parametrize("name", WITH_A_LINE)
def test_it_takes_its_own_kind_simulated_or_not_and_no_other(name: str) -> None:
    maker, model, _, version = EXAMPLES[name].identity.split(",")
    with opened(name, f"{maker},{model},SIMULATED,{version}") as (instrument, _line):
        assert instrument.simulated
    others = {example.identity for other, example in EXAMPLES.items() if other != name and example.identity}
    for identity in {*others, FOREIGN}:
        with pytest.raises(TransportError) as caught, opened(name, identity):
            pass
        assert caught.value.kind == "foreign"


@pytest.mark.parametrize("name", WITH_A_LINE)
def test_making_it_safe_sends_the_safe_commands_in_order_and_makes_sure(name: str) -> None:
    with opened(name) as (instrument, line):
        line.sent.clear()
        instrument.make_safe()
        safe = list(driver(name).SAFE)
        assert [text for text in line.sent if not text.endswith("?")] == safe
        if safe:
            assert line.sent[: len(safe) + 1] == [*safe, "*OPC?"]
            line.mute = "*OPC?"
            with pytest.raises(TransportError):
                instrument.make_safe()
        assert safe or "Source" not in roles(instrument)


@pytest.mark.parametrize("command", settings())
def test_a_setting_out_of_its_range_never_becomes_text(command: Number | Choice[Any]) -> None:
    refused: list[Any] = [math.nan, -math.inf]
    if isinstance(command, Number):
        assert math.isfinite(command.low) and math.isfinite(command.high) and command.low <= command.high
        refused += [math.nextafter(command.low, -math.inf), math.nextafter(command.high, math.inf)]
        refused += [command.low - 1, command.high + 1, *([] if command.infinite else [math.inf])]
        refused += [command.low + 0.5] if command.whole else []
        assert float(command.word(command.low)) == command.low and float(command.word(command.high)) == command.high
        assert not command.infinite or command.word(math.inf) == command.infinite
    else:
        refused += [math.inf, "no such word", None]
        assert all(command.word(value) for value in command.words)
    for value in refused:
        with pytest.raises(InputError):
            command.word(value)
