from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from benchmarks.validation_cases.dipoles import crowd, random_complex
from physnet.errors import SpecError
from physnet.simulators.dipole_reduction import Reduction, SwitchedReduction, eliminate
from physnet.simulators.dipoles import Dipoles, bare_inverse, interaction, transfer

# Rounding of one solution: 2^-53 times the condition number of W, below 1e4 here, times a small factor for its size.
ROUNDING = 1e-11


def test_the_interaction_is_that_of_the_source() -> None:
    dipoles, frequency = crowd(9, damping=0.3), 1.07
    matrix = interaction(dipoles, frequency)
    k = 2 * math.pi * frequency
    for i in range(9):
        fi, chi, gamma = dipoles.resonance_P[i], dipoles.strength_P[i], dipoles.damping_P[i]
        own = ((2 * math.pi * fi) ** 2 - k**2) / chi**2 + 1j * (k**2 / 4 + k * gamma / chi**2)
        assert abs(matrix[i, i] - own) < 1e-13 * abs(own)  # a few roundings
        for j in range(9):
            if i != j:
                distance = math.dist(dipoles.place_P2[i], dipoles.place_P2[j])
                expected = 0.25j * k**2 * special.hankel2(0, k * distance)
                assert abs(matrix[i, j] - expected) < 1e-12 * k**2  # k r up to 40, whose rounding is a phase of 1e-14


def test_eliminated_dipoles_answer_as_they_must() -> None:
    matrix = interaction(crowd(70, damping=0.1), 1.0)
    field = np.concatenate((random_complex(20), np.zeros(50)))
    whole = np.linalg.solve(matrix, field)[:20]
    assert np.abs(np.linalg.solve(eliminate(matrix, 20), field[:20]) - whole).max() < ROUNDING * np.abs(whole).max()


@pytest.mark.parametrize("states", [1, 2, 3, 4])
def test_a_reduction_gives_the_transfer_of_the_whole_system(states: int) -> None:
    count, driven = 60, np.arange(10, 40)
    dipoles = crowd(count, damping=0.1)
    matrix = interaction(dipoles, 1.0)
    receivers, transmitters = np.array([7, 2, 5]), np.array([0, 1])
    gain = complex(matrix[2, 2])
    matrix[receivers, receivers] = gain  # alike, as a reduction takes them
    load_L = bare_inverse(np.linspace(0.9, 1.4, states), 0.5, 0.0, 1.0)
    state_ND = np.random.default_rng(2).integers(0, states, (25, len(driven)))
    state_ND[0] = states - 1  # all in one state: nothing to solve for
    bare = matrix.copy()
    bare[driven, driven] = 0.25j * (2 * math.pi) ** 2
    reduction = Reduction.of(bare, driven=driven, receivers=receivers, transmitters=transmitters, gain=gain)
    for row, (by_load, by_state) in enumerate(
        zip(reduction.transfer(load_L[state_ND]), SwitchedReduction(reduction, load_L).transfer(state_ND), strict=True)
    ):
        plain = bare.copy()
        plain[driven, driven] += load_L[state_ND[row]]
        expected = transfer(plain, receivers, transmitters)
        for found in (by_load, by_state):
            assert np.abs(found - expected).max() < ROUNDING * np.abs(expected).max()


@pytest.mark.parametrize(("strength", "damping"), [(0.0, 0.0), (-1.0, 0.0), (1.0, -0.1), (math.nan, 0.0)])
def test_a_dipole_without_coupling_or_with_gain_is_refused(strength: float, damping: float) -> None:
    with pytest.raises(SpecError, match="wall_strength must be"):
        Dipoles.alike(np.zeros((1, 2)), what="wall", resonance=1.0, strength=strength, damping=damping)
