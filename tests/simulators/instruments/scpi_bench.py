"""A generator and an oscilloscope with a wire between them, and the commands that the tests send over bare sockets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.simulators.instruments.generator import Generator
from physnet.simulators.instruments.medium import Medium, Wire
from physnet.simulators.instruments.oscilloscope import Oscilloscope
from physnet.simulators.instruments.rig import Rig
from physnet.simulators.instruments.server import InstrumentServer
from tests.simulators.instruments.raw_line import RawLine

RATE = 64e3
SETUP = (
    "OUTP1:LOAD 50", "SOUR1:FUNC ARB", "SOUR1:FUNC:ARB:FILT OFF", f"SOUR1:FUNC:ARB:SRAT {RATE}", "TRIG1:SOUR BUS",
    "SOUR1:BURS:MODE TRIG", "SOUR1:BURS:NCYC 1", "SOUR1:BURS:STAT ON", "FORM:BORD SWAP", "OUTP:SYNC ON",
)  # fmt: skip
LISTEN = (
    "STOP", "TRIG:SWE NORM", "TRIG:EDGE:SOUR EXT", "TRIG:EDGE:LEV 1.5", "TIM:REF LEFT", "WAV:POIN:MODE RAW",
    "WAV:FORM WORD", "WAV:BYT LSBF", "WAV:UNS ON",
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    generator: Generator
    scope: Oscilloscope
    rig: Rig
    source: RawLine
    detector: RawLine

    def upload(self, codes: NDArray[np.int16], name: str = "W", channel: int = 1) -> None:
        data = codes.astype("<i2").tobytes()
        length = str(len(data)).encode()
        head = f"SOUR{channel}:DATA:ARB:DAC {name},#{len(length)}".encode() + length
        self.source.socket.sendall(head + data + b"\n")
        self.source.send(f"SOUR{channel}:FUNC:ARB {name}")

    def play(self) -> None:
        self.source.send("*TRG")
        assert self.source.ask("*OPC?") == "1"

    def listen(self, seconds: float, points: int, full: float, channels: tuple[int, ...] = (1,)) -> None:
        self.detector.send(*LISTEN, f"TIM:RANG {seconds}", f"WAV:POIN {points}", f"TIM:POS {seconds / 10}")
        for channel in channels:
            self.detector.send(f"CHAN{channel}:RANG {2 * full}")

    def arm(self) -> None:
        self.detector.send("SING")
        assert self.detector.ask("AER?") == "1"

    def volts(self, channel: int = 1) -> NDArray[np.float64]:
        self.detector.send(f"WAV:SOUR CHAN{channel}")
        preamble = [float(field) for field in self.detector.ask("WAV:PRE?").split(",")]
        words = np.frombuffer(self.detector.block("WAV:DATA?"), "<u2").astype(np.float64)
        return (words - preamble[9]) * preamble[7] + preamble[8]

    def errors(self, line: RawLine) -> list[int]:
        found = []
        while (code := int(line.ask("SYST:ERR?").partition(",")[0])) != 0:
            found.append(code)
        return found


@contextlib.contextmanager
def bench(
    medium: Medium | None = None,
    *,
    sources: tuple[int, ...] = (1,),
    detectors: tuple[int, ...] = (1,),
    generator: dict[str, Any] | None = None,
    scope: dict[str, Any] | None = None,
) -> Iterator[Bench]:
    rig = Rig(medium or Wire(span=1e-3), sources=sources, detectors=detectors)
    source = Generator(rig, **{"scaling": "converter", **(generator or {})})
    detector = Oscilloscope(rig, **{"noise": 0.0, **(scope or {})})
    with (
        InstrumentServer(source) as one,
        InstrumentServer(detector) as two,
        RawLine(one.port) as line,
        RawLine(two.port) as other,
    ):
        yield Bench(source, detector, rig, line, other)


def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait until something is true; fail when it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)
