"""The guided modes of any fibre that a formula is known for."""

from __future__ import annotations

from .fibre_graded import graded_modes
from .fibre_modes import Modes
from .fibre_profile import Fibre
from .fibre_step import step_modes


def solve_modes(fibre: Fibre, *, modes: int | None = None) -> Modes:
    """Return the guided modes of a fibre.

    Args:
        fibre: The fibre.
        modes: How many, from the largest propagation constant down; None for all.

    Raises:
        SpecError: The fibre guides none, or fewer than wanted.
    """
    return graded_modes(fibre, modes=modes) if fibre.profile == "graded" else step_modes(fibre, modes=modes)
