"""64-bit hashes: of pass numbers, and of drives."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def hashed(rows: NDArray[Any]) -> Hashes:
    """Hash each row of an array, bit for bit: two different rows may share a hash, but none will by chance.

    Args:
        rows: Shape `(n, ...)`.

    Returns:
        Shape `(n,)`.
    """
    size = rows.nbytes // max(1, len(rows))
    data = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
    words = [hashlib.blake2b(data[k : k + size], digest_size=8).digest() for k in range(0, len(data), size or 1)]
    return np.frombuffer(b"".join(words), "<u8").astype(np.uint64)


def mixed(words: Hashes) -> Hashes:
    """Scramble 64-bit words, one to one: a counter becomes random numbers.

    Source:
        G. L. Steele, D. Lea, C. H. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (SplitMix64).
    """
    words = words + np.uint64(0x9E3779B97F4A7C15)  # wraps round, as it is meant to
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
