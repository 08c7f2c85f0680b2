"""Which rule is best: the one with the highest mean, if it can be shown to be better than every other.

The intervals are those of the controls' verdict (paired, corrected for training samples that seeds share), made wide
enough to hold for all rules at once: each of the k - 1 others gets its part of the chance to err. A wrong "best" then
needs one of k - 1 rules to look better than the truly best one, or that one than its equal: together at most the part
that the confidence leaves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..controls.statistics import Comparison, compare
from .store import Outcome

Trainings = Mapping[str, Mapping[int, Outcome]]
"""What came of the trainings, by name and by seed."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What the trainings come to.

    Args:
        outcome: `best`: the leader is better than every other rule. `no evidence`: that can't be shown. `no verdict`:
            fewer than two seeds, fewer than two rules, or a rule whose training diverged.
        leader: The rule with the highest mean test accuracy; empty where none was tested.
        not_beaten: Rules that it was not shown to be better than, the nearest first.
        detectable: Smallest difference to the nearest of the others that would have been seen with a chance of 80 %,
            0 to 1; NaN without a verdict.
        rules: The leader against every other rule, by name; differences are leader minus the other.
        baselines: The leader against every baseline, likewise; their intervals hold for all baselines at once.
    """

    outcome: Literal["best", "no evidence", "no verdict"]
    leader: str
    not_beaten: tuple[str, ...]
    detectable: float
    rules: Mapping[str, Comparison]
    baselines: Mapping[str, Comparison]


def rank(rules: Trainings, baselines: Trainings, *, confidence: float, same_test: bool) -> Ranking:
    """Rank rules by their test accuracy.

    Args:
        rules: Outcomes of rules.
        baselines: Outcomes of baselines.
        confidence: Of the intervals, two-sided and for all comparisons at once.
        same_test: Whether all seeds share their test rows.
    """
    tested = {name: _accuracies(found) for name, found in rules.items()}
    means = {name: float(np.mean(list(found.values()))) for name, found in tested.items() if found}
    if not means:
        nothing: dict[str, Comparison] = {}
        return Ranking(
            outcome="no verdict", leader="", not_beaten=(), detectable=math.nan, rules=nothing, baselines=nothing
        )
    leader = max(means, key=lambda name: means[name])
    others = {name: found for name, found in rules.items() if name != leader}
    against = _against(rules[leader], others, confidence=confidence, same_test=same_test)
    beside = _against(rules[leader], baselines, confidence=confidence, same_test=same_test)
    not_beaten = sorted(
        (name for name, one in against.items() if not one.low > 0), key=lambda name: against[name].difference
    )
    sure = against and len(against) == len(others) and min(one.pairs for one in against.values()) >= 2
    complete = all(len(tested[name]) == len(rules[name]) for name in rules)
    nearest = min(against.values(), key=lambda one: one.difference, default=None)
    return Ranking(
        outcome="no verdict" if not sure or not complete else "no evidence" if not_beaten else "best",
        leader=leader,
        not_beaten=tuple(not_beaten),
        detectable=nearest.detectable if nearest and sure else math.nan,
        rules=against,
        baselines=beside,
    )


def passes_to(outcome: Outcome, target: float) -> int | None:
    """Return the training passes after which a validation first reached a target, 0 to 1; None if none did."""
    return next((passes for passes, accuracy in outcome.curve if accuracy >= target), None)


def same_rows(outcomes: Sequence[Outcome]) -> bool:
    """Whether several trainings were all tested on the same rows."""
    return len(outcomes) > 1 and len({one.test_sha256 for one in outcomes}) == 1


def _against(
    leader: Mapping[int, Outcome], others: Trainings, *, confidence: float, same_test: bool
) -> dict[str, Comparison]:
    first, found = _accuracies(leader), {}
    for name, outcomes in others.items():
        second = _accuracies(outcomes)
        seeds = sorted(set(first) & set(second))
        if not seeds:
            continue
        rows = [leader[seed] for seed in seeds]
        found[name] = compare(
            name,
            [first[seed] for seed in seeds],
            [second[seed] for seed in seeds],
            # The widest interval of the seeds, where a split by groups makes their numbers differ.
            train_rows=min(one.train_rows for one in rows),
            test_rows=max(one.test_rows for one in rows),
            margin=0.0,
            confidence=1 - (1 - confidence) / len(others),
            same_test=same_test,
        )
    return found


def _accuracies(outcomes: Mapping[int, Outcome]) -> dict[int, float]:
    return {seed: one.test_accuracy for seed, one in outcomes.items() if math.isfinite(one.test_accuracy)}
