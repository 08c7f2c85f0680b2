from __future__ import annotations

import math
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.drivers.answers import parse_number, parse_numbers, parse_queued_error
from physnet.drivers.blocks import encode_block, read_block
from physnet.drivers.scpi import ScpiSession
from physnet.drivers.scpi_options import ScpiOptions
from physnet.drivers.scripted import ScriptedTransport, Step
from physnet.drivers.transport import Deadline
from physnet.errors import InputError, PhysnetError, TransportError

HELLO = Step(b"*CLS\n*IDN?\n", b"A,B,C,D\n")
# Bytes that look like a block for a while, and then do not.
BLOCKS = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda head, rest: b"#" + head + rest, st.from_regex(rb"[0-9]{1,12}", fullmatch=True), st.binary(max_size=40)
    ),
    st.builds(lambda payload, rest: b"#18" + payload + rest, st.binary(min_size=7, max_size=9), st.binary(max_size=3)),
)


def scripted(data: bytes, *, stream: bool = True) -> ScriptedTransport:
    transport = ScriptedTransport(Step(b"", data), stream=stream)
    transport.open(Deadline.after(5))
    return transport


def read(data: bytes, count: int, *, stream: bool = True) -> object:
    transport = scripted(data, stream=stream)
    try:
        return read_block(transport, "<f4", count, deadline=Deadline.after(5))
    finally:
        transport.close()


@given(BLOCKS, st.integers(0, 12), st.booleans())
def test_whatever_comes_is_the_declared_block_or_one_of_our_errors(data: bytes, count: int, stream: bool) -> None:
    try:
        values = read(data, count, stream=stream)
    except TransportError as error:
        assert error.kind in ("garbled", "timeout")
    else:
        payload = struct.pack(f"<{count}f", *values) if count else b""  # type: ignore[misc]
        start = 2 + int(data[1:2])
        assert data[:1] == b"#" and len(data[start : start + 4 * count]) == 4 * count == len(payload)
        assert data[start + 4 * count :] in ((b"\n",) if stream else (b"\n", b""))


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=50), st.sampled_from(["<i4", ">i4"]))
def test_what_is_encoded_is_read_again(numbers: list[int], dtype: str) -> None:
    values = np.array(numbers, dtype)
    transport = scripted(encode_block(values) + b"\n")
    found = read_block(transport, dtype, len(numbers), deadline=Deadline.after(5))
    transport.close()
    np.testing.assert_array_equal(found, values)
    assert found.flags.owndata or found.base is not None


def test_a_header_that_lies_costs_no_memory() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TransportError):
            read(b"#9999999999" + bytes(1000), 10)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@given(st.text(max_size=40))
def test_text_is_a_number_or_one_of_our_errors(text: str) -> None:
    for parse in (
        lambda: parse_number(text, resource="R"),
        lambda: parse_numbers(text, 3, resource="R"),
        lambda: parse_numbers(text, 0, resource="R"),
        lambda: parse_queued_error(text, resource="R"),
    ):
        try:
            parse()
        except TransportError as error:
            assert error.kind == "garbled"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_as_it_was_written(value: float) -> None:
    if abs(value) not in (9.9e37, 9.91e37):
        assert parse_number(repr(value), resource="R") == value


@pytest.mark.parametrize("text", ["9.91E37", "9.91E+37", " 9.910000E+37 "])
def test_the_code_for_no_number_is_nan(text: str) -> None:
    assert math.isnan(parse_number(text, resource="R"))


@pytest.mark.parametrize("text", ["1" * 1000, "1," * 100_000, "9" * 10_000_000])
def test_long_answers_end_quickly_and_in_short_messages(text: str) -> None:
    with pytest.raises(TransportError) as caught:
        parse_numbers(text, 2, resource="R")
    assert len(str(caught.value)) < 400


@given(st.binary(max_size=60), st.sampled_from(["query", "numbers", "number", "block", "errors"]), st.booleans())
def test_a_session_meets_any_bytes_with_an_answer_or_one_of_our_errors(data: bytes, verb: str, stream: bool) -> None:
    hello = HELLO if stream else Step(b"*CLS;*IDN?\n", b"A,B,C,D\n")
    asked = b"SYST:ERR?\n" if verb == "errors" else b"V?\n"
    transport = ScriptedTransport(hello, Step(asked, data), stream=stream)
    with ScpiSession(transport, ScpiOptions(errors_at_most=1)) as session:
        ask = {
            "query": lambda: session.query("V?"),
            "numbers": lambda: session.query_numbers("V?", 2),
            "number": lambda: session.query_number("V?"),
            "block": lambda: session.query_block("V?", ">i2", 4),
            "errors": session.check_errors,
        }[verb]
        try:
            ask()
        except TransportError as error:
            assert session.dirty or error.kind == "rejected"
        except PhysnetError:
            assert not session.dirty
        else:
            assert not session.dirty


def test_a_script_must_be_used_up_and_keeps_to_its_bytes() -> None:
    transport = ScriptedTransport(HELLO, Step(b"A?\n", b"1\n"))
    with ScpiSession(transport) as session:
        with pytest.raises(AssertionError, match="1 steps were not taken"):
            transport.assert_used_up()
        with pytest.raises(AssertionError, match="must be sent next"):
            session.write("B")
    transport = ScriptedTransport(HELLO, Step(b"A?\n", b"1\n"))
    with ScpiSession(transport) as session:
        assert session.query("A?") == "1"
        transport.assert_used_up()
        with pytest.raises(AssertionError, match="script is over"):
            session.write("B")


def test_only_numbers_go_into_a_block() -> None:
    with pytest.raises(InputError, match="integers, floats or complex"):
        encode_block(np.array(["a"]))
    with pytest.raises(InputError, match="integers, floats or complex"):
        encode_block(np.array([object()]))
    assert encode_block(np.zeros(0, "<f4")) == b"#10"


def test_a_block_is_read_into_the_row_it_belongs_to() -> None:
    batch = np.zeros((2, 3), "<i2")
    transport = scripted(b"#16\x01\x00\x02\x00\x03\x00\n")
    assert read_block(transport, "<i2", 3, deadline=Deadline.after(5), out=batch[1]) is not None
    transport.close()
    assert batch.tolist() == [[0, 0, 0], [1, 2, 3]]


@pytest.mark.parametrize("out", [np.zeros(3, ">i2"), np.zeros(2, "<i2"), np.zeros((3, 2), "<i2")[:, 0]])
def test_a_block_that_does_not_fit_where_it_should_go_is_not_asked_for(out: NDArray[Any]) -> None:
    transport = ScriptedTransport(HELLO)
    with ScpiSession(transport) as session:
        with pytest.raises(InputError, match="out must be"):
            session.query_block("B?", "<i2", 3, out=out)
        transport.assert_used_up()
        assert not session.dirty
