"""Random coupling between the modes of a fibre, where two of its sections meet.

Axis letters: S sections; J junctions between them; M, Q modes.
"""

from __future__ import annotations

import math

import numpy as np

from physnet.errors import SpecError

from .fibre_modes import Modes
from .fibre_profile import Complexes, Floats
from .keyed import keyed_normal

_STREAM = 11  # of keyed_normal: the fibre's junctions


def make_junctions(modes: Modes, *, sections: int, coupling: float, kink: float, seed: int) -> Complexes:
    """Return the matrix of each junction: unitary, and symmetric, as reciprocity asks for.

    It is `exp(i (coupling G + k n (a X + b Y)))`. `G` is a random symmetric matrix (Gaussian orthogonal ensemble) whose
    eigenvalues spread over -2 to 2: from `coupling` of about 1 on, all modes mix at each junction. `a` and `b` are the
    angles of a kink, with `X` and `Y` the modes' matrices of the position: a kink tilts the wave. A matrix within the
    guided modes is unitary, where a real kink or joint would let some light out.

    Args:
        modes: The modes.
        sections: Number of straight sections, with a junction between each two.
        coupling: Strength of the random coupling, >= 0.
        kink: Standard deviation of the angles of the kinks, rad, >= 0.
        seed: Seed.

    Returns:
        Shape `(sections - 1, modes, modes)`.

    Raises:
        SpecError: An argument is out of its range.

    Source:
        K.-P. Ho, J. M. Kahn, Statistics of group delays in multimode fiber with strong mode coupling, J. Lightwave
        Technol. 29, 3119 (2011) (sections with random coupling between them).
    """
    if not (0 <= coupling < math.inf and 0 <= kink < math.inf):
        raise SpecError(f"coupling and kink must be >= 0, got {coupling} and {kink} rad.")
    if sections < 1 or (sections == 1 and coupling + kink > 0):
        raise SpecError(f"sections must be >= 2 for coupling or kinks between them, else >= 1, got {sections}.")
    count, junctions = len(modes), sections - 1
    if junctions == 0 or coupling + kink == 0:
        return np.broadcast_to(np.eye(count, dtype=np.complex128), (junctions, count, count)).copy()
    pairs = count * (count + 1) // 2
    drawn_JC = keyed_normal(seed, np.arange(junctions), pairs + 2, stream=_STREAM).numpy().astype(np.float64)
    generator_JMM = coupling / math.sqrt(count) * _symmetric(drawn_JC[:, :pairs], count)
    tilt_J2 = kink * modes.fibre.wavenumber * modes.fibre.core * drawn_JC[:, pairs:]
    generator_JMM += np.einsum("ja,amq->jmq", tilt_J2, np.stack(modes.positions()))
    value_JM, vector_JMM = np.linalg.eigh(generator_JMM)
    return np.asarray((vector_JMM * np.exp(1j * value_JM)[:, None, :]) @ vector_JMM.transpose(0, 2, 1))


def _symmetric(drawn_JC: Floats, count: int) -> Floats:
    """Return symmetric matrices of normal numbers, with twice the variance on the diagonal."""
    matrix_JMM = np.zeros((len(drawn_JC), count, count))
    row, column = np.triu_indices(count)
    matrix_JMM[:, row, column] = drawn_JC * np.where(row == column, math.sqrt(2), 1.0)
    return np.asarray(np.triu(matrix_JMM) + np.triu(matrix_JMM, 1).transpose(0, 2, 1))
