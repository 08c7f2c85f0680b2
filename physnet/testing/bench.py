"""One check's view of a system: how it is made, what it is driven with, and how its answers are compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.allowed_drives import random_drives
from physnet.contracts import Array, PhysicalSystem, Reading, SystemSpec
from physnet.passes import Purpose, pass_numbers

Factory = Callable[[], PhysicalSystem]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One check's view of the system: a factory, and drives that it allows."""

    factory: Factory
    rows: int
    seed: int

    def drives(self, spec: SystemSpec, rows: int | None = None) -> Array:
        """Return random drives, the usual number unless told otherwise."""
        return random_drives(spec, rows=rows or self.rows, seed=self.seed)

    def passes(self, rows: int) -> NDArray[np.int64]:
        """Return the first `rows` pass numbers of a calibration."""
        return pass_numbers(Purpose.CALIBRATE, rows=rows)

    def measure(self, system: PhysicalSystem, drive: Array, passes: NDArray[np.int64] | None = None) -> list[Reading]:
        """Measure in batches that the system takes."""
        passes = self.passes(len(drive)) if passes is None else passes
        size = system.spec.max_batch or len(drive)
        return [
            system.measure(drive[first : first + size], passes[first : first + size])
            for first in range(0, len(drive), size)
        ]

    def response(self, system: PhysicalSystem, drive: Array, passes: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Measure in batches that the system takes and return a copy of the responses, NaN where a row is invalid."""
        parts = []
        for reading in self.measure(system, drive, passes):
            part = as_numpy(reading.response).copy()
            if reading.valid is not None and part.dtype.kind in "fc":
                part[~reading.valid] = np.nan
            parts.append(part)
        return np.concatenate(parts)


def as_numpy(array: Array) -> NDArray[Any]:
    """Return an array of either library as NumPy's."""
    return array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array


def distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the largest difference between two arrays; infinity where their shapes differ."""
    return float(np.nanmax(np.abs(a.astype(complex) - b))) if a.shape == b.shape else math.inf  # unsigned types wrap
