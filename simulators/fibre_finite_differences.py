"""Modes of any index profile on a square grid: slow, and the reference for the formulas of the other modules.

Axis letters: Y, X cells of the grid; C cells, flattened; M modes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from physnet.errors import SpecError

from .fibre_profile import Fibre, Floats

_SECOND = (-1 / 12, 4 / 3, -5 / 2, 4 / 3, -1 / 12)  # second derivative, of order 4
_WITHIN = 8  # points along a side of a cell that the index is averaged over where the core's edge runs through it


@dataclass(frozen=True, kw_only=True, eq=False)
class GridModes:
    """Modes on a grid, from the largest propagation constant down.

    Args:
        beta_M: Propagation constants, 1/m.
        field_CM: Fields at the centres of the cells, x fastest, `sum F^2 pitch^2 = 1`, 1/m.
        x_C: m.
        y_C: m.
    """

    beta_M: Floats
    field_CM: Floats
    x_C: Floats
    y_C: Floats


def solve_on_grid(fibre: Fibre, *, width: float, cells: int, modes: int) -> GridModes:
    """Solve `(laplacian + k^2 n^2) F = beta^2 F` for the guided modes of a fibre with its cladding.

    The field is zero outside the grid. Differences are of order 4, and the index is averaged over cells on the edge of
    the core: the error falls with the fourth power of the pitch where the profile is smooth, and with the second at
    best where the index or its slope jumps.

    Args:
        fibre: The fibre; its real profile, that of a graded fibre with an end.
        width: Side of the grid, m.
        cells: Along a side.
        modes: How many are asked for; those that are guided are returned.

    Raises:
        SpecError: The grid does not hold the core.
    """
    if not width > 2 * fibre.radius or cells < 8:
        raise SpecError(f"width must be > {2 * fibre.radius:g} m and cells >= 8, got {width:g} m and {cells}.")
    pitch = width / cells
    edge = (np.arange(cells) - (cells - 1) / 2) * pitch
    inner = ((np.arange(_WITHIN) + 0.5) / _WITHIN - 0.5) * pitch
    fine = (edge[:, None] + inner).ravel()
    fine_YX = fibre.index_squared(np.hypot(fine[:, None], fine[None, :]))
    distance_YX = np.hypot(edge[:, None], edge[None, :])
    on_edge_YX = np.abs(distance_YX - fibre.radius) < pitch
    averaged_YX = fine_YX.reshape(cells, _WITHIN, cells, _WITHIN).mean((1, 3))
    index_YX = np.where(on_edge_YX, averaged_YX, fibre.index_squared(distance_YX))
    line = sparse.diags(_SECOND, (-2, -1, 0, 1, 2), shape=(cells, cells)) / pitch**2
    one = sparse.identity(cells)
    matrix = sparse.kron(line, one) + sparse.kron(one, line) + sparse.diags(fibre.wavenumber**2 * index_YX.ravel())
    # The largest eigenvalues are those next to k^2 n^2 on the axis, beyond which there are none.
    sigma = (fibre.wavenumber * fibre.core) ** 2
    start = np.exp(-np.add.outer(edge**2, edge**2) / fibre.radius**2).ravel() * (1 + np.linspace(0, 0.1, cells**2))
    square_M, field_CM = linalg.eigsh(matrix.tocsc(), k=modes, sigma=sigma, v0=start)
    order = np.argsort(-square_M)
    order = order[square_M[order] > (fibre.wavenumber * fibre.cladding) ** 2]
    return GridModes(
        beta_M=np.sqrt(square_M[order]),
        field_CM=field_CM[:, order] / pitch,
        x_C=np.tile(edge, cells),
        y_C=np.repeat(edge, cells),
    )
