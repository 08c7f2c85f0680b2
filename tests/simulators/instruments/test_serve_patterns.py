from __future__ import annotations

from pathlib import Path

import pytest

from physnet.errors import ExperimentError
from physnet.simulators.instruments.serve import Simulation
from tests.simulators.instruments.raw_line import RawLine


def test_a_bench_of_patterns_is_served_too(tmp_path: Path) -> None:
    table = {
        "name": "room",
        "kind": "patterns",
        "board": {"port": "COM1", "elements": 8, "responses": 1},
        "analyser": {"type": "rohde_schwarz_znb", "resource": "TCPIP::192.0.2.1::5025::SOCKET",
                     "frequencies": [1e9, 2e9]},
        "simulation": {"medium": {"type": "scattering"}},
    }  # fmt: skip
    with Simulation(table, resources="ephemeral", base=tmp_path) as simulation:
        with RawLine(int(simulation.resources["analyser"].split("::")[2])) as line:
            assert "SIMULATED" in line.ask("*IDN?")
        with pytest.raises(ExperimentError, match="no rig"):
            _ = simulation.rig
