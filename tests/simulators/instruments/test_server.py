from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.errors import InputError
from physnet.simulators.instruments.codes import Refusal
from physnet.simulators.instruments.commands import Call, Command, number_setting, switch_setting, word_setting
from physnet.simulators.instruments.device import ScpiDevice
from physnet.simulators.instruments.faults import FaultPlan
from physnet.simulators.instruments.server import InstrumentServer, ServerOptions
from tests.simulators.instruments.raw_line import RawLine


class Lamp(ScpiDevice):
    IDENTITY = "Physnet,L1,SIMULATED,1.0"
    SUFFIXES: ClassVar = {"SOUR": 2}
    QUEUE = 4

    def __init__(self) -> None:
        super().__init__()
        self.data = b""
        self.burning = False

    def busy(self) -> bool:
        return self.burning

    def on_trigger(self) -> None:
        self.burning = True

    def burnt(self) -> None:
        with self.lock:
            self.burning = False
            self.changed()

    def store(self, call: Call) -> None:
        self.data = call.block(1)

    def fail(self, call: Call) -> str:
        raise ZeroDivisionError("a mistake in the instrument")

    COMMANDS = (
        number_setting("[SOURce#]:CURRent[:LEVel][:IMMediate]", "current", default=0.1, low=0, high=0.5),
        word_setting("MODE", "mode", ("CONTinuous", "BURSt"), default="CONT"),
        switch_setting("OUTPut[:STATe]", "output", default=False),
        Command("DATA:ARBitrary", store, lambda lamp, call: lamp.data),
        Command("MEASure:LIGHt", ask=lambda lamp, call: "+1.50000E+00,+2.50000E+00"),
        Command("CONFlict", lambda lamp, call: (_ for _ in ()).throw(Refusal(-221))),
        Command("FAIL", ask=fail),
    )


@contextlib.contextmanager
def serving(faults: FaultPlan | None = None, **options: object) -> Iterator[tuple[Lamp, InstrumentServer]]:
    server = InstrumentServer(Lamp(), faults=faults, options=ServerOptions(**options))  # type: ignore[arg-type]
    with server:
        assert isinstance(server.device, Lamp)
        yield server.device, server


def errors(line: RawLine) -> list[int]:
    found = []
    while (code := int(line.ask("SYST:ERR?").partition(",")[0])) != 0:
        found.append(code)
    return found


def test_long_and_short_forms_optional_nodes_and_suffixes_mean_the_same() -> None:
    with serving() as (_, server), RawLine(server.port) as line:
        for header in ("SOURCE2:CURR:LEV:IMM", "sour2:current", ":Sour2:CURR:LEVEL"):
            line.send(f"{header} 0.2", "CURR 0.3")
            assert float(line.ask("SOUR2:CURR?")) == 0.2
            assert float(line.ask("curr:imm?")) == float(line.ask("SOUR1:CURR?")) == 0.3
        line.send("SOURC2:CURR 0.1", "SOUR3:CURR 0.1", "SOUR0:CURR 0.1", "CURRE?")
        assert errors(line) == [-113, -114, -114, -113]


def test_answers_of_a_message_come_on_one_line_and_its_path_is_kept() -> None:
    with serving() as (_, server), RawLine(server.port) as line:
        assert line.ask("MODE BURST;:OUTP:STAT ON;STAT?;:MODE?;*OPC?") == "1;BURS;1"
        assert line.ask("SOUR2:CURR 0.25;CURR? ;CURR? MAX;CURR? DEF") == ";".join(
            f"{value:+.14E}" for value in (0.25, 0.5, 0.1)
        )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CURR 0.6", -222),
        ("CURR -1e-9", -222),
        ("CURR nan", -121),
        ("CURR inf", -121),
        ("CURR 1e9999", -222),
        ("CURR", -109),
        ("CURR 0.1,0.2", -108),
        ("CURR #13abc", -168),
        ('CURR "0.1"x', -151),
        ("MODE SLOW", -224),
        ("OUTP 2", -224),
        ("DATA:ARB one,two", -104),
        ("NO:SUCH", -113),
        ("NO:SUCH?", -113),
        ("*OPC? ;*OPC", 0),
        ("MEAS:LIGH 1", -113),
        ("CONF", -221),
        ("*TST", -113),
    ],
)
def test_what_is_wrong_ends_in_the_error_queue_with_its_number(text: str, code: int) -> None:
    with serving() as (_, server), RawLine(server.port) as line:
        line.send(text)
        if code == 0:
            line.line()
        assert errors(line) == ([code] if code else [])


def test_the_rest_of_a_message_is_dropped_after_a_command_error_and_carried_out_after_another() -> None:
    with serving() as (_, server), RawLine(server.port) as line:
        line.send("NO:SUCH;:MODE BURS", "CURR 7;:OUTP ON")
        assert line.ask("MODE?;:OUTP?") == "CONT;1"
        assert errors(line) == [-113, -222]


def test_the_error_queue_is_bounded_and_says_when_it_overflowed() -> None:
    with serving() as (_, server), RawLine(server.port) as line:
        line.send(*["NO:SUCH"] * 9)
        assert errors(line) == [-113, -113, -113, -350]
        line.send("NO:SUCH", "*CLS")
        assert errors(line) == []


def test_reset_puts_settings_back_and_leaves_the_queue() -> None:
    with serving() as (_, server), RawLine(server.port) as line:
        line.send("MODE BURS;:CURR 0.4;:NO:SUCH", "*RST")
        assert line.ask("MODE?") == "CONT"
        assert errors(line) == [-113]


def test_registers_tell_of_errors_and_of_completion_once() -> None:
    with serving() as (lamp, server), RawLine(server.port) as line:
        assert int(line.ask("*ESR?")) == 128  # power on
        line.send("*ESE 33;*SRE 32", "NO:SUCH", "CURR 9")
        assert int(line.ask("*STB?")) == 4 + 32 + 64
        assert int(line.ask("*ESR?")) == 32 + 16
        assert int(line.ask("*ESR?")) == 0
        line.send("*TRG;*OPC")
        assert int(line.ask("*ESR?")) == 0
        lamp.burnt()
        assert int(line.ask("*ESR?")) == 1


def test_a_query_for_completion_waits_and_other_connections_are_served_meanwhile() -> None:
    with serving() as (lamp, server), RawLine(server.port) as line, RawLine(server.port) as other:
        line.send("*TRG;*OPC?")
        assert other.ask("MODE?") == "CONT"
        assert line.quiet(0.05)
        lamp.burnt()
        assert line.line() == "1"


def test_a_server_stops_while_somebody_waits_and_leaves_no_thread_and_no_port() -> None:
    before = threading.active_count()
    with serving() as (_, server), RawLine(server.port) as line:
        line.send("*TRG;*OPC?")
        assert line.quiet(0.02)
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        RawLine(server.port)
    server.stop()


def test_binary_blocks_go_in_and_out_byte_by_byte() -> None:
    data = bytes(range(256)) * 3
    with serving() as (lamp, server), RawLine(server.port) as line:
        for byte in b"DATA:ARB name,#3768" + data + b"\n":
            line.socket.sendall(bytes([byte]))
        assert line.block("DATA:ARB?") == lamp.data == data


def test_a_line_or_a_block_beyond_its_limit_is_queued_and_the_connection_dropped() -> None:
    for sent, code in ((b"A" * 1001, -363), (b"DATA:ARB x,#41001", -223)):
        with serving(text_limit=1000, block_limit=1000) as (_, server):
            with RawLine(server.port) as line:
                line.socket.sendall(sent)
                assert line.closed()
            with RawLine(server.port) as line:
                assert errors(line) == [code]


def test_an_answer_that_nobody_reads_is_given_up() -> None:
    with serving(send_timeout=0.1) as (_, server), RawLine(server.port) as line, RawLine(server.port) as other:
        line.send("DATA:ARB x,#9020000000" + "x" * 20_000_000)
        line.send(*["DATA:ARB?"] * 3)  # 60 MB: more than the buffers of both sides hold
        until = time.monotonic() + 5
        while (found := errors(other)) != [-410]:
            assert not found and time.monotonic() < until


def test_one_connection_too_many_is_dropped_and_the_others_stay() -> None:
    with serving(connections=2) as (_, server), RawLine(server.port) as line, RawLine(server.port):
        with RawLine(server.port) as third:
            assert third.closed()
        assert line.ask("MODE?") == "CONT"


def test_a_connection_that_follows_another_at_once_is_taken() -> None:
    with serving(connections=1) as (_, server):
        for _ in range(20):
            with RawLine(server.port) as line:
                assert line.ask("MODE?") == "CONT"


def test_a_mistake_in_an_instrument_is_queued_and_raised_at_the_end() -> None:
    with pytest.raises(ZeroDivisionError), serving() as (_, server), RawLine(server.port) as line:
        line.send("FAIL?")
        assert line.ask("MODE?") == "CONT"
        assert errors(line) == [-310]


def test_a_port_that_is_taken_is_refused_with_a_way_out() -> None:
    with serving() as (_, server), pytest.raises(InputError, match="choose another port"):
        InstrumentServer(Lamp(), port=server.port).start()
    with pytest.raises(InputError, match="0 to 65535"):
        InstrumentServer(Lamp(), port=70000)


def test_only_this_computer_is_served() -> None:
    with serving() as (_, server):
        assert server.resource == f"TCPIP::127.0.0.1::{server.port}::SOCKET"
        assert server._listener is not None
        assert server._listener.getsockname()[0] == "127.0.0.1"


def test_no_bytes_bring_a_server_down() -> None:
    with serving(text_limit=500, block_limit=500) as (_, server):

        @given(st.binary(max_size=200) | st.text("*:;?,#\"' 01ACDMOPRSTU\n").map(str.encode))
        @settings(max_examples=60)
        def survives(data: bytes) -> None:
            with RawLine(server.port) as line, contextlib.suppress(ConnectionError):
                line.socket.sendall(data)
                line.socket.shutdown(socket.SHUT_WR)
                assert line.closed()
            with RawLine(server.port) as line:
                line.send("*CLS")
                assert line.ask("*IDN?") == Lamp.IDENTITY
            assert server.failures == []

        survives()
