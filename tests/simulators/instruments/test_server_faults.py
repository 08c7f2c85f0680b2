from __future__ import annotations

import time

from physnet.simulators.instruments.faults import FaultKind, FaultPlan
from tests.simulators.instruments.raw_line import RawLine
from tests.simulators.instruments.test_server import Lamp, errors, serving

LIGHT = "+1.50000E+00,+2.50000E+00"


def test_a_late_answer_is_late_and_whole() -> None:
    plan = FaultPlan(script={0: "delay"}, delay=0.08)
    with serving(plan) as (_, server), RawLine(server.port) as line:
        start = time.monotonic()
        assert line.ask("MODE?") == "CONT"
        assert time.monotonic() - start >= 0.08
        assert plan.counts == {FaultKind.DELAY: 1}


def test_a_stalled_answer_never_comes_and_the_next_one_does() -> None:
    with serving(FaultPlan(script={0: "stall"})) as (_, server), RawLine(server.port) as line:
        line.send("MODE?")
        assert line.quiet(0.05)
        assert line.ask("*IDN?") == Lamp.IDENTITY


def test_a_dribbled_answer_comes_in_bytes() -> None:
    plan = FaultPlan(script={0: "dribble"}, pause=5e-3)
    with serving(plan) as (_, server), RawLine(server.port) as line:
        start = time.monotonic()
        assert line.ask("*IDN?") == Lamp.IDENTITY
        # At least one pause less than there are bytes.
        assert time.monotonic() - start >= 5e-3 * (len(Lamp.IDENTITY) - 1)


def test_a_dropped_connection_is_closed_after_the_message_was_carried_out() -> None:
    plan = FaultPlan(script={0: "dropped"})
    with serving(plan) as (_, server):
        with RawLine(server.port) as line:
            line.send("MODE BURS", "MODE BURS", "CURR 0.2;CURR?")  # the first that is answered is the first exchange
            assert line.closed()
        with RawLine(server.port) as line:
            assert line.ask("MODE?;:CURR?") == f"BURS;{0.2:+.14E}"
        assert plan.counts == {FaultKind.DROPPED: 1}


def test_refused_connections_are_refused_for_a_time_and_then_reset_some_times() -> None:
    plan = FaultPlan(script={0: "refused"}, refuse_for=0.1, refusals=2)
    with serving(plan) as (_, server):
        with RawLine(server.port) as line:
            line.send("MODE?")
            assert line.closed()
        until, refused, reset = time.monotonic() + 5, 0, 0
        while time.monotonic() < until:
            try:
                with RawLine(server.port) as line:
                    line.ask("MODE?")
                break
            except ConnectionRefusedError:
                refused += 1
            except ConnectionError:
                reset += 1
        assert refused > 0
        assert reset == 2


def test_an_error_comes_out_of_nothing() -> None:
    with serving(FaultPlan(script={1: "queued_error"})) as (_, server), RawLine(server.port) as line:
        assert line.ask("MODE?") == line.ask("MODE?") == "CONT"
        assert errors(line) == [-310]


def test_more_bytes_follow_an_answer() -> None:
    with serving(FaultPlan(script={0: "extra"})) as (_, server), RawLine(server.port) as line:
        assert line.ask("MODE?") == "CONT"
        assert line.line() == "1"


def test_garbage_comes_instead_of_an_answer_and_is_the_same_again() -> None:
    found = []
    for _ in range(2):
        with serving(FaultPlan(script={0: "garbage"}, seed=5)) as (_, server), RawLine(server.port) as line:
            line.send("MODE?")
            found.append(line.exactly(41))
            assert line.ask("MODE?") == "CONT"
    assert found[0] == found[1]
    assert b"CONT" not in found[0]


def test_the_answer_before_comes_again() -> None:
    with serving(FaultPlan(script={0: "stale"})) as (_, server), RawLine(server.port) as line:
        assert line.ask("*IDN?") == Lamp.IDENTITY  # nothing came before the first answer: the fault waits
        assert line.ask("MODE?") == Lamp.IDENTITY
        assert line.ask("MODE?") == "CONT"


def test_a_block_ends_in_the_middle() -> None:
    with serving(FaultPlan(script={0: "truncated"})) as (lamp, server), RawLine(server.port) as line:
        lamp.data = b"0123456789"
        assert line.ask("MODE?") == "CONT"
        line.send("DATA:ARB?")
        assert line.exactly(9) == b"#21001234"
        assert line.quiet(0.05)


def test_a_block_says_another_length_than_it_has() -> None:
    with serving(FaultPlan(script={0: "wrong_length"})) as (lamp, server), RawLine(server.port) as line:
        lamp.data = b"0123456789"
        line.send("MODE?;:DATA:ARB?")
        assert line.exactly(19) == b"CONT;#190123456789\n"


def test_numbers_are_replaced_by_the_code_for_no_number() -> None:
    with serving(FaultPlan(script={0: "overload"})) as (_, server), RawLine(server.port) as line:
        assert line.ask("MODE?") == "CONT"
        assert line.ask("MEAS:LIGH?") == "9.91E+37,9.91E+37"
        assert line.ask("MEAS:LIGH?") == LIGHT


def test_faults_by_rate_are_the_same_again_and_counted() -> None:
    seen = []
    for _ in range(2):
        plan = FaultPlan(rates={"extra": 0.3, "queued_error": 0.2}, seed=7)
        with serving(plan) as (_, server), RawLine(server.port) as line:
            line.send(*["MODE?"] * 50)
            line.send("*IDN?")
            answers: list[str] = []
            while not answers or answers[-1] != Lamp.IDENTITY:
                answers.append(line.line())
        seen.append((answers, plan.counts))
    assert seen[0] == seen[1]
    # 51 exchanges: an expectation of 15 and of 10 (less where both strike), none at all is less likely than 1e-4.
    assert seen[0][1].keys() == {FaultKind.EXTRA, FaultKind.QUEUED_ERROR}
    assert seen[0][0].count("1") in (seen[0][1][FaultKind.EXTRA], seen[0][1][FaultKind.EXTRA] - 1)
