"""From paired accuracies to a verdict: the corrected resampled t-test, against every control.

Seeds share most of their training samples, so their differences are correlated, and a plain t-test is far too sure of
itself. With a correlation of `n_test / (n_test + n_train)` between any two of `k` differences, the variance of their
mean is estimated without bias by `(1/k + n_test/n_train) s^2`, and the studentised mean has exactly `k - 1` degrees of
freedom. See docs/decisions/0007.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import InputError

Outcome = Literal["helps", "hurts", "no evidence", "no verdict"]
POWER = 0.8
"""Chance with which the smallest detectable difference is detected."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The network against one control.

    Args:
        control: Its name.
        pairs: Seeds that both were run with.
        difference: Mean of network minus control, in test accuracy (0 to 1).
        deviation: Standard deviation of the paired differences; NaN with fewer than 2.
        error: Corrected standard error of the mean; NaN likewise.
        low, high: Two-sided interval of the stated confidence, for this control alone; NaN likewise.
        high_of_all: Upper limit that holds for all controls at once (Bonferroni): `hurts` is judged by it.
        detectable: Smallest true difference that would have been called larger than the margin with a chance of 80 %.
        p_value: Two-sided, of a true difference of zero; NaN likewise.
    """

    control: str
    pairs: int
    difference: float
    deviation: float
    error: float
    low: float
    high: float
    high_of_all: float
    detectable: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the comparisons come to.

    Args:
        outcome: `helps`: better than every control by more than the margin. `hurts`: worse than one of them by more
            than the margin. `no evidence`: neither could be shown. `no verdict`: fewer than 2 pairs.
        best: The control with the highest mean accuracy.
        not_beaten: Controls that stand between the network and `helps`.
        detectable: Smallest difference to the best control that would have been seen; NaN without a verdict.
        comparisons: One for each control.
    """

    outcome: Outcome
    best: str
    not_beaten: tuple[str, ...]
    detectable: float
    comparisons: tuple[Comparison, ...]


def compare(
    control: str,
    network: Sequence[float],
    other: Sequence[float],
    *,
    train_rows: int,
    test_rows: int,
    margin: float,
    confidence: float,
    comparisons: int = 1,
    same_test: bool = False,
) -> Comparison:
    """Compare paired accuracies.

    Where every seed was tested on the same rows, their spread holds nothing of which rows these are: then the most that
    drawing them can add is added, `E[d^2] <= (1 - a) + (1 - b)` per row for two classifiers of accuracy `a` and `b`.

    Args:
        control: Name of the other.
        network: Test accuracies of the network, 0 to 1, one per seed.
        other: The same of the control, in the same order of seeds.
        train_rows: Training rows of a seed.
        test_rows: Test rows of a seed.
        margin: What a difference must exceed, 0 to 1.
        confidence: Of the two-sided interval, 0.5 to 1.
        comparisons: How many are made at once.
        same_test: Whether all seeds share their test rows.

    Raises:
        InputError: The numbers of accuracies differ or are zero, or an argument is out of its range.

    Source:
        C. Nadeau, Y. Bengio, Inference for the generalization error, Machine Learning 52, 239 (2003), equation 9.
    """
    if len(network) != len(other) or not network:
        raise InputError(f"paired accuracies must be as many as each other, got {len(network)} and {len(other)}.")
    if not (train_rows >= 1 and test_rows >= 1 and 0.5 <= confidence < 1 and 0 <= margin < 1 and comparisons >= 1):
        raise InputError(
            f"rows must be >= 1, confidence 0.5 to below 1 and margin 0 to below 1, got {train_rows} and {test_rows} "
            f"rows, {confidence:g} and {margin:g}."
        )
    from scipy import stats  # here, because it takes a second to import

    first, second = np.asarray(network, np.float64), np.asarray(other, np.float64)
    differences = first - second
    pairs, difference = len(differences), float(differences.mean())
    if pairs < 2:
        nan = math.nan
        return Comparison(
            control=control,
            pairs=pairs,
            difference=difference,
            deviation=nan,
            error=nan,
            low=nan,
            high=nan,
            high_of_all=nan,
            detectable=nan,
            p_value=nan,
        )
    # Accuracies come in steps of 1 / test_rows: seeds that agree to the step still hide a rounding of that size.
    deviation = float(differences.std(ddof=1))
    variance = max(deviation**2, 1 / (12 * test_rows**2)) * (1 / pairs + test_rows / train_rows)
    if same_test:
        wrong = (1 - float(first.mean())) + (1 - float(second.mean()))
        variance += max(min(wrong, 2 - wrong) - difference**2, 0.0) / test_rows
    error, freedom, tail = math.sqrt(variance), pairs - 1, (1 - confidence) / 2
    reach = float(stats.t.isf(tail, freedom)) * error
    reach_of_all = float(stats.t.isf(tail / comparisons, freedom)) * error
    return Comparison(
        control=control,
        pairs=pairs,
        difference=difference,
        deviation=deviation,
        error=error,
        low=difference - reach,
        high=difference + reach,
        high_of_all=difference + reach_of_all,
        detectable=margin + _shift(tail, freedom) * error,
        p_value=2 * float(stats.t.sf(abs(difference) / error, freedom)),
    )


def judge(
    network: Mapping[int, float],
    controls: Mapping[str, Mapping[int, float]],
    *,
    train_rows: int,
    test_rows: int,
    margin: float,
    confidence: float,
    same_test: bool = False,
) -> Verdict:
    """Compare a network with every control and draw the conclusion.

    `helps` needs every lower limit above the margin: each test has its own chance `(1 - confidence) / 2` to err, and to
    need all of them can only lower it, so nothing is to be corrected (an intersection-union test), whichever control
    turns out the best. `hurts` needs only one upper limit below minus the margin, so each is corrected for their number
    (Bonferroni).

    Args:
        network: Test accuracy by seed.
        controls: The same for each control; seeds that the network lacks are left out.
        train_rows: Training rows of a seed.
        test_rows: Test rows of a seed.
        margin: What a difference must exceed, 0 to 1.
        confidence: Of the two-sided intervals, 0.5 to 1.
        same_test: Whether all seeds share their test rows.

    Raises:
        InputError: There is no control, or one shares no seed with the network.
    """
    if not controls:
        raise InputError("a verdict needs at least one control, got none.")
    compared = []
    for name, accuracies in controls.items():
        seeds = sorted(set(network) & set(accuracies))
        compared.append(
            compare(
                name,
                [network[seed] for seed in seeds],
                [accuracies[seed] for seed in seeds],
                train_rows=train_rows,
                test_rows=test_rows,
                margin=margin,
                confidence=confidence,
                comparisons=len(controls),
                same_test=same_test,
            )
        )
    best = min(compared, key=lambda one: one.difference)
    not_beaten = tuple(one.control for one in compared if not one.low > margin)
    outcome: Outcome = "no evidence"
    if min(one.pairs for one in compared) < 2:
        outcome = "no verdict"
    elif not not_beaten:
        outcome = "helps"
    elif any(one.high_of_all < -margin for one in compared):
        outcome = "hurts"
    return Verdict(
        outcome=outcome,
        best=best.control,
        not_beaten=not_beaten,
        detectable=best.detectable,
        comparisons=tuple(compared),
    )


@functools.cache
def _shift(tail: float, freedom: int) -> float:
    """Return by how many standard errors a true value must exceed a limit to be seen above it with the power."""
    from scipy import optimize, stats

    critical = float(stats.t.isf(tail, freedom))
    # The quantile of the studentised mean; the root lies near the sum of the two quantiles.
    return float(
        optimize.brentq(lambda shift: stats.nct.sf(critical, freedom, shift) - POWER, 1e-9, 4 * critical + 4, xtol=1e-9)
    )
