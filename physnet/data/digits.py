"""The 8x8 digits that come with scikit-learn: a task that needs no download."""

from __future__ import annotations

import numpy as np

from ..weights import sha256
from .dataset import Dataset


def load() -> Dataset:
    """Load 1 797 handwritten digits of 8x8 pixels, as grey levels in 0..1.

    They are the test part of a larger set, by 13 writers that are not told apart, and have no official split.

    Returns:
        64 features, 10 classes.

    Source:
        E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository,
        1998, doi:10.24432/C50P49, as shipped by scikit-learn (`sklearn.datasets.load_digits`).
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    # Pixels count the inked cells of 4x4 blocks of a bitmap: 0..16.
    x = (digits.data / 16).astype(np.float32)
    y = digits.target.astype(np.int64)
    return Dataset(
        name="digits",
        x=x,
        y=y,
        classes=tuple(str(digit) for digit in range(10)),
        shape=(8, 8),
        source="Alpaydin and Kaynak, UCI 1998, doi:10.24432/C50P49, through scikit-learn",
        checksum=f"sha256:{sha256({'x': x, 'y': y})}",
    )
