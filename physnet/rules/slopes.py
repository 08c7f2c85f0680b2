"""Slopes of the digital nonlinearities: what a closed-form gradient needs of them.

Axis letters: N rows, O outputs.
"""

from __future__ import annotations

import math

import torch

from ..layer import Nonlinearity

SLOPES: dict[Nonlinearity, str] = {
    "none": "1",
    "relu": "z > 0",
    "tanh": "1 - a^2",
    "abs": "sign(z)",
    "gelu": "Phi(z) + z phi(z), of the normal distribution",
    "silu": "sigma(z) (1 + z (1 - sigma(z)))",
}
"""The slope of each nonlinearity `a = s(z)`."""


def times_slope_(
    error_NO: torch.Tensor, activity_NO: torch.Tensor, z_NO: torch.Tensor, nonlinearity: Nonlinearity
) -> torch.Tensor:
    """Multiply an error with respect to activity by the slope, in place: the error with respect to `z`.

    Args:
        error_NO: Derivative of a loss by the activity.
        activity_NO: The activity `s(z)`.
        z_NO: What it is the activity of.
        nonlinearity: `s`.
    """
    match nonlinearity:
        case "none":
            pass
        case "relu":
            error_NO *= activity_NO > 0
        case "tanh":
            error_NO *= 1 - activity_NO.square()
        case "abs":
            error_NO *= z_NO.sign()
        case "gelu":
            density = torch.exp(-z_NO.square() / 2) / math.sqrt(2 * math.pi)
            error_NO *= torch.special.ndtr(z_NO) + z_NO * density
        case "silu":
            gate = torch.sigmoid(z_NO)
            error_NO *= gate * (1 + z_NO * (1 - gate))
    return error_NO
