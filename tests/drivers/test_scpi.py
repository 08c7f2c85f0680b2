from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from physnet.drivers.scpi import ScpiSession
from physnet.drivers.scpi_options import ScpiOptions
from physnet.drivers.scripted import ScriptedTransport, Step
from physnet.drivers.socket_transport import SocketTransport
from physnet.errors import InputError, MeasurementError, Stopped, TransportError
from tests.drivers.loopback import IDENTITY, Answer, Hangup, Instrument, Line, Server, block, until

# The timeout is long, for a busy machine; a query that must run into it brings its own.
QUICK = ScpiOptions(timeout=3.0, quiet=0.02, backoff=(0.0, 0.01))
SHORT = 0.2  # s
VALUES = [1.5, -2.0, 10.0]


def session(server: Server, options: ScpiOptions = QUICK, check: Callable[[], None] = lambda: None) -> ScpiSession:
    return ScpiSession(SocketTransport(server.resource), options, check=check)


def hang_up(line: Line) -> None:
    raise Hangup


def hang_up_half_way(line: Line) -> None:
    line.send(block(VALUES)[:7])
    raise Hangup


def dribble(line: Line) -> None:
    line.dribble(block(VALUES), 0.05)


def fault(act: Callable[[], object]) -> TransportError:
    with pytest.raises(TransportError) as caught:
        act()
    return caught.value


def test_a_session_opens_with_a_handshake_and_asks_for_text_numbers_and_blocks() -> None:
    instrument = Instrument()
    instrument.answers |= {b"A?": b"hello\n", b"N?": b" 1.5, -2E0,9.91E37,9.9E37,-9.9E37\n", b"B?": block(VALUES)}
    with Server(instrument.talk) as server, session(server) as scpi:
        assert scpi.identity == IDENTITY.decode()
        assert scpi.query("A?", before=["CONF 1", "CONF 2"]) == "hello"
        assert instrument.seen[-3:] == [b"CONF 1", b"CONF 2", b"A?"]
        np.testing.assert_array_equal(scpi.query_numbers("N?", 5), [1.5, -2, np.nan, np.inf, -np.inf])
        found = scpi.query_block("B?", "<f4", 3)
        assert found.dtype == np.dtype("<f4") and found.tolist() == VALUES
        assert not scpi.dirty and scpi.faults == {}


def test_a_block_may_hold_the_byte_that_ends_a_line_and_be_larger_than_any_buffer() -> None:
    values = np.frombuffer(b"\n" * 400_000, "<f4")
    instrument = Instrument()
    instrument.answers[b"B?"] = b"#6400000" + values.tobytes() + b"\n"
    with Server(instrument.talk) as server, session(server, ScpiOptions(quiet=0.02)) as scpi:
        for _ in range(3):
            np.testing.assert_array_equal(scpi.query_block("B?", "<f4", 100_000), values)


def test_an_overload_is_named_and_leaves_the_session_sound() -> None:
    instrument = Instrument()
    instrument.answers[b"V?"] = [b"9.9E37\n", b"-9.90000000E+37\n", b"9.91E37\n", b"0.25\n"]
    with Server(instrument.talk) as server, session(server) as scpi:
        for name in ("overload", "negative overload", "not a number"):
            with pytest.raises(MeasurementError, match=name):
                scpi.query_number("V?")
        assert scpi.query_number("V?") == 0.25


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (None, "timeout", "not over by the deadline"),
        (dribble, "timeout", "the answer was not over by the deadline"),
        (block(VALUES)[:-5], "timeout", "not over by the deadline, 8 of 12 bytes read"),
        (b"#213" + bytes(13) + b"\n", "garbled", "no whole number"),
        (block([1.0, 2.0]), "garbled", "must hold 3 numbers"),
        (block([1.0] * 4), "garbled", "must hold 3 numbers"),
        (block(VALUES)[:-1] + b"\x00\n", "garbled", "must end with"),
        (block(VALUES) + b"junk", "garbled", "after the end"),
        (b"#0" + bytes(12) + b"\n", "garbled", "indefinite"),
        (b"#9999999999", "garbled", "999999999 bytes"),
        (b"#2-1" + bytes(12), "garbled", "2 digits"),
        (b"1.5,-2,10\n", "garbled", "begin with '#'"),
        (b"\xff" * 40, "garbled", "begin with '#'"),
        (hang_up, "disconnected", "went away"),
        (hang_up_half_way, "disconnected", "went away"),
    ],
)
def test_a_bad_block_is_never_accepted_and_recovery_is_proved(answer: Answer, kind: str, words: str) -> None:
    instrument = Instrument()
    instrument.answers |= {b"B?": [answer, block(VALUES)], b"A?": b"fresh\n"}
    with Server(instrument.talk) as server, session(server) as scpi:
        began = time.monotonic()
        error = fault(lambda: scpi.query_block("B?", "<f4", 3, timeout=SHORT if kind == "timeout" else None))
        assert time.monotonic() - began < 2, "a deadline is for the whole exchange"
        assert error.kind == kind
        assert server.resource in str(error) and "Sent b'B?\\n'" in str(error)
        assert words in str(error) and error.sent == b"B?\n"
        assert scpi.dirty and scpi.faults == {kind: 1}
        seen = len(instrument.seen)
        assert "recover" in str(fault(lambda: scpi.query("A?")))
        assert len(instrument.seen) == seen, "nothing is sent while it is dirty"
        assert scpi.recover() == ("reopened" if kind == "disconnected" or answer is dribble else "cleared")
        assert scpi.query("A?") == "fresh"
        assert instrument.seen.count(b"B?") == 1, "nothing is sent again"
        assert scpi.query_block("B?", "<f4", 3).tolist() == VALUES


def test_a_message_says_what_was_wrong_sent_and_received() -> None:
    instrument = Instrument()
    instrument.answers |= {b"B?": b"1.5,-2,10\n"}
    with Server(instrument.talk) as server, session(server) as scpi:
        error = fault(lambda: scpi.query_block("B?", "<f4", 3))
        assert "a block must begin with '#' and a digit" in str(error)
        assert "Sent b'B?\\n'; came b'1.'" in str(error)


@pytest.mark.parametrize(
    "answer",
    [b"1.0.0\n", b"1,5\n", b"\n", b"nan\n", b"0x10\n", b"1e999\n", b"1_0\n", b"\xb2\n", b"1\r\n", b" \n", b"inf\n"],
)
def test_what_is_not_exactly_a_number_is_refused(answer: bytes) -> None:
    instrument = Instrument()
    instrument.answers[b"V?"] = answer
    with Server(instrument.talk) as server, session(server) as scpi:
        assert fault(lambda: scpi.query_number("V?")).kind == "garbled"
        assert scpi.dirty


def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    late: list[Line] = []
    instrument = Instrument()
    instrument.answers |= {b"V?": [late.append, b"2\n"]}
    with Server(instrument.talk) as server, session(server) as scpi:
        assert fault(lambda: scpi.query_number("V?", timeout=SHORT)).kind == "timeout"
        # The old answer comes while the session recovers, in front of the identity.
        instrument.answers[b"*CLS"] = [lambda line: late[0].send(b"1\n"), None]
        assert scpi.recover() == "reopened"
        # Alone it is no identity; together with the identity it is one line too many.
        assert scpi.faults in ({"timeout": 1, "foreign": 1}, {"timeout": 1, "garbled": 1})
        assert scpi.query_number("V?") == 2


def test_an_old_answer_that_was_waiting_stops_the_next_exchange_before_it_is_sent() -> None:
    lines: list[Line] = []
    instrument = Instrument()
    instrument.answers |= {b"V?": [lambda line: (lines.append(line), line.send(b"1\n")), b"2\n"]}  # type: ignore[func-returns-value, list-item]
    with Server(instrument.talk) as server:
        transport = SocketTransport(server.resource)
        with ScpiSession(transport, QUICK) as scpi:
            assert scpi.query_number("V?") == 1
            lines[0].send(b"1\n")
            until(transport.waiting)
            error = fault(lambda: scpi.query_number("V?"))
            assert error.kind == "garbled" and error.received == b"1\n" and "nothing was sent" in str(error)
            assert scpi.recover() == "cleared"
            assert scpi.query_number("V?") == 2


def test_an_identity_that_comes_twice_is_no_proof() -> None:
    instrument = Instrument()
    instrument.answers |= {b"*IDN?": [IDENTITY + b"\n", IDENTITY + b"\n" + IDENTITY + b"\n", IDENTITY + b"\n"]}
    with Server(instrument.talk) as server, session(server) as scpi:
        assert fault(lambda: scpi.query("V?", timeout=SHORT)).kind == "timeout"
        assert scpi.recover() == "reopened"
        assert scpi.faults["garbled"] == 1


def test_another_instrument_at_the_address_is_refused_each_time() -> None:
    instrument = Instrument()
    instrument.answers |= {b"*IDN?": [IDENTITY + b"\n", b"OTHER,UNIT,2,0\n"]}
    with Server(instrument.talk) as server, session(server) as scpi:
        fault(lambda: scpi.query("V?", timeout=SHORT))
        error = fault(scpi.recover)
        assert error.kind == "foreign" and "OTHER,UNIT" in str(error) and IDENTITY.decode() in str(error)
        assert server.accepted == 1 + 1 + len(QUICK.backoff)
        assert scpi.dirty and fault(lambda: scpi.write("OUTP ON")).kind == "garbled"
        assert b"OUTP ON" not in instrument.seen


def test_the_wrong_model_is_refused_when_the_session_is_opened() -> None:
    with Server(Instrument().talk) as server:
        scpi = session(server, ScpiOptions(expect="RIGOL.*DG", quiet=0.02))
        assert fault(scpi.open).kind == "foreign"
        with session(server) as other:  # it was given up
            assert other.identity


def test_after_a_lost_line_outputs_are_switched_off_first_and_nothing_is_sent_again() -> None:
    instrument = Instrument()
    instrument.answers |= {b"TRIG": [hang_up, None], b"A?": b"x\n"}
    options = ScpiOptions(timeout=3.0, quiet=0.02, backoff=(0.0,), safe=("OUTP OFF",))
    with Server(instrument.talk) as server, session(server, options) as scpi:
        scpi.write("TRIG")
        assert fault(lambda: scpi.query("A?")).kind == "disconnected"
        instrument.seen.clear()
        assert scpi.recover() == "reopened" and scpi.reopened == 1
        assert scpi.query("A?") == "x"
        assert instrument.seen == [b"*CLS", b"*IDN?", b"OUTP OFF", b"A?"]


def test_reconnects_that_are_refused_end_after_the_last_wait() -> None:
    instrument = Instrument()
    instrument.answers[b"TRIG"] = hang_up
    with Server(instrument.talk) as server, session(server) as scpi:
        server.refuse()
        scpi.write("TRIG")
        assert fault(lambda: scpi.query("A?")).kind == "disconnected"
        error = fault(scpi.recover)
        assert error.kind == "refused" and "3 attempts" in str(error)
        assert scpi.faults == {"disconnected": 1, "refused": 3}


def test_a_stop_interrupts_the_waits_of_a_recovery() -> None:
    asked = [0]

    def check() -> None:
        asked[0] += 1
        if asked[0] > 3:
            raise Stopped(15)

    instrument = Instrument()
    instrument.answers[b"TRIG"] = hang_up
    with Server(instrument.talk) as server:
        options = ScpiOptions(timeout=3.0, quiet=0.02, backoff=(1000.0,))
        with session(server, options, check) as scpi:
            server.refuse()
            scpi.write("TRIG")
            fault(lambda: scpi.query("A?"))
            with pytest.raises(Stopped):
                scpi.recover()
            assert scpi.dirty


def test_the_error_queue_is_drained_once_and_within_bounds() -> None:
    instrument = Instrument()
    instrument.answers[b"SYST:ERR?"] = [b'-113,"Undefined header"\n', b'+7,"Hot, very"\n', b'+0,"No error"\n']
    with Server(instrument.talk) as server, session(server) as scpi:
        error = fault(scpi.check_errors)
        assert error.kind == "rejected" and "-113 Undefined header; 7 Hot, very" in str(error)
        assert not scpi.dirty
        scpi.check_errors()
        instrument.answers[b"SYST:ERR?"] = b'-350,"Queue overflow"\n'
        instrument.seen.clear()
        assert "and perhaps more" in str(fault(scpi.check_errors))
        assert len(instrument.seen) == QUICK.errors_at_most


def test_an_error_queue_that_answers_nonsense_is_a_fault() -> None:
    instrument = Instrument()
    instrument.answers[b"SYST:ERR?"] = b"OK\n"
    with Server(instrument.talk) as server, session(server) as scpi:
        assert fault(scpi.check_errors).kind == "garbled" and scpi.dirty


def test_a_block_and_the_query_behind_it_are_one_send() -> None:
    received: list[bytes] = []

    def talk(line: Line) -> None:
        while data := line.receive():
            received.append(data)
            if data.endswith(b"*IDN?\n"):
                line.send(IDENTITY + b"\n")
            elif data.endswith(b"*OPC?\n"):
                line.send(b"1\n")

    with Server(talk) as server, session(server) as scpi:
        assert scpi.write_block("DATA ", np.array([1, 2], ">i2"), query="*OPC?") == "1"
        assert received[-1] == b"DATA #14\x00\x01\x00\x02\n*OPC?\n"
        assert scpi.write_block("DATA ", np.array([1, 2], ">i2")) == ""


def test_a_write_that_nobody_takes_ends_at_its_deadline() -> None:
    def talk(line: Line) -> None:
        line.receive()
        line.send(IDENTITY + b"\n")
        line.wait(10)

    with Server(talk) as server, session(server) as scpi:
        began = time.monotonic()
        # More than loopback's buffers hold: 6 MB by default.
        error = fault(lambda: scpi.write_block("DATA ", np.zeros(8_000_000, "<f4"), timeout=SHORT))
        assert error.kind == "timeout" and "sending" in str(error) and scpi.dirty
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("text", ["", "A?\nB?", "A\r", "µ?", "A", "A?\x00"])
def test_a_query_that_can_not_be_sent_touches_nothing(text: str) -> None:
    instrument = Instrument()
    with Server(instrument.talk) as server, session(server) as scpi:
        seen = len(instrument.seen)
        with pytest.raises(InputError):
            scpi.query(text)
        with pytest.raises(InputError):
            scpi.write("V?")
        with pytest.raises(InputError):
            scpi.query_block("B?", "O", 3)
        with pytest.raises(InputError):
            scpi.query_block("B?", "<f4", 10**12)
        assert not scpi.dirty and len(instrument.seen) == seen
        scpi.write('DISP:TEXT "ready?"')


def test_a_resource_has_one_owner() -> None:
    with Server(Instrument().talk) as server, session(server), pytest.raises(InputError, match="one owner"):
        ScpiSession(SocketTransport(server.resource.replace("TCPIP", "tcpip0"))).open()
    with pytest.raises(TransportError, match="no connection") as caught:
        session(server).open()
    assert caught.value.kind == "refused"


def test_an_answer_in_text_without_an_end_takes_bounded_memory() -> None:
    def flood(line: Line) -> None:
        for _ in range(100):
            line.send(b"x" * 10_000)

    instrument = Instrument()
    instrument.answers[b"A?"] = flood
    with Server(instrument.talk) as server, session(server, ScpiOptions(answer_limit=1000, quiet=0.02)) as scpi:
        error = fault(lambda: scpi.query("A?"))
        assert error.kind == "garbled" and len(error.received) <= 4096 and "within 1000 bytes" in str(error)


def test_an_exchange_that_is_interrupted_leaves_the_session_dirty() -> None:
    transport = ScriptedTransport(Step(b"*CLS\n*IDN?\n", b"A\n"), Step(b"V?\n", b"1\n"))
    with ScpiSession(transport) as scpi, pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "read_until", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scpi.query("V?")
        patch.undo()
        assert "recover" in str(fault(lambda: scpi.query("V?"))), "the answer is still on its way"


def interrupt(*arguments: object) -> bytes:
    raise KeyboardInterrupt


def test_threads_that_share_a_session_get_their_own_answers() -> None:
    instrument = Instrument()
    instrument.answers |= {f"V{number}?".encode(): f"{number}\n".encode() for number in range(4)}
    wrong: list[float] = []

    def ask(number: int) -> None:
        wrong.extend(found for _ in range(50) if (found := scpi.query_number(f"V{number}?")) != number)

    with Server(instrument.talk) as server, session(server) as scpi:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong and not scpi.dirty
        assert len(instrument.seen) == 2 + 4 * 50


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0.0},
        {"quiet": -1.0},
        {"expect": "("},
        {"safe": ("OUTP?",)},
        {"error_query": "SYST:ERR"},
        {"terminator": b""},
        {"backoff": (float("nan"),)},
        {"errors_at_most": 0},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ScpiOptions(**wrong)


def test_a_timeout_shorter_than_the_quiet_leaves_time_for_an_answer() -> None:
    with Server(Instrument().talk) as server:
        scpi = session(server, ScpiOptions(timeout=0.05, quiet=0.1))
        with scpi:
            assert scpi.identity
            assert scpi.recover() == "cleared"
