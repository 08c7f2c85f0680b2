"""One seed for everything: named, keyed random streams.

A stream is named by what it is for and keyed by where it is used (an epoch, a step), so nothing depends on how many
numbers were drawn before, and a resumed run draws what an unbroken one would have drawn.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch


def stream(seed: int, name: str, *key: int) -> np.random.Generator:
    """Return the random stream `name` of a run, at `key`.

    Args:
        seed: The run's seed, >= 0.
        name: What the numbers are for, for example `"negatives"`.
        key: Where they are used, for example the epoch. Each >= 0.

    Returns:
        A generator that depends on nothing but the arguments.
    """
    return np.random.Generator(np.random.Philox(_sequence(seed, name, key)))


def torch_stream(seed: int, name: str, *key: int) -> torch.Generator:
    """Return the same as `stream` for torch, on the CPU, so that every device sees the same numbers."""
    word = int(_sequence(seed, name, key).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(word >> 1)


def derive_seed(seed: int, name: str, *key: int) -> int:
    """Return a seed for something that takes a single number of 32 bits."""
    return int(_sequence(seed, name, key).generate_state(1, np.uint32)[0])


def _sequence(seed: int, name: str, key: tuple[int, ...]) -> np.random.SeedSequence:
    # The length of the key is part of it: trailing zeros alone would not tell (name) from (name, 0).
    return np.random.SeedSequence([seed, zlib.crc32(name.encode()), len(key), *key])
