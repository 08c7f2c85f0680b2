from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from physnet.data import FeatureScaling
from physnet.errors import DataError

TRAIN = np.array([[1.0, 5.0, -2.0], [3.0, 5.0, 0.0], [5.0, 5.0, 4.0]], dtype=np.float32)


def test_standard_gives_zero_mean_and_unit_variance() -> None:
    scaled = FeatureScaling.fit("standard", TRAIN)(TRAIN)
    # Values are of order 1 and rounded to float32 once: 1e-6 is a few times its spacing.
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 0, 1], atol=1e-6)
    assert scaled.dtype == np.float32


def test_range_maps_the_smallest_training_value_to_0_and_the_largest_to_1() -> None:
    scaling = FeatureScaling.fit("range", TRAIN)
    np.testing.assert_allclose(scaling(TRAIN)[:, 2], [0, 1 / 3, 1], rtol=1e-6)  # spacing of float32 is 6e-8
    assert scaling(np.array([[9.0, 5.0, 4.0]]))[0, 0] == 2.0


def test_none_changes_nothing() -> None:
    np.testing.assert_array_equal(FeatureScaling.fit("none", TRAIN)(TRAIN), TRAIN)


@pytest.mark.parametrize("kind", ["standard", "range"])
def test_a_constant_feature_becomes_0_and_is_not_blown_up(kind: Any) -> None:
    constant = np.full((1000, 1), 0.1, dtype=np.float32)  # its computed spread is a rounding error
    scaling = FeatureScaling.fit(kind, constant)
    assert scaling.scale.tolist() == [1.0]
    assert not scaling(constant).any()


@settings(deadline=None)  # a busy machine is no failure
@given(
    x=arrays(
        np.float32, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.floats(-(2.0**100), 2.0**100, width=32)
    ),
    kind=st.sampled_from(["none", "standard", "range"]),
)
def test_training_rows_stay_finite_and_survive_a_checkpoint(x: Any, kind: Any) -> None:
    scaling = FeatureScaling.fit(kind, x)
    scaled = scaling(x)
    assert np.isfinite(scaled).all()
    if kind == "range":
        assert scaled.min() >= 0
        assert scaled.max() <= 1
    restored = FeatureScaling.from_tensors(kind, scaling.tensors())
    np.testing.assert_array_equal(restored(x), scaled)


def test_many_rows_are_scaled_like_few() -> None:
    x = np.random.default_rng(0).normal(size=(10_000, 3)).astype(np.float32)
    scaling = FeatureScaling.fit("standard", x)
    np.testing.assert_array_equal(scaling(x)[9_000:], scaling(x[9_000:]))


def test_what_cannot_be_scaled_is_refused() -> None:
    scaling = FeatureScaling.fit("standard", TRAIN)
    bad = TRAIN.copy()
    bad[1, 2] = np.nan
    with pytest.raises(DataError, match="got nan in row 1, feature 2"):
        scaling(bad)
    with pytest.raises(DataError, match=r"3 features.*got 2"):
        scaling(TRAIN[:, :2])
    with pytest.raises(DataError, match=r"\(rows, features\)"):
        scaling(TRAIN[0])
    with pytest.raises(DataError, match="at least 1 training row"):
        FeatureScaling.fit("range", TRAIN[:0])
    with pytest.raises(DataError, match="none, standard, range, got 'minmax'"):
        FeatureScaling.fit("minmax", TRAIN)  # type: ignore[arg-type]
    tiny = FeatureScaling.fit("range", np.array([[0.0], [1e-30]]))
    with pytest.raises(DataError, match="within the range of float32 after scaling"):
        tiny(np.array([[1e30]]))


def test_a_damaged_checkpoint_is_refused() -> None:
    with pytest.raises(DataError, match="'offset' and 'scale'"):
        FeatureScaling.from_tensors("none", {"offset": np.zeros(2)})
    with pytest.raises(DataError, match="one number per feature"):
        FeatureScaling.from_tensors("none", {"offset": np.zeros(2), "scale": np.ones(3)})
    with pytest.raises(DataError, match="finite and > 0"):
        FeatureScaling.from_tensors("none", {"offset": np.zeros(2), "scale": np.zeros(2)})
