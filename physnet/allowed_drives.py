"""Drives that a system's spec allows, for whoever must present some without data: calibrations, sentinels, tests.

Axis letters: N rows; D drive channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .contracts import Array, DriveSpec, SystemSpec
from .errors import SpecError


def random_drives(spec: SystemSpec, *, rows: int, seed: int = 0) -> Array:
    """Return drives spread evenly over the declared range, pulled towards rest where a joint limit asks for it.

    Args:
        spec: The system to be driven.
        rows: How many.
        seed: Same seed, same drives.

    Returns:
        Shape `(rows, *spec.drive.shape)`, in the array library, dtype and device that the system takes.

    Raises:
        SpecError: The joint limits allow no drive at all.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    drive = spec.drive
    if drive.domain == "binary":
        position_ND = rng.integers(0, 2, (rows, drive.channels)).astype(np.float64)
    else:
        position_ND = rng.random((rows, drive.channels))
    turn_ND = rng.random((rows, drive.channels)) if drive.dtype.startswith("complex") else None
    return _build(spec, position_ND, turn_ND)


def limit_drives(spec: SystemSpec) -> Array:
    """Return four rows at the limits: all lowest, all highest, and two that alternate.

    A joint limit pulls them towards rest.

    Raises:
        SpecError: The joint limits allow no drive at all.
    """
    alternating_D = np.arange(spec.drive.channels) % 2.0
    position_ND = np.stack((0 * alternating_D, 0 * alternating_D + 1, alternating_D, 1 - alternating_D))
    return _build(spec, position_ND, None)


def representable_range(drive: DriveSpec) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the lowest and highest value per channel that the drive's own dtype can hold within the range.

    A limit such as 0.1 is no `float32`, and its nearest neighbour lies outside.

    Returns:
        Two arrays of shape `(channels,)`, real, in the precision of `drive.dtype`.
    """
    return round_inward(drive.low_array, drive.dtype, up=True), round_inward(drive.high_array, drive.dtype, up=False)


def round_inward(limit: NDArray[np.float64], dtype: str, *, up: bool) -> NDArray[Any]:
    """Return the value of the real part of `dtype` next to `limit` on the side that `up` names, or `limit` itself."""
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        return (np.ceil(limit) if up else np.floor(limit)).astype(kind)
    real = np.finfo(kind).dtype
    value = limit.astype(real)
    outside = value < limit if up else value > limit
    value[outside] = np.nextafter(value[outside], real.type(np.inf if up else -np.inf))
    return value


def _build(spec: SystemSpec, position_ND: NDArray[np.float64], turn_ND: NDArray[np.float64] | None) -> Array:
    """Place rows by their position in the range, 0 lowest to 1 highest, and convert them."""
    drive = spec.drive
    low_D, high_D = drive.low_array, drive.high_array
    rest_D = np.clip(0.0, low_D, high_D)
    if drive.domain == "binary":
        rest_D = np.where(np.abs(low_D) <= np.abs(high_D), low_D, high_D)
    value_ND: NDArray[Any] = low_D + position_ND * (high_D - low_D)
    rest_ND: NDArray[Any] = np.broadcast_to(rest_D, value_ND.shape)
    if turn_ND is not None:
        phasor_ND = np.exp(2j * np.pi * turn_ND)
        value_ND, rest_ND = value_ND * phasor_ND, rest_ND * phasor_ND
    for name, norm in _NORMS.items():
        limit = getattr(drive, name)
        if limit is None:
            continue
        size_N, rest_N = norm(value_ND, drive), norm(rest_ND, drive)
        if bool(np.any(rest_N > limit)):
            raise SpecError(
                f"{name} of {spec.name} must allow the drive at rest, {rest_N.max():g}, got {limit:g} {drive.unit}."
            )
        # A norm is convex, so this share of the way from rest stays within the limit; a thousandth is for rounding.
        share_N = np.where(size_N > limit * 0.999, (limit * 0.999 - rest_N) / np.maximum(size_N - rest_N, 1e-300), 1.0)
        share_N = np.clip(share_N, 0, 1)
        if drive.domain == "binary":
            share_N = np.floor(share_N)
        value_ND = rest_ND + share_N[:, None] * (value_ND - rest_ND)
    inner_low_D, inner_high_D = representable_range(drive)
    if drive.dtype.startswith("complex"):
        # A modulus computed back from its parts may be larger in the last digits.
        value_ND = (value_ND * (1 - 1e-6)).astype(drive.dtype)
    elif np.dtype(drive.dtype).kind in "iu":
        value_ND = np.clip(np.trunc(value_ND), inner_low_D, inner_high_D).astype(drive.dtype)
    else:
        value_ND = np.clip(value_ND.astype(drive.dtype), inner_low_D, inner_high_D)
    rows = value_ND.reshape(len(value_ND), *drive.shape)
    return torch.from_numpy(rows).to(spec.device) if spec.array == "torch" else rows


def _rms(value_ND: NDArray[Any], drive: DriveSpec) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.mean(np.abs(value_ND) ** 2, axis=1)))


def _sum(value_ND: NDArray[Any], drive: DriveSpec) -> NDArray[np.float64]:
    return np.asarray(np.sum(np.abs(value_ND), axis=1))


def _slew(value_ND: NDArray[Any], drive: DriveSpec) -> NDArray[np.float64]:
    step = np.abs(np.diff(value_ND.reshape(len(value_ND), *drive.shape), axis=-1))
    return np.asarray(step.reshape(len(value_ND), -1).max(axis=1, initial=0.0))


_NORMS: dict[str, Callable[[NDArray[Any], DriveSpec], NDArray[np.float64]]] = {
    "max_rms": _rms,
    "max_sum": _sum,
    "max_slew": _slew,
}
