"""Axis letters as in the module."""

from __future__ import annotations

import numpy as np
import pytest

from physnet.drivers.benches.identity import Nonces, verify
from physnet.drivers.benches.words import to_bits, word_count
from physnet.errors import InputError


@pytest.mark.parametrize("bits, period", [(8, 70), (12, 924), (13, 1716), (18, 48_620)])
def test_no_word_comes_twice_in_a_period_whatever_the_bursts(bits: int, period: int) -> None:
    nonces = Nonces(bits, key=3)
    assert nonces.period == period
    sizes = [7, 0, period // 2 - 7, period - period // 2]
    words = np.concatenate([nonces.take(size) for size in sizes])
    assert len(np.unique(words)) == period
    ones = to_bits(words[:1000], bits).sum(1)
    assert (ones == bits // 2).all()
    # The next period repeats the first: any stretch of a period holds each word once.
    assert nonces.take(50).tolist() == words[:50].tolist()


def test_words_depend_on_the_key_and_on_nothing_else() -> None:
    assert Nonces(12, key=1).take(924).tolist() == Nonces(12, key=1).take(924).tolist()
    one, other = Nonces(12).take(924), Nonces(12).take(924)
    # Two permutations of 924 words agree in 1 place on average (Poisson): in 30 with a probability below 1e-30.
    assert (one == other).sum() < 30


def test_a_foreign_record_carries_the_right_word_once_in_a_period() -> None:
    # 400 keys, one fixed foreign word: hits are binomial with n p = 400 * 924 / 924 / 70 of 8 bits = 5.7; beyond 24
    # (7.7 standard deviations) there are fewer than 1e-7.
    hits = sum(int(verify(Nonces(8, key=key).take(1), np.array([0b1111]))[0]) for key in range(400))
    assert 0 < hits < 24


def test_stale_rows_are_told_one_by_one() -> None:
    nonces = Nonces(12, key=0)
    before, now = nonces.take(10), nonces.take(10)
    mixed = np.where(np.arange(10) < 4, now, before)
    assert verify(mixed, now).tolist() == [True] * 4 + [False] * 6
    assert not verify(np.roll(now, 1), now).any()
    assert not verify(np.zeros(10, np.int64), now).any() and not verify(np.full(10, (1 << 12) - 1), now).any()


def test_what_makes_no_sense_is_refused() -> None:
    for bits in (7, 25):
        with pytest.raises(InputError, match="8 to 24"):
            Nonces(bits)
    with pytest.raises(InputError, match="more pilot tones"):
        Nonces(8, key=0).take(word_count(8) + 1)
    with pytest.raises(InputError, match="as many"):
        verify(np.zeros(2, np.int64), np.zeros(3, np.int64))
