"""Cases of the validation, one module or two a medium: what `validation.py` writes down, and what the tests demand."""

from __future__ import annotations

from dataclasses import dataclass

from . import acoustic, acoustic_absorber
from .outcome import Case


@dataclass(frozen=True, kw_only=True)
class Medium:
    """A page of the validation.

    Args:
        page: Name of the page's file and of its figures.
        title: Of the page.
        about: What is validated, and how it is computed: a sentence or two.
        cases: In the order of the page.
    """

    page: str
    title: str
    about: str
    cases: tuple[Case, ...]


MEDIA = (
    Medium(
        page="acoustic",
        title="Acoustic cavity",
        about="A scalar wave in two dimensions: leap-frog in time, central differences of order 2 or 4 in space, "
        "convolutional absorbing layers. In double precision where rounding decides, by the plain torch solver.",
        cases=acoustic.CASES + acoustic_absorber.CASES,
    ),
)
"""All pages."""
