"""One call of a system, as whoever keeps raw data sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .contracts import Array, Passes, Reading


@dataclass(frozen=True, kw_only=True, eq=False)
class Exchange:
    """One call of `system.measure`, as whoever keeps raw data sees it. The arrays are not copies.

    Args:
        passes: Pass numbers of the rows that were played, in the order played.
        drive: Those rows, as they were sent to the system: NumPy or torch, in the system's own dtype.
        reading: What the system returned, in its own dtype (integers of a converter stay integers); it has fewer rows
            than were played when the call broke half way. None when nothing came back.
        usable: Shape `(n,)`: whether the port kept the row.
        fault: What broke; empty for a call that went through.
        started: POSIX time at which the call began, in s.
        stopped: POSIX time at which it was over, in s.
    """

    passes: Passes
    drive: Array
    reading: Reading | None
    usable: NDArray[np.bool_]
    fault: str
    started: float
    stopped: float
