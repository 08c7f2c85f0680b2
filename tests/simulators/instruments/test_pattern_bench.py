"""A board and an analyser over one cavity, under the drivers of real ones.

Axis letters: N patterns; E elements; F frequencies.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.drivers.boards import DacAdcBoard, MetasurfaceBoard
from physnet.drivers.instruments.rohde_schwarz_znb import RohdeSchwarzZNB
from physnet.drivers.roles import SweepSetup
from physnet.drivers.transport import Deadline
from physnet.errors import ExperimentError, InputError, SpecError
from physnet.passes import Purpose, pass_numbers
from physnet.simulators.instruments.board_making import make_dac_adc_board
from physnet.simulators.instruments.faults import FaultPlan
from physnet.simulators.instruments.pattern_bench import SimulatedPatternBench
from physnet.simulators.instruments.serial_line import open_line
from physnet.simulators.instruments.shared_system import SharedSystem
from physnet.simulators.scattering import ScatteringMedium

ELEMENTS = 10
FREQUENCIES = [2.40e9, 2.45e9, 2.50e9]
BANDWIDTH = 1e5
SETTLE = 2e-3  # s: three points at 100 kHz take 60 us; the rest is for a computer that is busy
MEDIA = {
    "programmable_cavity": {"type": "programmable_cavity", "scatterers": 4},
    "scattering": {"type": "scattering"},
}


def make(medium: Any = "programmable_cavity", **changes: Any) -> SimulatedPatternBench:
    tables: dict[str, Any] = {
        "board": {"type": "metasurface_board", "elements": ELEMENTS, "responses": 2, "settle": SETTLE, "port": "COM9"},
        "analyser": {"type": "rohde_schwarz_znb", "frequencies": FREQUENCIES, "bandwidth": BANDWIDTH},
        "medium": MEDIA[medium] if isinstance(medium, str) else medium,
        "resources": {"board": "socket://127.0.0.1:0", "analyser": "TCPIP::127.0.0.1::0::SOCKET"},
        "instruments": {"analyser": {"noise_floor": -500.0}},
    }
    return SimulatedPatternBench(**{**tables, **changes})


def patterns(count: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 2, (count, ELEMENTS), np.uint8)


def run(bench: SimulatedPatternBench, pattern_NE: NDArray[np.uint8]) -> tuple[int, NDArray[np.complex128] | None]:
    """Arm the analyser, play the patterns, and return how many sweeps were counted, and what they saw if all were."""
    count, lines = len(pattern_NE), bench.resources
    setup = SweepSetup(frequencies=tuple(FREQUENCIES), bandwidth=BANDWIDTH, sweeps=count)
    board = MetasurfaceBoard(
        port=lines["board"], elements=ELEMENTS, responses=2, settle=SETTLE, trigger=True, simulated=True
    )
    with RohdeSchwarzZNB(resource=lines["analyser"]) as analyser, board:
        analyser.make_safe()
        analyser.setup(setup)
        analyser.arm()
        board.measure(pattern_NE, pass_numbers(Purpose.CALIBRATE, rows=count))
        counted = analyser.wait(Deadline.after(0.2))
        values_NF = analyser.fetch().values_NF if counted == count else None
        analyser.make_safe()
    return counted, values_NF


@pytest.mark.parametrize("medium", ["programmable_cavity", "scattering"])
def test_each_pattern_is_swept_once_and_the_values_are_those_of_the_medium(medium: str) -> None:
    pattern_NE = patterns(30)
    with make(medium) as bench:
        counted, values_NF = run(bench, pattern_NE)
        assert counted == 30 and bench.analyser.missed == 0
        direct = bench.system.measure(_drive(bench, pattern_NE), np.arange(30)).response
    played = [event.kind for event in bench.board.record]
    assert values_NF is not None
    # the same computation; a noise of -500 dBm is below the last digit
    assert np.allclose(values_NF, np.asarray(direct), rtol=1e-12, atol=1e-15)
    # safe at start, when the host introduces itself, after the batch, when it is left, and at the end
    assert played == ["safe", "safe", *["pattern", "trigger"] * 30, *["safe"] * 3]


def _drive(bench: SimulatedPatternBench, pattern_NE: NDArray[np.uint8]) -> Any:
    import torch

    spec = bench.system.spec
    drive = pattern_NE.astype(spec.drive.dtype)
    return torch.from_numpy(drive) if spec.array == "torch" else drive


def test_a_trigger_that_is_lost_shows_in_the_counter() -> None:
    with make(faults={"analyser": FaultPlan(script={3: "missed_trigger"})}) as bench:
        assert run(bench, patterns(6)) == (5, None)


@pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")
def test_the_board_is_served_at_a_link_beside_the_bench_file(tmp_path: Path) -> None:
    lines = {"board": "ASRL./board.pty", "analyser": "TCPIP::127.0.0.1::0::SOCKET"}
    with make(resources=lines, base=tmp_path) as bench:
        assert bench.resources["board"] == str(tmp_path / "board.pty")
        assert run(bench, patterns(4))[0] == 4
    assert list(tmp_path.iterdir()) == []


def test_a_voltage_board_is_made_by_the_options_of_its_driver() -> None:
    shared = SharedSystem(ScatteringMedium(drives=5, responses=3))
    line = open_line("socket://127.0.0.1:0")
    with make_dac_adc_board(shared, line, drives=5, responses=3, adc_bits=14, unique_id="00" * 7 + "2a") as board:
        driver = DacAdcBoard(port=board.port, drives=5, responses=3, adc_bits=14, drive_range=(0, 3.3), simulated=True)
        with driver as system:
            assert "2a, firmware" in system.spec.found["instruments"]["board"]
            reading = system.measure(np.full((2, 5), 1.5), pass_numbers(Purpose.CALIBRATE, rows=2))
            assert np.asarray(reading.response).min() > 0
    with pytest.raises(SpecError, match="16 hexadecimal digits"):
        make_dac_adc_board(shared, line, drives=5, responses=3, unique_id="xyz")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"board": {"type": "other"}}, ExperimentError, "board.type must be 'metasurface_board'"),
        ({"analyser": {"type": "other"}}, ExperimentError, "analyser.type must be 'rohde_schwarz_znb'"),
        ({"medium": {"type": "nothing_like_it"}}, ExperimentError, "not a known system"),
        ({"medium": {"type": "scattering", "drives": 4}}, SpecError, "as many drives as its board"),
        ({"medium": {"type": "scattering", "colour": 4}}, ExperimentError, "simulation.medium.colour"),
        ({"instruments": {"board": {"gain": "much"}}}, ExperimentError, "board.gain"),
        ({"instruments": {"source": {}}}, ExperimentError, "must hold board, analyser, got source"),
        ({"instruments": {"analyser": {"now": 1}}}, ExperimentError, r"simulation\.instruments\.analyser\.now"),
        ({"resources": {"board": "socket://127.0.0.1:0"}}, ExperimentError, "where the analyser is served"),
        ({"resources": {"analyser": "TCPIP::127.0.0.1::0::SOCKET"}}, ExperimentError, "where the board is served"),
        ({"resources": {"analyser": "GPIB0::7::INSTR"}}, ExperimentError, "served on this computer only"),
        (
            {"resources": {"board": "socket://192.0.2.1:5", "analyser": "TCPIP::127.0.0.1::0::SOCKET"}},
            InputError,
            "served on this computer only",
        ),
    ],
)
def test_what_can_not_be_simulated_is_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**changes)
