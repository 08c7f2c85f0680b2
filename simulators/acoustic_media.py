"""What fills the grid of a wave simulation, and the explicit time step that follows from it.

The field u obeys, with restoring force F, extra damping B and equation of state r on the cells that have them,
    u_tt + 2 (b + B(u)) u_t = c^2 (lap (u + r(u)) + f / h^2) - F(u) - k (u - q),
    q_tt + 2 g q_t = w^2 (u - q),
where q is the resonator of a cell and f the source in it. Saturation makes every nonlinear term bounded:
    F = K u / sqrt(1 + x^2),   B = B0 / (1 + x^2),   r = n u x^2 / (1 + x^2)^1.5,   x = u / threshold,
so |F| <= K threshold and |r| <= |n| threshold, while B >= 0.

Why the energy can't blow up. Without F and r the leap-frog step conserves the discrete energy
E = |du/dt|^2 / 2 + <u_new, A u_old> / 2 (A symmetric positive semidefinite in the inner product weighted with 1/c^2),
less what b and B take away, and E is positive definite when dt^2 max(A) < 4. What F and r add is a source of
bounded size: sqrt(2 E) grows in one step by at most dt |s| / sqrt(1 - dt^2 max(A) / 4), s being all sources together.
So it grows at most linearly in time, whatever the drive. `Scheme` also counts the largest slopes of F and r into
max(A): the scheme linearised about any state is stable as well.

Axis letters: Y, X cells; P cells of the padded grid, flattened; E nonlinear cells; R resonators.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

from .acoustic_grid import Floats, Grid, Ints
from .acoustic_links import Links, Terms

# The largest slope of x^3 / (1 + x^2)^1.5, at x^2 = 2/3.
STEEPEST = 3 * (2 / 3) / (5 / 3) ** 2.5


@dataclass(frozen=True, kw_only=True)
class Resonators:
    """Masses on springs, each attached to the field in one cell: small resonant scatterers.

    Args:
        cells: `(y, x)` of each, shape `(R, 2)`.
        frequency: Resonance with the field held still, Hz.
        quality: Quality factor, > 0.
        mass: Inertia of a resonator, as the area of the field that has as much, m^2.
    """

    cells: Ints
    frequency: float
    quality: float
    mass: float


@dataclass(frozen=True, kw_only=True)
class Elements:
    """Cells with a local nonlinearity. All three kinds may be present at once.

    Args:
        cells: `(y, x)` of each, shape `(E, 2)`.
        threshold: Field at which the terms begin to saturate, Pa.
        stiffness: K, the restoring force for small fields, 1/s^2, >= 0.
        damping: B0, the extra damping rate for small fields, 1/s, >= 0.
        speed: n, phenomenological: the squared speed of sound grows as `c^2 (1 + 3 n (u / threshold)^2)` for small
            fields. > -1.
    """

    cells: Ints
    threshold: float
    stiffness: float = 0.0
    damping: float = 0.0
    speed: float = 0.0

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise SpecError(f"threshold of nonlinear elements must be > 0 Pa, got {self.threshold} Pa.")
        if not (self.stiffness >= 0 and self.damping >= 0):
            raise SpecError(
                f"stiffness and damping of nonlinear elements must be >= 0, got {self.stiffness} 1/s^2 and "
                f"{self.damping} 1/s. Negative ones would feed energy in."
            )
        if not -1 < self.speed < math.inf:
            raise SpecError(f"speed of nonlinear elements must be > -1, got {self.speed}.")


@dataclass(frozen=True, kw_only=True)
class Medium:
    """What fills a grid.

    Args:
        speed_YX: Speed of sound, m/s, > 0.
        damping_YX: Damping rate b, 1/s, >= 0: a free wave decays as `exp(-b t)`.
        rigid_YX: Cells that sound does not enter.
        resonators: Resonant scatterers.
        elements: Nonlinear cells.
    """

    speed_YX: Floats
    damping_YX: Floats
    rigid_YX: NDArray[np.bool_]
    resonators: Resonators | None = None
    elements: Elements | None = None

    @classmethod
    def uniform(cls, grid: Grid, *, speed: float, damping: float = 0.0, **parts: Any) -> Medium:
        """Return a medium that is the same everywhere, but for the `parts` given."""
        return cls(
            **{
                "speed_YX": np.full(grid.shape, float(speed)),
                "damping_YX": np.full(grid.shape, float(damping)),
                "rigid_YX": np.zeros(grid.shape, dtype=bool),
                **parts,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One explicit time step as coefficients; both solvers read nothing else.

    `new = centre u - past u_old + weight (stencil sum of the neighbours)`, everything divided by `1 + b dt`.

    Args:
        grid: The grid.
        medium: What fills it.
        time_step: s; at most `stable_time_step(grid, medium)`.
        frequency: Where absorbing layers work best, Hz.
        single: Round the coefficients to numbers that are exact in single precision and still add up to one for a
            uniform field, `centre + 4 weight (sum of the stencil) = 1 + past`. Rounded one by one they would not: a
            spurious stiffness of 1e-7 a step, which in a closed cavity bends slow sound visibly within 1 000 steps.

    Raises:
        SpecError: The time step is not stable, or the medium does not fit the grid.
    """

    grid: Grid
    medium: Medium
    time_step: float
    frequency: float = 1000.0
    single: bool = True
    centre_P: Floats = field(init=False)
    past_P: Floats = field(init=False)
    weight_P: Floats = field(init=False)
    cut: Terms = field(init=False)
    """Open cells beyond a rigid one, which the plain stencil sees: `new[t] -= weight u[s]`. `centre` has the rest."""
    state: Terms = field(init=False)
    """The equation of state: `new[t] += weight r[e]`."""

    def __post_init__(self) -> None:
        grid, medium, dt = self.grid, self.medium, self.time_step
        _check(grid, medium)
        limit = stable_time_step(grid, medium)
        if not 0 < dt <= limit:
            raise SpecError(
                f"time step must be > 0 and at most {limit:.6g} s for a pitch of {grid.pitch:g} m, order {grid.order} "
                f"and a speed of up to {medium.speed_YX.max():g} m/s (Courant-Friedrichs-Lewy, dt <= 2 / sqrt(max A)), "
                f"got {dt:.6g} s. Leave it out to have the largest stable one."
            )
        loss_YX = medium.damping_YX * dt
        ring_YX = (medium.speed_YX * dt / grid.pitch) ** 2 / (1 + loss_YX) / grid.stencil.divisor
        past_YX = (1 - loss_YX) / (1 + loss_YX)
        if self.single:  # multiples of 2^-23 up to 2 are exact, and so are their sums
            ring_YX, past_YX = np.round(ring_YX * 2**23) / 2**23, np.round(past_YX * 2**23) / 2**23
        centre_YX = 1 + past_YX - 4 * sum(grid.stencil.rings) * ring_YX
        weight_YX = ring_YX * grid.stencil.divisor
        for values_YX in (weight_YX, centre_YX, past_YX):
            values_YX[medium.rigid_YX] = 0
        for name, values_YX in (("weight_P", weight_YX), ("centre_P", centre_YX), ("past_P", past_YX)):
            object.__setattr__(self, name, grid.pad(values_YX).astype(np.float64).ravel())
        cut, rows = self._edges()
        object.__setattr__(self, "cut", cut)
        object.__setattr__(self, "state", rows)

    @property
    def element_cells(self) -> Ints:
        """Flat padded numbers of the nonlinear cells."""
        elements = self.medium.elements
        return np.zeros(0, np.int64) if elements is None else self.grid.flat(elements.cells)

    @property
    def resonator_cells(self) -> Ints:
        """Flat padded numbers of the cells with a resonator."""
        resonators = self.medium.resonators
        return np.zeros(0, np.int64) if resonators is None else self.grid.flat(resonators.cells)

    @property
    def uniform(self) -> bool:
        """Whether one set of coefficients serves every cell."""
        return all(
            np.ptp(getattr(self, name).reshape(self.grid.padded)[self.inside]) == 0
            for name in ("centre_P", "past_P", "weight_P")
        )

    @property
    def inside(self) -> tuple[slice, slice]:
        """The grid within the padded one."""
        halo = self.grid.halo
        return slice(halo, -halo), slice(halo, -halo)

    def resonator_constants(self) -> tuple[float, float, float, Floats]:
        """Return what steps a resonator: `q_new = two q - past q_old + pull (u - q)`, `new -= load (u - q)`."""
        resonators, dt = self.medium.resonators, self.time_step
        assert resonators is not None
        omega = 2 * math.pi * resonators.frequency
        loss = omega / (2 * resonators.quality) * dt
        ratio = resonators.mass / self.grid.pitch**2
        damping_R = self.grid.pad(self.medium.damping_YX).ravel()[self.resonator_cells] * dt
        load_R = ratio * (omega * dt) ** 2 / (1 + damping_R)
        return 2 / (1 + loss), (1 - loss) / (1 + loss), (omega * dt) ** 2 / (1 + loss), load_R

    def element_constants(self) -> tuple[Floats, Floats, float]:
        """Return stiffness and damping per step of the nonlinear cells, and the strength of the equation of state."""
        elements, dt = self.medium.elements, self.time_step
        assert elements is not None
        scale_E = 1 / (1 + self.grid.pad(self.medium.damping_YX).ravel()[self.element_cells] * dt)
        return elements.stiffness * dt**2 * scale_E, elements.damping * dt * scale_E, elements.speed

    def laplacian(self) -> Any:
        """Return `h^2 lap` as a sparse matrix; see `Links.laplacian`."""
        return Links(self.grid, self.medium.rigid_YX).laplacian()

    def _edges(self) -> tuple[Terms, Terms]:
        """Find what a rigid face takes from the plain stencil, and where the equation of state acts."""
        links = Links(self.grid, self.medium.rigid_YX)
        cut: list[tuple[int, int, float]] = []
        for cell, there, weight, is_open in links.cut():
            self.centre_P[cell] += weight * self.weight_P[cell]
            if is_open:  # in a rigid cell the field is zero
                cut.append((cell, there, weight * self.weight_P[cell]))
        rows: list[tuple[int, int, float]] = []
        if self.medium.elements is not None and self.medium.elements.speed:
            number = {cell: e for e, cell in enumerate(self.element_cells.tolist())}
            rows = [(cell, e, weight * self.weight_P[cell]) for cell, e, weight in links.reaching(number)]
        return Terms.collect(cut), Terms.collect(rows)


def largest_eigenvalue(grid: Grid, medium: Medium) -> float:
    """Return an upper bound of max(A), 1/s^2: the scheme is stable for `dt^2 max(A) <= 4`."""
    steep = 1.0
    total = 0.0
    if medium.elements is not None:
        steep += STEEPEST * max(medium.elements.speed, 0.0)
        total += medium.elements.stiffness
    if medium.resonators is not None:
        ratio = medium.resonators.mass / grid.pitch**2
        total += (2 * math.pi * medium.resonators.frequency) ** 2 * (1 + ratio)
    return float(medium.speed_YX.max() ** 2 * grid.largest * steep + total)


def stable_time_step(grid: Grid, medium: Medium) -> float:
    """Return the largest stable time step, in s."""
    return 2 / math.sqrt(largest_eigenvalue(grid, medium))


def _check(grid: Grid, medium: Medium) -> None:
    for name in ("speed_YX", "damping_YX", "rigid_YX"):
        if getattr(medium, name).shape != grid.shape:
            raise SpecError(f"{name} must have the shape of the grid, {grid.shape}, got {getattr(medium, name).shape}.")
    if not bool(np.all(np.isfinite(medium.speed_YX) & (medium.speed_YX > 0))):
        raise SpecError(f"speed of sound must be > 0 m/s everywhere, got as little as {medium.speed_YX.min():g} m/s.")
    if not bool(np.all(np.isfinite(medium.damping_YX) & (medium.damping_YX >= 0))):
        raise SpecError(f"damping must be >= 0 1/s everywhere, got as little as {medium.damping_YX.min():g} 1/s.")
    plain = [
        slice(low + grid.halo if low else 0, count - high - grid.halo if high else None)
        for (low, high), count in zip((grid.layers(0), grid.layers(1)), grid.shape, strict=True)
    ]
    layered = np.ones(grid.shape, dtype=bool)
    layered[plain[0], plain[1]] = False
    inclusions = [("rigid cells", np.argwhere(medium.rigid_YX))]
    inclusions += [(name, part.cells) for name, part in _parts(medium) if part is not None]
    for name, cells in inclusions:
        if len(cells) and (cells.min() < 0 or bool(np.any(cells >= np.array(grid.shape)))):
            raise SpecError(f"{name} must lie on the grid of {grid.shape} cells, got some outside.")
        if len(cells) and bool(layered[cells[:, 0], cells[:, 1]].any()):
            raise SpecError(f"{name} must lie outside the absorbing layers of {grid.layer} cells, got some inside.")
        if name != "rigid cells" and len(np.unique(cells, axis=0)) < len(cells):
            raise SpecError(f"{name} must have a cell each, got one twice.")
        if name != "rigid cells" and len(cells) and bool(medium.rigid_YX[cells[:, 0], cells[:, 1]].any()):
            raise SpecError(f"{name} must not lie in rigid cells, got some that do.")


def _parts(medium: Medium) -> list[tuple[str, Any]]:
    return [("resonators", medium.resonators), ("nonlinear elements", medium.elements)]
