from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from physnet.drivers.scpi import ScpiSession
from physnet.drivers.scpi_options import ScpiOptions
from physnet.drivers.serial_transport import SerialOptions, SerialTransport
from physnet.drivers.transport import Deadline
from physnet.errors import InputError, TransportError
from tests.drivers.loopback import IDENTITY, Instrument, Line, Terminal, block

pytest.importorskip("pty", reason="there are no pseudo terminals here", exc_type=ImportError)
QUICK = ScpiOptions(timeout=3.0, quiet=0.04, backoff=(0.0, 0.01))


def session(terminal: Terminal, options: ScpiOptions = QUICK) -> ScpiSession:
    return ScpiSession(SerialTransport(terminal.port), options)


def test_text_and_blocks_come_over_a_serial_line() -> None:
    values = np.frombuffer(bytes(range(256)) * 100, "<i4")
    instrument = Instrument()
    instrument.answers |= {b"A?": b"hello\n", b"B?": b"#525600" + values.tobytes() + b"\n"}
    with Terminal(instrument.talk) as terminal, session(terminal) as scpi:
        assert scpi.identity == IDENTITY.decode()
        assert scpi.query("A?", before=["CONF 1"]) == "hello"
        np.testing.assert_array_equal(scpi.query_block("B?", "<i4", 6400), values)
        assert scpi.write_block("DATA ", np.full(5000, 7, "<f4"), query="*IDN?") == IDENTITY.decode()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (None, "timeout"),
        (lambda line: line.dribble(block([1.0, 2.0, 3.0]), 0.05), "timeout"),
        (block([1.0, 2.0, 3.0])[:-3], "timeout"),
        (block([1.0, 2.0]), "garbled"),
    ],
)
def test_a_fault_ends_at_the_deadline_and_is_recovered_from(answer: Any, kind: str) -> None:
    instrument = Instrument()
    instrument.answers[b"B?"] = [answer, block([1.0, 2.0, 3.0])]
    with Terminal(instrument.talk) as terminal, session(terminal, ScpiOptions(timeout=3.0, quiet=0.15)) as scpi:
        began = time.monotonic()
        with pytest.raises(TransportError) as caught:
            scpi.query_block("B?", "<f4", 3, timeout=0.3 if kind == "timeout" else None)
        assert time.monotonic() - began < 3
        assert caught.value.kind == kind
        scpi.recover()
        assert scpi.query_block("B?", "<f4", 3).tolist() == [1, 2, 3]
        assert instrument.seen.count(b"B?") == 2


def test_what_an_earlier_program_left_on_the_line_is_dropped() -> None:
    def talk(line: Line) -> None:
        line.send(b"OLD ANSWER\n" * 20)
        Instrument().talk(line)

    with Terminal(talk) as terminal, session(terminal) as scpi:
        assert scpi.identity == IDENTITY.decode()


def test_a_port_is_held_exclusively() -> None:
    with Terminal(Instrument().talk) as terminal, session(terminal):
        with pytest.raises(InputError, match="one owner"):
            session(terminal).open()
        import serial

        with pytest.raises(serial.SerialException):
            serial.Serial(terminal.port, exclusive=True)


def test_a_board_that_starts_is_waited_for_by_its_banner() -> None:
    def talk(line: Line) -> None:
        line.dribble(b"boot...\nREADY\n", 0.005)
        Instrument().talk(line)

    with Terminal(talk) as terminal:
        transport = SerialTransport(terminal.port, SerialOptions(banner=b"READY\n"))
        transport.open(Deadline.after(2))
        transport.write(b"*IDN?\n", Deadline.after(2))
        assert transport.read_until(b"\n", 100, Deadline.after(2)) == IDENTITY
        transport.close()


def test_a_banner_that_does_not_come_ends_at_the_deadline() -> None:
    with Terminal(Instrument().talk) as terminal:
        transport = SerialTransport(terminal.port, SerialOptions(banner=b"READY"))
        with pytest.raises(TransportError) as caught:
            transport.open(Deadline.after(0.1))
        assert caught.value.kind == "timeout" and not transport.opened


def test_a_write_that_nobody_takes_ends_at_its_deadline() -> None:
    def talk(line: Line) -> None:
        line.receive()
        line.send(IDENTITY + b"\n")
        line.wait(10)

    with Terminal(talk) as terminal, session(terminal) as scpi:
        with pytest.raises(TransportError, match="sending") as caught:
            scpi.write_block("DATA ", np.zeros(100_000, "<f4"), timeout=0.3)
        assert caught.value.kind == "timeout" and scpi.dirty


def test_a_device_that_goes_away_is_told() -> None:
    with Terminal(Instrument().talk) as terminal:
        scpi = session(terminal)
        scpi.open()
    with pytest.raises(TransportError) as caught:
        scpi.query("A?")
    assert caught.value.kind in ("disconnected", "timeout")
    with pytest.raises(TransportError) as caught:
        scpi.recover()
    assert caught.value.kind == "refused"
    scpi.close()


@pytest.mark.parametrize(
    "wrong",
    [lambda: SerialOptions(baud=0), lambda: SerialOptions(stop_bits=3), lambda: SerialOptions(parity="X")],  # type: ignore[arg-type]
)
def test_options_that_no_port_has_are_refused(wrong: Callable[[], SerialOptions]) -> None:
    with pytest.raises(InputError):
        wrong()


def test_a_port_that_is_not_there_is_refused_with_a_way_out() -> None:
    with pytest.raises(TransportError, match="plugged in") as caught:
        SerialTransport("/dev/no-such-port").open(Deadline.after(1))
    assert caught.value.kind == "refused"
