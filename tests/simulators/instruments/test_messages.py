from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physnet.simulators.instruments.codes import Refusal
from physnet.simulators.instruments.messages import Message, MessageReader, Unit, parse_units


def units(text: str) -> list[Unit]:
    (message,) = MessageReader().feed(text.encode() + b"\n")
    return list(parse_units(message))


def block(data: bytes) -> bytes:
    length = str(len(data)).encode()
    return b"#%d%b%b" % (len(length), length, data)


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=60))
def test_a_block_of_any_bytes_split_anywhere_arrives_whole(data: bytes, cuts: list[int]) -> None:
    stream = b"DATA:ARB name," + block(data) + b";*OPC?\nVOLT 1\n"
    reader, start = MessageReader(), 0
    found: list[Message] = []
    for length in [*cuts, len(stream)]:
        found += reader.feed(stream[start : start + length])
        start += length
    assert found == [Message("DATA:ARB name,\x00;*OPC?", (data,)), Message("VOLT 1")]
    assert reader.held == 0


@given(st.binary(max_size=400), st.integers(1, 64))
def test_arbitrary_bytes_end_as_units_or_in_a_refusal_and_hold_no_more_than_the_limits(data: bytes, piece: int) -> None:
    reader = MessageReader(text_limit=100, block_limit=100)
    try:
        for start in range(0, len(data), piece):
            for message in reader.feed(data[start : start + piece]):
                try:
                    assert all(unit.header for unit in parse_units(message))
                except Refusal as refusal:
                    assert -199 <= refusal.code <= -100
            # Text and blocks to their limits, declared blocks included; what waits is at most a piece, or the eleven
            # bytes of a header of a block.
            assert reader.held <= 100 + 100 + max(piece, 11)
    except Refusal as refusal:
        assert refusal.code in (-363, -223)


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    reader = MessageReader(text_limit=1000)
    with pytest.raises(Refusal, match="-363"):
        for _ in range(100):
            list(reader.feed(b"A" * 100))
    assert reader.held <= 1100


def test_a_block_longer_than_the_limit_is_refused_by_its_header_alone() -> None:
    with pytest.raises(Refusal, match="-223"):
        list(MessageReader(block_limit=1000).feed(b"DATA #41001"))


def test_units_of_a_message_share_their_path_and_common_commands_leave_it_alone() -> None:
    found = units(":sour1:volt 1;offs 0;*cls;unit vpp;:freq? max;:SYST:ERR?")
    assert [unit.header for unit in found] == [
        "SOUR1:VOLT", "SOUR1:OFFS", "*CLS", "SOUR1:UNIT", "FREQ", "SYST:ERR"
    ]  # fmt: skip
    assert [unit.query for unit in found] == [False, False, False, False, True, True]


def test_separators_within_quotes_separate_nothing() -> None:
    (unit,) = units('DISP "one; two, ""three""",\'"\',7')
    assert [parameter.text for parameter in unit.parameters] == ['one; two, "three"', '"', "7"]
    assert [parameter.quoted for parameter in unit.parameters] == [True, True, False]


def test_a_carriage_return_before_the_end_and_empty_units_mean_nothing() -> None:
    (unit,) = units("; ;*RST ;\r")
    assert (unit.header, unit.query) == ("*RST", False)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("12", -102),
        ("A:", -102),
        ("A,B", -102),
        ("A 1,,2", -102),
        ('A "open', -151),
        ('A "one" two"', -151),
        ("A #0abc", -161),
        ("A #x", -161),
        ("A" * 300, -112),
        ("A \x00", -101),
        ("A \x80", -101),
    ],
)
def test_what_is_no_scpi_is_refused_with_its_number(text: str, code: int) -> None:
    with pytest.raises(Refusal) as caught:
        (message,) = MessageReader().feed(text.encode("latin-1") + b"\n")
        list(parse_units(message))
    assert caught.value.code == code


def test_a_long_line_of_blanks_takes_no_longer_than_another() -> None:
    # Quadratic work on 10^6 characters would exceed the time limit of a test.
    assert units("A 1" + " " * 1_000_000 + "2")[0].parameters[0].text.startswith("1 ")
