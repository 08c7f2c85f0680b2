"""A comparison of rules as plain values, for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..controls.statistics import Comparison
from .judging import passes_to
from .rules import Findings, RuleComparison
from .store import Outcome


def as_plain(comparison: RuleComparison, findings: Findings) -> dict[str, Any]:
    """Return everything a program may want to know, as plain values."""
    ranking = findings.ranking
    table: dict[str, Any] = {
        "verdict": ranking.outcome,
        "leader": ranking.leader,
        "not_beaten": list(ranking.not_beaten),
        "smallest_detectable_difference": ranking.detectable,
        "confidence": comparison.confidence,
        "seeds": list(comparison.seeds),
        "budget_passes": comparison.budget,
        "validate_every": comparison.every,
        "target": findings.target,
        "missing": findings.missing,
        "physics": findings.physics,
        "notes": list(findings.notes),
        "baselines_left_out": dict(comparison.left_out),
        "folder": str(comparison.folder),
    }
    for group, trainings, against in (
        ("rules", findings.rules, ranking.rules),
        ("baselines", findings.baselines, ranking.baselines),
    ):
        table[group] = {
            name: _row(found, findings.target) | _difference(against.get(name)) for name, found in trainings.items()
        }
    return table


def _row(found: Mapping[int, Outcome], target: float) -> dict[str, Any]:
    columns = {
        "test_accuracy": [one.test_accuracy for one in found.values()],
        "validation_accuracy": [one.validation_accuracy for one in found.values()],
        "training_passes": [one.training_passes for one in found.values()],
        "passes": [dict(one.passes) for one in found.values()],
        "passes_to_target": [passes_to(one, target) for one in found.values()],
        "seconds": [one.seconds for one in found.values()],
        "joules": [one.joules for one in found.values()],
        "diverged": [one.diverged for one in found.values()],
        "curve": [list(map(list, one.curve)) for one in found.values()],
        "training_work": [one.training_work for one in found.values()],
    }
    first = next(iter(found.values()))
    return {
        "seeds": list(found),
        **columns,
        "passes_per_inference": first.passes_per_inference,
        "inference_work": first.inference_work,
        "parameter_writes": [one.parameter_writes for one in found.values()],
        "about": dict(first.about),
    }


def _difference(one: Comparison | None) -> dict[str, Any]:
    if one is None:
        return {}
    return {"behind_leader": one.difference, "interval": [one.low, one.high], "pairs": one.pairs, "error": one.error}
