"""A function whose numbers come from one place and whose gradient from another.

A compiled or threaded simulation has no graph; its plain counterpart has one, and gives the same numbers but for
rounding. So the plain one is run when a gradient is asked for, and only then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable

Respond = Callable[[torch.Tensor], torch.Tensor]
PullBack = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def with_gradient(drive: torch.Tensor, respond: Respond, pull_back: PullBack) -> torch.Tensor:
    """Return `respond(drive)`, part of the graph of `drive`.

    Args:
        drive: What to respond to.
        respond: Returns the response, without a graph.
        pull_back: From the drive and the gradient by the response to the gradient by the drive.
    """
    response: torch.Tensor = _OwnGradient.apply(drive, respond, pull_back)  # type: ignore[no-untyped-call]
    return response


class _OwnGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, drive: torch.Tensor, respond: Respond, pull_back: PullBack) -> torch.Tensor:
        ctx.save_for_backward(drive)
        ctx.pull_back = pull_back
        return respond(drive.detach())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (drive,) = ctx.saved_tensors
        return ctx.pull_back(drive, slope), None, None
