"""What was played and what came back, and how finely it can be told apart.

Axis letters: P places in the play list; N rows; R response channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import Flag, SystemSpec
from .plan import Index, Plan
from .quantities import Quantity, Trace

# Rounding of a float is 2^-24 (float32); sums over the drives, differences of responses and a square add to it.
_ROUNDINGS = 32
_LEVELS = 1 << 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Played:
    """A play list with its responses.

    Args:
        spec: The system.
        plan: The list.
        response_PR: Real or complex, in the order of the list.
        flag_P: Flags of the rows.
        resolution: Standard deviation, in the response's unit, that rounding and converter steps give to a value
            without any noise.
        step: Step of the converter that the responses show; 0 where there is none.
        seed: Seed of random sign patterns and permutations.
    """

    spec: SystemSpec
    plan: Plan
    response_PR: NDArray[Any]
    flag_P: NDArray[np.uint8]
    resolution: float
    step: float
    seed: int

    @property
    def unit(self) -> str:
        """Unit of the response."""
        return self.spec.response.unit

    def at(self, places: Index) -> NDArray[Any]:
        """Return the responses at places of the list: shape of `places`, then channels."""
        return np.asarray(self.response_PR[places])

    def clean(self, places: Index) -> NDArray[np.bool_]:
        """Whether all rows along the last axis of `places` were played in their turn."""
        return np.asarray(~np.any(self.flag_P[places] & Flag.RETRIED, axis=-1))

    def floor_power(self, coefficients: float) -> float:
        """Return the squared norm that rounding leaves in a contrast whose squared coefficients add up to this."""
        return float(coefficients * self.response_PR.shape[1] * self.resolution**2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What one question found.

    Args:
        quantities: Numbers by name.
        traces: Arrays by name.
    """

    quantities: dict[str, Quantity]
    traces: dict[str, Trace]


def resolution_of(spec: SystemSpec, plan: Plan, response_PR: NDArray[Any]) -> tuple[float, float]:
    """Return the deviation that rounding and converter steps give to a value, and the converter's step.

    Where the noise is larger than a step it blurs the steps: then they are part of the noise, and not counted again.
    """
    first_NR, second_NR = response_PR[plan.couples[:, 0]], response_PR[plan.couples[:, 1]]
    scale = float(np.sqrt(np.mean(np.abs(response_PR) ** 2)))
    kind = np.dtype(spec.response.dtype)
    drive = np.dtype(spec.drive.dtype)
    eps = max(float(np.finfo(k).eps) if k.kind in "fc" else 0.0 for k in (kind, drive, np.dtype(np.float64)))
    step = 1.0 if kind.kind in "iu" else _step(first_NR)
    parts = 2 if np.iscomplexobj(response_PR) else 1
    noise = float(np.sqrt(np.mean(np.abs(first_NR - second_NR) ** 2) / 2 / parts))
    steps = step / np.sqrt(12) * np.sqrt(parts) if noise < step / 2 else 0.0
    return float(np.hypot(_ROUNDINGS * eps * scale, steps)), step


def _step(response_NR: NDArray[Any]) -> float:
    """Return the spacing of the levels that responses to different drives lie on, or 0 where they lie on none."""
    values = np.ascontiguousarray(response_NR)
    values = (values.view(np.float64) if np.iscomplexobj(values) else values).ravel()
    levels = np.unique(values)
    if not 2 < len(levels) <= min(_LEVELS, len(values) // 2):
        return 0.0
    gaps = np.diff(levels)
    gaps = gaps[gaps > 1e-7 * (levels[-1] - levels[0])]
    step = float(gaps.min())
    multiples = gaps / step
    return step if bool(np.all(np.abs(multiples - np.round(multiples)) < 0.05 * multiples)) else 0.0
