"""What is sent is told, and sent unchanged."""

from __future__ import annotations

import numpy as np

from physnet.drivers.scpi import ScpiSession
from physnet.drivers.scripted import ScriptedTransport, Step
from physnet.drivers.watched import WatchedTransport, readable


def test_lines_and_blocks_are_told_and_sent_as_they_are() -> None:
    script = ScriptedTransport(
        Step(b"*CLS\n*IDN?\n", b"MAKER,MODEL,1,0\n"),
        Step(b"DATA:ARB ramp,#18" + np.arange(4, dtype="<i2").tobytes() + b"\n*OPC?\n", b"1\n"),
    )
    told: list[str] = []
    came: list[bytes] = []
    session = ScpiSession(WatchedTransport(script, told.append, came.append))
    with session:
        assert session.write_block("DATA:ARB ramp,", np.arange(4, dtype="<i2"), query="*OPC?") == "1"
    script.assert_used_up()
    assert told == ["*CLS", "*IDN?", "DATA:ARB ramp,<block of 8 bytes>", "*OPC?"]
    assert came == [b"MAKER,MODEL,1,0", b"1"]


def test_a_block_that_looks_like_lines_is_one_block() -> None:
    assert readable(b"A #15\n\n\n\n\nB\nC?\n") == ["A <block of 5 bytes>B", "C?"]


def test_what_is_long_is_cut_and_what_is_no_text_is_escaped() -> None:
    (line,) = readable(b"x" * 1000)
    assert line.endswith("... (1000 characters)")
    assert readable(b"\xff\n") == ["\\xff"]
    assert readable(b"A #9\nB\n") == ["A #9", "B"]  # a block that can't be one
