"""The checks behind `physnet.testing.conformance`, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .bench import Bench
from .contract_checks import (
    check_batches,
    check_entering_and_leaving,
    check_full_scale,
    check_response,
    check_spec,
)
from .manners_checks import check_drive_is_left_alone, check_global_random_state, check_no_graph, check_reading_is_kept
from .parameter_checks import check_parameters
from .repetition_checks import check_forward, check_repeatable, check_reproducible, check_state

Check = Callable[[Bench], Iterator[str]]
CHECKS: tuple[Check, ...] = (
    check_spec,
    check_entering_and_leaving,
    check_response,
    check_full_scale,
    check_batches,
    check_drive_is_left_alone,
    check_reading_is_kept,
    check_no_graph,
    check_global_random_state,
    check_repeatable,
    check_reproducible,
    check_state,
    check_forward,
    check_parameters,
)

__all__ = [
    "CHECKS",
    "Check",
    "check_batches",
    "check_drive_is_left_alone",
    "check_entering_and_leaving",
    "check_forward",
    "check_full_scale",
    "check_global_random_state",
    "check_no_graph",
    "check_parameters",
    "check_reading_is_kept",
    "check_repeatable",
    "check_reproducible",
    "check_response",
    "check_spec",
    "check_state",
]
