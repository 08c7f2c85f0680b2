"""What a search for options found: the file that `physnet compare --options` reads, and a table for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .contestants import as_toml
from .tuning import Trial, Tuning


def as_options(tuning: Tuning) -> str:
    """Return the best options of each rule, how they were found, and every trial, as TOML."""
    lines = ["# Best options of each rule, chosen on validation samples. For: physnet compare --options"]
    how: dict[str, Any] = {
        "experiment": tuning.first.source,
        "trials": tuning.trials,
        "done": {name: len(trials) for name, trials in tuning.done.items()},
        "sampler": tuning.sampler,
        "seed": tuning.seed,
        "seeds": list(range(tuning.first.seed, tuning.first.seed + tuning.repeats)),
        "validate_every": tuning.every,
        "test_sha256": tuning.test_sha256,
    }
    if tuning.budget is not None:
        how["budget_passes"] = tuning.budget
    lines += ["", *_table("tuning", how)]
    for name in tuning.done:
        best = tuning.best(name)
        if best is not None:
            rule = tuning.experiments[name].rule.name
            alias = {} if rule == name else {"name": rule}
            lines += ["", *_table(f"rules.{json.dumps(name)}", {**alias, **best.options})]
    for name, trials in tuning.done.items():
        for trial in trials:
            facts = {"number": trial.number, "validation_accuracy": trial.accuracy, **trial.tuned}
            lines += ["", *_table(f"trials.{json.dumps(name)}", facts, among_others=True)]
    return "\n".join(lines) + "\n"


def report(tuning: Tuning) -> str:
    """Return for each rule what it had before and what it has now, on the validation samples."""
    lines = [f"{'validation accuracy / %':<26}{'trials':>8}{'before':>9}{'best':>9}   options"]
    for name, trials in tuning.done.items():
        best = tuning.best(name)
        if best is None:
            continue
        told = ", ".join(f"{option}={_short(value)}" for option, value in best.tuned.items())
        before = next((trial for trial in trials if trial.number == 0), best)
        numbers = f"{len(trials):>8}{100 * before.accuracy:>9.2f}{100 * best.accuracy:>9.2f}"
        lines.append(f"{name:<26}{numbers}   {told}")
    lines.append(
        "the best of many trials looks better than it is: what the options are worth, physnet compare measures"
    )
    return "\n".join(lines)


def told(name: str, trial: Trial) -> str:
    """Return a trial in a line."""
    options = ", ".join(f"{option}={_short(value)}" for option, value in trial.tuned.items())
    return f"{name}, trial {trial.number}: validation {trial.accuracy:.2%} with {options}"


def _table(name: str, values: Mapping[str, Any], *, among_others: bool = False) -> Iterator[str]:
    yield f"[[{name}]]" if among_others else f"[{name}]"
    for key, value in values.items():
        yield f"{key} = {as_toml(value)}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
