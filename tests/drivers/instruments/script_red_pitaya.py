"""A Red Pitaya as a script: what its driver must send, and what the board answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.drivers.instruments.red_pitaya import RedPitaya
from physnet.drivers.roles import DetectorSetup, SourceSetup
from physnet.drivers.scripted import ScriptedTransport, Step

IDENTITY = "REDPITAYA,INSTR2025,,01-21"
NONE = '0,"No error"'
RATE = 125e6 / 64
SOURCE = SourceSetup(channels=(1,), sample_rate=RATE, peak=(0.2,), load=(50.0,))
DETECTOR = DetectorSetup(channels=(1, 2), sample_rate=RATE, points=6, segments=1, full_scale=(0.5, 1.0))
BURST = np.array([[[0.0, 0.1, -0.2]], [[0.05, 0.2, 0.0]]])
CODES = np.array([[0, 1, -8192, 8191, 300, -2], [5, 4, 3, 2, 1, 0]], np.int16)


def lines(*sent: str, answer: str = "") -> Step:
    return Step("".join(line + "\r\n" for line in sent).encode(), (answer + "\r\n").encode() if answer else b"")


def asked(text: str, answer: str) -> Step:
    return lines(text, answer=answer)


def opening() -> Step:
    return lines("*CLS", "*IDN?", answer=IDENTITY)


def block(text: str, codes: NDArray[np.int16]) -> Step:
    data = codes.astype(">i2").tobytes()
    size = str(len(data)).encode()
    return Step(text.encode() + b"\r\n", b"#%d%b%b\r\n" % (len(size), size, data))


def made_safe() -> list[Step]:
    return [
        lines("OUTPUT1:STATE OFF", "OUTPUT2:STATE OFF", "ACQ:STOP", "*OPC?", answer="1"),
        asked("OUTPUT1:STATE?", "OFF"),
        asked("OUTPUT2:STATE?", "OFF"),
    ]


def begun() -> list[Step]:
    return [*made_safe(), asked("SYST:BRD:NAME?", "STEMlab 125-14 v1.1")]


def channel_settings(channel: int, frequency: str, amplitude: str) -> list[str]:
    source = f"SOUR{channel}:"
    return [
        source + "FUNC ARBITRARY",
        source + f"FREQ:FIX {frequency}",
        source + f"VOLT {amplitude}",
        source + "VOLT:OFFS 0.0",
        source + "BURS:STAT BURST",
        source + "BURS:NCYC 1",
        source + "BURS:NOR 1",
        source + "BURS:LASTValue 0.0",
        source + "INITValue 0.0",
        source + "TRIG:SOUR INT",
    ]


# 125 MHz / 64 / 16384 = 119.20928955078125 Hz, of which the board answers six digits.
SOURCE_ANSWERS = {
    "SOUR1:FUNC?": "ARBITRARY",
    "SOUR1:FREQ:FIX?": "119.209",
    "SOUR1:VOLT?": "0.2",
    "SOUR1:VOLT:OFFS?": "0",
    "SOUR1:BURS:STAT?": "BURST",
    "SOUR1:BURS:NCYC?": "1",
    "SOUR1:BURS:NOR?": "1",
    "SOUR1:BURS:LASTValue?": "0",
    "SOUR1:INITValue?": "0",
    "SOUR1:TRIG:SOUR?": "INT",
    "OUTPUT1:STATE?": "OFF",
}
DETECTOR_ANSWERS = {
    "ACQ:DEC?": "64",
    "ACQ:AVG?": "ON",
    "ACQ:SOUR1:GAIN?": "LV",
    "ACQ:SOUR2:GAIN?": "LV",
    "ACQ:DATA:FORMAT?": "BIN",
    "ACQ:DATA:UNITS?": "RAW",
    "ACQ:TRIG:DLY?": "-8178",
    "ACQ:SRATE?": "  1953125 Hz",
}


def compared(answers: dict[str, str]) -> list[Step]:
    return [asked(query, answer) for query, answer in answers.items()]


def source_set() -> list[Step]:
    commands = channel_settings(1, "119.20928955078125", "0.2")
    return [
        *begun(),
        lines("GEN:RST", "OUTPUT1:STATE OFF", "OUTPUT2:STATE OFF", *commands, "*OPC?", answer="1"),
        asked("SYST:ERR?", NONE),
    ]


def detector_set(*, delay: int = -8178, decimation: int = 64) -> list[Step]:
    return [
        *begun(),
        lines(
            "ACQ:RST",
            f"ACQ:DEC {decimation}",
            "ACQ:AVG ON",
            "ACQ:SOUR1:GAIN LV",
            "ACQ:SOUR2:GAIN LV",
            "ACQ:DATA:FORMAT BIN",
            "ACQ:DATA:UNITS RAW",
            f"ACQ:TRIG:DLY {delay}",
            "*OPC?",
            answer="1",
        ),
        asked("SYST:ERR?", NONE),
    ]


def set_up() -> list[Step]:
    return [*source_set(), *compared(SOURCE_ANSWERS), *detector_set(), *compared(DETECTOR_ANSWERS)]


def loaded(values: Sequence[str] = ("0", "0.5", "-1", "0.25", "1", "0")) -> list[Step]:
    table = ",".join([*values, *["0"] * (16384 - len(values))])
    return [
        lines("OUTPUT1:STATE OFF", f"SOUR1:TRAC:DATA:DATA {table}", "*OPC?", answer="1"),
        asked("SYST:ERR?", NONE),
        asked("SOUR1:FREQ:FIX?", "119.209"),
        asked("SOUR1:VOLT?", "0.2"),
    ]


def flags(triggered: str, full: str) -> list[Step]:
    return [asked("ACQ:TRIG:STAT?", triggered), asked("ACQ:TRIG:FILL?", full)]


def outputs_on() -> list[Step]:
    return [
        lines("OUTPUT1:STATE ON"),
        asked("OUTPUT1:STATE?", "ON"),
        asked("SOUR1:BURS:STAT?", "BURST"),
        asked("SYST:ERR?", NONE),
    ]


def armed() -> list[Step]:
    return [lines("ACQ:START"), lines("ACQ:TRIG AWG_PE"), *flags("WAIT", "0")]


def read(place: int = 16380, start: int = 16380, *, codes: NDArray[np.int16] = CODES) -> list[Step]:
    return [
        *flags("TD", "1"),
        asked("ACQ:TPOS?", str(place)),
        block(f"ACQ:SOUR1:DATA:STA:N? {start},6", codes[0]),
        asked("ACQ:TPOS?", str(place)),
        block(f"ACQ:SOUR2:DATA:STA:N? {start},6", codes[1]),
    ]


_to_close: list[RedPitaya] = []


def close_all() -> None:
    """Close what `opened` opened; each test does it at its end."""
    while _to_close:
        _to_close.pop().close()


def opened(*steps: Step, **options: Any) -> tuple[RedPitaya, ScriptedTransport]:
    line = ScriptedTransport(opening(), *steps)
    board = RedPitaya(resource="SCRIPT::INSTR", transport=line, **options)
    _to_close.append(board)
    board.open()
    return board, line


def captured(*steps: Step) -> tuple[RedPitaya, ScriptedTransport]:
    """A board that was loaded and armed, and what comes then."""
    board, line = opened(*set_up(), *loaded(), *armed(), *outputs_on(), *steps)
    board.setup(SOURCE)
    board.setup(DETECTOR)
    board.load(BURST)
    board.arm(1)
    return board, line
