"""What a system answers to a few drives, asked outside of any run.

No arrays here but responses of any shape, row first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .contracts import PhysicalSystem, Stateful


def probe(system: PhysicalSystem, drive: Any) -> NDArray[Any]:
    """Open a system, present rows, put its state back, and return the responses.

    The rows are numbered from 0 and counted nowhere: this is for systems that cost nothing to ask, simulated ones.

    Args:
        system: The system, not entered.
        drive: Shape `(n, *drive_shape)`, n >= 1, as the system takes it.

    Returns:
        Shape `(n, *response_shape)`.

    Raises:
        MeasurementError: See `PhysicalSystem.measure`.
    """
    spec = system.spec
    size = spec.max_batch or len(drive)
    memory = system if spec.stateful and isinstance(system, Stateful) else None
    responses = []
    with system:
        before = memory.state() if memory else {}
        for first in range(0, len(drive), size):
            rows = drive[first : first + size]
            reading = system.measure(rows, np.arange(first, first + len(rows), dtype=np.int64))
            answer = reading.response
            responses.append(answer.detach().cpu().numpy() if isinstance(answer, torch.Tensor) else np.array(answer))
        if memory:
            memory.restore(before)
    return np.concatenate(responses)


def root_mean_square(response: NDArray[Any]) -> float:
    """Return the RMS over all rows and channels."""
    if response.dtype.kind in "iu":
        response = response.astype(np.float64)  # a square would leave the range of a converter's codes
    return float(np.sqrt(np.mean(np.abs(response) ** 2)))
