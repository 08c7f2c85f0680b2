from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import numpy as np
import pytest
from pyvisa import constants
from pyvisa.errors import VisaIOError
from pyvisa.resources import MessageBasedResource

from physnet.drivers import visa_transport
from physnet.drivers.scpi import ScpiSession
from physnet.drivers.scpi_options import ScpiOptions
from physnet.drivers.transport import Deadline
from physnet.drivers.visa_transport import VisaTransport, resource_manager
from physnet.errors import InputError, TransportError
from tests.drivers.loopback import IDENTITY, Hangup, Instrument, Line, Server, block

QUICK = ScpiOptions(timeout=3.0, quiet=0.02, backoff=(0.0, 0.01))


def session(server: Server, options: ScpiOptions = QUICK) -> ScpiSession:
    return ScpiSession(VisaTransport(server.resource, backend="@py"), options)


def hang_up(line: Line) -> None:
    raise Hangup


def test_all_sessions_share_one_resource_manager() -> None:
    assert resource_manager("@py") is resource_manager("@py")
    with pytest.raises(InputError, match="@py"):
        resource_manager("/no/such/library.so@ivi")


def test_text_and_blocks_come_through_pyvisa_py() -> None:
    values = np.frombuffer(b"\n" * 400_000, "<f4")
    instrument = Instrument()
    instrument.answers |= {b"A?": b"hello\n", b"B?": b"#6400000" + values.tobytes() + b"\n"}
    with Server(instrument.talk) as server:
        with session(server, ScpiOptions(quiet=0.02)) as scpi:
            assert scpi.identity == IDENTITY.decode()
            assert scpi.query("A?", before=["CONF 1"]) == "hello"
            np.testing.assert_array_equal(scpi.query_block("B?", "<f4", 100_000), values)
            assert scpi.write_block("DATA ", np.zeros(20_000, "<f4"), query="*IDN?") == IDENTITY.decode()
        with session(server) as scpi:  # closing the first left the manager alone
            assert scpi.identity


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (None, "timeout"),
        (lambda line: line.dribble(block([1.0, 2.0, 3.0]), 0.05), "timeout"),
        (block([1.0, 2.0, 3.0])[:-3], "timeout"),
        (block([1.0, 2.0]), "garbled"),
        (b"#0" + bytes(12), "garbled"),
        (hang_up, "disconnected"),
    ],
)
def test_a_fault_ends_at_the_deadline_and_is_recovered_from(answer: Any, kind: str) -> None:
    instrument = Instrument()
    instrument.answers[b"B?"] = [answer, block([1.0, 2.0, 3.0])]
    with Server(instrument.talk) as server, session(server) as scpi:
        began = time.monotonic()
        with pytest.raises(TransportError) as caught:
            scpi.query_block("B?", "<f4", 3, timeout=0.3 if kind == "timeout" else None)
        assert time.monotonic() - began < 3
        assert caught.value.kind == kind and server.resource in str(caught.value)
        scpi.recover()
        assert scpi.query_block("B?", "<f4", 3).tolist() == [1, 2, 3]
        assert instrument.seen.count(b"B?") == 2


def test_a_stalled_peer_does_not_hold_a_write_for_ever() -> None:
    def talk(line: Line) -> None:
        line.receive()
        line.send(IDENTITY + b"\n")
        line.wait(10)

    with Server(talk) as server, session(server) as scpi:
        with pytest.raises(TransportError, match="sending") as caught:
            scpi.write_block("DATA ", np.zeros(8_000_000, "<f4"), timeout=0.3)
        assert caught.value.kind == "timeout"


def test_a_closed_port_is_refused_when_it_is_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = VisaTransport(f"TCPIP::127.0.0.1::{port}::SOCKET", backend="@py")
    with pytest.raises(TransportError) as caught:
        transport.open(Deadline.after(2))
    assert caught.value.kind == "refused" and not transport.opened


def test_nothing_that_is_no_resource_opens() -> None:
    transport = VisaTransport("NOT::A::RESOURCE", backend="@py")
    with pytest.raises(TransportError, match="can't be opened"):
        transport.open(Deadline.after(2))


class Bus:
    """Stands for a VISA library on a bus that marks the end of a message: what is written and read, in pieces."""

    def __init__(self, *answers: bytes) -> None:
        self.answers, self.messages, self.cleared = list(answers), [b""], 0
        self.left, self.send_end = b"", True

    def write(self, session: int, data: bytes) -> tuple[int, constants.StatusCode]:
        self.messages[-1] += data
        if self.send_end:
            self.messages.append(b"")
        return len(data), constants.StatusCode.success

    def read(self, session: int, count: int) -> tuple[bytes, constants.StatusCode]:
        if not self.left and not self.answers:
            raise VisaIOError(constants.StatusCode.error_timeout)
        self.left = self.left or self.answers.pop(0)
        piece, self.left = self.left[:count], self.left[count:]
        return piece, constants.StatusCode.success_max_count_read if self.left else constants.StatusCode.success


class Messages(MessageBasedResource):
    """The resource on that bus."""

    session: Any = 1
    timeout: Any = 0

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.visalib: Any = bus

    def __del__(self) -> None:
        pass

    @property
    def send_end(self) -> bool:
        return self.bus.send_end

    @send_end.setter
    def send_end(self, value: bool) -> None:
        self.bus.send_end = value

    def ignore_warning(self, *codes: Any) -> Any:
        return contextlib.nullcontext()

    def clear(self) -> None:
        self.bus.cleared += 1

    def close(self) -> None:
        pass


def on_a_bus(monkeypatch: pytest.MonkeyPatch, *answers: bytes, chunk: int = 32768) -> tuple[ScpiSession, Bus]:
    bus = Bus(IDENTITY + b"\n", *answers)

    class Manager:
        def open_resource(self, name: str, **options: Any) -> Messages:
            assert options["access_mode"] is constants.AccessModes.exclusive_lock
            return Messages(bus)

    monkeypatch.setattr(visa_transport, "resource_manager", lambda backend: Manager())
    return ScpiSession(VisaTransport("USB0::1::2::3::INSTR", chunk=chunk), QUICK), bus


def test_messages_are_cleared_sent_whole_and_read_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    long = b"#6400000" + b"\n" * 400_000
    scpi, instrument = on_a_bus(
        monkeypatch, b"hello", long + b"\n", long, b"#0" + bytes(8), b"#0" + bytes(8) + b"\n", b"1\n"
    )
    with scpi:
        assert instrument.cleared == 1 and instrument.messages[0] == b"*CLS;*IDN?\n"
        assert scpi.query("A?", before=["CONF 1", "*WAI"]) == "hello"
        assert instrument.messages[1] == b"CONF 1;*WAI;:A?\n"
        for count in (100_000, 100_000, 2, 2):
            assert len(scpi.query_block("B?", "<f4", count)) == count
        assert scpi.write_block("D ", np.zeros(3, "u1"), query="*OPC?") == "1"
        assert instrument.messages[-2] == b"D #13\0\0\0;*OPC?\n"


def test_a_message_sent_in_pieces_ends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scpi, instrument = on_a_bus(monkeypatch, chunk=10)
    with scpi:
        scpi.write_block("D ", np.zeros(100, "u1"))
        assert instrument.messages[1:] == [b"D #3100" + bytes(100) + b"\n", b""]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"#18" + bytes(5), "ended after 5 of 8"),
        (b"#18" + bytes(9) + b"\n", "must end with"),
        (b"#18" + bytes(8) + b"\nmore", "after the end"),
        (b"#0" + bytes(4), "ended after 4 of 8"),
        (b"#0" + bytes(12), "must end with"),
        (b"#", "ended after 1 of 2"),
    ],
)
def test_a_message_of_the_wrong_length_is_refused(monkeypatch: pytest.MonkeyPatch, answer: bytes, words: str) -> None:
    scpi, instrument = on_a_bus(monkeypatch, answer, IDENTITY + b"\n", b"fresh\n")
    with scpi:
        with pytest.raises(TransportError, match=words):
            scpi.query_block("B?", "<f4", 2)
        assert scpi.recover() == "cleared" and instrument.cleared == 2
        assert scpi.query("A?") == "fresh"


def test_a_bus_that_times_out_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    scpi, _ = on_a_bus(monkeypatch)
    with scpi, pytest.raises(TransportError) as caught:
        scpi.query("A?", timeout=0.2)
    assert caught.value.kind == "timeout" and isinstance(caught.value.__cause__, TransportError)
