"""A digital-to-analogue converter: drives rounded to its levels, and the limits that rounding leaves.

Axis letters: N rows; D drive channels.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from physnet.allowed_drives import representable_range
from physnet.contracts import Array, DriveSpec
from physnet.errors import SpecError

from .real_parts import torch_copy


class Dac:
    """Rounds drives to the levels of a converter, within the declared range.

    Args:
        spec: The drive.
        bits: The converter has `2^bits` levels.

    Raises:
        SpecError: The drive is made of converter codes already, or rounding could break a joint limit.
    """

    def __init__(self, spec: DriveSpec, bits: int) -> None:
        self._spec = spec
        self._last = (1 << bits) - 1
        if np.dtype(spec.dtype).kind in "iu":
            raise SpecError(f"dac_bits must be left out for a drive of {spec.dtype}: it holds converter codes already.")
        self._low, self._high = spec.low_array, spec.high_array
        self._inner_low, self._inner_high = representable_range(spec)
        step_D = (self._high - self._low) / self._last
        if spec.dtype.startswith("complex"):
            step_D = step_D + 2 * math.pi / (self._last + 1) * self._high  # the phase moves it sideways as well
        # Rounding adds an error of at most half a step to a channel; each of the limits is a norm of the row.
        margins = {
            "max_rms": float(np.sqrt(np.mean((step_D / 2) ** 2))),
            "max_sum": float(np.sum(step_D / 2)),
            "max_slew": float(np.max(step_D)),
        }
        limits = {}
        for name, margin in margins.items():
            limit = getattr(spec, name)
            if limit is not None:
                if not limit > margin:
                    raise SpecError(
                        f"dac_bits must round by less than {name} = {limit:g} {spec.unit} allows, got {bits} bits, "
                        f"which can add {margin:g} {spec.unit}. Use more bits."
                    )
                limits[name] = limit - margin
        self.tightened = dataclasses.replace(spec, **limits) if limits else spec
        """The drive with its joint limits lowered by what rounding can add."""

    def convert(self, drive: Array) -> Array:
        """Return the drive as the converter plays it."""
        value_ND = torch_copy(drive).reshape(len(drive), -1)
        low_D, high_D, inner_low_D, inner_high_D = (
            torch.from_numpy(limit).to(value_ND.device)
            for limit in (self._low.copy(), self._high.copy(), self._inner_low, self._inner_high)
        )
        real_ND = value_ND.abs() if value_ND.is_complex() else value_ND
        step_D = (high_D - low_D) / self._last
        level_ND = ((real_ND.double() - low_D) / step_D).round() * step_D + low_D
        level_ND = torch.maximum(torch.minimum(level_ND.to(real_ND.dtype), inner_high_D), inner_low_D)
        if value_ND.is_complex():
            turn = 2 * math.pi / (self._last + 1)
            level_ND = torch.polar(level_ND, (value_ND.angle() / turn).round() * turn)
            # A modulus of cos and sin may exceed its own value in the last digit.
            excess_ND = level_ND.abs() / inner_high_D
            level_ND = torch.where(excess_ND > 1, level_ND / excess_ND * (1 - 1e-6), level_ND)
        level_ND = level_ND.reshape(drive.shape)
        return level_ND if isinstance(drive, torch.Tensor) else level_ND.numpy()
