"""What a characterisation says: plain values, each with unit, uncertainty, and the floor below which it is mute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import PassCount

CONFIDENCE = 0.9973
"""Confidence of every claim: three standard deviations of a normal distribution."""
ALPHA = 1 - CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number.

    Args:
        value: The estimate; NaN where it could not be measured at all.
        error: Its standard error, same unit; NaN where unknown.
        floor: The smallest value that these passes would have told from nothing, same unit; NaN where that means
            nothing.
        unit: UDUNITS string, `"1"` when dimensionless.
        resolved: Whether the value may be claimed at the confidence `CONFIDENCE`.
        about: What it is, and where it can't be measured, why.
    """

    value: float
    error: float = math.nan
    floor: float = math.nan
    unit: str = "1"
    resolved: bool
    about: str

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        if self.resolved:
            spread = "" if math.isnan(self.error) else f" +- {self.error:.1g}"
            return f"{self.value:.4g}{spread}{unit}"
        if math.isnan(self.value):
            return "not measured"
        limit = "" if math.isnan(self.floor) else f", below {self.floor:.2g}{unit}"
        return f"not resolved{limit}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """An array behind the quantities, as far as it is needed to draw them again.

    Args:
        values: The numbers.
        unit: Their unit.
        about: What they are, and what the axes are.
    """

    values: NDArray[Any]
    unit: str = "1"
    about: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Characterisation:
    """What a system did to a stated number of passes.

    Args:
        name: Name of the system.
        kind: `measured`, `simulated`, `replay` or `twin`.
        system: Its spec as plain values, identity included.
        seed: Seed of drives and schedule.
        created: ISO 8601 time with zone at its end.
        seconds: Duration in s.
        count: Passes, retries, clips.
        plan: Passes planned for each question; their sum was asked for.
        quantities: Every number, by name.
        traces: Arrays to draw them again, by name.
        notes: What was left out, and why.
        sentences: What a network can and can't learn through it.
    """

    name: str
    kind: str
    system: Mapping[str, Any]
    seed: int
    created: str
    seconds: float
    count: PassCount
    plan: Mapping[str, int]
    quantities: Mapping[str, Quantity]
    traces: Mapping[str, Trace]
    notes: tuple[str, ...]
    sentences: tuple[str, ...]

    def __getitem__(self, name: str) -> Quantity:
        return self.quantities[name]

    def summary(self) -> str:
        """Return everything that is said in words and numbers, as lines."""
        kind = self.kind.upper()
        lines = [f"{self.name} ({kind}): {self.count.passes} passes in {self.seconds:.1f} s, seed {self.seed}"]
        width = max(map(len, self.quantities), default=0)
        for name, quantity in self.quantities.items():
            lines.append(f"  {name:<{width}}  {quantity!s:<34}  {quantity.about}")
        lines += [f"  note: {note}" for note in self.notes]
        lines.append(f"What a network can learn through it (claims at {100 * CONFIDENCE:.2f} % confidence each):")
        return "\n".join([*lines, *(f"- {sentence}" for sentence in self.sentences)])

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what is not known is null."""
        return {
            "name": self.name,
            "kind": self.kind,
            "seed": self.seed,
            "created": self.created,
            "seconds": round(self.seconds, 3),
            "passes": self.count.passes,
            "plan": dict(self.plan),
            "confidence": CONFIDENCE,
            "quantities": {
                name: {
                    "value": _number(q.value),
                    "error": _number(q.error),
                    "floor": _number(q.floor),
                    "unit": q.unit,
                    "resolved": q.resolved,
                }
                for name, q in self.quantities.items()
            },
            "notes": list(self.notes),
            "sentences": list(self.sentences),
        }


def missing(about: str, *, unit: str = "1") -> Quantity:
    """Return a quantity that could not be measured; `about` says why."""
    return Quantity(value=math.nan, unit=unit, resolved=False, about=about)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
