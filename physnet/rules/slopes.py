"""Slopes of the digital nonlinearities, from what went up: what a closed-form gradient needs of them.

Axis letters: N rows, O outputs.
"""

from __future__ import annotations

import torch

from ..errors import InputError
from ..layer import Nonlinearity, PhysicalLayer

SLOPES: dict[str, str] = {"none": "1", "relu": "z > 0", "tanh": "1 - a^2"}
"""Nonlinearities `a = s(z)` whose slope follows from `a` alone, and the slope."""


def check_slope(layer: PhysicalLayer, *, rule: str) -> None:
    """Refuse a layer whose nonlinearity has a slope that is not known.

    Args:
        layer: The layer.
        rule: Name of the rule, for the message.

    Raises:
        InputError: The nonlinearity is none of `SLOPES`.
    """
    if layer.nonlinearity not in SLOPES:
        raise InputError(
            f"{rule} needs a nonlinearity whose slope it knows in {layer.name}: one of {', '.join(SLOPES)}; got "
            f"'{layer.nonlinearity}'."
        )


def times_slope_(error_NO: torch.Tensor, activity_NO: torch.Tensor, nonlinearity: Nonlinearity) -> torch.Tensor:
    """Multiply an error with respect to activity by the slope, in place: the error with respect to `z`.

    Args:
        error_NO: Derivative of a loss by the activity.
        activity_NO: The activity `s(z)`.
        nonlinearity: `s`, one of `SLOPES`.
    """
    if nonlinearity == "relu":
        error_NO *= activity_NO > 0
    elif nonlinearity == "tanh":
        error_NO *= 1 - activity_NO.square()
    return error_NO
