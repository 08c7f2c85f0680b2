"""Words of constant weight: bits of which always the same number are on.

Silence (all off) and a line that hums (all on) are no words. Whatever only switches bits off, or only on, makes no
other word of one: two bits at least must be wrong, in opposite ways.

Axis letters: N words.

Source:
    C. V. Freiman, Optimal error detection codes for completely asymmetric binary channels, Inf. Control 5, 64 (1962).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def word_weight(bits: int) -> int:
    """Return how many bits of a word are on: half of them, for the most words."""
    return bits // 2


def word_count(bits: int) -> int:
    """Return how many words there are: 70 of 8 bits, 924 of 12, 12 870 of 16, 2 704 156 of 24."""
    return math.comb(bits, word_weight(bits))


def to_words(numbers_N: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Return the word of each number (combinatorial number system): 0 is the smallest word.

    Args:
        numbers_N: 0 to `word_count(bits) - 1`.
        bits: Of a word.

    Returns:
        Integers, bit `k` for tone `k`.
    """
    rest_N = np.array(numbers_N, np.int64)
    left_N = np.full(rest_N.shape, word_weight(bits))
    words_N = np.zeros(rest_N.shape, np.int64)
    for bit in range(bits - 1, -1, -1):
        # Words of the bits below that have all that are left: those with this bit off come first.
        below_N = np.array([math.comb(bit, weight) for weight in range(bits + 1)])[left_N]
        on_N = rest_N >= below_N
        words_N |= on_N.astype(np.int64) << bit
        rest_N -= np.where(on_N, below_N, 0)
        left_N -= on_N
    return words_N


def to_bits(words_N: NDArray[np.int64], bits: int) -> NDArray[np.bool_]:
    """Return the bits of words, shape `(n, bits)`."""
    return np.asarray((words_N[:, None] >> np.arange(bits) & 1).astype(np.bool_))


def from_bits(bits_NK: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return words of their bits."""
    return np.asarray(bits_NK.astype(np.int64) @ (1 << np.arange(bits_NK.shape[1], dtype=np.int64)))
