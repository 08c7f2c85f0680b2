"""Which cells of a wave simulation exchange with which: the stencil, cut where a cell is rigid.

At order 4 the Laplacian is 4/3 of the one between neighbours less 1/3 of the one between next neighbours; the second
kind of link is cut when any cell along it is rigid. It stays symmetric and positive semidefinite, since
(a + b)^2 <= 2 a^2 + 2 b^2 bounds each second link by the two first ones along it.

Axis letters: P cells of the padded grid, flattened; T terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .acoustic_grid import Floats, Grid, Ints


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Sums of a few products, `new[target] += weight * value[source]`, sorted by target.

    Args:
        target: Flat padded number, shape `(T,)`.
        source: Flat padded number, or a number of an element.
        weight: Shape `(T,)`.
    """

    target: Ints
    source: Ints
    weight: Floats

    @classmethod
    def collect(cls, terms: list[tuple[int, int, float]]) -> Terms:
        """Sort `(target, source, weight)` by target."""
        terms = sorted(terms, key=lambda term: term[0])
        return cls(
            target=np.array([term[0] for term in terms], dtype=np.int64),
            source=np.array([term[1] for term in terms], dtype=np.int64),
            weight=np.array([term[2] for term in terms], dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.target)


class Links:
    """The links of a grid with rigid cells in it.

    Args:
        grid: The grid.
        rigid_YX: Cells that sound does not enter.
    """

    def __init__(self, grid: Grid, rigid_YX: NDArray[np.bool_]) -> None:
        self._grid = grid
        rigid_P, beyond_P = grid.pad(rigid_YX).ravel() > 0, grid.beyond
        self._rigid_P = np.asarray((beyond_P >= 0) & rigid_P[beyond_P])
        inner_YX = np.zeros(grid.padded, dtype=bool)
        inner_YX[grid.halo : -grid.halo, grid.halo : -grid.halo] = True
        self._open_P = inner_YX.ravel() & ~self._rigid_P

    def neighbours(self, cell: int) -> list[tuple[int, float, bool]]:
        """Return the neighbours of a flat padded cell: their padded number, weight, and whether sound gets there."""
        found = []
        for stride in (self._grid.padded[1], 1):
            for step in (-stride, stride):
                open_so_far = True
                for k, weight in enumerate(self._grid.stencil.second, start=1):
                    there = cell + k * step
                    open_so_far = open_so_far and not self._rigid_P[there]
                    found.append((there, weight, open_so_far))
        return found

    def cut(self) -> Iterator[tuple[int, int, float, bool]]:
        """Yield what the plain stencil has too much: cell, the one beyond a rigid face, weight, and if that is open."""
        near_P = np.zeros(self._rigid_P.size, dtype=bool)
        for stride in (self._grid.padded[1], 1):
            for k in range(1, self._grid.halo + 1):
                near_P |= np.roll(self._rigid_P, k * stride) | np.roll(self._rigid_P, -k * stride)
        for cell in np.flatnonzero(near_P & self._open_P).tolist():
            for there, weight, is_open in self.neighbours(cell):
                if not is_open:
                    yield cell, there, weight, not self._rigid_P[there]

    def reaching(self, number: dict[int, int]) -> Iterator[tuple[int, int, float]]:
        """Yield the Laplacian of a field that lives on a few cells only: cell, number of the few, weight.

        Args:
            number: Number of each of the few by flat padded cell.
        """
        reached = set(number)
        for cell in number:
            reached |= {int(self._grid.beyond[there]) for there, _, is_open in self.neighbours(cell) if is_open}
        for cell in sorted(reached - {-1}):
            for there, weight, is_open in self.neighbours(cell):
                if not is_open:
                    continue
                for other, sign in ((int(self._grid.beyond[there]), 1.0), (cell, -1.0)):
                    if other in number:
                        yield cell, number[other], sign * weight

    def laplacian(self) -> Any:
        """Return `h^2 lap` of the cells of the padded grid as a SciPy sparse matrix, link by link: for tests.

        Rows and columns of padding and rigid cells are empty. Symmetric; absorbing layers count as soft sides.
        """
        from scipy.sparse import coo_array

        entries: list[tuple[int, int, float]] = []
        for cell in np.flatnonzero(self._open_P).tolist():
            for there, weight, is_open in self.neighbours(cell):
                if is_open:
                    entries.append((cell, cell, -weight))
                    if self._grid.beyond[there] >= 0:
                        entries.append((cell, int(self._grid.beyond[there]), weight))
        row, column, value = zip(*entries, strict=True)
        return coo_array((value, (row, column)), shape=(self._open_P.size, self._open_P.size)).tocsr()
