"""A ZNB as a script: what its driver must send, and what the analyser answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.drivers.instruments.rohde_schwarz_znb import RohdeSchwarzZNB
from physnet.drivers.roles import SweepSetup
from physnet.drivers.scripted import ScriptedTransport, Step
from tests.drivers.instruments.examples import lines, scripted

IDENTITY = "Rohde-Schwarz,ZNB20-2Port,1311600000000001,3.32"
NONE = '0,"No error"'
LINEAR = SweepSetup(frequencies=(1e9, 2e9, 3e9), power=-10.0, bandwidth=1e3, sweeps=2)
UNEVEN = dataclasses.replace(LINEAR, frequencies=(1e9, 2e9, 4e9), parameter="S11")
VALUES = np.array([[0.5 + 0.25j, -0.5j, 0.125 + 0j], [1 - 1j, 0.75 + 0.5j, -0.25 + 2j]])
COUNT = "CALC1:DATA:NSW:COUN?"


def asked(text: str, answer: str) -> Step:
    return lines(text, answer=answer)


def block(text: str, values: NDArray[np.float64]) -> Step:
    data = values.astype("<f8").tobytes()
    size = str(len(data)).encode()
    return Step(b"CALC1:PAR:SEL 'physnet'\n" + text.encode() + b"\n", b"#%d%b%b\n" % (len(size), size, data))


def parts(values_NF: NDArray[np.complex128]) -> NDArray[np.float64]:
    return np.stack([values_NF.real, values_NF.imag], -1).reshape(-1)


def made_safe() -> list[Step]:
    return [lines("OUTP OFF", "INIT:CONT:ALL OFF", "ABOR", "*OPC?", answer="1"), asked("OUTP?", "0")]


def trace(parameter: str, *, catalogue: str = "'Trc1,S21'", delete: tuple[str, ...] = ()) -> list[Step]:
    return [
        asked("CALC1:PAR:CAT?", catalogue),
        lines(*delete, f"CALC1:PAR:SDEF 'physnet', '{parameter}'"),
        asked("SYST:ERR?", NONE),
        asked("CALC1:PAR:MEAS? 'physnet'", f"'{parameter}'"),
    ]


def common() -> Step:
    return lines(
        "INIT1:IMM:SCOP SING",
        "TRIG1:SOUR EXT",
        "TRIG1:LINK 'SWEEP'",
        "TRIG1:SLOP POS",
        "SENS1:AVER OFF",
        "SOUR1:POW -10.0",
        "SENS1:BAND 1000.0",
        "SENS1:SWE:COUN 2",
        "FORM REAL,64",
        "FORM:BORD SWAP",
    )


def linear() -> list[Step]:
    return [
        lines(
            "SENS1:SWE:TYPE LIN",
            "SENS1:FREQ:STAR 1000000000.0",
            "SENS1:FREQ:STOP 3000000000.0",
            "SENS1:SWE:POIN 3",
            "SENS1:SWE:TIME:AUTO ON",
        )
    ]


def segments() -> list[Step]:
    each = [
        lines(
            f"SENS1:SEGM{place}:ADD",
            f"SENS1:SEGM{place}:SWE:POIN 1",
            f"SENS1:SEGM{place}:FREQ:STOP {hertz}",
            f"SENS1:SEGM{place}:FREQ:STAR {hertz}",
        )
        for place, hertz in enumerate(("1000000000.0", "2000000000.0", "4000000000.0"), start=1)
    ]
    own = ["SENS1:SEGM:POW:CONT OFF", "SENS1:SEGM:BWID:CONT OFF", "SENS1:SEGM:SWE:TIME:CONT OFF"]
    return [lines("SENS1:SEGM:DEL:ALL"), *each, lines(*own, "SENS1:SWE:TYPE SEGM", "*OPC?", answer="1")]


COMMON = {
    "INIT1:CONT?": "0",
    "INIT1:IMM:SCOP?": "SING",
    "TRIG1:SOUR?": "EXT",
    "TRIG1:LINK?": "'SWEEP'",
    "TRIG1:SLOP?": "POS",
    "SENS1:AVER?": "0",
    "SOUR1:POW?": "-10",
    "SENS1:BAND?": "1000",
    "SENS1:SWE:COUN?": "2",
    "FORM?": "REAL,64",
    "FORM:BORD?": "SWAP",
}
IF_LINEAR = {"SENS1:SWE:TYPE?": "LIN", "SENS1:SWE:TIME:AUTO?": "1"}
IF_SEGMENTS = {
    "SENS1:SWE:TYPE?": "SEGM",
    "SENS1:SEGM:POW:CONT?": "0",
    "SENS1:SEGM:BWID:CONT?": "0",
    "SENS1:SEGM:SWE:TIME:CONT?": "0",
}


def compared(answers: dict[str, str]) -> list[Step]:
    return [asked(query, answer) for query, answer in answers.items()]


def set_up() -> list[Step]:
    return [
        *made_safe(),
        *trace("S21"),
        common(),
        *linear(),
        asked("SYST:ERR?", NONE),
        *compared({**COMMON, **IF_LINEAR}),
        block("CALC1:DATA:STIM?", np.array(LINEAR.frequencies)),
        asked("SENS1:SWE:TIME?", "0.0042"),
        asked("SYST:ERR?", NONE),
    ]


def armed(sweeps: int = 2, counts: tuple[str, ...] = ("0",)) -> list[Step]:
    return [
        lines("ABOR", f"SENS1:SWE:COUN {sweeps}", "OUTP ON"),
        asked("SENS1:SWE:COUN?", str(sweeps)),
        asked("TRIG1:SOUR?", "EXT"),
        asked("INIT1:CONT?", "0"),
        asked("OUTP?", "1"),
        lines("INIT1:IMM"),
        *(asked(COUNT, count) for count in counts),
    ]


_to_close: list[RohdeSchwarzZNB] = []


def close_all() -> None:
    """Close what `opened` opened; each test does it at its end."""
    while _to_close:
        _to_close.pop().close()


def opened(*steps: Step, **options: Any) -> tuple[RohdeSchwarzZNB, ScriptedTransport]:
    line = scripted(IDENTITY, *steps)
    analyser = RohdeSchwarzZNB(resource="SCRIPT::INSTR", transport=line, **options)
    _to_close.append(analyser)
    analyser.open()
    return analyser, line


def captured(*steps: Step) -> tuple[RohdeSchwarzZNB, ScriptedTransport]:
    """An analyser that is armed for two sweeps, and what comes then."""
    analyser, line = opened(*set_up(), *armed(), asked("SYST:ERR?", NONE), *steps)
    analyser.setup(LINEAR)
    analyser.arm()
    return analyser, line
