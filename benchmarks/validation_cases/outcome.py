"""What a case of the validation says: numbers compared with what theory claims, and a figure of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison. It holds if `measured` is within `tolerance` of `claim`.

    Args:
        compared: What with what.
        claim: The number that theory, or the code, claims; 0 for an error.
        measured: What came out.
        tolerance: How far apart they may be.
        because: Where the tolerance comes from.
        unit: Of all three numbers.
        is_order: Whether the claim is an order of accuracy.
    """

    compared: str
    claim: float
    measured: float
    tolerance: float
    because: str
    unit: str = ""
    is_order: bool = False

    @property
    def holds(self) -> bool:
        """Whether the claim holds; a NaN does not."""
        return bool(abs(self.measured - self.claim) <= self.tolerance)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a case found.

    Args:
        checks: The comparisons.
        draw: Draws the case's figure from the same numbers; None for a case without one.
        caption: What the figure shows.
    """

    checks: tuple[Check, ...]
    draw: Callable[[Axes], None] | None = None
    caption: str = ""


class Case(Protocol):
    """A function that computes a case. Its name is the case's, its docstring says what is done and by which theory."""

    __name__: str

    def __call__(self) -> Outcome:
        """Compute it."""
        ...


_NAMES = {
    name.lower(): name for name in ("Born", "Gaussian", "GPU", "Green", "Haar", "Kerr", "Lambert", "Rayleigh")
}  # fmt: skip


class NotHereError(Exception):
    """A case needs what this computer lacks; the message says what."""


def title(case: Case) -> str:
    """Return the name of a case as words."""
    return " ".join(_NAMES.get(word, word) for word in case.__name__.split("_"))


def heading(case: Case) -> str:
    """Return the name of a case as the heading of a section."""
    words = title(case)
    return words[0].upper() + words[1:]


def order_check(compared: str, *, claim: float, measured: float) -> Check:
    """Return the comparison of a claimed order of accuracy with the measured one."""
    return Check(
        compared=compared, claim=claim, measured=measured, tolerance=0.2, is_order=True,
        because="a slope of two errors still holds some of the next order; 0.2 is what the project allows",
    )  # fmt: skip


def error_check(compared: str, *, measured: float, tolerance: float, because: str, unit: str = "") -> Check:
    """Return the comparison of an error with the largest one that is allowed."""
    return Check(compared=compared, claim=0.0, measured=measured, tolerance=tolerance, because=because, unit=unit)
