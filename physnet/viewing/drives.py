"""Which rows are played to look at a system: one that is shown inside, and a few beside it.

Axis letters: N rows; D drive channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..allowed_drives import limit_drives, random_drives
from ..contracts import SystemSpec
from ..drives import check_drive
from ..errors import DriveError, InputError
from ..seeding import derive_seed

FEW = 6
"""Rows that are compared, the one that is shown included."""


def choose_drives(spec: SystemSpec, choice: str, *, seed: int) -> NDArray[Any]:
    """Return the rows to play, the one to be shown first.

    Args:
        spec: The system.
        choice: `random`, spread over the declared range; `one`, one channel at its end and all others at rest, each
            row another channel; or a file of NumPy with a row, or several.
        seed: Same seed, same rows.

    Returns:
        Shape `(FEW, *spec.drive.shape)`, in the drive's own type, within range and joint limits.

    Raises:
        InputError: The file can't be read, or a row is none of the system's.
    """
    if choice == "random":
        return _numpy(random_drives(spec, rows=FEW, seed=derive_seed(seed, "view")))
    if choice == "one":
        return _single(spec)
    rows = _read(spec, Path(choice))[:FEW]
    others = _numpy(random_drives(spec, rows=FEW, seed=derive_seed(seed, "view")))
    return np.concatenate((rows, others[len(rows) :]))


def _single(spec: SystemSpec) -> NDArray[Any]:
    low_D, high_D = (row.ravel() for row in _numpy(limit_drives(spec))[:2])
    low, high = spec.drive.low_array, spec.drive.high_array
    rest_D = np.clip(0.0, low, high)
    if spec.drive.domain == "binary":
        rest_D = np.where(np.abs(low) <= np.abs(high), low, high)
    strong_D = np.where(np.abs(high - rest_D) >= np.abs(low - rest_D), high_D, low_D)
    channels = np.arange(FEW) * max(1, spec.drive.channels // FEW) % spec.drive.channels
    value_ND = np.repeat(rest_D[None].astype(spec.drive.dtype), FEW, axis=0)
    value_ND[np.arange(FEW), channels] = strong_D[channels]
    return value_ND.reshape(FEW, *spec.drive.shape)


def _read(spec: SystemSpec, path: Path) -> NDArray[Any]:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--drive must be random, one or a file of numpy.save, got {path}: {error}. Write one row of shape "
            f"{spec.drive.shape}, or several."
        ) from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biufc":
        raise InputError(f"--drive {path} must hold one array of numbers. Write it with numpy.save.")
    rows = found[None] if found.shape in (spec.drive.shape, (spec.drive.channels,)) else found
    if len(rows) == 0:
        raise InputError(f"--drive {path} must hold a row at least, got none.")
    try:
        check_drive(spec, torch.from_numpy(np.ascontiguousarray(rows)))
    except DriveError as error:
        raise InputError(f"--drive {path}: {error}") from error
    return rows.reshape(len(rows), *spec.drive.shape).astype(spec.drive.dtype)


def _numpy(drive: Any) -> NDArray[Any]:
    return drive.cpu().numpy() if isinstance(drive, torch.Tensor) else np.asarray(drive)
