from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physnet.live.protocol import (
    ACTIONS,
    FILE,
    VERSION,
    Address,
    Curve,
    Event,
    Moment,
    ProtocolError,
    greeting,
    moment_line,
    order,
    read_greeting,
    read_moment,
    read_order,
    refusal,
)

ADDRESS = Address(version=VERSION, machine="bench", port=1, token="t", pid=2, started=3.0, title="A run")
ANY = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["do", "moment", "token"]), inner),
    ).map(lambda value: str(value).replace("'", '"').encode("utf-8", "replace")),
)


def test_a_moment_comes_through_whole_on_one_line() -> None:
    moment = Moment(
        title='Two "lines"\nof it',
        layers=("a", "b"),
        metrics={"loss": (Curve(latest=1.0, points=(2.0, 1.0)), Curve())},
        events=(Event(time=1.0, level="fault", message="ünïcode\n"),),
        passes={"train": 3},
    )
    line = moment_line(moment)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert read_moment(line) == moment


def test_what_is_no_number_becomes_null() -> None:
    assert read_moment(moment_line(Moment(best=math.nan))).best is None


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert read_moment(b'{"moment": {"title": "x", "mood": "fine"}, "more": 1}') == Moment(title="x")


@pytest.mark.parametrize("action", ACTIONS)
def test_every_order_can_be_read(action: str) -> None:
    assert read_order(order(action)) == action  # type: ignore[arg-type]


def test_a_greeting_can_be_read() -> None:
    assert read_greeting(greeting("secret")) == (VERSION, "secret")


@given(ANY)
def test_nonsense_is_refused_and_nothing_worse(line: bytes) -> None:
    for read in (read_greeting, read_moment, read_order):
        try:
            read(line)
        except ProtocolError:
            continue


def test_a_refusal_says_why() -> None:
    with pytest.raises(ProtocolError, match="wrong version"):
        read_moment(refusal("wrong version"))


def test_an_address_is_for_the_eyes_of_its_owner(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("what a killed run left")
    ADDRESS.write(tmp_path)
    assert Address.read(tmp_path) == ADDRESS
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    if os.name != "nt":
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"version": "x"}'])
def test_a_damaged_address_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert Address.read(tmp_path) is None
