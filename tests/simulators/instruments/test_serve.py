from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from physnet.errors import ExperimentError, InputError, SpecError
from physnet.simulators.instruments.faults import FaultKind
from physnet.simulators.instruments.generator import Generator
from physnet.simulators.instruments.options import fault_plans
from physnet.simulators.instruments.serve import Simulation
from physnet.simulators.instruments.tone_bench import SimulatedToneBench
from tests.simulators.instruments.raw_line import RawLine
from tests.simulators.instruments.scpi_bench import LISTEN, SETUP, until


def tones(**simulation: Any) -> dict[str, Any]:
    return {
        "name": "cavity",
        "kind": "tones",
        "source": {"type": "keysight_33500b", "resource": "TCPIP::192.0.2.11::5025::SOCKET", "channels": [1],
                   "load": [50.0]},
        "detector": {"type": "keysight_infiniivision", "resource": "TCPIP::192.0.2.12::5025::SOCKET",
                     "channels": [1, 2], "full_scale": [0.5, 0.5], "sample_rate": 64e3},
        "simulation": {"seed": 3, "medium": {"type": "wire", "gains": [[1.0], [0.5]], "span": 1e-3}, **simulation},
    }  # fmt: skip


def port(resource: str) -> int:
    return int(resource.split("::")[2])


def test_a_bench_file_becomes_instruments_that_answer_where_it_says() -> None:
    before = threading.active_count()
    with Simulation(tones(), resources="ephemeral") as simulation:
        assert set(simulation.resources) == {"source", "detector"}
        with (
            RawLine(port(simulation.resources["source"])) as source,
            RawLine(port(simulation.resources["detector"])) as detector,
        ):
            assert "33521B,SIMULATED" in source.ask("*IDN?")
            assert "DSO-X 3024T,SIMULATED" in detector.ask("*IDN?")
            source.send(*SETUP, "OUTP1 ON")
            detector.send(*LISTEN, "SING")
            assert detector.ask("AER?") == "1"
            source.send("*TRG")
            assert source.ask("*OPC?") == "1"
            assert detector.ask("TER?") == "1"
        assert [event.kind for event in simulation.rig.log if event.role == "source"][-1] == "burst"
    assert threading.active_count() == before


def test_the_file_says_where_each_role_is_served() -> None:
    with Simulation(tones(), resources="ephemeral") as first:
        taken = first.resources
        again = Simulation(tones(resources=taken))
        with pytest.raises(InputError, match="choose another port"):
            again.__enter__()
    with Simulation(tones(resources=taken)) as simulation:
        assert simulation.resources == taken


def test_the_generator_sees_the_load_of_the_file_and_options_reach_the_instruments() -> None:
    table = tones(instruments={"source": {"pace": 0.5}, "detector": {"noise": 0.01, "model": "DSO-X 2024A"}})
    table["source"] |= {"channels": [2, 1], "load": ["high", 75.0], "points": 5000}
    table["simulation"]["medium"]["gains"] = [[1.0, 0.0], [0.0, 1.0]]
    simulation = Simulation(table, resources="ephemeral")
    assert isinstance(simulation.bench, SimulatedToneBench)
    source = simulation.bench.devices["source"]
    assert isinstance(source, Generator)
    assert source._load[:2] == [75.0, np.inf]
    assert source.memory[2].points == 5000
    assert "DSO-X 2024A" in simulation.bench.devices["detector"].IDENTITY


def test_one_device_may_be_source_and_detector() -> None:
    table = tones()
    table["source"] |= {"type": "red_pitaya", "channels": [1, 2]}
    table["detector"] = {"type": "source", "channels": [1]}
    table["simulation"]["medium"]["gains"] = [[1.0, 1.0]]
    with Simulation(table, resources="ephemeral") as simulation:
        assert set(simulation.resources) == {"source"}
        with RawLine(port(simulation.resources["source"])) as line:
            assert "SIMULATED" in line.ask("*IDN?")


def test_an_acoustic_medium_gets_as_many_loudspeakers_and_microphones_as_there_are_channels() -> None:
    table = tones()
    table["simulation"]["medium"] = {"type": "acoustic", "size": [0.4, 0.3], "scatterers": 2, "microphone": 2.0}
    simulation = Simulation(table, resources="ephemeral")
    assert (simulation.rig.medium.sources, simulation.rig.medium.detectors) == (1, 2)


def test_faults_of_the_file_happen_and_are_counted_by_role() -> None:
    faults = {"delay": 0.01, "detector": {"script": [[1, "extra"]]}, "source": {"rates": {"queued_error": 1.0}}}
    with Simulation(tones(faults=faults), resources="ephemeral") as simulation:
        with RawLine(port(simulation.resources["detector"])) as line:
            line.ask("*IDN?")
            assert (line.ask("*OPC?"), line.line()) == ("1", "1")
        with RawLine(port(simulation.resources["source"])) as line:
            line.ask("*IDN?")
        until(lambda: simulation.faults == {"source": {"queued_error": 1}, "detector": {"extra": 1}})


def test_roles_share_faults_and_draw_them_apart() -> None:
    table = {"rates": {"delay": 0.5}, "delay": 0.2, "detector": {"delay": 0.3}}
    plans = fault_plans(table, ("source", "detector"), seed=5)
    assert (plans["source"].delay, plans["detector"].delay) == (0.2, 0.3)
    drawn = [[plan.draw(number) for number in range(50)] for plan in plans.values()]
    assert drawn[0] != drawn[1]
    again = fault_plans(table, ("source", "detector"), seed=5)["source"]
    assert [again.draw(number) for number in range(50)] == drawn[0]
    assert fault_plans({"script": {"7": "stall"}}, ("source",), seed=0)["source"].pending == ((7, FaultKind.STALL),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "radio"}, "kind"),
        ({"source": 3}, "source must be a table"),
        ({"source": {"type": "keysight_9000"}, "simulation": {"medium": {"type": "wire"}}}, "no simulated instrument"),
        ({"simulation": {"medium": {"type": "ether"}}}, "simulation.medium.type"),
        ({"simulation": {"medium": {"type": "wire", "gain": 2}}}, "simulation.medium.gain"),
        ({"simulation": {"medium": {"type": "wire"}, "colour": 1}}, "colour"),
        ({"simulation": {"medium": {"type": "wire"}, "seed": -1}}, "seed"),
        ({"simulation": {"medium": {"type": "wire"}, "faults": {"rate": 1}}}, "faults"),
        ({"simulation": {"medium": {"type": "wire"}, "faults": {"script": [["x", "stall"]]}}}, "script"),
        ({"simulation": {"medium": {"type": "wire"}, "faults": {"source": 1}}}, "faults.source"),
        ({"simulation": {"medium": {"type": "wire"}, "faults": {"rates": {"gremlin": 1}}}}, "no kind of fault"),
        ({"simulation": {"medium": {"type": "wire"}, "instruments": {"board": {}}}}, "instruments"),
        ({"simulation": {"medium": {"type": "wire"}, "instruments": {"source": {"rig": 1}}}}, "source.rig"),
        ({"simulation": {"medium": {"type": "wire"}, "instruments": {"detector": {"noise": "loud"}}}}, "noise"),
    ],
)
def test_a_file_that_is_wrong_is_refused_before_anything_is_served(change: dict[str, Any], message: str) -> None:
    table = {**tones(), **change}
    table["detector"] = {**table["detector"], "channels": [1]}
    with pytest.raises((ExperimentError, SpecError), match=message):
        Simulation(table, resources="ephemeral")


@pytest.mark.parametrize(
    "resources",
    [{}, {"source": "TCPIP::127.0.0.1::0::SOCKET"}, {"source": "TCPIP::10.0.0.1::1::SOCKET", "detector": ""}],
)
def test_resources_must_name_sockets_of_this_computer(resources: dict[str, str]) -> None:
    with pytest.raises(ExperimentError, match=r"simulation\.resources"):
        Simulation(tones(resources=resources))
