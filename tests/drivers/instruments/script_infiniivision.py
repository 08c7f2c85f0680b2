"""What an InfiniiVision must be sent for one record and for three segments, written from its manual."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from physnet.drivers.instruments.keysight_infiniivision import KeysightInfiniiVision
from physnet.drivers.roles import DetectorSetup
from physnet.drivers.scripted import Step
from physnet.drivers.transport import Deadline
from tests.drivers.instruments.examples import lines, scripted

T_MODEL = "KEYSIGHT TECHNOLOGIES,DSO-X 3024T,MY50000002,07.20.2017102614"
A_MODEL = "AGILENT TECHNOLOGIES,MSO-X 3012A,MY50000004,02.43.2018020635"
SMALL = "AGILENT TECHNOLOGIES,DSO-X 2012A,MY50000005,01.10.2011042700"
NONE = '+0,"No error"'
# 40 samples at 1 kHz: 100 points over 50 ms are 2 kHz, of which every second is kept.
SETUP = DetectorSetup(channels=(1,), sample_rate=1e3, points=40, segments=1, full_scale=(0.5,))
SEGMENTS = dataclasses.replace(SETUP, channels=(2, 1), points=50, segments=3, full_scale=(0.5, 2.0), before=5e-3)


def channel(number: int, full: str, coupling: str = "DC") -> list[tuple[str, str, str]]:
    """Commands of a listening channel, with what each of them answers."""
    start = f"CHAN{number}:"
    return [
        (start + "PROB", "1.0", "+1.00000E+00"),
        (start + "IMP", "ONEM", "ONEM"),
        (start + "COUP", coupling, coupling),
        (start + "RANG", full, full),
        (start + "OFFS", "0.0", "+0.0E+00"),
    ]


def shared(duration: str, position: str, mode: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [
        ("TIM:MODE", "MAIN", "MAIN"),
        ("TIM:REF", "CENT", "CENT"),
        ("TIM:RANG", duration, ""),
        ("TIM:POS", position, position),
        ("ACQ:TYPE", "NORM", "NORM"),
        *mode,
        ("TRIG:MODE", "EDGE", "EDGE"),
        ("TRIG:SWE", "NORM", "NORM"),
        ("TRIG:EDGE:SOUR", "EXT", "EXT"),
        ("TRIG:EDGE:SLOP", "POS", "POS"),
        ("EXT:RANG", "8.0", "+8.0E+00"),
        ("TRIG:EDGE:LEV", "1.5", "+1.50000E+00"),
        ("WAV:FORM", "WORD", "WORD"),
        ("WAV:BYT", "LSBF", "LSBF"),
    ]


def set_up(
    settings: list[tuple[str, str, str]], channels: Sequence[int], duration: str, rate: str, error: str = NONE
) -> list[Step]:
    """The exchange of a setup: all commands in one send, then the questions one by one."""
    asked = [lines(header + "?", answer=answer) for header, _, answer in settings if header != "TIM:RANG"]
    sources = [lines(f"WAV:SOUR CHAN{number}", "WAV:UNS ON") for number in channels]
    unsigned = [
        step for number in channels for step in (lines(f"WAV:SOUR CHAN{number}"), lines("WAV:UNS?", answer="1"))
    ]
    return [
        lines("*RST", "*OPC?", answer="1"),
        lines(*(f"{header} {value}" for header, value, _ in settings)),
        *sources,
        lines("SYST:ERR?", answer=error),
        *asked,
        *unsigned,
        lines("TIM:RANG?", answer=duration),
        lines("ACQ:SRAT?", answer=rate),
    ]


def display(count: int, on: Sequence[int]) -> list[tuple[str, str, str]]:
    return [(f"CHAN{n}:DISP", "ON" if n in on else "OFF", str(int(n in on))) for n in range(1, count + 1)]


SINGLE = [("ACQ:MODE", "RTIM", "RTIM")]
THREE = [("ACQ:MODE", "SEGM", "SEGM"), ("ACQ:SEGM:COUN", "3", "+3")]


def one() -> list[Step]:
    wanted = [*display(4, [1]), *channel(1, "1.0"), *shared("0.05", "0.025", SINGLE)]
    return set_up(wanted, [1], "+5.00000000E-02", "+8.00000E+07")


def three(count: int = 4) -> list[Step]:
    # 50 samples at 1 kHz: 100 points over 50 ms, of which the trigger is 5 ms after the first.
    both = [*channel(2, "1.0"), *channel(1, "4.0")]
    wanted = [*display(count, [1, 2]), *both, *shared("0.05", "0.02", THREE)]
    return set_up(wanted, [2, 1], "+5.0E-02", "+1.0E+07")


def armed(*mode: str) -> list[Step]:
    return [
        lines("STOP", *mode, "*OPC?", answer="1"),
        lines("AER?", answer="1"),
        lines("TER?", answer="+1"),
        lines("SING"),
        lines("AER?", answer="+0"),
        lines("AER?", answer="+1"),
    ]


def shown(segment: int) -> list[Step]:
    return [lines(f"ACQ:SEGM:IND {segment}"), lines("ACQ:SEGM:IND?", answer=f"+{segment}")]


def preamble(number: int, *one: str, points: str = "100", step: str = "+5.00000000E-04", **changed: str) -> Step:
    fields = {
        "format": "1",
        "type": "0",
        "points": points,
        "count": "1",
        "step": step,
        "start": "-5.00000000E-03",
        "x reference": "0",
        "scale": "+6.10351600E-05",
        "origin": "+1.0E-02",
        "reference": "+32768",
    }
    answer = ",".join((fields | changed).values())
    return lines(f"WAV:SOUR CHAN{number}", *one, "WAV:POIN:MODE RAW", "WAV:POIN 100", "WAV:PRE?", answer=answer)


def block(*before: str, codes: Sequence[int]) -> Step:
    data = b"".join(code.to_bytes(2, "little") for code in codes)
    sent = "".join(line + "\n" for line in (*before, "WAV:DATA?")).encode()
    return Step(sent, b"#8%08d" % len(data) + data + b"\n")


RAMP = [0x4000 + 0x0100 * n for n in range(100)]


@contextmanager
def detector(*steps: Step, identity: str = T_MODEL, **options: Any) -> Iterator[KeysightInfiniiVision]:
    line = scripted(identity, *steps)
    with KeysightInfiniiVision(resource="", transport=line, **options) as found:
        yield found
    line.assert_used_up()


@contextmanager
def recorded(*steps: Step) -> Iterator[KeysightInfiniiVision]:
    """A detector that has recorded one piece."""
    with detector(
        *one(), *armed("ACQ:MODE RTIM"), lines("OPER:COND?", answer="0"), lines("TER?", answer="1"), *steps
    ) as scope:
        scope.setup(SETUP)
        scope.arm()
        scope.wait(Deadline.after(5.0))
        yield scope
