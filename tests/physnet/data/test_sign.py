"""The sign task: reproducible, and out of reach of everything linear."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from physnet.data import load
from physnet.data.sign import load as load_sign
from physnet.errors import DataError


def test_the_class_is_the_sign_of_the_product() -> None:
    data = load("sign")
    assert data.x.shape == (2400, 6)
    np.testing.assert_array_equal(data.y, (data.x.prod(axis=1) > 0).astype(np.int64))
    assert np.abs(data.x).min() >= 0.5 and np.abs(data.x).max() <= 1


def test_the_samples_are_always_the_same() -> None:
    assert load("sign").checksum == load_sign().checksum


@pytest.mark.parametrize("order", [2, 3, 6])
def test_no_product_of_fewer_features_knows_the_class(order: int) -> None:
    data = load_sign(rows=4000, order=order)
    sign = 2.0 * data.y - 1
    for size in range(order):
        for chosen in itertools.combinations(range(order), size):
            product = data.x[:, chosen].prod(axis=1)
            # Standard error of a mean of products of at most 1: 1/sqrt(4000); 4.5 of them over at most 63 products.
            assert abs(np.mean(product * sign)) < 4.5 / np.sqrt(4000)


@pytest.mark.parametrize("options", [{"rows": 7}, {"order": 1}])
def test_bad_input_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(DataError, match=r"rows must be >= 8 and order >= 2"):
        load_sign(**options)
