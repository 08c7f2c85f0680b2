"""Where a simulated system computes."""

from __future__ import annotations

import torch

from physnet.errors import SpecError


def device_of(device: str | torch.device, *, name: str) -> torch.device:
    """Return a torch device that is there.

    Args:
        device: `cpu`, `cuda`, or one of several, as `cuda:1`.
        name: Of the system, for messages.

    Raises:
        SpecError: There is no such device.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise SpecError(f"device of {name} must be 'cpu' or 'cuda', got {device!r}.") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        there = torch.cuda.device_count()
        raise SpecError(
            f"device of {name} must be one that torch finds, got {device!r}, and torch finds {there} of that kind. "
            "Use device = 'cpu', or install torch's build for CUDA and look what nvidia-smi says."
        )
    return found
