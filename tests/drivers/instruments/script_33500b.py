"""What a 33500B must be sent for one burst, written from its manual: 0, 0.1, -0.2, 0 V and 0.05, 0.2, 0.1, 0 V."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from physnet.drivers.instruments.keysight_33500b import Keysight33500B
from physnet.drivers.roles import SourceSetup
from physnet.drivers.scripted import Step
from tests.drivers.instruments.examples import lines, scripted

TWO = "Keysight Technologies,33522B,MY50000001,4.00-1.19-2.00-58-00"
ONE = "Agilent Technologies,33511B,MY50000003,2.05-1.19-2.00-52-00"
NONE = '+0,"No error"'
SETUP = SourceSetup(channels=(1,), sample_rate=64e3, peak=(0.2,), load=(50.0,))
BOTH = SourceSetup(channels=(1, 2), sample_rate=1e6, peak=(0.2, 4.0), load=(50.0, math.inf))
# Codes of 0, 0.1, -0.2, 0.05 V at 0.2 V for 32767: 16383.5 goes to the even neighbour.
BURST = np.array([[[0.0, 0.1, -0.2, 0.0]], [[0.05, 0.2, 0.1, 0.0]]])
CODES = [0, 16384, -32767, 0, 8192, 32767, 16384, 0]


def asked(text: str, answer: str) -> Step:
    return lines(text, answer=answer)


def made_safe(outputs: int = 2) -> list[Step]:
    off = lines("OUTP1 OFF", "OUTP2 OFF", "ABOR", "*OPC?", answer="1")
    return [off, *(asked(f"OUTP{channel}?", "0") for channel in range(1, outputs + 1))]


def channel_settings(channel: int, load: str, rate: str, amplitude: str) -> Step:
    source = f"SOUR{channel}:"
    return lines(
        f"OUTP{channel}:LOAD {load}",
        source + "FUNC ARB",
        source + "FUNC:ARB:FILT OFF",
        source + f"FUNC:ARB:SRAT {rate}",
        source + "VOLT:RANG:AUTO ON",
        source + f"VOLT {amplitude}",
        source + "VOLT:OFFS 0.0",
        source + "VOLT:RANG:AUTO OFF",
        f"TRIG{channel}:SOUR BUS",
        source + "BURS:MODE TRIG",
        source + "BURS:NCYC 1",
        source + "BURS:STAT ON",
    )


def read_back(channel: int, load: str, rate: str, amplitude: str) -> list[Step]:
    source = f"SOUR{channel}:"
    return [
        asked(f"OUTP{channel}:LOAD?", load),
        asked(source + "FUNC?", "ARB"),
        asked(source + "FUNC:ARB:FILT?", "OFF"),
        asked(source + "FUNC:ARB:SRAT?", rate),
        asked(source + "VOLT:RANG:AUTO?", "0"),
        asked(source + "VOLT?", amplitude),
        asked(source + "VOLT:OFFS?", "+0.000000000000000E+00"),
        asked(f"TRIG{channel}:SOUR?", "BUS"),
        asked(source + "BURS:MODE?", "TRIG"),
        asked(source + "BURS:NCYC?", "+1.000000000000000E+00"),
        asked(source + "BURS:STAT?", "1"),
    ]


def probed(channel: int, load: str, most: tuple[str, str] = ("+5.0E+00", "+1.0E+01")) -> list[Step]:
    """What is allowed for waveforms that span half of the codes, and all of them."""
    source = f"SOUR{channel}:"
    steps = [lines(source + "DATA:VOL:CLE", f"OUTP{channel}:LOAD {load}", "*OPC?", answer="1")]
    for name, code, answer in (("HALF", 16383, most[0]), ("FULL", 32767, most[1])):
        steps += [
            uploaded(channel, name, [0, code, -code, 0, 0, 0, 0, 0]),
            lines(source + f"FUNC:ARB {name}", source + "FUNC ARB"),
            asked(source + "VOLT? MAX", answer),
        ]
    return steps


def begun() -> list[Step]:
    return [
        *made_safe(),
        asked("*RST\n*OPC?", "1"),
        lines("FORM:BORD SWAP", "OUTP:SYNC:MODE NORM", "OUTP:SYNC:POL NORM", "OUTP:SYNC:SOUR CH1", "OUTP:SYNC ON"),
    ]


def set_up() -> list[Step]:
    return [
        *begun(),
        *probed(1, "50.0"),
        channel_settings(1, "50.0", "64000.0", "0.4"),
        *read_back(1, "+5.000000000000000E+01", "+6.400000000000000E+04", "+4.000000000000000E-01"),
        asked("SYST:ERR?", NONE),
    ]


def uploaded(channel: int, name: str, codes: list[int]) -> Step:
    data = b"".join(code.to_bytes(2, "little", signed=True) for code in codes)
    size = str(len(data)).encode()
    head = f"SOUR{channel}:DATA:ARB:DAC {name},#{len(size)}".encode()
    return Step(head + size + data + b"\n*OPC?\n", b"1\n")


def selected(channel: int, name: str, rate: str, amplitude: str, lower: str = "") -> Step:
    source = f"SOUR{channel}:"
    return lines(
        source + f"VOLT {lower or amplitude}",
        source + f"FUNC:ARB {name}",
        source + "FUNC ARB",
        source + f"FUNC:ARB:SRAT {rate}",
        source + f"VOLT {amplitude}",
        source + "VOLT:OFFS 0.0",
    )


def compared(channel: int, rate: str, amplitude: str) -> list[Step]:
    source = f"SOUR{channel}:"
    return [
        asked(source + "FUNC:ARB:SRAT?", rate),
        asked(source + "VOLT?", amplitude),
        asked(source + "VOLT:OFFS?", "0"),
    ]


def loaded(name: str = "B0") -> list[Step]:
    return [
        uploaded(1, name, CODES),
        selected(1, name, "64000.0", "0.4"),
        asked("SYST:ERR?", NONE),
        *compared(1, "64000", "0.4"),
    ]


def armed() -> list[Step]:
    return [
        asked("*ESR?", "1"),
        asked("OUTP1 ON\n*OPC?", "1"),
        asked("OUTP1?", "1"),
        asked("SOUR1:BURS:STAT?", "1"),
        asked("TRIG1:SOUR?", "BUS"),
        asked("SYST:ERR?", NONE),
    ]


def finished() -> list[Step]:
    return [lines("*TRG", "*OPC"), asked("*ESR?", "+0"), asked("*ESR?", "+1"), asked("SYST:ERR?", NONE)]


@contextmanager
def source(*steps: Step, identity: str = TWO, **options: Any) -> Iterator[Keysight33500B]:
    line = scripted(identity, *steps)
    with Keysight33500B(resource="", transport=line, **options) as found:
        yield found
    line.assert_used_up()
