"""What `physnet check` found so far, in words and values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Findings:
    """What was found so far.

    Args:
        lines: What is printed, label and text.
        problems: What must be mended before the run.
        values: The same for JSON.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def say(self, label: str, text: str, **values: Any) -> None:
        """Add a line and its values."""
        self.lines.append((label, text))
        self.values.update(values)

    def blame(self, where: str, error: object) -> None:
        """Add a problem."""
        self.problems.append(f"{where}: {' '.join(str(error).split())}")


def in_words(seconds: float, source: str) -> str:
    """Write a duration, and where it is known from."""
    if not math.isfinite(seconds):
        return "unknown: the systems declare no cost"
    if seconds < 120:
        return f"{seconds:.2g} s {source}"
    return f"{seconds / 60:.1f} min {source}" if seconds < 7200 else f"{seconds / 3600:.1f} h {source}"
