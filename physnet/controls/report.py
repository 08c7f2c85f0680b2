"""A study in plain text: the table, the verdict in a sentence, and what a reader must know beside it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

import numpy as np

from .kinds import NETWORK
from .statistics import Comparison, Verdict
from .study import Findings, Study

_WIDTH = 96
_NAME = 24


def report(study: Study, findings: Findings) -> str:
    """Return the table of accuracies and differences, and the verdict, in lines of at most 96 columns."""
    share = f"{100 * study.settings.confidence:g} %"
    head = f"{'test accuracy / %':<{_NAME}}{'mean ± sd':>14}{'seeds':>7}{f'network - control, {share} interval':>36}"
    lines = [f"{head}{'passes':>12}"]
    compared = {one.control: one for one in findings.verdict.comparisons}
    for name, found in findings.trainings.items():
        values = 100 * np.array([one.test_accuracy for one in found])
        spread = f" ± {values.std(ddof=1):4.2f}" if len(values) > 1 else "       "
        label = f"{name} ({findings.kinds})" if name == NETWORK else name
        difference = interval(compared[name]) if name in compared else ""
        cells = f"{f'{values.mean():.2f}{spread}':>14}{len(values):>7}{difference:>36}"
        lines.append(f"{label:<{_NAME}}{cells}{sum(one.passes for one in found):>12}")
    for text in (sentence(study, findings.verdict), *findings.notes):
        lines += textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_long_words=False)
    return "\n".join(lines)


def sentence(study: Study, verdict: Verdict) -> str:
    """Return the verdict in words, with the margin, the power and the smallest difference that could be seen."""
    return f"verdict: {verdict.outcome.upper()}. {' '.join(_reasons(study, verdict))}"


def interval(one: Comparison) -> str:
    """Return a difference and its interval in points."""
    if math.isnan(one.low):
        return f"{100 * one.difference:+.2f}"
    return f"{100 * one.difference:+.2f} [{100 * one.low:+.2f}, {100 * one.high:+.2f}]"


def _reasons(study: Study, verdict: Verdict) -> Iterator[str]:
    margin = f"{100 * study.settings.margin:g} points"
    best = next(one for one in verdict.comparisons if one.control == verdict.best)
    match verdict.outcome:
        case "helps":
            yield f"Better than every control by more than the declared margin of {margin}."
        case "hurts":
            yield f"Worse than a control by more than the declared margin of {margin}, all of them considered."
        case "no evidence":
            names = ", ".join(verdict.not_beaten)
            yield f"Not shown to be better by more than the declared margin of {margin} than {names}."
        case "no verdict":
            yield "One seed says nothing about the next: at least 2 repeats are needed (controls.repeats)."
    yield f"Best control: {verdict.best}, network - control {interval(best)} points."
    if not math.isnan(verdict.detectable):
        yield (
            f"Smallest difference to it that this could have seen (power 80 %): {100 * verdict.detectable:.2f} points."
        )
