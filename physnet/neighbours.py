"""Answers from what was recorded nearby, for systems that play recordings back.

Axis letters: N rows asked for, M rows recorded, D drive channels, K neighbours, R response channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .contracts import DriveSpec

Reals = NDArray[np.float64]
# Rows are matched after a trip through single precision, twice.
_SAME = 1e-5


class Neighbours:
    """Finds the recorded drives that lie nearest.

    Args:
        scaled_MD: The recorded drives, as fractions of the range.
    """

    def __init__(self, scaled_MD: Reals) -> None:
        self._tree = cKDTree(scaled_MD)

    def find(self, scaled_ND: Reals, count: int) -> tuple[Reals, NDArray[np.int64]]:
        """Return distances and numbers of the nearest, nearest first, both of shape `(N, K)`.

        Args:
            scaled_ND: Drives, as fractions of the range.
            count: K, at least 1; fewer where fewer were recorded.
        """
        distance_NK, index_NK = self._tree.query(scaled_ND, k=list(range(1, min(count, self._tree.n) + 1)))
        return distance_NK, index_NK


def same(distance_NK: Reals, channels: int) -> NDArray[np.bool_]:
    """Tell which drives are the nearest recorded one but for rounding, shape `(N,)`."""
    found: NDArray[np.bool_] = distance_NK[:, 0] <= _SAME * np.sqrt(channels)
    return found


def blended(distance_NK: Reals, response_NKR: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of the neighbours' responses, weighted by the inverse square of their distance, `(N, R)`.

    A neighbour at distance 0 would take all the weight: answer such rows with `same` first.
    """
    near_NK = 1 / np.square(distance_NK)
    weight_NK = near_NK / near_NK.sum(1, keepdims=True)
    blend: NDArray[Any] = np.einsum("nk,nkr->nr", weight_NK, response_NKR)
    return blend


def as_fraction(spec: DriveSpec, drive: NDArray[Any]) -> Reals:
    """Return drives as fractions of each channel's range; real and imaginary part of a complex one apart.

    Args:
        spec: The system's drive.
        drive: Shape `(N, *drive_shape)`.

    Returns:
        Shape `(N, D)`, or `(N, 2 D)` for a complex drive.
    """
    flat_ND = drive.reshape(len(drive), spec.channels)
    if np.iscomplexobj(flat_ND):
        wide_ND = flat_ND.astype(np.complex128) / spec.high_array
        return np.concatenate((wide_ND.real, wide_ND.imag), axis=1)
    fraction: Reals = (flat_ND.astype(np.float64) - spec.low_array) / (spec.high_array - spec.low_array)
    return fraction
