"""A rule is called best only where that can be shown."""

from __future__ import annotations

import math

import numpy as np

from physnet.comparison.judging import passes_to, rank, same_rows
from physnet.comparison.store import Outcome

from .conftest import outcome


def column(*accuracies: float) -> dict[int, Outcome]:
    return {seed: outcome(accuracy) for seed, accuracy in enumerate(accuracies)}


def test_a_rule_that_beats_all_others_is_best() -> None:
    found = rank(
        {"a": column(0.80, 0.81, 0.80), "b": column(0.95, 0.96, 0.95), "c": column(0.70, 0.71, 0.70)},
        {},
        confidence=0.95,
        same_test=False,
    )
    assert (found.outcome, found.leader, found.not_beaten) == ("best", "b", ())
    assert set(found.rules) == {"a", "c"}
    assert found.rules["a"].low > 0


def test_where_one_is_as_good_there_is_no_evidence_and_a_smallest_difference() -> None:
    found = rank(
        {"a": column(0.90, 0.96, 0.93), "b": column(0.95, 0.92, 0.93), "c": column(0.2, 0.21, 0.2)},
        {},
        confidence=0.95,
        same_test=False,
    )
    assert found.outcome == "no evidence"
    assert found.not_beaten in (("a",), ("b",))
    # It can't be smaller than what a t-test of three pairs needs: several standard errors.
    nearest = found.rules[found.not_beaten[0]]
    assert found.detectable > nearest.error


def test_one_seed_one_rule_or_a_rule_that_diverged_give_no_verdict() -> None:
    single = rank({"a": column(0.9), "b": column(0.8)}, {}, confidence=0.95, same_test=False)
    alone = rank({"a": column(0.9, 0.8)}, {}, confidence=0.95, same_test=False)
    lost = rank({"a": column(0.9, 0.9, 0.9), "b": column(0.2, math.nan, 0.2)}, {}, confidence=0.95, same_test=False)
    never = rank({"a": column(math.nan)}, {}, confidence=0.95, same_test=False)
    assert [one.outcome for one in (single, alone, lost, never)] == ["no verdict"] * 4
    assert never.leader == "" and lost.leader == "a"


def test_baselines_don_t_take_part_in_the_choice() -> None:
    found = rank(
        {"a": column(0.80, 0.81, 0.80), "b": column(0.60, 0.61, 0.60)},
        {"digital": column(0.95, 0.96, 0.95)},
        confidence=0.95,
        same_test=False,
    )
    assert (found.outcome, found.leader) == ("best", "a")
    assert found.baselines["digital"].high < 0


def test_more_rules_make_wider_intervals() -> None:
    two = {"a": column(0.93, 0.94, 0.95), "b": column(0.90, 0.93, 0.92)}
    few = rank(two, {}, confidence=0.95, same_test=False).rules["b"]
    more = rank({**two, "c": column(0.1, 0.2, 0.1)}, {}, confidence=0.95, same_test=False).rules["b"]
    assert more.low < few.low and more.high > few.high and more.difference == few.difference


def test_equal_rules_are_rarely_told_apart() -> None:
    random, wrong, draws = np.random.default_rng(1), 0, 300
    for _ in range(draws):
        names = {
            name: {
                seed: outcome(float(np.clip(value, 0, 1)), train_rows=10**6, test_rows=10**3)
                for seed, value in enumerate(random.normal(0.8, 0.02, 5))
            }
            for name in "abc"
        }
        wrong += rank(names, {}, confidence=0.95, same_test=False).outcome == "best"
    # At most 5 % by construction; three standard deviations of a binomial of 300 draws above it.
    assert wrong / draws <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)


def test_passes_to_a_target_are_those_of_the_first_validation_above() -> None:
    one = outcome(curve=((100, 0.5), (200, 0.8), (300, 0.7)))
    assert (passes_to(one, 0.5), passes_to(one, 0.6), passes_to(one, 0.9)) == (100, 200, None)


def test_test_rows_are_the_same_only_where_their_hashes_are() -> None:
    assert same_rows([outcome(), outcome()])
    assert not same_rows([outcome(), outcome(test_sha256="bb")])
    assert not same_rows([outcome()])
