"""The verdict's statistics, against closed forms and against simulated experiments.

Axis letters: E experiments, K seeds, C controls.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from physnet.controls.statistics import POWER, Comparison, Verdict, compare, judge
from physnet.errors import InputError

ROWS: Any = {"train_rows": 1000, "test_rows": 250}
RATIO = 0.25
MARGIN = 0.01
K = 5


def simulated(experiments: int, controls: int, *, mean: float, seed: int = 0) -> np.ndarray:
    """Differences (E, C, K) as Nadeau and Bengio model them: any two seeds correlate by n_test / (n_test + n_train)."""
    random = np.random.default_rng(seed)
    correlation = RATIO / (1 + RATIO)
    shared_EC1 = random.standard_normal((experiments, controls, 1))
    own_ECK = random.standard_normal((experiments, controls, K))
    return mean + 0.01 * (math.sqrt(correlation) * shared_EC1 + math.sqrt(1 - correlation) * own_ECK)


def verdict_of(differences_CK: np.ndarray, margin: float = MARGIN) -> Verdict:
    controls = {f"c{number}": dict(enumerate(0.5 - row)) for number, row in enumerate(differences_CK)}
    return judge(dict.fromkeys(range(K), 0.5), controls, margin=margin, confidence=0.95, **ROWS)


def within_binomial_error(found: int, trials: int, rate: float) -> bool:
    # 4 standard deviations: one of 16 000 sound tests would fail.
    return abs(found - trials * rate) <= 4 * math.sqrt(trials * rate * (1 - rate))


def test_the_interval_is_the_corrected_resampled_t() -> None:
    network, control = [0.90, 0.93, 0.91, 0.95], [0.88, 0.90, 0.92, 0.91]
    found = compare("c", network, control, train_rows=300, test_rows=100, margin=0.0, confidence=0.9)
    differences = np.subtract(network, control)
    error = differences.std(ddof=1) * math.sqrt(1 / 4 + 100 / 300)
    low, high = stats.t.interval(0.9, df=3, loc=differences.mean(), scale=error)
    assert (found.pairs, found.difference) == pytest.approx((4, differences.mean()))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p_value == pytest.approx(2 * stats.t.sf(differences.mean() / error, 3))


def test_the_limit_for_all_controls_is_bonferronis() -> None:
    network, control = [0.90, 0.93, 0.91], [0.88, 0.90, 0.92]
    one, many = (compare("c", network, control, margin=0.0, confidence=0.95, comparisons=n, **ROWS) for n in (1, 7))
    assert one.high_of_all == one.high == many.high
    assert many.high_of_all - many.difference == pytest.approx(stats.t.isf(0.025 / 7, 2) * many.error)


def test_a_false_helps_is_as_rare_as_stated_at_the_margin() -> None:
    # The truth lies on the margin, where an error is likeliest; one control, so the rate is the stated one exactly.
    helps = sum(verdict_of(row).outcome == "helps" for row in simulated(2000, 1, mean=MARGIN))
    assert within_binomial_error(helps, 2000, 0.025)


def test_a_plain_t_test_would_err_far_more_often() -> None:
    differences_EK = simulated(2000, 1, mean=0.0)[:, 0]
    p_values = stats.ttest_1samp(differences_EK, 0.0, axis=1, alternative="greater").pvalue
    assert not within_binomial_error(int(np.sum(p_values < 0.025)), 2000, 0.025)


@pytest.mark.parametrize("mean", [0.0, MARGIN])
def test_picking_the_best_of_many_controls_makes_no_false_verdict(mean: float) -> None:
    outcomes = [verdict_of(row).outcome for row in simulated(2000, 7, mean=mean, seed=1)]
    most = 2000 * 0.025 + 4 * math.sqrt(2000 * 0.025)
    assert outcomes.count("helps") <= most
    assert outcomes.count("hurts") <= most


def test_a_false_hurts_stays_rare_with_many_controls_at_the_margin() -> None:
    outcomes = [verdict_of(row).outcome for row in simulated(2000, 7, mean=-MARGIN, seed=2)]
    # Independent controls: Bonferroni keeps nearly all of the stated 2.5 %.
    assert within_binomial_error(outcomes.count("hurts"), 2000, 1 - (1 - 0.025 / 7) ** 7)


def test_the_smallest_detectable_difference_is_detected_with_the_stated_power() -> None:
    freedom, spread = K - 1, 0.01 * math.sqrt(1 / (1 + RATIO))
    error = spread * math.sqrt(1 / K + RATIO)
    # A sample whose s is the true one tells the detectable difference that belongs to it.
    base = stats.norm.ppf((np.arange(K) + 0.5) / K)
    sample = 0.5 + spread * base / base.std(ddof=1)
    found = compare("c", sample.tolist(), [0.5] * K, margin=MARGIN, confidence=0.95, **ROWS)
    shift = (found.detectable - MARGIN) / error
    assert stats.nct.sf(stats.t.isf(0.025, freedom), freedom, shift) == pytest.approx(POWER)
    helps = sum(verdict_of(row).outcome == "helps" for row in simulated(2000, 1, mean=found.detectable, seed=3))
    assert within_binomial_error(helps, 2000, POWER)


def test_helps_needs_every_control_and_names_the_one_in_the_way() -> None:
    exact = np.array([[0.10, 0.11, 0.10, 0.09, 0.10], [0.01, 0.02, 0.01, 0.00, 0.01]])
    found = verdict_of(exact)
    assert (found.outcome, found.best, found.not_beaten) == ("no evidence", "c1", ("c1",))
    assert verdict_of(exact[:1]).outcome == "helps"


def test_better_than_zero_but_not_than_the_margin_is_no_evidence() -> None:
    differences = np.array([[0.02, 0.021, 0.02, 0.019, 0.02]])
    assert verdict_of(differences, margin=0.0).outcome == "helps"
    assert verdict_of(differences, margin=0.02).outcome == "no evidence"


def test_a_network_below_its_controls_hurts() -> None:
    assert verdict_of(np.array([[-0.10, -0.11, -0.10, -0.09, -0.10], [0.1, 0.1, 0.1, 0.1, 0.1]])).outcome == "hurts"


def test_one_seed_gives_no_verdict() -> None:
    found = judge({3: 0.99}, {"c": {3: 0.1}}, margin=0.0, confidence=0.95, **ROWS)
    assert found.outcome == "no verdict"
    assert math.isnan(found.detectable) and math.isnan(found.comparisons[0].low)
    assert found.comparisons[0].difference == pytest.approx(0.89)


def test_seeds_that_agree_exactly_still_have_an_interval() -> None:
    found = compare("c", [0.75, 0.75], [0.5, 0.5], train_rows=8, test_rows=4, margin=0.0, confidence=0.95)
    # s is taken as a rounding error of 1/4; t of 1 degree of freedom is 12.7.
    assert found.high - found.low == pytest.approx(2 * stats.t.isf(0.025, 1) * math.sqrt((1 / 2 + 1 / 2) / 12) / 4)


def test_a_test_split_shared_by_all_seeds_widens_the_interval() -> None:
    network, control = [0.90, 0.91, 0.92], [0.80, 0.82, 0.81]
    own = compare("c", network, control, margin=0.0, confidence=0.95, **ROWS)
    shared = compare("c", network, control, same_test=True, margin=0.0, confidence=0.95, **ROWS)
    # At most (1 - 0.91) + (1 - 0.81) of the rows can be told apart by the two.
    assert shared.error**2 - own.error**2 == pytest.approx((0.28 - 0.1**2) / 250)


def test_only_seeds_that_both_were_run_with_are_paired() -> None:
    found = judge({0: 0.9, 1: 0.8, 2: 0.7}, {"c": {1: 0.5, 2: 0.5, 9: 0.0}}, margin=0.0, confidence=0.95, **ROWS)
    (one,) = found.comparisons
    assert isinstance(one, Comparison)
    assert (one.pairs, one.difference) == pytest.approx((2, 0.25))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": [0.5]}, "as many as each other, got 1 and 2"),
        ({"network": [], "other": []}, "got 0 and 0"),
        ({"train_rows": 0}, "rows must be >= 1"),
        ({"confidence": 1.0}, "confidence 0.5 to below 1"),
        ({"margin": float("nan")}, "margin 0 to below 1"),
    ],
)
def test_bad_input_is_refused(change: dict[str, object], said: str) -> None:
    good: Any = {"network": [0.5, 0.6], "other": [0.5, 0.5], "margin": 0.0, "confidence": 0.95, **ROWS}
    with pytest.raises(InputError, match=said):
        compare("c", **{**good, **change})


def test_a_verdict_needs_a_control() -> None:
    with pytest.raises(InputError, match="at least one control"):
        judge({0: 0.5}, {}, margin=0.0, confidence=0.95, **ROWS)
