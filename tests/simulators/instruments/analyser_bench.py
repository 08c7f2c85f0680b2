"""A simulated network analyser over a network of one's own, and a bare line to it.

Axis letters: N sweeps; E elements; F frequencies.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.simulators.instruments.network_analyser import SimulatedNetworkAnalyser
from physnet.simulators.instruments.server import InstrumentServer
from physnet.simulators.instruments.sweep_points import SWITCHING
from tests.simulators.instruments.raw_line import RawLine

FREQUENCIES = (2.0e9, 2.5e9, 3.0e9)
ELEMENTS = 5


class Sums:
    """A network that adds up a weight for each element that is on."""

    frequencies = np.array(FREQUENCIES)
    weight_EF = np.exp(1j * np.outer(np.arange(1, ELEMENTS + 1), [1.0, 2.0, 3.0])) / 10

    def respond(self, pattern_NE: NDArray[np.uint8]) -> NDArray[np.complex128]:
        return np.asarray(pattern_NE @ self.weight_EF)


class Clock:
    """Time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class Bench:
    """An analyser, the line to it, its clock, and the pattern that is latched."""

    def __init__(self, line: RawLine, analyser: SimulatedNetworkAnalyser, clock: Clock) -> None:
        self.line, self.analyser, self.clock = line, analyser, clock

    def sweeps(self, first: int, last: int) -> NDArray[np.complex128]:
        data = np.frombuffer(self.line.block(f"CALC:DATA:NSW:FIRS? SDAT,{first},{last}"), "<c16")
        return data.reshape(last - first + 1, -1)

    def completed(self) -> int:
        return int(self.line.ask("CALC:DATA:NSW:COUN?"))

    def errors(self) -> list[int]:
        found = []
        while (code := int(self.line.ask("SYST:ERR?").partition(",")[0])) != 0:
            found.append(code)
        return found

    def arm(self, count: int, *more: str) -> None:
        self.line.send(
            "INIT:CONT OFF", "FORM REAL,64", "FORM:BORD SWAP", "TRIG:SOUR EXT", f"SENS:SWE:COUN {count}", *more, "INIT"
        )
        assert self.errors() == []


SEGMENTS = [f"SENS:SEGM{i + 1}:INS {f},{f},1,-10,0,0,1000" for i, f in enumerate(FREQUENCIES)]
TABLE = ("SENS:SEGM:DEL:ALL", *SEGMENTS, "SENS:SWE:TYPE SEGM")
DURATION = len(FREQUENCIES) * (1e-3 + SWITCHING)
NO_NOISE = -500.0  # dBm: below the last bit of a double


@contextlib.contextmanager
def bench(clock: Callable[[], float] | None = None, **options: Any) -> Iterator[Bench]:
    given = {"noise_floor": NO_NOISE, "latched": lambda: np.ones(ELEMENTS, np.uint8), **options}
    still = clock or Clock()
    analyser = SimulatedNetworkAnalyser(Sums(), now=still, **given)
    with InstrumentServer(analyser) as server, RawLine(server.port) as line:
        yield Bench(line, analyser, still)  # type: ignore[arg-type]


def patterns(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 2, (count, ELEMENTS), np.uint8)
