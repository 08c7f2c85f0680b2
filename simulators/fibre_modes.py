"""Guided scalar modes of a round fibre, and nodes to integrate products of them with.

Axis letters: M modes; P points; G groups of modes; Y lines of nodes; X pairs of nodes on a line.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

from .fibre_profile import LIGHT, Fibre, Floats

Ints = NDArray[np.int64]

# Relative spacing and number of the frequencies that derivatives are taken from, upwards only: a mode near its cutoff
# stays guided there.
_SPACING, _NODES = 5e-3, 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """Modes as products of two functions of one coordinate each, at nodes that integrate four modes.

    Mode `m` has the value `line_YM[y, m] * across_XG[x, group_M[m]]` at node `x` of line `y`, and at the node's mirror
    image the same for an even group and its negative for an odd one. Both nodes of the pair have the weight
    `weight_YX[y, x]`.

    Args:
        line_YM: 1/m together with `across_XG`.
        across_XG: Values at one node of each pair.
        group_M: Group of each mode.
        even_G: Which groups are even.
        weight_YX: Weights, m^2.
    """

    line_YM: Floats
    across_XG: Floats
    group_M: Ints
    even_G: NDArray[np.bool_]
    weight_YX: Floats

    def field(self) -> Floats:
        """Return the modes at all nodes, 1/m, shape `(nodes, modes)`: first nodes of the pairs, then their images."""
        across_XM = self.across_XG[:, self.group_M]
        image_XM = across_XM * np.where(self.even_G, 1.0, -1.0)[self.group_M]
        both = [(self.line_YM[:, None, :] * part).reshape(-1, len(self.group_M)) for part in (across_XM, image_XM)]
        return np.concatenate(both)

    def weight(self) -> Floats:
        """Return the weights of `field`'s nodes, m^2."""
        return np.tile(self.weight_YX.ravel(), 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Modes(ABC):
    """The guided modes of a fibre, from the largest propagation constant down; real, `integral F_p F_q = delta_pq`.

    Args:
        fibre: Whose modes they are.
        beta_M: Propagation constants, 1/m.
        labels: Names of the modes.
    """

    fibre: Fibre
    beta_M: Floats
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.beta_M)

    @abstractmethod
    def field(self, x_P: Floats, y_P: Floats) -> Floats:
        """Return the modes at points of the cross-section, 1/m, shape `(points, modes)`; coordinates in m."""

    @abstractmethod
    def factors(self) -> Factors:
        """Return the modes at nodes that integrate the product of any four of them over the cross-section."""

    @abstractmethod
    def positions(self) -> tuple[Floats, Floats]:
        """Return `integral F_p x F_q` and the same with y, m, shape `(modes, modes)` each."""

    @abstractmethod
    def beta_at(self, wavelength: float) -> Floats:
        """Return the propagation constants of the same modes at another, shorter wavelength, 1/m."""

    def area(self, mode: int = 0) -> float:
        """Return the effective area of a mode, m^2: `1 / integral F^4`."""
        nodes = self.factors()
        return float(1 / (nodes.weight() @ nodes.field()[:, mode] ** 4))

    def dispersion(self, order: int = 3) -> Floats:
        """Return derivatives of the propagation constants by the angular frequency, shape `(order + 1, modes)`.

        Units are s^k/m. They come from a polynomial through frequencies above the fibre's own, up to 3.5 % away;
        against exact ones of a graded fibre, the second is right within 1e-7 and the third within 1e-5.
        """
        centre = 2 * np.pi * LIGHT / self.fibre.wavelength
        shift_K = np.arange(_NODES) * _SPACING
        beta_KM = np.stack([self.beta_M, *(self.beta_at(self.fibre.wavelength / (1 + s)) for s in shift_K[1:])])
        # In units of the spacing, so that the system is well conditioned.
        powers_KK = np.vander(np.arange(_NODES, dtype=np.float64), increasing=True)
        taylor_KM = np.linalg.solve(powers_KK, beta_KM - self.beta_M)
        factorials = np.cumprod([1.0, *range(1, order + 1)])
        scale = (_SPACING * centre) ** np.arange(order + 1)
        found = taylor_KM[: order + 1] * (factorials / scale)[:, None]
        found[0] = self.beta_M
        return np.asarray(found)


def keep(beta_M: Floats, wanted: int | None) -> Ints:
    """Return the order of the modes from the largest propagation constant down, or of the first `wanted` only.

    Raises:
        SpecError: The fibre guides fewer.
    """
    order = np.argsort(-beta_M, kind="stable")
    if wanted is None:
        return order
    if not 1 <= wanted <= len(order):
        raise SpecError(
            f"modes must be 1 to {len(order)}, the number that this fibre guides, got {wanted}. A larger core or "
            "aperture, or a shorter wavelength, guides more."
        )
    return order[:wanted]
