"""The MNIST handwritten digits, read from the official IDX files."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import Dataset
from .fetch import locate

TRAIN, TEST = 60_000, 10_000
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/",
    "https://storage.googleapis.com/cvdf-datasets/",
)
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def load(*, mirrors: Sequence[str] = MIRRORS) -> Dataset:
    """Load 70 000 handwritten digits of 28x28 pixels, as grey levels in 0..1.

    The files (11 MB) are looked for in `$PHYSNET_DATA_DIR/mnist`, then in the cache, and downloaded once.

    Args:
        mirrors: Base addresses to download `mnist/...` from, in the order they are tried.

    Returns:
        784 features, 10 classes; the last 10 000 rows are the official test split.

    Raises:
        DataError: A file can't be had, or isn't the official one.

    Source:
        Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition,
        Proc. IEEE 86(11):2278-2324, 1998. Files: CC BY-SA 3.0.
    """
    paths = {name: locate(f"mnist/{name}", checksum=f"md5:{digest}", mirrors=mirrors) for name, digest in MD5.items()}
    images = np.concatenate(
        [
            read_idx(paths["train-images-idx3-ubyte.gz"], shape=(TRAIN, 28, 28)),
            read_idx(paths["t10k-images-idx3-ubyte.gz"], shape=(TEST, 28, 28)),
        ]
    )
    labels = np.concatenate(
        [
            read_idx(paths["train-labels-idx1-ubyte.gz"], shape=(TRAIN,)),
            read_idx(paths["t10k-labels-idx1-ubyte.gz"], shape=(TEST,)),
        ]
    )
    x = images.reshape(len(images), -1).astype(np.float32)
    x /= 255
    return Dataset(
        name="mnist",
        x=x,
        y=labels.astype(np.int64),
        classes=tuple(str(digit) for digit in range(10)),
        test_rows=np.arange(TRAIN, TRAIN + TEST, dtype=np.int64),
        shape=(28, 28),
        source="LeCun et al., Proc. IEEE 86(11):2278-2324, 1998",
        checksum=" ".join(f"md5:{digest}" for digest in MD5.values()),
    )


def read_idx(path: Path, *, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read a gzip-compressed IDX file of bytes.

    No more is decompressed than `shape` needs, so a damaged header can't exhaust the memory.

    Args:
        path: The file.
        shape: What it has to hold, count first: `(60000, 28, 28)` for images, `(60000,)` for labels.

    Returns:
        The values, uint8, of that shape.

    Raises:
        DataError: It isn't gzip, is damaged, too short or too long, or its header says something else.

    Source:
        "The IDX file format", in Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits.
        Big-endian
        int32: magic number (0x0800 for bytes, plus the number of dimensions: 2051 images, 2049 labels), then
            the dimensions.
    """
    expected = np.array([0x0800 + len(shape), *shape], dtype=">i4")
    size = expected.nbytes + int(np.prod(shape))
    try:
        with gzip.open(path) as file:
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} must be a sound gzip file, got: {error}. Put the original file in its place, undamaged "
            "and compressed."
        ) from error
    header = np.frombuffer(content[: min(expected.nbytes, len(content) // 4 * 4)], dtype=">i4")
    if len(header) and header[0] != expected[0]:
        raise DataError(
            f"{path} must begin with the magic number {expected[0]} "
            f"({'images' if len(shape) == 3 else 'labels'}), got {header[0]}. Check that images and labels "
            "are not swapped."
        )
    if len(header) == len(expected) and not np.array_equal(header, expected):
        raise DataError(
            f"{path} must hold an array of shape {shape}, got {tuple(header[1:].tolist())} in its header. "
            f"Check that training and test files are not swapped."
        )
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content)}"
        raise DataError(
            f"{path} must hold {size} bytes when decompressed, got {found}. "
            f"It was cut short or has something appended: put the original file in its place."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=expected.nbytes).reshape(shape)
