"""Who answers at a port: on loopback, on a pseudo terminal, and where nobody does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from physnet.drivers.benches.locks import BenchLock
from physnet.drivers.finding import Found
from physnet.drivers.identifying import chosen, identify
from physnet.drivers.scripted import ScriptedTransport, Step
from tests.drivers.loopback import IDENTITY, Instrument, Server
from tests.drivers.test_finding import entries

GPIB = Found(kind="visa", name="GPIB0::7::INSTR")
BOARD = Found(kind="visa", name="GPIB0::INTFC")
PORT = Found(kind="serial", name="/dev/ttyACM0", usb="2E8A:000A")
SOUND = Found(kind="sound", name="SOUND::Scarlett")


@pytest.fixture(autouse=True)
def own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def asked(*names: str) -> list[Found]:
    return chosen([GPIB, BOARD, PORT, SOUND], names)


def test_unasked_only_visa_instruments_are_opened() -> None:
    assert asked() == [GPIB]


def test_serial_ports_are_opened_when_they_are_named() -> None:
    assert asked("/dev/ttyACM0") == [PORT]
    assert asked("ASRL/dev/ttyACM0::INSTR", "/dev/ttyacm0") == [PORT, PORT]
    assert asked("ASRL3::INSTR") == [Found(kind="serial", name="COM3")]


def test_what_was_not_found_can_be_named() -> None:
    name = "TCPIP::192.0.2.1::5025::SOCKET"
    assert asked("gpib0::7::instr", name) == [GPIB, Found(kind="visa", name=name)]


def test_an_instrument_on_loopback_says_who_it_is_and_is_asked_nothing_else() -> None:
    instrument = Instrument()
    with Server(instrument.talk) as server:
        found = identify(Found(kind="visa", name=server.resource), entries=entries)
    assert (found.identity, found.fits, found.problem) == (IDENTITY.decode(), ("ours",), "")
    assert instrument.seen == [b"*IDN?"]


def test_a_silent_instrument_is_a_problem_in_time() -> None:
    instrument = Instrument(**{"*IDN?": None})
    with Server(instrument.talk) as server:
        found = identify(Found(kind="visa", name=server.resource, fits=("guess",)), seconds=0.1, entries=entries)
    assert "was not over by the deadline" in found.problem and not found.identity
    assert found.fits == ("guess",)


@pytest.mark.parametrize("answer", [b"\x00\xff\n", b"\n"])
def test_an_answer_that_is_no_identity_is_a_problem(answer: bytes) -> None:
    transport = ScriptedTransport(Step(b"*IDN?\n", answer))
    found = identify(GPIB, lines=lambda one: transport, entries=entries)
    assert "not printable" in found.problem
    assert not transport.opened


def test_nobody_at_an_address_is_a_problem() -> None:
    with Server(Instrument().talk) as server:
        name = server.resource
    assert "no connection" in identify(Found(kind="visa", name=name), entries=entries).problem
    assert "must be a VISA name" in identify(Found(kind="visa", name="scope"), entries=entries).problem


def test_a_line_that_a_bench_holds_is_left_alone(tmp_path: Path) -> None:
    opened: list[Any] = []
    with BenchLock("cavity", [GPIB.name]):
        found = identify(GPIB, lines=opened.append, entries=entries)  # type: ignore[arg-type]
    assert "bench cavity" in found.problem and not opened


@pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")
def test_a_serial_port_where_nobody_answers_is_a_problem() -> None:
    from tests.drivers.loopback import Terminal

    instrument = Instrument(**{"*IDN?": None})
    with Terminal(instrument.talk) as terminal:
        found = identify(Found(kind="serial", name=terminal.port), seconds=0.15, entries=entries)
    assert "nor as a board" in found.problem
    assert instrument.seen[0] == b"*IDN?"


@pytest.mark.skipif(os.name != "posix", reason="needs pseudo terminals")
def test_an_instrument_on_a_serial_port_says_who_it_is() -> None:
    from tests.drivers.loopback import Terminal

    with Terminal(Instrument().talk) as terminal:
        found = identify(Found(kind="serial", name=terminal.port), entries=entries)
    assert (found.identity, found.fits) == (IDENTITY.decode(), ("ours",))
