"""A metasurface board on a serial line and a network analyser over TCP: the answers of the cavity between them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.contracts import PhysicalSystem
from physnet.drivers.benches.bench import Bench
from physnet.encoders import Levels
from physnet.errors import InputError, MeasurementError
from physnet.port import Port
from physnet.simulators.instruments.pattern_bench import SimulatedPatternBench
from physnet.simulators.instruments.serve import Simulation

from .served import BANDWIDTH, ELEMENTS, POWER, room, room_file, served
from .training import differ, trained

# All that stands between a scattering parameter of the bench and that of the cavity is the receiver's noise: -130 dBm
# in 1 Hz at its input, and so this in units of what was sent. It is complex normal, |z|^2 / NOISE^2 is exponential: 7
# times it is exceeded by one of exp(49) = 2e21 numbers. (float64 comes through the line as it is.)
NOISE = 10 ** ((-130.0 - POWER) / 20) * math.sqrt(BANDWIDTH)
MOST = 7 * NOISE

LINES = ["socket", pytest.param("pty", marks=pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals"))]


@contextmanager
def room_served(
    line: str, folder: Path, *, response: str = "complex", faults: str = "", settle: float = 3e-4
) -> Iterator[tuple[Bench, Simulation]]:
    board = str(folder / "board.pty") if line == "pty" else "socket://127.0.0.1:0"
    resources = {"board": board, "analyser": "TCPIP::127.0.0.1::0::SOCKET"}
    with served(room_file(response=response, faults=faults, settle=settle), resources=resources) as both:
        yield both


def patterns(rows: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 2, (rows, ELEMENTS), np.uint8)


def direct(pattern_NE: NDArray[np.uint8]) -> NDArray[np.complex128]:
    reading = room().measure(pattern_NE.astype(np.float64), np.arange(len(pattern_NE)))
    return np.asarray(reading.response, np.complex128)


@pytest.mark.parametrize("line", LINES)
def test_every_response_is_that_of_the_cavity_within_the_trace_noise(line: str, tmp_path: Path) -> None:
    pattern_NE = patterns(100)
    with room_served(line, tmp_path) as (bench, simulation), bench:
        reading = bench.measure(pattern_NE, np.arange(100))
        assert bench.spec.kind == "simulated" and not bench.faults
        assert isinstance(simulation.bench, SimulatedPatternBench)
        played = [event.kind for event in simulation.bench.board.record]
    wanted_NF = direct(pattern_NE)
    error_NF = np.abs(reading.response - wanted_NF)
    assert reading.valid is not None and reading.valid.all()
    assert error_NF.max() < MOST
    # Not by chance: the noise is there, known from 1 000 numbers to 1 / sqrt(1000) = 3.2 % (five of them), and the
    # responses of two patterns are told by far more.
    assert math.sqrt(np.mean(error_NF**2)) == pytest.approx(NOISE, rel=0.16)
    assert np.abs(wanted_NF - wanted_NF.mean(0)).std(0).min() > 10 * MOST
    assert played.count("trigger") == played.count("pattern") == 100
    assert played[-1] == "safe"


def test_a_modulus_is_that_of_the_cavity() -> None:
    pattern_NE = patterns(30, seed=1)
    with served(room_file(response="modulus")) as (bench, _), bench:
        reading = bench.measure(pattern_NE, np.arange(30))
    assert reading.response.dtype == np.float64
    assert np.abs(reading.response - np.abs(direct(pattern_NE))).max() < MOST  # | |a + z| - |a| | <= |z|


def test_a_network_learns_through_the_bench_what_it_learns_through_the_cavity(tmp_path: Path) -> None:
    def learned(system: PhysicalSystem) -> tuple[NDArray[np.bool_], int]:
        right, trainer = trained(system, seed=1, learning_rate=2e-2, encoder=Levels(bits=1))
        return right, trainer.network.ports[0].count.retries

    with room_served("pty" if os.name == "posix" else "socket", tmp_path) as (bench, _):
        through_bench, retries = learned(bench)
        assert retries == 0 and not bench.faults
    directly, _ = learned(room())
    assert not differ(through_bench, directly)
    assert directly.mean() > 0.3 and through_bench.mean() > 0.3  # chance is 10 %


def test_sweeps_that_were_miscounted_are_refused_and_measured_again() -> None:
    # The eighth trigger never reaches the analyser: from there on, a sweep would belong to the pattern after it.
    with served(room_file(faults='script = [[7, "missed_trigger"]]')) as (bench, simulation):
        with bench:
            with pytest.raises(MeasurementError, match="20 patterns were played and 19 sweeps counted"):
                bench.measure(patterns(20), np.arange(20))
            assert bench.faults["miscounted"] == 1
            assert simulation.faults["analyser"] == {"missed_trigger": 1}
        port = Port(bench)
        simulation.plans["analyser"].add("missed_trigger")
        with port:
            found = port.measure(patterns(20), np.arange(20))
        assert port.count.retries == 20
        # The port hands complex64 upwards: 2^-24 of a number below 2 more.
        assert np.abs(np.asarray(found.response) - direct(patterns(20))).max() < MOST + 2**-23


def test_an_analyser_that_sweeps_longer_than_it_says_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(room_file()) as (bench, simulation), bench:
        analyser = simulation.bench.analyser  # type: ignore[attr-defined]
        monkeypatch.setattr(analyser, "sweep_time", lambda: 0.05)
        with pytest.raises(MeasurementError, match=r"10 patterns were played and \d sweeps counted"):
            bench.measure(patterns(10), np.arange(10))
        assert analyser.missed > 0


def test_a_board_that_goes_on_before_a_sweep_is_over_is_refused_when_it_is_opened() -> None:
    with (
        served(room_file(settle=1e-4)) as (bench, _),
        pytest.raises(InputError, match=r"settle .*at least the 0\.00011 s that a sweep takes, got 0\.0001 s"),
        bench,
    ):
        pass
