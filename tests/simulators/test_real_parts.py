"""Responses become real numbers and come back in their own library, shape and type."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from physnet.simulators.real_parts import from_parts, row_sum, to_parts

VALUES = np.arange(24).reshape(2, 3, 4) - 7


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128", "int8", "int32"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_a_response_comes_back_as_it_was(dtype: str, library: str) -> None:
    array = (VALUES * (1 + 2j)).astype(dtype) if dtype.startswith("complex") else VALUES.astype(dtype)
    response = torch.from_numpy(array) if library == "torch" else array
    parts = to_parts(response)
    assert parts.shape == (2, 24 if dtype.startswith("complex") else 12)
    assert parts.dtype in (torch.float32, torch.float64)
    back = from_parts(parts, response)
    assert type(back) is type(response) and back.dtype == response.dtype
    np.testing.assert_array_equal(np.asarray(back), array)
    parts += 1
    np.testing.assert_array_equal(np.asarray(response), array)  # a copy


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int8"])
def test_codes_are_rounded_and_kept_within_their_type(dtype: str) -> None:
    like = np.zeros((1, 4), dtype=dtype)
    back = np.asarray(from_parts(torch.tensor([[-1e6, 1.4, 1.6, 1e6]]), like))
    limits = np.iinfo(np.dtype(dtype))
    assert back.tolist() == [[limits.min, 1, 2, limits.max]]


@pytest.mark.parametrize("width", [1, 2, 7, 64])
def test_a_row_sums_to_the_same_number_whatever_stands_beside_it(width: int) -> None:
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(33, width)).astype(np.float32))
    together = row_sum(rows)
    assert together.tolist() == [float(row_sum(row[None])[0]) for row in rows]
    # float32, folded once for each halving of 64.
    np.testing.assert_allclose(together, rows.double().sum(1), atol=7 * 2.0**-24 * float(rows.abs().sum(1).max()))
