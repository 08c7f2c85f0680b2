"""The diode network: its integrator against exact solutions and scipy's, what physics demands, and the system."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import lambertw

from benchmarks.validation_cases.diode_network import FARAD, OHM, SOURCES, circuit
from physnet.contracts import PhysicalSystem
from physnet.errors import MeasurementError, SpecError
from physnet.registry import arguments, options_model
from physnet.simulators.diode_circuit import Circuit, Diode
from physnet.simulators.diode_network import DiodeNetwork
from physnet.simulators.diode_solver import DiodeSolver
from physnet.testing import SystemConformance

SMALL: dict[str, Any] = {"drives": 5, "responses": 14, "diodes": 6, "steps": 10}


def network(**options: Any) -> DiodeNetwork:
    return DiodeNetwork(**{**SMALL, **options})


def respond(system: DiodeNetwork, drive: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(system.measure(drive, np.arange(len(drive), dtype=np.int64)).response)


def drives(system: DiodeNetwork, rows: int, seed: int = 0) -> NDArray[np.float64]:
    high = system.spec.drive.high_array
    return np.random.default_rng(seed).uniform(-high, high, (rows, len(high)))


class TestNetwork(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return network()


class TestLinearNetwork(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return network(diodes=0, moments=1)


@pytest.mark.parametrize("source", [0.05, 0.7, 3.0, -3.0, 300.0])
def test_a_clamp_settles_where_lambert_says(source: float) -> None:
    # (u - v) / R = Is (exp(v / nVt) - 1): v = u + R Is - nVt W(R Is / nVt exp((u + R Is) / nVt))
    diode = Diode()
    parts = Circuit(
        capacitance_V=np.array([FARAD]), conductance_VV=np.array([[1 / OHM]]), source_VU=np.array([[1 / OHM]]),
        diode_VK=np.array([[1.0]]), diode=diode,
    )  # fmt: skip
    end = DiodeSolver(parts, duration=0.1, steps=40).run(np.array([[source]]))[0, -1, 0]
    # W(exp(y)) for large y by Newton, as exp(y) overflows.
    y = math.log(OHM * diode.saturation / diode.scale) + (source + OHM * diode.saturation) / diode.scale
    w = float(lambertw(math.exp(y)).real) if y < 100 else y - math.log(y)
    for _ in range(20):
        w -= (w + math.log(w) - y) / (1 + 1 / w)
    expected = source + OHM * diode.saturation - diode.scale * w
    assert end == pytest.approx(expected, abs=1e-9)
    if source == 3.0:
        assert 0.4 < end < 0.6  # what a silicon diode drops at a quarter of a milliampere


def test_diodes_in_both_directions_keep_the_symmetry_of_sign() -> None:
    parts = circuit(nodes=3, diodes=12)  # every pair of nodes and ground, both ways
    assert parts.diode_VK.shape == (3, 12)
    solver = DiodeSolver(parts, duration=200e-6, steps=20)
    assert np.allclose(solver.run(-SOURCES), -solver.run(SOURCES), atol=1e-10)
    one_way = DiodeSolver(circuit(nodes=3, diodes=3), duration=200e-6, steps=20)
    assert np.abs(one_way.run(-SOURCES) + one_way.run(SOURCES)).max() > 0.1


def test_a_row_does_not_depend_on_the_others_nor_on_threads() -> None:
    for options in ({}, {"diodes": 20, "responses": 40}):
        system = network(**options)
        drive = drives(system, 75)
        together = respond(system, drive)
        for row in (0, 33, 74):
            assert np.array_equal(respond(system, drive[row : row + 1])[0], together[row])
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(1 if threads > 1 else 3)
            assert np.array_equal(respond(system, drive), together)
        finally:
            torch.set_num_threads(threads)


def test_responses_are_the_nodes_moment_after_moment() -> None:
    system = network(moments=2, nodes=9)
    drive = drives(system, 2)
    solver = DiodeSolver(system.circuit, duration=300e-6, steps=10)
    full = solver.run(np.pad(drive, ((0, 30), (0, 0))), times=2)[:2]
    assert np.array_equal(respond(system, drive), full[:, :, :7].reshape(2, 14).astype(np.float32))
    half = DiodeSolver(system.circuit, duration=150e-6, steps=5).run(drive)
    assert np.allclose(half[:, 0], full[:, 0], atol=1e-9)


def test_diodes_that_find_no_voltage_are_named_and_the_rows_before_handed_over() -> None:
    system = network()
    system._solver = DiodeSolver(system.circuit, duration=300e-6, steps=10, iterations=2)
    drive = np.zeros((40, 5))
    drive[35] = 3.0
    with pytest.raises(MeasurementError, match=r"from row 32: the diodes of row 3 .* within 2 iterations") as caught:
        respond(system, drive)
    assert caught.value.reading is not None and len(caught.value.reading) == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"responses": 13}, "multiples of its 2 moments"),
        ({"steps": 9}, "multiples of its 2 moments"),
        ({"nodes": 3}, "nodes of diode_network must be >= 7"),
        ({"diodes": 99}, "diodes 0 to 56"),
        ({"voltage": 0.0}, "voltage of diode_network must be > 0"),
        ({"saturation": 0.0}, "saturation of a diode must be > 0 A"),
        ({"ideality": 0.5}, "ideality of a diode must be >= 1"),
        ({"taps": 0}, "taps of diode_network must be >= 1"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        network(**options)


def test_a_node_without_a_way_to_ground_is_refused() -> None:
    with pytest.raises(SpecError, match="positive definite"):
        Circuit(
            capacitance_V=np.ones(2), conductance_VV=np.array([[1.0, -1.0], [-1.0, 1.0]]), source_VU=np.zeros((2, 1)),
            diode_VK=np.zeros((2, 0)), diode=Diode(),
        )  # fmt: skip


def test_no_source_is_left_out_and_values_are_of_the_declared_size() -> None:
    parts = circuit(nodes=40, diodes=0)
    assert (np.count_nonzero(parts.source_VU, axis=0) >= 40 * 2 // 4 - 8).all()  # two taps may lead to the same source
    assert np.median(1 / np.abs(parts.source_VU[parts.source_VU != 0])) == pytest.approx(OHM, rel=0.3)
    assert np.median(parts.capacitance_V) == pytest.approx(FARAD, rel=0.3)


def test_its_options_can_be_read_from_a_file() -> None:
    assert DiodeNetwork(**arguments(options_model(DiodeNetwork), SMALL)).spec.drive.unit == "V"
