from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from physnet.errors import InputError
from physnet.live_weights import load_tensors
from physnet.weights import sha256

WEIGHT: NDArray[np.float32] = np.arange(6, dtype=np.float32).reshape(2, 3)
BIAS: NDArray[np.float64] = np.array([1.5, -2.0])


def test_the_digest_is_the_one_that_is_documented() -> None:
    # Sorted names; for each "name NUL dtype NUL shape NUL", then little-endian bytes in row-major order.
    expected = hashlib.sha256()
    expected.update(b"layer0/bias\0<f8\0" + b"2\0" + BIAS.astype("<f8").tobytes())
    expected.update(b"layer0/weight\0<f4\0" + b"2,3\0" + WEIGHT.astype("<f4").tobytes())
    assert sha256({"layer0/weight": WEIGHT, "layer0/bias": BIAS}) == expected.hexdigest()


def test_nothing_and_single_numbers_have_a_digest_too() -> None:
    assert sha256({}) == hashlib.sha256().hexdigest()
    step = np.array(3.0, np.float32)
    assert sha256({"step": step}) == hashlib.sha256(b"step\0<f4\0\0" + step.astype("<f4").tobytes()).hexdigest()
    assert re.fullmatch("[0-9a-f]{64}", sha256({"step": step}))


@given(
    array=arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.complex64]),
        array_shapes(max_side=4, min_dims=0),
    )
)
@settings(deadline=None)
def test_the_digest_does_not_depend_on_order_byte_order_or_memory_layout(array: NDArray[Any]) -> None:
    reference = sha256({"a": array, "b": WEIGHT})
    assert sha256({"b": WEIGHT, "a": array}) == reference
    assert sha256({"a": array.astype(array.dtype.newbyteorder(">")), "b": WEIGHT}) == reference
    assert sha256({"a": np.asfortranarray(array).reshape(array.shape, order="A"), "b": WEIGHT}) == reference or (
        array.ndim > 1
    )
    assert sha256({"a": np.array(array, order="F"), "b": WEIGHT}) == reference


@pytest.mark.parametrize(
    "other",
    [
        {"v": WEIGHT},
        {"w": WEIGHT.astype(np.float64)},
        {"w": WEIGHT.view(np.int32)},
        {"w": WEIGHT.reshape(3, 2)},
        {"w": WEIGHT.reshape(6)},
        {"w": WEIGHT.reshape(1, 2, 3)},
        {"w": np.nextafter(WEIGHT, np.float32(9))},
        {"w": -WEIGHT},
        {"w": WEIGHT, "empty": np.zeros(0)},
        {},
    ],
)
def test_the_digest_depends_on_name_dtype_shape_and_value(other: dict[str, NDArray[Any]]) -> None:
    assert sha256(other) != sha256({"w": WEIGHT})


def live() -> dict[str, torch.Tensor]:
    return {"w": torch.zeros(2, 3), "step": torch.zeros(())}


def test_saved_tensors_are_copied_into_the_live_ones() -> None:
    own = live()
    held = own["w"]
    saved = {"w": WEIGHT.copy(), "step": np.array(4.0)}
    load_tensors(own, saved)
    saved["w"][:] = 99
    assert own["w"] is held
    np.testing.assert_array_equal(held, WEIGHT)
    assert own["step"] == 4


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"w": WEIGHT}, "lack step"),
        ({"w": WEIGHT.T, "step": np.array(1.0)}, r"saved w must have shape \(2, 3\), got \(3, 2\)"),
        ({"w": WEIGHT, "step": np.array([1.0])}, r"saved step must have shape \(\), got \(1,\)"),
        ({"w": WEIGHT, "step": np.array(1.0), "xi": WEIGHT}, "hold xi"),
    ],
)
def test_tensors_of_another_network_are_refused_and_nothing_is_changed(saved: Any, message: str) -> None:
    own = live()
    with pytest.raises(InputError, match=message):
        load_tensors(own, saved)
    assert not own["w"].any()
