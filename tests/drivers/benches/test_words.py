"""Axis letters as in the module."""

from __future__ import annotations

import numpy as np
import pytest

from physnet.drivers.benches.words import from_bits, to_bits, to_words, word_count, word_weight


@pytest.mark.parametrize("bits", [8, 9, 12])
def test_every_number_has_a_word_of_its_own_and_every_word_a_number(bits: int) -> None:
    words = to_words(np.arange(word_count(bits)), bits)
    every = np.arange(1 << bits)
    assert words.tolist() == every[to_bits(every, bits).sum(1) == word_weight(bits)].tolist()


def test_the_largest_words_are_made_too() -> None:
    count = word_count(24)
    words = to_words(np.array([0, count - 1]), 24)
    assert words.tolist() == [(1 << 12) - 1, ((1 << 12) - 1) << 12]


def test_bits_give_the_word_back() -> None:
    words = np.array([0, 5, 0xFFFFFF, 0x800001])
    assert from_bits(to_bits(words, 24)).tolist() == words.tolist()
