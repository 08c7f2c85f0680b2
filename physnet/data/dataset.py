"""A labelled data set, and how it is cut into training, validation and test rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..seeding import derive_seed

Rows = NDArray[np.int64]
"""Row numbers of a data set, from 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Samples with one class label each, in memory.

    Args:
        name: What it is called in sessions and reports.
        x: Samples, float32, shape `(n, features)`, finite, in `unit`.
        y: Class number of each sample, int64, shape `(n,)`, an index into `classes`.
        classes: Name of each class, at least 2, no name twice.
        groups: Which samples belong together (one speaker, one specimen, one night), int64, shape `(n,)`;
            None when they are independent.
        test_rows: Rows of the official test split; None when there is none.
        shape: Shape of one sample before it was flattened (row-major), for example `(28, 28)`. Left out:
            `(features,)`.
        feature_names: A name per feature; empty when they have none.
        unit: UDUNITS string of `x`, `"1"` when dimensionless.
        source: Citation or path, one line.
        checksum: Algorithm and hexadecimal digest of what was read, for example `"sha256:37d2..."`.

    Raises:
        DataError: The fields contradict each other, or a value isn't finite.
    """

    name: str
    x: NDArray[np.float32]
    y: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: NDArray[np.int64] | None = None
    test_rows: Rows | None = None
    shape: tuple[int, ...] = ()
    feature_names: tuple[str, ...] = ()
    unit: str = "1"
    source: str = ""
    checksum: str = ""

    def __post_init__(self) -> None:
        x = self.x
        if x.dtype != np.float32 or x.ndim != 2 or x.size == 0:
            raise DataError(
                f"{self.name}: x must be float32 of shape (rows, features), both >= 1, got {x.dtype} of "
                f"shape {x.shape}. Flatten each sample and convert with x.astype('float32')."
            )
        if not self.shape:
            object.__setattr__(self, "shape", (x.shape[1],))
        if math.prod(self.shape) != x.shape[1]:
            raise DataError(
                f"{self.name}: shape must hold as many values as x has features, {x.shape[1]}, got "
                f"{self.shape}. Leave it out for flat samples."
            )
        if self.feature_names and len(self.feature_names) != x.shape[1]:
            raise DataError(
                f"{self.name}: feature_names must be one per feature, {x.shape[1]}, got "
                f"{len(self.feature_names)}. Leave them out when the features have no names."
            )
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise DataError(
                f"{self.name}: classes must be at least 2 different names, got {self.classes}. "
                f"Check that the label column is the right one."
            )
        self._check_finite()
        self._check_labels()
        if self.groups is not None:
            self._check_per_row("groups", self.groups)
        if self.test_rows is not None:
            self._check_test_rows(self.test_rows)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def features(self) -> int:
        """Number of values in one sample."""
        return int(self.x.shape[1])

    def feature(self, column: int) -> str:
        """Return what to call a feature in a message: its name where it has one, else its column number."""
        return repr(self.feature_names[column]) if self.feature_names else str(column)

    def subset(self, index: Rows) -> Subset:
        """Return the rows of `index`, in that order, as a copy."""
        return Subset(x=self.x[index], y=self.y[index], index=index)

    def _check_finite(self) -> None:
        finite = np.isfinite(self.x)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            raise DataError(
                f"{self.name}: x must be finite, got {self.x[row, column]} in row {row}, column "
                f"{self.feature(column)}. Leave out such rows, or fill them in, before loading."
            )

    def _check_labels(self) -> None:
        self._check_per_row("y", self.y)
        outside = np.flatnonzero(~((self.y >= 0) & (self.y < len(self.classes))))
        if outside.size:
            raise DataError(
                f"{self.name}: y must be a class number in 0..{len(self.classes) - 1}, got "
                f"{self.y[outside[0]]} in row {outside[0]}. Number the classes from 0, in the order of "
                "`classes`."
            )

    def _check_per_row(self, what: str, array: NDArray[np.int64]) -> None:
        if array.dtype != np.int64 or array.shape != (len(self.x),):
            raise DataError(
                f"{self.name}: {what} must be int64 of shape ({len(self.x)},), one per row of x, "
                f"got {array.dtype} of shape {array.shape}. Check that both come from the same file."
            )

    def _check_test_rows(self, rows: Rows) -> None:
        n = len(self.x)
        valid = rows.dtype == np.int64 and rows.ndim == 1 and 0 < len(rows) < n
        if not valid or np.unique(rows).size != rows.size or rows.min() < 0 or rows.max() >= n:
            raise DataError(
                f"{self.name}: test_rows must be int64 row numbers in 0..{n - 1}, none twice, and leave rows "
                f"to train on, got {rows.dtype} of shape {rows.shape}. Leave them out when there is no "
                "official test split."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Subset:
    """Some rows of a data set.

    Args:
        x: Samples, float32, shape `(n, features)`. `n` may be 0.
        y: Class numbers, int64, shape `(n,)`.
        index: Their row numbers in the data set, int64, shape `(n,)`.
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    index: Rows

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """Rows to train on, to choose by, and to report on. No row is in two of them."""

    train: Subset
    validation: Subset
    test: Subset


def split(
    dataset: Dataset,
    *,
    by: Literal["row", "group"] = "row",
    test_fraction: float = 0.2,
    validation_fraction: float = 0.15,
    seed: int,
    train_limit: int | None = None,
    test_limit: int | None = None,
) -> Splits:
    """Cut a data set into training, validation and test rows.

    The official test rows are the test split where the data set has some, and `test_fraction` is then
    ignored. The test split depends on neither `validation_fraction` nor `train_limit`. Rows keep the order of
    the data set.

    Args:
        dataset: What to cut.
        by: `"row"` keeps the share of each class in every split. `"group"` keeps each group whole, so that
            nothing of a test speaker was trained on; the shares then count groups, and class shares only
            follow roughly.
        test_fraction: Share of the rows (or groups) to test on, 0..1 exclusive.
        validation_fraction: Share of the other rows (or groups) to validate on, 0..1, 1 excluded; 0 for none.
        seed: The run's seed, >= 0.
        train_limit: Keep this many training and validation rows together, drawn with the share of each class;
            None for all.
        test_limit: Keep this many test rows, drawn likewise; None for all.

    Returns:
        The three splits; validation is empty when none was asked for.

    Raises:
        DataError: An argument is out of range, or the data set can't be cut like that.
    """
    if by not in ("row", "group"):
        raise DataError(f"by must be 'row' or 'group', got {by!r}. 'row' is right when the samples are independent.")
    if by == "group" and dataset.groups is None:
        raise DataError(
            f"by must be 'row' for {dataset.name}, which has no groups, got 'group'. "
            f"Name the column that says which samples belong together, or split by row."
        )
    if not 0 <= validation_fraction < 1:
        raise DataError(
            f"validation_fraction must be >= 0 and < 1, got {validation_fraction}. 0 leaves the validation split empty."
        )
    if not seed >= 0:
        raise DataError(f"seed must be >= 0, got {seed}. Any such whole number will do; a run records the one it used.")
    cut = _cut_groups if by == "group" else _cut_rows
    every = np.arange(len(dataset), dtype=np.int64)
    if dataset.test_rows is not None:
        test = np.sort(dataset.test_rows)
        rest = np.setdiff1d(every, test)
    elif 0 < test_fraction < 1:
        rest, test = cut(dataset, every, "test", test_fraction, derive_seed(seed, "split", 0))
    else:
        raise DataError(f"test_fraction must be > 0 and < 1, got {test_fraction}. A result needs rows to test on.")
    rest = _limit(dataset, rest, "train_limit", train_limit, derive_seed(seed, "split", 1))
    test = _limit(dataset, test, "test_limit", test_limit, derive_seed(seed, "split", 2))
    train, validation = rest, rest[:0]
    if validation_fraction:
        train, validation = cut(dataset, rest, "validation", validation_fraction, derive_seed(seed, "split", 3))
    if by == "group":
        _check_groups(dataset, np.concatenate([train, validation]), test)
    _check_classes(dataset, train)
    return Splits(train=dataset.subset(train), validation=dataset.subset(validation), test=dataset.subset(test))


def _cut_rows(dataset: Dataset, rows: Rows, what: str, fraction: float, seed: int) -> tuple[Rows, Rows]:
    present, counts = np.unique(dataset.y[rows], return_counts=True)
    if counts.min() < 2:
        raise DataError(
            f"{dataset.name}: every class must have at least 2 rows to be in the training and the {what} "
            f"split, got 1 row of class {dataset.classes[present[counts.argmin()]]!r} among {len(rows)} "
            f"rows. Leave that class out, measure more of it, or set {_way_out(what)}."
        )
    size = round(fraction * len(rows))
    least, most = len(present), len(rows) - len(present)
    if not least <= size <= most:
        raise DataError(
            f"{what}_fraction must leave at least one row of each of the {least} classes on both sides, got "
            f"{fraction:g}, which is {size} of {len(rows)} rows. Choose one in "
            f"{least / len(rows):.3g}..{most / len(rows):.3g}, or set {_way_out(what)}."
        )
    return _draw(dataset, rows, len(rows) - size, size, seed)


def _cut_groups(dataset: Dataset, rows: Rows, what: str, fraction: float, seed: int) -> tuple[Rows, Rows]:
    from sklearn.model_selection import GroupShuffleSplit

    assert dataset.groups is not None
    groups = np.unique(dataset.groups[rows])
    count = round(fraction * len(groups))
    if not 1 <= count < len(groups):
        raise DataError(
            f"{what}_fraction must leave at least one group on both sides, got {fraction:g}, which is "
            f"{count} of {len(groups)} groups. Choose one nearer to 0.5, split by row, or set "
            f"{_way_out(what)}."
        )
    shuffle = GroupShuffleSplit(n_splits=1, test_size=count, random_state=seed)
    kept, taken = next(shuffle.split(rows, groups=dataset.groups[rows]))
    return np.sort(rows[kept]), np.sort(rows[taken])


def _way_out(what: str) -> str:
    return "validation_fraction to 0" if what == "validation" else "test_rows by hand"


def _limit(dataset: Dataset, rows: Rows, what: str, limit: int | None, seed: int) -> Rows:
    if limit is None or limit == len(rows):
        return rows
    present = np.unique(dataset.y[rows])
    if not len(present) <= limit <= len(rows):
        raise DataError(
            f"{what} must be in {len(present)}..{len(rows)} rows (one per class up to all there are in "
            f"{dataset.name}), got {limit}. Leave it out to use them all."
        )
    if len(rows) - limit < len(present):
        # Fewer rows are left out than there are classes: whichever they are, the shares hardly change.
        return np.sort(np.random.default_rng(seed).permutation(rows)[:limit])
    kept, _ = _draw(dataset, rows, limit, len(rows) - limit, seed)
    return kept


def _draw(dataset: Dataset, rows: Rows, keep: int, take: int, seed: int) -> tuple[Rows, Rows]:
    from sklearn.model_selection import train_test_split

    try:
        kept, taken = train_test_split(
            rows, train_size=keep, test_size=take, stratify=dataset.y[rows], random_state=seed
        )
    except ValueError as error:
        raise DataError(
            f"{dataset.name}: {len(rows)} rows can't be cut into {keep} and {take} with the share of each "
            f"class kept: {error}. Choose other fractions or limits."
        ) from error
    return np.sort(kept), np.sort(taken)


def _check_groups(dataset: Dataset, rest: Rows, test: Rows) -> None:
    assert dataset.groups is not None
    shared = np.intersect1d(dataset.groups[rest], dataset.groups[test])
    if shared.size:
        raise DataError(
            f"by must be 'row' for {dataset.name}, whose official test rows share group {shared[0]} with the "
            "training rows, got 'group'. Leave out test_rows to split by group."
        )


def _check_classes(dataset: Dataset, train: Rows) -> None:
    missing = np.setdiff1d(dataset.y, dataset.y[train])
    if missing.size:
        raise DataError(
            f"the training split must have every class, got no row of class {dataset.classes[missing[0]]!r} "
            f"among the {len(train)} of {dataset.name}. Try another seed, a larger train_limit, or smaller "
            "test and validation fractions."
        )
