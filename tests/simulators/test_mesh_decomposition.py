from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import unitary_group

from physnet.errors import InputError
from physnet.simulators.mesh_decomposition import MeshLayout, MeshPhases, decompose, interferometer

SHAPES: Any = ("rectangular", "triangular")
# float64: some 3 ports roundings of 2^-53 on each path through the mesh, and as many in the decomposition.
ROUNDING = 1e-13


def assembled(phases: MeshPhases, layout: MeshLayout) -> np.ndarray:
    """Return the matrix of a mesh, one interferometer after the other."""
    matrix = np.eye(layout.ports, dtype=complex)
    for port, theta, phi in zip(layout.port_M, phases.theta_M, phases.phi_M, strict=True):
        matrix[port : port + 2] = interferometer(theta, phi) @ matrix[port : port + 2]
    return np.asarray(np.exp(1j * phases.output_P)[:, None] * matrix)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ports", [2, 3, 4, 7, 12, 25])
def test_any_unitary_matrix_is_reached(shape: Any, ports: int) -> None:
    unitary = unitary_group.rvs(ports, random_state=ports)
    phases = decompose(unitary, shape)
    assert np.abs(assembled(phases, MeshLayout.of(shape, ports)) - unitary).max() < ROUNDING
    for phase in (phases.theta_M, phases.phi_M, phases.output_P):
        assert phase.min() >= 0 and phase.max() < 2 * np.pi
    assert len(phases.theta_M) == ports * (ports - 1) // 2


@pytest.mark.parametrize("shape", SHAPES)
def test_matrices_full_of_zeros_are_reached(shape: Any) -> None:
    layout = MeshLayout.of(shape, 5)
    shift = np.roll(np.eye(5), 1, axis=0)
    block = np.eye(5, dtype=complex)
    block[1:3, 1:3] = unitary_group.rvs(2, random_state=0)
    for unitary in (
        np.eye(5),
        np.eye(5)[::-1],
        shift,
        np.diag([1, 1j, -1, -1j, 1]),
        block,
        np.fft.fft(np.eye(5)) / 5**0.5,
    ):
        assert np.abs(assembled(decompose(unitary, shape), layout) - unitary).max() < ROUNDING


@given(st.integers(2, 6), st.integers(0, 2**31), st.sampled_from(SHAPES))
@settings(max_examples=40)
def test_decomposing_a_mesh_gives_its_matrix_back(ports: int, seed: int, shape: Any) -> None:
    layout, random = MeshLayout.of(shape, ports), np.random.default_rng(seed)
    theta, phi, output = (random.uniform(0, 2 * np.pi, n) for n in (len(layout.port_M), len(layout.port_M), ports))
    matrix = assembled(MeshPhases(theta_M=theta, phi_M=phi, output_P=output), layout)
    assert np.abs(assembled(decompose(matrix, shape), layout) - matrix).max() < ROUNDING


def test_known_settings_of_one_interferometer() -> None:
    # Bar at theta = pi, cross at 0, half and half at pi / 2.
    for matrix, theta in (
        (np.eye(2), np.pi),
        (np.array([[0, 1], [1, 0]]), 0.0),
        (np.array([[1, 1], [1, -1]]) / 2**0.5, np.pi / 2),
    ):
        assert abs(decompose(matrix).theta_M[0] - theta) < ROUNDING
    for theta, power in ((0.0, 1.0), (np.pi / 2, 0.5), (np.pi, 0.0), (0.4, np.cos(0.2) ** 2)):
        assert abs(abs(interferometer(theta, 0.7)[1, 0]) ** 2 - power) < ROUNDING


@pytest.mark.parametrize("ports", [2, 5, 6])
def test_a_rectangle_is_a_brick_wall_and_a_triangle_is_twice_as_long(ports: int) -> None:
    rectangle, triangle = (MeshLayout.of(shape, ports) for shape in SHAPES)
    for column in range(ports):
        here = rectangle.port_M[rectangle.column_M == column]
        assert list(here) == list(range(column % 2, ports - 1, 2))
    assert rectangle.column_M.max() == (ports - 1 if ports > 2 else 0)
    assert triangle.column_M.max() == 2 * ports - 4
    for layout in (rectangle, triangle):
        # No two in a column share a waveguide.
        places = {(c, p) for c, port in zip(layout.column_M, layout.port_M, strict=True) for p in (port, port + 1)}
        assert len(places) == 2 * len(layout.port_M)


@pytest.mark.parametrize("matrix", [np.eye(3)[:2], np.ones((2, 2)), np.eye(3) * np.nan, np.eye(1), np.zeros(4)])
def test_what_is_no_unitary_matrix_is_refused(matrix: Any) -> None:
    with pytest.raises(InputError, match="unitary must"):
        decompose(matrix)
