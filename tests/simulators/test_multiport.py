from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import hankel2

from physnet.simulators.dipole_cavity import DipoleCavity
from physnet.simulators.dipoles import Complexes, Dipoles, bare_inverse, interaction
from physnet.simulators.metasurface import SwitchedMetasurface
from physnet.simulators.multiport import Multiport, reflection


def random_complex(*shape: int, seed: int = 1) -> Complexes:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape))


def test_a_closed_network_without_loss_keeps_its_power() -> None:
    unitary, _ = np.linalg.qr(random_complex(14, 14))
    scattering = unitary @ unitary.T  # symmetric and unitary
    network = Multiport(
        antennas_AA=scattering[:4, :4], out_AR=scattering[:4, 4:], into_RA=scattering[4:, :4],
        mutual_RR=scattering[4:, 4:],
    )  # fmt: skip
    phase = np.random.default_rng(0).uniform(0, 2 * math.pi, (20, 10))
    for transfer in network.transfer(np.exp(1j * phase)):
        # A solution of 10 ports rounds to 2^-53 times its condition number, below 1e3 for these.
        assert np.abs(transfer.conj().T @ transfer - np.eye(4)).max() < 1e-12
        assert np.abs(transfer - transfer.T).max() < 1e-12


@pytest.mark.parametrize("frequency", [0.95, 1.0])
def test_a_cavity_without_loss_reflects_or_radiates_all_power(frequency: float) -> None:
    rng = np.random.default_rng(0)
    place = 0.4 * np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), 2).reshape(-1, 2)[rng.permutation(100)[:60]]
    antennas = Dipoles.alike(place[:4], what="antenna", resonance=1.0, strength=0.5, damping=0.0)
    walls = Dipoles.alike(place[20:], what="wall", resonance=10.0, strength=50.0, damping=0.0)
    cavity = DipoleCavity(
        antennas=antennas, walls=walls, element_E2=place[4:20], trainable_E=np.zeros(16, dtype=bool), transmitters=2,
        surface=SwitchedMetasurface(resonances=(5.0, 1.0), strength=0.5, damping=0.0), remembered=1,
    )  # fmt: skip
    mutual = cavity.multiport(frequency).mutual_RR
    # Waves of unit power into the inner ports; the current of port waves a and b is (a - b) / sqrt(R).
    k = 2 * math.pi * frequency
    ports = (np.eye(16) - mutual) / (k / 2)
    others = interaction(antennas + walls, frequency)
    r = np.hypot(*(np.r_[place[:4], place[20:]][:, None] - place[None, 4:20]).transpose(2, 0, 1))
    moments = np.concatenate((-np.linalg.solve(others, 0.25j * k**2 * hankel2(0, k * r) @ ports), ports))
    places = np.concatenate((place[:4], place[20:], place[4:20]))
    # Plane waves in 128 directions: their sum is J0(k r) up to J128, which is below 1e-40 for k r < 40.
    angle = 2 * math.pi / 128 * np.arange(128)
    wave = np.exp(1j * k * np.stack((np.cos(angle), np.sin(angle)), 1) @ places.T)
    radiated = k / 2 / math.sqrt(128) * wave @ moments
    both = np.concatenate((mutual, radiated))  # columns of a unitary matrix: reflected, and radiated
    # Rounding of two solutions with condition numbers below 1e3.
    assert np.abs(both.conj().T @ both - np.eye(16)).max() < 1e-12
    assert np.linalg.norm(mutual, 2) < 1 and np.linalg.norm(mutual) > 0.1


def test_a_lone_element_reflects_as_a_resonance_does() -> None:
    lossless = reflection(bare_inverse(np.array([0.5, 0.99, 1.0, 1.01, 5.0]), 0.5, 0.0, 1.0), 1.0)
    assert np.abs(np.abs(lossless) - 1).max() < 1e-15 * 10
    assert abs(lossless[2] + 1) < 1e-12 and abs(lossless[4] - 1) < 0.01
    assert abs(reflection(bare_inverse(1.0, 0.5, 0.1, 1.0), 1.0)) < 0.9
