"""A comparison of rules in plain text: accuracies, costs, and the verdict in a sentence."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..controls.statistics import Comparison
from .judging import Ranking, passes_to
from .rules import Findings, RuleComparison
from .store import Outcome

_WIDTH = 116
_NAME = 26


def report(comparison: RuleComparison, findings: Findings) -> str:
    """Return the tables and the verdict, in lines of at most 116 columns."""
    share = f"{100 * comparison.confidence:g} %"
    aim = "" if math.isnan(findings.target) else f"passes to {100 * findings.target:g} %"
    lines = [f"{'test accuracy / %':<{_NAME}}{'mean ± sd':>14}{'seeds':>7}{f'best - it, {share} of all':>32}{aim:>28}"]
    ranking, together = findings.ranking, {**findings.rules, **findings.baselines}
    against = {**ranking.rules, **ranking.baselines}
    for name, found in together.items():
        behind = "(best mean)" if name == ranking.leader else ""
        behind = interval(against[name]) if name in against else behind
        learns = name in findings.rules or any(one.curve for one in found.values())
        reached = _reached(found, findings.target) if learns else ""
        lines.append(f"{name:<{_NAME}}{_spread(found):>14}{len(found):>7}{behind:>32}{reached:>28}")
    heads = ("train. passes", "all passes", "per inference", "writes", "MA/inference", "MA training", "s", "J")
    widths = (14, 12, 15, 8, 14, 13, 7, 7)
    head = "".join(f"{text:>{width}}" for text, width in zip(heads, widths, strict=True))
    lines += ["", f"{'cost of one training':<{_NAME}}{head}"]
    for name, found in together.items():
        cells = "".join(f"{text:>{width}}" for text, width in zip(_costs(list(found.values())), widths, strict=True))
        # Of a baseline only what it costs to classify is asked; nobody need count the rest.
        lines.append(f"{name:<{_NAME}}{cells if name in findings.rules else cells.replace('?', '-')}")
    about = (
        f"{findings.physics} physics; MA: digital multiply-adds of matrix products, the optimiser's not included; "
        f"validated every {comparison.every} training passes, tested once, with the weights of the best one"
    )
    for text in (sentence(findings), beside(findings), about, *findings.notes):
        lines += textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_long_words=False) if text else []
    return "\n".join(lines)


def sentence(findings: Findings) -> str:
    """Return the verdict in words."""
    ranking = findings.ranking
    return f"verdict: {ranking.outcome.upper()}. {' '.join(_reasons(ranking, findings))}"


def beside(findings: Findings) -> str:
    """Return how the leading rule stands to the best baseline; empty without any."""
    ranking = findings.ranking
    if not ranking.baselines:
        return ""
    one = min(ranking.baselines.values(), key=lambda one: one.difference)
    if math.isnan(one.low):
        said = "one seed says nothing about the next"
    else:
        said = "better" if one.low > 0 else "worse" if one.high < 0 else "no evidence of a difference"
    text = f"baselines: best {one.control}, {ranking.leader} - {one.control} {interval(one)} points: {said}"
    if not math.isnan(one.detectable):
        text += f" (smallest that could be seen: {100 * one.detectable:.2f})"
    return f"{text}."


def interval(one: Comparison) -> str:
    """Return a difference and its interval in points."""
    if math.isnan(one.low):
        return f"{100 * one.difference:+.2f}"
    return f"{100 * one.difference:+.2f} [{100 * one.low:+.2f}, {100 * one.high:+.2f}]"


def short(value: float | None) -> str:
    """Return a number in three digits and a letter: `97.7 k`, `3.2 M`. A question mark for what is not known."""
    if value is None or math.isnan(value):
        return "?"
    for limit, letter in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{letter}" if abs(value) < 999.5 * limit else f"{value / limit:.0f}{letter}"
    return f"{value:.3g}"


def _reasons(ranking: Ranking, findings: Findings) -> Iterator[str]:
    match ranking.outcome:
        case "best":
            yield f"{ranking.leader} is better than every other rule, all of them considered."
        case "no evidence":
            yield f"No evidence that one rule is best: {ranking.leader} has the highest mean, and is not shown to be"
            yield f"better than {', '.join(ranking.not_beaten)}."
        case "no verdict":
            yield _why_none(ranking, findings)
    if not math.isnan(ranking.detectable):
        nearest = min(ranking.rules.values(), key=lambda one: one.difference)
        yield (
            f"Smallest difference to {nearest.control} that this could have seen (power 80 %): "
            f"{100 * ranking.detectable:.2f} points."
        )


def _why_none(ranking: Ranking, findings: Findings) -> str:
    if not ranking.leader:
        return "No rule was tested."
    if len(findings.rules) < 2:
        return "One rule alone can't be the best."
    if any(math.isnan(one.test_accuracy) for found in findings.rules.values() for one in found.values()):
        return "A rule diverged before it could be tested: its seeds can't be left out as if they had never been."
    return "One seed says nothing about the next: at least 2 are needed for every rule."


def _spread(found: Mapping[int, Outcome]) -> str:
    values = 100 * np.array([one.test_accuracy for one in found.values() if math.isfinite(one.test_accuracy)])
    if not len(values):
        return "none"
    return f"{values.mean():.2f}" + (f" ± {values.std(ddof=1):4.2f}" if len(values) > 1 else "       ")


def _reached(found: Mapping[int, Outcome], target: float) -> str:
    """Return the mean of the passes to a target over the seeds that reached it (before a validation), and how many."""
    if not any(one.curve for one in found.values()):
        return "no validation"
    passes = [reached for one in found.values() if (reached := passes_to(one, target)) is not None]
    if not passes:
        return "not reached"
    part = "" if len(passes) == len(found) else f" ({len(passes)} of {len(found)} seeds)"
    return f"≤ {short(sum(passes) / len(passes))}{part}"


def _costs(found: Sequence[Outcome]) -> Iterator[str]:
    physical = any(one.passes for one in found)
    yield short(_mean([one.training_passes for one in found])) if physical else "-"
    yield short(_mean([one.all_passes for one in found])) if physical else "-"
    yield str(found[0].passes_per_inference) if physical else "-"
    yield short(_mean([one.parameter_writes for one in found])) if physical else "-"
    yield short(found[0].inference_work)
    work = [one.training_work for one in found]
    counted = [one for one in work if one is not None]
    yield short(_mean(counted) if len(counted) == len(work) else None)
    yield short(_mean([one.seconds for one in found]))
    yield short(_mean([one.joules for one in found]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
