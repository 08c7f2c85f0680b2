"""A task that no linear read-out can solve: the sign of a product of features."""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ..seeding import stream
from ..weights import sha256
from .dataset import Dataset

_SEED = 0  # of the samples themselves, as if they had been downloaded; a run's seed draws only the split


def load(*, rows: int = 2400, order: int = 6) -> Dataset:
    """Make the sign of a product: independent features of random sign, and whether their product is positive.

    A feature is a random sign times a size drawn evenly from 0.5 to 1. Flipping the sign of any one feature flips the
    class, so any sum of functions of fewer than `order` features each is independent of the class: raw logistic
    regression is at chance by construction, and with it every linear read-out of a polynomial of a degree below
    `order`, and of responses in which the features only meet in pairs (intensities of a phase-modulated field). What is
    left to chance is the sample: with many read-out weights a finite training split is fitted by accident, and the
    test split shows it.

    Args:
        rows: Samples, at least 8.
        order: Features, 2 or more: 2 is the exclusive or.

    Returns:
        `order` features within -1..1, 2 classes.

    Raises:
        DataError: An argument is out of its range.
    """
    if not (rows >= 8 and order >= 2):
        raise DataError(f"rows must be >= 8 and order >= 2 features, got {rows} and {order}.")
    random = stream(_SEED, "sign task", rows, order)
    sign = random.choice(np.array([-1.0, 1.0]), (rows, order))
    x = (sign * random.uniform(0.5, 1.0, (rows, order))).astype(np.float32)
    y = (sign.prod(axis=1) > 0).astype(np.int64)
    return Dataset(
        name="sign",
        x=x,
        y=y,
        classes=("negative", "positive"),
        feature_names=tuple(f"x{number}" for number in range(order)),
        source=f"synthetic: the sign of the product of {order} features, physnet.data.sign",
        checksum=f"sha256:{sha256({'x': x, 'y': y})}",
    )
