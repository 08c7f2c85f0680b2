"""The public sets, through their loaders."""

from __future__ import annotations

import gzip
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import physnet.data
from physnet.data import DATASETS, load, split
from physnet.data.mnist import read_idx
from physnet.errors import DataError

SHAPE = (2, 3, 3)
PIXELS = np.arange(18, dtype=np.uint8).reshape(SHAPE)
SOUND = struct.pack(">4i", 2051, *SHAPE) + PIXELS.tobytes()


def write(folder: Path, content: bytes, *, compress: bool = True) -> Path:
    path = folder / "images.gz"
    path.write_bytes(gzip.compress(content, mtime=0) if compress else content)
    return path


def test_idx_values_are_read(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_idx(write(tmp_path, SOUND), shape=SHAPE), PIXELS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (struct.pack(">i", 2049) + SOUND[4:], "magic number 2051.*got 2049"),
        (struct.pack(">4i", 2051, 2, 3, 4) + SOUND[16:], r"shape \(2, 3, 3\).*\(2, 3, 4\)"),
        (struct.pack(">4i", 2051, 2**30, 3, 3) + SOUND[16:], r"1073741824, 3, 3"),
        (struct.pack(">4i", 2051, -2, 3, 3) + SOUND[16:], r"\(-2, 3, 3\)"),
        (SOUND[:-1], "34 bytes when decompressed, got 33"),
        (SOUND[:9], "34 bytes when decompressed, got 9"),
        (b"", "got 0"),
        (SOUND + b"\0", "34 bytes when decompressed, got more"),
    ],
)
def test_an_idx_file_that_says_something_else_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_idx(write(tmp_path, content), shape=SHAPE)


def test_an_idx_file_that_is_not_sound_gzip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sound gzip file"):
        read_idx(write(tmp_path, SOUND, compress=False), shape=SHAPE)
    with pytest.raises(DataError, match="sound gzip file"):
        read_idx(write(tmp_path, gzip.compress(SOUND)[:-9], compress=False), shape=SHAPE)
    with pytest.raises(DataError, match="sound gzip file"):
        read_idx(tmp_path / "missing.gz", shape=SHAPE)


@settings(deadline=None)  # a busy machine is no failure
@given(position=st.integers(0, 200), replacement=st.binary(max_size=6), compressed=st.booleans())
@example(position=0, replacement=b"", compressed=True)
def test_corrupt_bytes_never_raise_anything_but_a_data_error(
    position: int, replacement: bytes, compressed: bool
) -> None:
    whole = SOUND if compressed else gzip.compress(SOUND, mtime=0)
    corrupt = whole[:position] + replacement + whole[position + len(replacement) + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), corrupt, compress=compressed)
        try:
            assert read_idx(path, shape=SHAPE).shape == SHAPE
        except DataError as error:
            assert "images.gz" in str(error)


def test_digits_are_grey_levels_of_ten_classes() -> None:
    digits = load("digits")
    assert digits.x.shape == (1797, 64)
    assert (digits.x.min(), digits.x.max()) == (0, 1)
    assert np.bincount(digits.y).min() == 174  # the class with the fewest, from the description of the set
    assert digits.shape == (8, 8)
    assert digits.checksum == load("digits").checksum


def test_mnist_is_the_official_one(data_dir: Path) -> None:
    mnist = load("mnist")
    assert mnist.x.shape == (70_000, 784)
    train = mnist.x[:60_000]
    # Published to four digits.
    assert train.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert train.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)
    assert mnist.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.y[60_000:60_005].tolist() == [7, 2, 1, 0, 4]
    splits = split(mnist, seed=0, train_limit=1000, test_limit=500)
    assert splits.test.index.min() >= 60_000
    assert len(splits.train) + len(splits.validation) == 1000
    assert len(splits.test) == 500


def test_vowels_are_seven_classes_of_48_speakers(data_dir: Path) -> None:
    vowels = load("vowels")
    assert vowels.x.shape == (258, 12)
    assert vowels.classes == ("ae", "ah", "aw", "er", "ih", "iy", "uw")
    assert np.bincount(vowels.y).tolist() == [37, 37, 37, 37, 37, 37, 36]
    assert vowels.x[0].tolist() == [678, 2293, 2861, 681, 2295, 2868, 711, 2160, 2867, 705, 1968, 2906]
    assert vowels.groups is not None
    assert np.unique(vowels.groups).size == 48
    splits = split(vowels, by="group", seed=0)
    assert not set(vowels.groups[splits.train.index]) & set(vowels.groups[splits.test.index])


def test_the_vowel_table_agrees_with_the_reader_of_user_tables(data_dir: Path) -> None:
    vowels = load("vowels")
    table = load(
        "table",
        path=data_dir / "vowels" / "vowels_7class_258.csv",
        label="vowel",
        features=list(vowels.feature_names),
    )
    np.testing.assert_array_equal(table.x, vowels.x)
    np.testing.assert_array_equal(table.y, vowels.y)
    assert table.checksum == vowels.checksum


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("minst", {}, "Did you mean 'mnist'"),
        ("xxxxx", {}, "digits, mnist, sign, vowel-audio, vowels, table, got 'xxxxx'"),
        ("digits", {"seed": 3}, "must be among: none; got seed"),
        ("table", {}, "missing a required argument: 'path'"),
        ("table", {"path": "a.csv", "labels": "y"}, "features, label, group, name; got path, labels"),
    ],
)
def test_a_wrong_name_or_option_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(name, **options)


def test_the_public_names_exist() -> None:
    assert all(hasattr(physnet.data, name) for name in physnet.data.__all__)
    assert sorted(DATASETS) == ["digits", "mnist", "sign", "vowel-audio", "vowels"]
