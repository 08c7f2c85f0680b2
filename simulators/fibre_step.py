"""Linearly polarised (LP) modes of a step-index fibre.

Axis letters: M modes; P points; G groups; Y radii; X pairs of angles.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from physnet.errors import SpecError

from .fibre_modes import Factors, Ints, Modes, keep
from .fibre_profile import Fibre, Floats

# Gauss-Legendre nodes along the radius, for products of four modes: so many and 1.2 a radian of the fastest mode in the
# core; so many in each of the parts, three times longer each, that the cladding is cut into, until the slowest mode has
# fallen by exp(-5). Overlaps of four modes are right within 1e-7 of the largest for V up to 20.
_CORE_NODES, _CLADDING_NODES, _LONGER, _REACH = 6, 6, 3.0, 5.0
_FINE_NODES, _FINE_REACH = 24, 18.0  # for products of two, which decay more slowly and are integrated once


@dataclass(frozen=True, kw_only=True, eq=False)
class LPModes(Modes):
    """Modes `R(r) cos(l phi)` and `R(r) sin(l phi)`: Bessel functions in the core, modified ones in the cladding.

    Args:
        fibre: As for `Modes`.
        beta_M: As for `Modes`.
        labels: As for `Modes`.
        azimuthal_M: Order l of each mode.
        radial_M: Number m of each, from 1.
        odd_M: Whether a mode is the sine.
        core_M: Transverse wave number in the core times the radius, u.
        cladding_M: Transverse decay in the cladding times the radius, w.
    """

    azimuthal_M: Ints
    radial_M: Ints
    odd_M: Ints
    core_M: Floats
    cladding_M: Floats

    def field(self, x_P: Floats, y_P: Floats) -> Floats:
        """Return the modes at points of the cross-section, 1/m, shape `(points, modes)`; coordinates in m."""
        angle_P = np.arctan2(y_P, x_P)
        turn_PM = angle_P[:, None] * self.azimuthal_M
        return self._radial(np.hypot(x_P, y_P)) * np.where(self.odd_M == 1, np.sin(turn_PM), np.cos(turn_PM))

    def factors(self) -> Factors:
        """Return the modes at nodes in polar coordinates: exact along the angle, converged along the radius."""
        highest = int(self.azimuthal_M.max())
        core = _CORE_NODES + math.ceil(1.2 * float(self.core_M.max()))
        r_Y, weight_Y = self._radii(core, _CLADDING_NODES, _LONGER, _REACH)
        angles = 2 * highest + 1  # pairs; twice as many nodes are exact up to the harmonic 4 l
        phi_X = math.pi * (np.arange(angles) + 0.5) / angles
        kinds, group_M = np.unique(2 * self.azimuthal_M + self.odd_M, return_inverse=True)
        turn_XG = phi_X[:, None] * (kinds // 2)
        return Factors(
            line_YM=self._radial(r_Y),
            across_XG=np.where(kinds % 2 == 1, np.sin(turn_XG), np.cos(turn_XG)),
            group_M=group_M.astype(np.int64),
            even_G=kinds % 2 == 0,
            weight_YX=np.outer(weight_Y * r_Y, np.full(angles, math.pi / angles)),
        )

    def positions(self) -> tuple[Floats, Floats]:
        """Return `integral F_p x F_q` and the same with y, m, shape `(modes, modes)` each."""
        r_Y, weight_Y = self._radii(_FINE_NODES + math.ceil(2 * self.core_M.max()), _FINE_NODES, 2.0, _FINE_REACH)
        radial_YM = self._radial(r_Y)
        along_MM = radial_YM.T @ ((weight_Y * r_Y**2)[:, None] * radial_YM)
        angles = 2 * int(self.azimuthal_M.max()) + 2  # exact up to that harmonic
        phi_P = 2 * math.pi * (np.arange(angles) + 0.5) / angles
        turn_PM = phi_P[:, None] * self.azimuthal_M
        round_PM = np.where(self.odd_M == 1, np.sin(turn_PM), np.cos(turn_PM)) * math.sqrt(2 * math.pi / angles)
        x_MM, y_MM = (along_MM * (round_PM.T @ (part[:, None] * round_PM)) for part in (np.cos(phi_P), np.sin(phi_P)))
        return x_MM, y_MM

    def beta_at(self, wavelength: float) -> Floats:
        """Return the propagation constants of the same modes at another, shorter wavelength, 1/m."""
        fibre = self.fibre.at(wavelength)
        kinds = sorted(set(zip(self.azimuthal_M.tolist(), self.radial_M.tolist(), strict=True)))
        found = {kind: _beta(fibre, _root(*kind, fibre.v_number)) for kind in kinds}
        return np.array([found[kind] for kind in zip(self.azimuthal_M.tolist(), self.radial_M.tolist(), strict=True)])

    def _radii(self, core: int, cladding: int, longer: float, reach: float) -> tuple[Floats, Floats]:
        """Return radii with weights: `core` of them inside, `cladding` in each part outside."""
        radius = self.fibre.radius
        cuts, counts, length = [0.0, radius], [core], radius / float(self.cladding_M.max())
        while cuts[-1] < radius * (1 + reach / float(self.cladding_M.min())):
            cuts.append(cuts[-1] + length)
            counts.append(cladding)
            length *= longer
        ends = itertools.pairwise(cuts)
        parts = [_legendre(low, high, number) for (low, high), number in zip(ends, counts, strict=True)]
        r_Y, weight_Y = (np.concatenate(part) for part in zip(*parts, strict=True))
        return r_Y, weight_Y

    def _radial(self, r_P: Floats) -> Floats:
        """Return the modes' dependence on the distance from the axis, 1/m, shape `(points, modes)`."""
        l_M, u_M, w_M, radius = self.azimuthal_M, self.core_M, self.cladding_M, self.fibre.radius
        # Integrals of J^2 and K^2 times r dr over core and cladding, both scaled to 1 at the radius.
        edge_j, edge_k = special.jv(l_M, u_M), special.kv(l_M, w_M)
        core = 1 - special.jv(l_M - 1, u_M) * special.jv(l_M + 1, u_M) / edge_j**2
        cladding = special.kv(l_M - 1, w_M) * special.kv(l_M + 1, w_M) / edge_k**2 - 1
        turned = np.where(l_M == 0, 2 * math.pi, math.pi)
        height_M = np.sqrt(2 / (turned * (core + cladding))) / radius
        far_PM = np.maximum(np.asarray(r_P)[:, None] / radius, 1.0)
        outside = special.kve(l_M, w_M * far_PM) / special.kve(l_M, w_M) * np.exp(w_M * (1 - far_PM))
        near_PM = np.minimum(np.asarray(r_P)[:, None] / radius, 1.0)
        inside = special.jv(l_M, u_M * near_PM) / edge_j
        return np.asarray(height_M * np.where(np.asarray(r_P)[:, None] < radius, inside, outside))


def step_modes(fibre: Fibre, *, modes: int | None = None) -> LPModes:
    """Return the modes that solve `u J_{l-1}(u) / J_l(u) = -w K_{l-1}(w) / K_l(w)`; arguments as for `solve_modes`.

    Raises:
        SpecError: The fibre guides fewer than wanted.

    Source:
        D. Gloge, Weakly guiding fibers, Appl. Opt. 10, 2252 (1971).
    """
    v = fibre.v_number
    rows: list[tuple[int, int, int, float]] = []
    azimuthal = 0
    while azimuthal == 0 or special.jn_zeros(azimuthal - 1, 1)[0] < v:
        radial = 1
        while _cutoff(azimuthal, radial) < v:
            root = _root(azimuthal, radial, v)
            rows += [(azimuthal, radial, odd, root) for odd in range(1 if azimuthal == 0 else 2)]
            radial += 1
        azimuthal += 1
    beta_M = np.array([_beta(fibre, row[3]) for row in rows])
    order = keep(beta_M, modes)
    azimuthal_M, radial_M, odd_M = (np.array([row[k] for row in rows], dtype=np.int64)[order] for k in range(3))
    core_M = np.array([row[3] for row in rows])[order]
    names = zip(azimuthal_M, radial_M, odd_M, strict=True)
    return LPModes(
        fibre=fibre,
        beta_M=beta_M[order],
        labels=tuple(f"LP {number},{m} {'sin' if odd else 'cos'}" for number, m, odd in names),
        azimuthal_M=azimuthal_M,
        radial_M=radial_M,
        odd_M=odd_M,
        core_M=core_M,
        cladding_M=np.sqrt(v**2 - core_M**2),
    )


def _cutoff(azimuthal: int, radial: int) -> float:
    """Return the normalised frequency from which a mode is guided: a zero of the next lower Bessel function."""
    if azimuthal == 0:
        return 0.0 if radial == 1 else float(special.jn_zeros(1, radial - 1)[-1])
    return float(special.jn_zeros(azimuthal - 1, radial)[-1])


def _root(azimuthal: int, radial: int, v: float) -> float:
    """Return u of a guided mode: between its cutoff and the zero of its own Bessel function."""

    def mismatch(u: float) -> float:
        w = math.sqrt(max(v * v - u * u, 0.0))
        if w < 1e-8:  # w K_{l-1}(w) / K_l(w) goes to zero with w
            return float(u * special.jv(azimuthal - 1, u))
        ratio = special.kve(azimuthal - 1, w) / special.kve(azimuthal, w)
        return float(u * special.jv(azimuthal - 1, u) + w * ratio * special.jv(azimuthal, u))

    low, high = _cutoff(azimuthal, radial), min(v, float(special.jn_zeros(azimuthal, radial)[-1]))
    if not low < high:
        raise SpecError(
            f"LP {azimuthal},{radial} must be guided, V > {low:.4g}, got V = {v:.4g}. Keep fewer modes, or choose a "
            "shorter wavelength."
        )
    return float(optimize.brentq(mismatch, low, high, xtol=4e-16 * high, rtol=1e-15, maxiter=200))


def _beta(fibre: Fibre, root: float) -> float:
    return math.sqrt((fibre.wavenumber * fibre.core) ** 2 - (root / fibre.radius) ** 2)


def _legendre(low: float, high: float, number: int) -> tuple[Floats, Floats]:
    node, weight = np.polynomial.legendre.leggauss(number)
    return low + (high - low) * (node + 1) / 2, weight * (high - low) / 2
