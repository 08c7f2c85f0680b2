"""Hermite-Gauss modes of a parabolic fibre.

Axis letters: M modes; P points; K orders of a Hermite function; G groups; Y lines of nodes; X pairs of nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.hermite import hermgauss

from physnet.errors import SpecError

from .fibre_modes import Factors, Ints, Modes, keep
from .fibre_profile import Fibre, Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class HermiteGaussModes(Modes):
    """Modes `h_m(x) h_n(y)` of a parabola that goes on beyond the core.

    `beta^2 = (k n_core)^2 - 2 (k NA / radius) (m + n + 1)`, exactly. A real fibre ends its parabola at the cladding,
    which the modes next to the cutoff feel: with 55 modes (V = 20.3), against a finite-difference solution of the real
    profile, propagation constants are right within 0.04 % of the spacing of two groups in the groups 1 to 6, 0.7 % in
    group 8, and up to 13 % in the last, where they are too low.

    Args:
        fibre: As for `Modes`.
        beta_M: As for `Modes`.
        labels: As for `Modes`.
        along_x_M: Order m of each mode.
        along_y_M: Order n of each mode.
    """

    along_x_M: Ints
    along_y_M: Ints

    @property
    def width(self) -> float:
        """Radius of the lowest mode, m: its field falls to 1/e there."""
        return math.sqrt(2) / self._scale

    @property
    def _scale(self) -> float:
        return math.sqrt(self.fibre.wavenumber * self.fibre.numerical_aperture / self.fibre.radius)

    def field(self, x_P: Floats, y_P: Floats) -> Floats:
        """Return the modes at points of the cross-section, 1/m, shape `(points, modes)`; coordinates in m."""
        x_PK, y_PK = (
            _hermite(self._scale * np.asarray(part, np.float64), int(orders.max()))
            for part, orders in ((x_P, self.along_x_M), (y_P, self.along_y_M))
        )
        return self._scale * x_PK[:, self.along_x_M] * y_PK[:, self.along_y_M]

    def factors(self) -> Factors:
        """Return the modes at the nodes of Gauss and Hermite, which are exact for four of them.

        With modes up to order n a product of four is a polynomial of degree 4 n times a Gaussian: 2 n + 1 nodes do
        along y. Along x one more makes their number even.
        """
        y_Y, weight_Y = _nodes(2 * int(self.along_y_M.max()) + 1)
        x_X, weight_X = (part[len(part) // 2 :] for part in _nodes(2 * int(self.along_x_M.max()) + 2))
        groups = np.unique(self.along_x_M)
        return Factors(
            line_YM=_hermite(y_Y, int(self.along_y_M.max()))[:, self.along_y_M] * self._scale,
            across_XG=_hermite(x_X, int(groups.max()))[:, groups],
            group_M=np.searchsorted(groups, self.along_x_M),
            even_G=groups % 2 == 0,
            weight_YX=np.outer(weight_Y, weight_X) / self._scale**2,
        )

    def positions(self) -> tuple[Floats, Floats]:
        """Return `integral F_p x F_q` and the same with y, m, shape `(modes, modes)` each."""
        # x h_m = sqrt((m + 1) / 2) h_{m+1} + sqrt(m / 2) h_{m-1}
        found = []
        for along, other in ((self.along_x_M, self.along_y_M), (self.along_y_M, self.along_x_M)):
            step_MM = np.abs(along[:, None] - along) == 1
            higher_MM = np.maximum(along[:, None], along)
            same_MM = other[:, None] == other
            found.append(np.where(step_MM & same_MM, np.sqrt(higher_MM / 2), 0.0) / self._scale)
        return found[0], found[1]

    def beta_at(self, wavelength: float) -> Floats:
        """Return the propagation constants of the same modes at another wavelength, 1/m."""
        return _beta(self.fibre.at(wavelength), self.along_x_M + self.along_y_M)


def graded_modes(fibre: Fibre, *, modes: int | None = None) -> HermiteGaussModes:
    """Return the modes with `beta > k n_cladding`; arguments as for `solve_modes`.

    Raises:
        SpecError: The fibre guides none, or fewer than wanted.

    Source:
        A. W. Snyder, J. D. Love, Optical Waveguide Theory, 1983, section 14-4 (infinite parabolic profile).
    """
    highest = math.ceil(fibre.v_number / 2) - 2  # m + n + 1 < V / 2
    if highest < 0:
        raise SpecError(
            f"a graded fibre must have V > 2 to guide a mode of the parabola, got V = {fibre.v_number:.3g}. A larger "
            "core or aperture, or a shorter wavelength, raises it."
        )
    pairs = [(total - n, n) for total in range(highest + 1) for n in range(total + 1)]
    along_x_M, along_y_M = (np.array(part, dtype=np.int64) for part in zip(*pairs, strict=True))
    order = keep(_beta(fibre, along_x_M + along_y_M), modes)
    along_x_M, along_y_M = along_x_M[order], along_y_M[order]
    return HermiteGaussModes(
        fibre=fibre,
        beta_M=_beta(fibre, along_x_M + along_y_M),
        labels=tuple(f"HG {m},{n}" for m, n in zip(along_x_M, along_y_M, strict=True)),
        along_x_M=along_x_M,
        along_y_M=along_y_M,
    )


def _beta(fibre: Fibre, total_M: Ints) -> Floats:
    rate = fibre.wavenumber * fibre.numerical_aperture / fibre.radius
    return np.asarray(np.sqrt((fibre.wavenumber * fibre.core) ** 2 - 2 * rate * (total_M + 1)))


def _hermite(x_P: Floats, highest: int) -> Floats:
    """Return the Hermite functions of orders 0 to `highest`, `integral h^2 dx = 1`, shape `(points, orders)`."""
    value_PK = np.zeros((len(x_P), highest + 1))
    value_PK[:, 0] = math.pi**-0.25 * np.exp(-(x_P**2) / 2)
    if highest:
        value_PK[:, 1] = math.sqrt(2) * x_P * value_PK[:, 0]
    for k in range(1, highest):
        value_PK[:, k + 1] = math.sqrt(2 / (k + 1)) * x_P * value_PK[:, k] - math.sqrt(k / (k + 1)) * value_PK[:, k - 1]
    return value_PK


def _nodes(number: int) -> tuple[Floats, Floats]:
    """Return nodes and weights for products of four Hermite functions."""
    node, weight = hermgauss(number)
    return node / math.sqrt(2), weight * np.exp(node**2) / math.sqrt(2)
