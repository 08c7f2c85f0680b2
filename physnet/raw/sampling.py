"""Which rows a sample of the raw data holds: decided by a row's pass number alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..contracts import Passes
from ..passes import PLACED, purpose_of
from .hashes import mixed


def sampled(passes: Passes, *, share: float, seed: int) -> NDArray[np.bool_]:
    """Choose a share of the rows. Dark and reference rows are few, and all kept.

    The choice depends on nothing but the seed and the pass number: not on chunks, order or retries, so that a row that
    is presented again is kept or left out as it was before.

    Args:
        passes: Shape `(n,)`.
        share: Part of all rows to keep, above 0 and at most 1.
        seed: Another seed chooses other rows.

    Returns:
        Shape `(n,)`: whether to keep the row.
    """
    if share >= 1:
        return np.ones(len(passes), np.bool_)
    placed = np.isin(purpose_of(passes), PLACED)
    word = mixed(mixed(np.asarray([seed & (2**64 - 1)], np.uint64)) ^ passes.astype(np.uint64))
    # 53 bits: all that a double tells apart
    return placed | ((word >> np.uint64(11)).astype(np.float64) < share * 2.0**53)
