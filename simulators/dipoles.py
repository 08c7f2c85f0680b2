"""Coupled dipoles in two dimensions: polarizable points that scatter a scalar wave among each other.

Frequencies are in units of a centre frequency, lengths in wavelengths at it: the speed of light is 1.

Axis letters: P, Q dipoles; J receivers; T transmitters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from physnet.errors import SpecError

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dipoles:
    """Points with a polarizability each; `eq` is that of identity.

    Args:
        place_P2: `(x, y)` of each.
        resonance_P: Resonance frequency of each.
        strength_P: Coupling to the field, the source's chi.
        damping_P: Rate of absorption, the source's gamma.
    """

    place_P2: Floats
    resonance_P: Floats
    strength_P: Floats
    damping_P: Floats

    @classmethod
    def alike(cls, place_P2: Floats, *, what: str, resonance: float, strength: float, damping: float) -> Self:
        """Return dipoles that differ in nothing but their place.

        Raises:
            SpecError: `strength` or `damping` is out of range; the message calls them by `what`.
        """
        check_dipole(what, strength=strength, damping=damping)
        values = (np.full(len(place_P2), value) for value in (resonance, strength, damping))
        return cls(place_P2=place_P2, **dict(zip(("resonance_P", "strength_P", "damping_P"), values, strict=True)))

    def __add__(self, other: Dipoles) -> Dipoles:
        """Return these dipoles and then the others."""
        names = ("place_P2", "resonance_P", "strength_P", "damping_P")
        return Dipoles(**{name: np.concatenate((getattr(self, name), getattr(other, name))) for name in names})

    def __len__(self) -> int:
        return len(self.place_P2)


def check_dipole(what: str, *, strength: float, damping: float) -> None:
    """Refuse a dipole that does not couple to the field, or that amplifies it.

    Raises:
        SpecError: `strength` is not > 0, or `damping` not >= 0.
    """
    if not (0 < strength < math.inf and 0 <= damping < math.inf):
        raise SpecError(f"{what}_strength must be > 0 and {what}_damping >= 0, got {strength} and {damping}.")


def bare_inverse(resonance: Any, strength: Any, damping: Any, frequency: float) -> Complexes:
    """Return inverse polarizabilities without the damping by radiation, which `propagation` has on its diagonal."""
    swing = (2 * math.pi * np.asarray(resonance)) ** 2 - (2 * math.pi * frequency) ** 2
    return np.asarray((swing + 2j * math.pi * frequency * np.asarray(damping)) / np.asarray(strength) ** 2)


def propagation(place_P2: Floats, frequency: float) -> Complexes:
    """Return minus the field that each dipole sends to each other, per dipole moment.

    `i k^2 / 4 H0(k r)` with the Hankel function of the second kind (time goes as `exp(i omega t)`, so that waves go
    out), and `i k^2 / 4` on the diagonal: the damping by a dipole's own radiation.

    Returns:
        Symmetric, shape `(dipoles, dipoles)`. Its imaginary part is `k^2 / 4 J0(k r)`, positive semidefinite.
    """
    k = 2 * math.pi * frequency
    x_PQ, y_PQ = (place_P2[:, None, axis] - place_P2[None, :, axis] for axis in (0, 1))
    phase_PQ = k * np.hypot(x_PQ, y_PQ)
    np.fill_diagonal(phase_PQ, 1.0)  # Y0 is infinite at 0
    # j0 and y0 of a real argument take a tenth of the time of hankel2.
    matrix_PQ = k**2 / 4 * (special.y0(phase_PQ) + 1j * special.j0(phase_PQ))
    np.fill_diagonal(matrix_PQ, 0.25j * k**2)
    return np.asarray(matrix_PQ)


def interaction(dipoles: Dipoles, frequency: float) -> Complexes:
    """Return the matrix that turns dipole moments into the field that excites them, shape `(dipoles, dipoles)`."""
    matrix_PQ = propagation(dipoles.place_P2, frequency)
    own_P = bare_inverse(dipoles.resonance_P, dipoles.strength_P, dipoles.damping_P, frequency)
    matrix_PQ[np.diag_indices(len(dipoles))] += own_P
    return matrix_PQ


def transfer(matrix_PQ: Complexes, receivers: Ints, transmitters: Ints) -> Complexes:
    """Return the block `(receivers, transmitters)` of `diag(W) W^-1` by a solution of the whole system.

    The plain path: what everything faster is compared with.

    Args:
        matrix_PQ: `W`, as from `interaction`.
        receivers: Their positions among the dipoles.
        transmitters: Likewise.
    """
    unit_PT = np.zeros((len(matrix_PQ), len(transmitters)), dtype=np.complex128)
    unit_PT[transmitters, np.arange(len(transmitters))] = 1
    moment_PT = np.linalg.solve(matrix_PQ, unit_PT)
    return np.asarray(np.diagonal(matrix_PQ)[receivers, None] * moment_PT[receivers])
