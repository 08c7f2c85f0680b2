"""A part of a page."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any

from ..session import Run
from .markup import Markup, element


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page.

    Args:
        name: Its anchor.
        title: Its heading.
        body: Its content.
    """

    name: str
    title: str
    body: Markup

    @property
    def markup(self) -> Markup:
        """The section with its heading."""
        heading = element("h2", self.title, id=f"{self.name}-title")
        return element("section", heading, self.body, id=self.name, aria_labelledby=f"{self.name}-title")


def badge(kind: str) -> Markup:
    """Return a kind of system in a frame; what was not measured stands out."""
    return element("span", kind.upper(), class_=f"kind {'measured' if kind == 'measured' else 'simulated'}")


def percent(value: float) -> str:
    """Return a share in percent, `-` when it is not known."""
    return f"{100 * value:.2f} %" if math.isfinite(value) else "-"


def interval(accuracy: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a binomial share.

    Args:
        accuracy: Share that was right, 0 to 1.
        count: Samples, >= 1.

    Source:
        E. B. Wilson, Journal of the American Statistical Association 22, 209 (1927).
    """
    z = 1.959964
    middle = (accuracy + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(accuracy * (1 - accuracy) / count + z * z / (4 * count * count))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def clock(seconds: float) -> str:
    """Return POSIX seconds as date and time, with the zone of this computer."""
    try:
        return f"{datetime.datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S %z}"
    except (ValueError, OverflowError, OSError):
        return "-"


def kinds(run: Run) -> dict[str, list[str]]:
    """Return the layers of each kind of physics."""
    found: dict[str, list[str]] = {}
    for layer, system in zip(run.layers, run.layer_systems, strict=True):
        found.setdefault(run.kind(system), []).append(layer)
    return found


def plain(value: Any) -> str:
    """Return a plain value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        said = ", ".join(map(plain, value[:24]))
        return f"{said}, and {len(value) - 24} more" if len(value) > 24 else said
    return "-" if value in (None, "") else str(value)
