"""The grid of a 2-D wave simulation: stencils, sides, absorbing layers, and the Laplacian they make together.

Axis letters: Y, X cells along y and x; P all cells of the padded grid, flattened; A axis (0 is y).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

Side = Literal["closed", "soft", "absorbing", "periodic"]
Order = Literal[2, 4]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REFLECTION = 1e-3  # of an absorbing layer in the continuum, at normal incidence


@dataclass(frozen=True, kw_only=True)
class Stencil:
    """Central differences of one order of accuracy in space.

    Args:
        order: Claimed order of accuracy; a test measures it.
        second: Weight of `f(x + k h) + f(x - k h) - 2 f(x)` for k = 1, 2, ... in `h^2 f''`.
        first: Weight of `f(x + k h) - f(x - k h)` for k = 1, 2, ... in `h f'`.
        divisor: What makes the weights of `second` whole numbers.
    """

    order: Order
    second: tuple[float, ...]
    first: tuple[float, ...]
    divisor: int

    @property
    def rings(self) -> tuple[int, ...]:
        """`second` times `divisor`: whole numbers."""
        return tuple(round(weight * self.divisor) for weight in self.second)

    @property
    def halo(self) -> int:
        """Cells the stencil reaches on each side."""
        return len(self.second)

    @property
    def largest(self) -> float:
        """Largest eigenvalue of `-h^2 f''` in one dimension: 4 at order 2, 16/3 at order 4."""
        return sum(4 * weight for weight in self.second[::2])  # the symbol at k h = pi: even k vanish there

    def symbol(self, phase: Floats) -> Floats:
        """Return the eigenvalue of `-h^2 f''` for a wave that turns by `phase` = k h from cell to cell."""
        parts = [4 * w * np.sin(k * phase / 2) ** 2 for k, w in enumerate(self.second, start=1)]
        return np.asarray(sum(parts))


STENCILS: dict[int, Stencil] = {
    2: Stencil(order=2, second=(1.0,), first=(1 / 2,), divisor=1),
    4: Stencil(order=4, second=(4 / 3, -1 / 12), first=(2 / 3, -1 / 12), divisor=12),
}
"""By order. Source: B. Fornberg, Math. Comput. 51, 699 (1988)."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Cells, sides, and what lies beyond them.

    A wall stands half a cell outside the outermost cells: a `closed` (rigid) side mirrors them, so that cosines which
    have a crest at both walls are exact modes. Beyond a `soft` (pressure-release) side the field is zero. An
    `absorbing` side is soft behind a layer of `layer` cells that belong to the grid. `periodic` sides come in pairs.

    Args:
        shape: Cells along y and x, absorbing layers included.
        pitch: Side of a cell in m, > 0.
        order: Order of accuracy in space.
        sides: Low y, high y, low x, high x.
        layer: Thickness of an absorbing layer in cells.

    Raises:
        SpecError: The sides contradict each other, or the grid is too small for them.
    """

    shape: tuple[int, int]
    pitch: float
    order: Order = 2
    sides: tuple[Side, Side, Side, Side] = ("closed", "closed", "closed", "closed")
    layer: int = 20

    def __post_init__(self) -> None:
        if self.order not in STENCILS:
            raise SpecError(f"order must be 2 or 4, got {self.order}.")
        if not 0 < self.pitch < math.inf:
            raise SpecError(f"pitch must be > 0 m, got {self.pitch} m.")
        if len(self.sides) != 4 or not set(self.sides) <= {"closed", "soft", "absorbing", "periodic"}:
            raise SpecError(
                "sides must be four of closed, soft, absorbing, periodic (low y, high y, low x, high x), "
                f"got {self.sides}."
            )
        for axis in (0, 1):
            low, high = self.sides[2 * axis : 2 * axis + 2]
            if (low == "periodic") != (high == "periodic"):
                raise SpecError(f"periodic sides must come in opposite pairs, got {low} and {high} along {'yx'[axis]}.")
            least = 2 * self.halo + 1 + sum(self.layers(axis))
            if self.shape[axis] < least:
                raise SpecError(
                    f"a grid with these sides must have at least {least} cells along {'yx'[axis]}, got "
                    f"{self.shape[axis]}. Make the pitch or the layer smaller."
                )
        if "absorbing" in self.sides and self.layer < 1:
            raise SpecError(f"layer must be >= 1 cell for an absorbing side, got {self.layer}.")

    @property
    def stencil(self) -> Stencil:
        """The finite differences."""
        return STENCILS[self.order]

    @property
    def halo(self) -> int:
        """Cells added on each side of the padded grid."""
        return self.stencil.halo

    @property
    def padded(self) -> tuple[int, int]:
        """Shape of the padded grid."""
        return self.shape[0] + 2 * self.halo, self.shape[1] + 2 * self.halo

    def layers(self, axis: int) -> tuple[int, int]:
        """Cells of the absorbing layers at the low and the high side of an axis; 0 where there is none."""
        low, high = (self.layer if side == "absorbing" else 0 for side in self.sides[2 * axis : 2 * axis + 2])
        return low, high

    def slabs(self, axis: int) -> list[slice]:
        """Return where absorbing layers change the field along an axis of the padded grid."""
        (low, high), end, halo = self.layers(axis), self.padded[axis], self.halo
        found = [slice(halo, 2 * halo + low)] if low else []
        return found + ([slice(end - 2 * halo - high, end - halo)] if high else [])

    @property
    def absorbing(self) -> bool:
        """Whether any side absorbs."""
        return "absorbing" in self.sides

    @property
    def largest(self) -> float:
        """Upper bound of the eigenvalues of the negative Laplacian, in 1/m^2."""
        return 2 * self.stencil.largest / self.pitch**2

    @cached_property
    def beyond(self) -> Ints:
        """The cell whose field each cell of the padded grid carries, as a flat padded number; -1 where it is zero.

        A cell of the grid carries its own. Corners of the padding are read by no stencil.
        """
        maps = []
        for axis in (0, 1):
            count, halo = self.shape[axis], self.halo
            low, high = self.sides[2 * axis : 2 * axis + 2]
            index = np.arange(-halo, count + halo)
            source = np.where((index >= 0) & (index < count), index, -1)
            if low == "periodic":
                source = index % count
            if low == "closed":
                source = np.where(index < 0, -1 - index, source)
            if high == "closed":
                source = np.where(index >= count, 2 * count - 1 - index, source)
            maps.append(np.where(source < 0, -1, source + halo))
        y, x = np.meshgrid(*maps, indexing="ij")
        return np.where((y < 0) | (x < 0), -1, y * self.padded[1] + x).ravel()

    def pad(self, values_YX: Any) -> Floats:
        """Return numbers on the padded grid, 0 in the padding."""
        return np.pad(np.asarray(values_YX, dtype=np.float64), self.halo)

    def flat(self, cells: Ints) -> Ints:
        """Return the flat padded number of cells given as `(y, x)`, shape `(n, 2)`."""
        cells = np.asarray(cells, dtype=np.int64).reshape(-1, 2)
        return np.asarray((cells[:, 0] + self.halo) * self.padded[1] + cells[:, 1] + self.halo, dtype=np.int64)

    def absorber(self, axis: int, *, time_step: float, speed: float, frequency: float) -> tuple[Floats, Floats, Floats]:
        """Return the convolutional profiles `a`, `b` and `h b'` of an axis on the padded grid.

        They vanish outside `slabs`: `b'` reaches as far into the grid as the stencil does.

        Damping grows with the square of the depth, and the frequency shift falls to zero at the outer edge.

        Args:
            axis: 0 for y, 1 for x.
            time_step: s.
            speed: Largest speed of sound, m/s.
            frequency: Where the layer works best, Hz.

        Source:
            R. Pasalic, R. McGarry, SEG Expanded Abstracts 29, 2925 (2010); D. Komatitsch,
            R. Martin, Geophysics 72, SM155 (2007): the profiles.
        """
        count = self.shape[axis] + 2 * self.halo
        depth = np.zeros(count)
        cell = np.arange(count) - self.halo
        low, high = self.layers(axis)
        for layer, inwards in ((low, low - cell), (high, cell - (self.shape[axis] - 1 - high))):
            if layer:
                depth = np.maximum(depth, np.clip(inwards / layer, 0, 1))
        inside = depth > 0
        damping = -1.5 * speed * math.log(REFLECTION) / (max(self.layer, 1) * self.pitch) * depth**2
        total = np.where(inside, damping + math.pi * frequency * (1 - depth), 1.0)
        a = np.where(inside, np.exp(-total * time_step), 0.0)
        b = np.where(inside, damping / total * (a - 1), 0.0)
        slope = np.zeros(count)
        reach = self.halo
        for k, weight in enumerate(self.stencil.first, start=1):
            slope[reach:-reach] += weight * (b[reach + k : count - reach + k] - b[reach - k : count - reach - k])
        return a, b, slope
