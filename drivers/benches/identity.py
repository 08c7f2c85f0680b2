"""Nonces: what tells the record of a row from that of any other.

Axis letters: N rows.
"""

from __future__ import annotations

import secrets

import numpy as np
from numpy.typing import NDArray

from physnet.errors import InputError

from .words import to_words, word_count


class Nonces:
    """Words for rows: a keyed permutation of all words of constant weight, begun at a place that the key chooses.

    No word comes twice within `period` rows, so that the record of an earlier row of the run, up to that long ago, is
    always told from the one that was asked for. The record of another run, or of another bench, carries the right word
    with a probability of `1 / period`: 1 in 924 with 12 bits, 1 in 12 870 with 16, 1 in 2 704 156 with 24; all `n` rows
    of such a burst with `1 / period^n`, or less.

    Args:
        bits: Pilot tones, 8 to 24.
        key: Chooses permutation and place, >= 0; None for one that nobody can foresee. Two runs with one key carry the
            same words: give one for tests only.

    Raises:
        InputError: The bits are out of their range.
    """

    def __init__(self, bits: int, *, key: int | None = None) -> None:
        if not 8 <= bits <= 24:
            raise InputError(f"a nonce must have 8 to 24 bits, got {bits}.")
        self.bits = bits
        self.period = word_count(bits)
        rng = np.random.Generator(np.random.Philox(secrets.randbits(128) if key is None else key))
        self._order = rng.permutation(np.arange(self.period, dtype=np.uint32))
        self._next = int(rng.integers(self.period))

    def take(self, rows: int) -> NDArray[np.int64]:
        """Return the words of the next rows, shape `(rows,)`. Every row that is played takes one, repeats included.

        Raises:
            InputError: There are more rows than words.
        """
        if not 0 <= rows <= self.period:
            raise InputError(
                f"a burst must have at most {self.period} rows, one for each word of {self.bits} bits, got {rows}. Use "
                "more pilot tones."
            )
        places = (self._next + np.arange(rows)) % self.period
        self._next = (self._next + rows) % self.period
        return to_words(self._order[places].astype(np.int64), self.bits)


def verify(words_N: NDArray[np.int64], expected_N: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows carry the word that was played with them.

    Raises:
        InputError: There are not as many of one as of the other.
    """
    if words_N.shape != expected_N.shape:
        raise InputError(
            f"words must be held against as many that were played, got {words_N.shape} and {expected_N.shape}."
        )
    return np.asarray(words_N == expected_N)
