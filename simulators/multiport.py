"""A linear network whose inner ports are closed by reflectors: the second way to write a programmable cavity.

Axis letters: N rows; A antennas; R inner ports, one for each driven element.
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass

import numpy as np

from .dipole_reduction import Reduction
from .dipoles import Complexes


@dataclass(frozen=True, kw_only=True, eq=False)
class Multiport:
    """Scattering matrix of a network between antennas (A) and inner ports (R).

    With reflection coefficients `Phi = diag(r)` at the inner ports, the transfer between the antennas is
    `S_AA + S_AR Phi (1 - S_RR Phi)^-1 S_RA`: each power of `S_RR` is one more way round from element to element.

    Args:
        antennas_AA: From antennas to antennas, inner ports matched.
        out_AR: From inner ports to antennas.
        into_RA: From antennas to inner ports.
        mutual_RR: From inner ports to inner ports.

    Source:
        C. Hammami et al., arXiv:2603.13602 (a cavity with a metasurface as a multiport).
    """

    antennas_AA: Complexes
    out_AR: Complexes
    into_RA: Complexes
    mutual_RR: Complexes

    @classmethod
    def of(cls, reduction: Reduction, *, frequency: float, gain: complex) -> Multiport:
        """Return the network of a cavity between all its antennas.

        The reference resistance of an inner port is a lone dipole's own radiation, `k^2 / 4`. So `S_RR` vanishes for
        elements that are alone, and the reflection coefficient of an element is the scattering coefficient of its
        cylindrical wave, see `reflection`.

        Args:
            reduction: From all antennas to all antennas.
            frequency: Its frequency, in units of the centre.
            gain: Inverse polarizability of an antenna. All are alike, or the network would not look reciprocal.
        """
        resistance = 1j * (np.pi * frequency) ** 2  # i k^2 / 4
        unit_RR = np.eye(len(reduction.mutual_DD))
        # 1 - S = 2 i R (mutual + i R)^-1
        passed_RR = 2 * resistance * np.linalg.inv(reduction.mutual_DD + resistance * unit_RR)
        # Shares the factors between the two sides such that the matrix is symmetric.
        share = cmath.sqrt(-1 / (2 * resistance * gain))
        out_AR = reduction.out_JD @ passed_RR
        return cls(
            antennas_AA=reduction.direct_JT + out_AR @ reduction.into_DT / (2 * resistance),
            out_AR=share * out_AR,
            into_RA=-(passed_RR @ reduction.into_DT) / (2 * resistance * share),
            mutual_RR=unit_RR - passed_RR,
        )

    def transfer(self, reflection_NR: Complexes) -> Complexes:
        """Return the transfer between all antennas, shape `(n, antennas, antennas)`.

        Args:
            reflection_NR: Reflection coefficients at the inner ports; at most 1 in size if they are passive.
        """
        ports = len(self.mutual_RR)
        matrix_NRR = np.eye(ports) - self.mutual_RR * reflection_NR[:, None, :]
        arriving_NRA = np.linalg.solve(matrix_NRR, self.into_RA[None])
        return np.asarray(self.antennas_AA + self.out_AR @ (reflection_NR[:, :, None] * arriving_NRA))


def reflection(load: Complexes, frequency: float) -> Complexes:
    """Return the reflection coefficient that a bare inverse polarizability means, `1 - 2 i (k^2 / 4) alpha`.

    Without absorption it lies on the unit circle: -1 on resonance, near 1 far from it.
    """
    resistance = 1j * (np.pi * frequency) ** 2
    return np.asarray((load - resistance) / (load + resistance))
