from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.data import Dataset, split
from physnet.errors import DataError


def make(rows: int = 60, kinds: int = 3, **fields: Any) -> Dataset:
    rng = np.random.default_rng(0)
    given_fields: dict[str, Any] = {
        "name": "made",
        "x": rng.normal(size=(rows, 4)).astype(np.float32),
        "y": np.arange(rows, dtype=np.int64) % kinds,
        "classes": tuple("abcdefgh"[:kinds]),
    }
    return Dataset(**{**given_fields, **fields})


def with_value(value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    x = np.zeros((60, 4), dtype=np.float32)
    x[7, 2] = value
    return x


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"x": np.zeros((60, 4))}, "float32.*got float64"),
        ({"x": np.zeros((60, 2, 2), dtype=np.float32)}, r"\(rows, features\).*\(60, 2, 2\)"),
        ({"x": np.zeros((0, 4), dtype=np.float32)}, ">= 1"),
        ({"x": with_value(np.nan)}, "finite, got nan in row 7, column 2"),
        ({"x": with_value(np.inf), "feature_names": tuple("pqrs")}, "got inf in row 7, column 'r'"),
        ({"shape": (3, 3)}, r"shape must.*4.*\(3, 3\)"),
        ({"feature_names": ("a",)}, "feature_names must.*4, got 1"),
        ({"classes": ("a",)}, "at least 2"),
        ({"classes": ("a", "b", "a")}, "different"),
        ({"classes": ("a", "b")}, r"0\.\.1, got 2 in row 2"),
        ({"y": np.full(60, -1, dtype=np.int64)}, "got -1 in row 0"),
        ({"y": np.zeros(59, dtype=np.int64)}, r"\(60,\).*\(59,\)"),
        ({"groups": np.zeros(60, dtype=np.int32)}, "groups must be int64"),
        ({"test_rows": np.array([1, 1])}, "none twice"),
        ({"test_rows": np.array([60])}, r"0\.\.59"),
        ({"test_rows": np.arange(60)}, "leave rows to train on"),
    ],
)
def test_a_contradiction_is_refused_and_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(**fields)


def test_a_sample_is_flat_unless_its_shape_is_given() -> None:
    assert make().shape == (4,)
    assert make(shape=(2, 2)).shape == (2, 2)
    assert make().features == 4
    assert len(make()) == 60


@settings(deadline=None)  # a busy machine is no failure
@given(
    rows=st.integers(40, 120),
    classes=st.integers(2, 5),
    test_fraction=st.floats(0.2, 0.5),
    validation_fraction=st.one_of(st.just(0.0), st.floats(0.25, 0.5)),
    limit=st.one_of(st.none(), st.integers(20, 20)),
    seed=st.integers(0, 2**40),
)
def test_a_split_by_row_is_a_partition_that_keeps_class_shares(
    rows: int, classes: int, test_fraction: float, validation_fraction: float, limit: int | None, seed: int
) -> None:
    dataset = make(rows, classes)
    splits = split(
        dataset,
        test_fraction=test_fraction,
        validation_fraction=validation_fraction,
        train_limit=limit,
        seed=seed,
    )
    parts = (splits.train, splits.validation, splits.test)
    index = np.concatenate([part.index for part in parts])
    assert np.unique(index).size == index.size
    assert len(splits.test) == round(test_fraction * rows)
    assert len(index) == (rows if limit is None else limit + len(splits.test))
    assert bool(len(splits.validation)) == bool(validation_fraction)
    for part in parts:
        np.testing.assert_array_equal(part.x, dataset.x[part.index])
        np.testing.assert_array_equal(part.y, dataset.y[part.index])
        # Classes differ by at most 1 row in the data set; each of the up to 3 draws rounds by at most 1 a class.
        counts = np.bincount(part.y, minlength=classes)
        assert np.ptp(counts) <= 4


@settings(deadline=None)  # a busy machine is no failure
@given(groups=st.integers(6, 20), seed=st.integers(0, 2**32))
def test_a_split_by_group_keeps_every_group_whole(groups: int, seed: int) -> None:
    member = np.repeat(np.arange(groups, dtype=np.int64), 6)
    splits = split(make(len(member), groups=member), by="group", validation_fraction=0.25, seed=seed)
    found = [set(member[part.index]) for part in (splits.train, splits.validation, splits.test)]
    assert all(found)
    assert sum(map(len, found)) == len(set.union(*found)) == groups
    assert len(splits.train) + len(splits.validation) + len(splits.test) == len(member)


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, same, other = (split(make(), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test.index, same.test.index)
    np.testing.assert_array_equal(first.train.index, same.train.index)
    assert not np.array_equal(first.test.index, other.test.index)


def test_the_test_rows_depend_on_nothing_that_concerns_training() -> None:
    first = split(make(), seed=0)
    second = split(make(), seed=0, validation_fraction=0.4, train_limit=20)
    np.testing.assert_array_equal(first.test.index, second.test.index)


def test_official_test_rows_are_the_test_split() -> None:
    official = np.array([50, 3, 20, 4, 8, 9])
    splits = split(make(test_rows=official), test_fraction=0.5, seed=0)
    np.testing.assert_array_equal(splits.test.index, np.sort(official))
    assert len(splits.train) + len(splits.validation) == 54


def test_limits_keep_that_many_rows_with_the_share_of_each_class() -> None:
    splits = split(make(300), seed=0, train_limit=60, test_limit=30, validation_fraction=0.25)
    assert len(splits.train) == 45
    assert len(splits.validation) == 15
    assert np.bincount(splits.test.y).tolist() == [10, 10, 10]
    assert np.bincount(splits.train.y).tolist() == [15, 15, 15]


@pytest.mark.parametrize("limit", [46, 47, 48])
def test_a_limit_may_leave_out_fewer_rows_than_there_are_classes(limit: int) -> None:
    splits = split(make(), seed=0, train_limit=limit)
    assert len(splits.train) + len(splits.validation) == limit


lonely = np.array([0] * 30 + [1] * 29 + [2], dtype=np.int64)
paired = np.arange(60, dtype=np.int64) // 30


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({}, {"by": "speaker"}, "'row' or 'group', got 'speaker'"),
        ({}, {"by": "group"}, "no groups"),
        ({}, {"seed": -1}, "seed must be >= 0"),
        ({}, {"test_fraction": 0.0}, "test_fraction must be > 0"),
        ({}, {"test_fraction": float("nan")}, "test_fraction must be > 0"),
        ({}, {"test_fraction": 0.01}, "one row of each of the 3 classes.*is 1 of 60 rows"),
        ({}, {"validation_fraction": 1.0}, "validation_fraction must be >= 0 and < 1"),
        ({}, {"validation_fraction": float("nan")}, "validation_fraction must be >= 0"),
        ({}, {"train_limit": 49}, r"train_limit must be in 3\.\.48 rows.*got 49"),
        ({}, {"train_limit": 0}, "train_limit must"),
        ({}, {"test_limit": 13}, r"test_limit must be in 3\.\.12"),
        ({"y": lonely}, {}, "at least 2 rows.*got 1 row of class 'c'"),
        ({"y": lonely, "test_rows": np.array([58, 59])}, {}, "every class, got no row of class 'c'"),
        ({"groups": paired}, {"by": "group"}, "test_fraction must.*0 of 2 groups"),
        ({"groups": paired, "test_rows": np.array([0])}, {"by": "group", "validation_fraction": 0}, "share group 0"),
        (
            {"groups": paired, "y": np.arange(60, dtype=np.int64) // 20},
            {"by": "group", "test_fraction": 0.5, "validation_fraction": 0},
            "every class, got no row of class",
        ),
    ],
)
def test_what_cannot_be_cut_is_refused(fields: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split(make(**fields), **{"seed": 0, **options})
