"""Checks that stand between a drive and an instrument."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from .contracts import DriveSpec, SystemSpec
from .errors import DriveError

# A limit such as 0.1 V has no exact single-precision value. An excess of this fraction of the range is rounding: it is
# cut back to the limit before anything is sent (`fit_drive`). float32 resolves 2^-24; four roundings may add up.
_ROUNDING = 2.0**-22


def check_drive(system: SystemSpec, drive: torch.Tensor) -> None:
    """Refuse a drive that a system's spec does not allow.

    Args:
        system: The system it is meant for.
        drive: Shape `(n, *drive_shape)` or `(n, channels)`, in the drive's unit.

    Raises:
        DriveError: Wrong shape, not finite, out of range, not in the domain, or over a joint limit. The message names
            the first offending row and channel.
    """
    spec = system.drive
    shape = tuple(drive.shape)
    if shape[1:] not in (spec.shape, (spec.channels,)):
        raise DriveError(
            f"drive of {system.name} must have shape (n, {', '.join(map(str, spec.shape))}), got {shape}. "
            "The encoder must emit one value per drive channel."
        )
    if drive.is_complex() and np.dtype(spec.dtype).kind != "c":
        raise DriveError(
            f"drive of {system.name} must be real as its spec declares ({spec.dtype}), got {drive.dtype}; nothing was "
            "sent. Declare a complex dtype, or put the phase on channels of its own."
        )
    value = drive.reshape(len(drive), spec.channels)
    size = value.abs() if value.is_complex() else value
    low, high, slack = _limits(spec, size)
    # Written as "not inside", so that NaN fails too.
    inside = (size >= low - slack) & (size <= high + slack)
    if not bool(inside.all()):
        row, channel = divmod(int(torch.argmin(inside.flatten().to(torch.uint8))), spec.channels)
        raise DriveError(
            f"drive of {system.name} must be {low[channel].item():g} to {high[channel].item():g} {spec.unit} in "
            f"channel {channel}, got {size[row, channel].item():g} in row {row}; nothing was sent. Choose an "
            "encoder that is bounded by construction, or correct the range that the system declares."
        )
    if spec.domain == "binary":
        at_limit = torch.minimum((size - low).abs(), (size - high).abs()) <= slack
        if not bool(at_limit.all()):
            row, channel = divmod(int(torch.argmin(at_limit.flatten().to(torch.uint8))), spec.channels)
            raise DriveError(
                f"drive of {system.name} is binary: channel {channel} must be {low[channel].item():g} or "
                f"{high[channel].item():g} {spec.unit}, got {size[row, channel].item():g} in row {row}. Use the "
                "encoder 'levels'."
            )
    _check_joint(system, value)


def check_parameter(system: str, name: str, spec: DriveSpec, value: torch.Tensor) -> torch.Tensor:
    """Refuse a value of a parameter that its spec does not allow.

    Args:
        system: Name of the system.
        name: Name of the parameter.
        spec: What may be written to it.
        value: Shape `spec.shape` or `(channels,)`, in the parameter's unit.

    Returns:
        It in double precision, shape `spec.shape`, rounding errors cut back to its limits.

    Raises:
        DriveError: Wrong shape, not finite, out of range, or not in the domain.
    """
    if tuple(value.shape) not in (spec.shape, (spec.channels,)) or value.is_complex():
        raise DriveError(
            f"parameter {name} of {system} must be {spec.channels} real numbers of shape {spec.shape}, got "
            f"{value.dtype} of shape {tuple(value.shape)}; nothing was written."
        )
    row = value.detach().to("cpu", torch.float64).reshape(1, spec.channels)
    low, high, slack = _limits(spec, row)
    wrong = ~((row >= low - slack) & (row <= high + slack))
    rule = f"{spec.low_array.min():g} to {spec.high_array.max():g} {spec.unit}"
    if spec.domain == "binary":
        wrong |= torch.minimum((row - low).abs(), (row - high).abs()) > slack
        rule = f"binary, {spec.low_array.min():g} or {spec.high_array.max():g} {spec.unit}"
    if bool(wrong.any()):
        channel = int(torch.nonzero(wrong[0])[0])
        raise DriveError(
            f"parameter {name} of {system} must be {rule}, got {row[0, channel].item():g} in channel {channel}; "
            "nothing was written. Keep it within what the system declares."
        )
    return fit_drive(spec, row)[0]


def fit_drive(spec: DriveSpec, drive: torch.Tensor) -> torch.Tensor:
    """Cut rounding errors of a checked drive back to its limits and give it the system's shape.

    Args:
        spec: The system's drive.
        drive: A drive that `check_drive` let pass.

    Returns:
        A contiguous copy, shape `(n, *drive_shape)`, within the limits to the bit.
    """
    value = drive.reshape(len(drive), spec.channels)
    if value.is_complex():
        exact = value.to(torch.complex128)
        size = exact.abs()
        low, high, _ = _limits(spec, size)
        # One allowance further in, or rounding the parts once more could lift the modulus over the limit again.
        inner = torch.where(size > high, high * (1 - _ROUNDING), torch.where(size < low, low * (1 + _ROUNDING), size))
        value = torch.where(inner == size, exact, exact * (inner / size)).to(drive.dtype)
    elif value.is_floating_point():
        low, high = (_inner(bound, value, up=up) for bound, up in ((spec.low_array, True), (spec.high_array, False)))
        value = torch.clamp(value, low, high)
    return value.clone().reshape(len(drive), *spec.shape).contiguous()


def _limits(spec: DriveSpec, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    low = torch.as_tensor(np.array(spec.low_array), device=size.device)
    high = torch.as_tensor(np.array(spec.high_array), device=size.device)
    return low, high, _ROUNDING * torch.maximum(high - low, torch.maximum(low.abs(), high.abs()))


def _inner(bound: np.ndarray, value: torch.Tensor, *, up: bool) -> torch.Tensor:
    """Return a bound in the drive's own precision, rounded towards the inside of the range."""
    kind: Any = {torch.float64: np.float64, torch.float16: np.float16}.get(value.dtype, np.float32)
    near = bound.astype(kind)
    outside = near.astype(np.float64) < bound if up else near.astype(np.float64) > bound
    step = np.nextafter(near, kind(math.inf if up else -math.inf))
    return torch.as_tensor(np.where(outside, step, near), device=value.device, dtype=value.dtype)


def _check_joint(system: SystemSpec, value: torch.Tensor) -> None:
    spec = system.drive
    # A difference of two int8 would wrap round.
    value = value.to(torch.complex128 if value.is_complex() else torch.float64)
    size = value.abs()
    checks: list[tuple[str, float | None, torch.Tensor]] = []
    if spec.max_rms is not None:
        checks.append(("root mean square", spec.max_rms, size.square().mean(1).sqrt()))
    if spec.max_sum is not None:
        checks.append(("sum of absolute values", spec.max_sum, size.sum(1)))
    if spec.max_slew is not None and spec.shape[-1] > 1:
        steps = value.reshape(len(value), -1, spec.shape[-1]).diff(dim=-1).abs()
        checks.append(("change between neighbours", spec.max_slew, steps.flatten(1).amax(1)))
    for name, limit, found in checks:
        assert limit is not None
        if not bool((found <= limit * (1 + _ROUNDING)).all()):
            row = int(torch.argmax(torch.nan_to_num(found, nan=math.inf)))
            raise DriveError(
                f"{name} over the drive channels of {system.name} must be at most {limit:g} {spec.unit}, got "
                f"{found[row].item():g} in row {row}; nothing was sent. Lower the encoder's amplitude."
            )
