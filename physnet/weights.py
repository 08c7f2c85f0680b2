"""The fingerprint of weights. Whoever only reads sessions needs no torch for it."""

from __future__ import annotations

import hashlib

import numpy as np

from .records import Tensors


def sha256(tensors: Tensors) -> str:
    """Hash the sorted names, dtypes, shapes and little-endian bytes of named arrays.

    Args:
        tensors: Named arrays, in any order and byte order.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        shape = ",".join(map(str, array.shape))
        digest.update(f"{name}\0{little.dtype.str}\0{shape}\0".encode())
        digest.update(little.reshape(-1).view(np.uint8).data)  # not a copy
    return digest.hexdigest()
