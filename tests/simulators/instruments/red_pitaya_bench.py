"""A simulated Red Pitaya with its cables, and a bare line to it.

Axis letters: T samples.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.simulators.instruments.medium import Medium, Wire
from physnet.simulators.instruments.red_pitaya import LINE, SimulatedRedPitaya
from physnet.simulators.instruments.rig import Rig
from physnet.simulators.instruments.server import InstrumentServer
from tests.simulators.instruments.raw_line import RawLine

BUFFER, CLOCK, HALF = 16384, 125e6, 8192
DECIMATION = 1024
RATE = CLOCK / DECIMATION  # 122 kHz
POINTS = 400


class CrLine(RawLine):
    """Its lines end with CR LF."""

    def line(self) -> str:
        text = super().line()
        assert text.endswith("\r")
        return text[:-1]

    def block(self, text: str) -> bytes:
        self.send(text)
        start = self.exactly(2)
        assert start[:1] == b"#"
        data = self.exactly(int(self.exactly(int(start[1:]))))
        assert self.exactly(2) == b"\r\n"
        return data


class Clock:
    def __init__(self) -> None:
        self.time = 50.0

    def __call__(self) -> float:
        return self.time


class Bench:
    """A device, the line to it, its clock and its cables."""

    def __init__(self, device: SimulatedRedPitaya, line: CrLine, clock: Clock, rig: Rig) -> None:
        self.device, self.line, self.clock, self.rig = device, line, clock, rig

    def errors(self) -> list[int]:
        found = []
        while (code := int(self.line.ask("SYST:ERR?").partition(",")[0])) != 0:
            found.append(code)
        return found

    def wait(self, seconds: float) -> None:
        """Let time pass once all that was sent has been carried out."""
        assert self.line.ask("*OPC?") == "1"
        self.clock.time += seconds

    def load(
        self, wave_T: NDArray[np.float64], channel: int = 1, *, rate: float = RATE, amplitude: float = 1.0
    ) -> None:
        self.line.send(
            f"SOUR{channel}:FUNC ARBITRARY",
            f"SOUR{channel}:TRAC:DATA:DATA {','.join(f'{value:.6f}' for value in wave_T)}",
            f"SOUR{channel}:FREQ:FIX {rate / BUFFER!r}",
            f"SOUR{channel}:VOLT {amplitude}",
            f"SOUR{channel}:BURS:STAT BURST",
            f"OUTPUT{channel}:STATE ON",
        )

    def arm(self, *more: str, delay: int = BUFFER // 2) -> None:
        self.line.send(
            f"ACQ:DEC {DECIMATION}",
            f"ACQ:TRIG:DLY {delay}",
            "ACQ:DATA:FORMAT BIN",
            *more,
            "ACQ:START",
            "ACQ:TRIG AWG_PE",
        )
        assert self.line.ask("ACQ:TRIG:STAT?;FILL?") == "WAIT;0"

    def run(self) -> None:
        """Fire, and let the ring fill."""
        self.line.send("SOUR:TRIG:INT")
        assert self.line.ask("ACQ:TRIG:STAT?") == "TD"
        self.wait(2 * BUFFER / RATE)
        assert self.line.ask("ACQ:TRIG:FILL?") == "1"

    def volts(self, query: str) -> NDArray[np.float64]:
        return np.frombuffer(self.line.block(query), ">f4").astype(np.float64)


@contextlib.contextmanager
def bench(medium: Medium | None = None, **options: Any) -> Iterator[Bench]:
    medium, clock = medium or Wire(), Clock()
    rig = Rig(medium, sources=range(1, medium.sources + 1), detectors=range(1, medium.detectors + 1))
    device = SimulatedRedPitaya(rig, now=clock, **options)
    with InstrumentServer(device, options=LINE) as server, CrLine(server.port) as line:
        yield Bench(device, line, clock, rig)


def wave(points: int = POINTS, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-1, 1, points)
