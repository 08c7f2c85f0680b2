"""Between torch on some device and what a system takes and returns: the checks and conversions at the seam."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .contracts import Passes, Reading, SystemSpec
from .drives import check_drive, fit_drive
from .errors import DriveError, ResponseError


def outgoing(system: SystemSpec, drive: torch.Tensor | NDArray[Any], passes: Passes) -> Any:
    """Check a drive and put it in the form the system takes.

    Args:
        system: Its spec.
        drive: Shape `(n, *drive_shape)` or `(n, channels)`, n >= 1, in the drive's unit. A graph is cut here.
        passes: Shape `(n,)`.

    Returns:
        Shape `(n, *drive_shape)` in the spec's own dtype: NumPy, or torch on the system's device.

    Raises:
        DriveError: There is not one row per pass number, or the drive is not allowed.
    """
    spec = system.drive
    drive = drive.detach() if isinstance(drive, torch.Tensor) else native(np.asarray(drive))
    if len(passes) == 0 or len(drive) != len(passes):
        raise DriveError(
            f"drive of {system.name} must have one row per pass number and at least one row, got "
            f"{len(drive)} rows and {len(passes)} pass numbers."
        )
    # Before the conversion: a cast to integers would wrap a wild value, or NaN, into the range.
    check_drive(system, drive)
    target = native(np.empty(0, spec.dtype)).dtype
    tensor = drive.to(system.device if system.array == "torch" else "cpu")
    if not (target.is_floating_point or target.is_complex):
        tensor = (tensor.round() if tensor.is_floating_point() else tensor).to(target)
        check_drive(system, tensor)
    fitted = fit_drive(spec, tensor.to(target))
    return fitted if system.array == "torch" else fitted.numpy().astype(spec.dtype, copy=False)


def incoming(
    system: SystemSpec, reading: Reading, rows: int, *, complete: bool, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """Check a response and bring it upwards.

    Args:
        system: The system's spec.
        reading: What it returned.
        rows: Rows that were asked for.
        complete: Whether all of them must be there.
        device: torch device to bring it to.
        dtype: Type to bring it to.

    Raises:
        ResponseError: It breaks the spec in a way that measuring again can't mend.
    """
    spec, response = system.response, reading.response
    found = tuple(response.shape)
    enough = len(reading) == rows if complete else len(reading) <= rows
    if not enough or found[1:] != spec.shape:
        expected = f"({rows if complete else f'at most {rows}'}, {', '.join(map(str, spec.shape))})"
        raise ResponseError(
            f"response of {system.name} must have shape {expected}, got {found}. Correct the system, or the "
            "response shape that it declares."
        )
    if isinstance(response, np.ndarray):
        if response.dtype.kind not in "biufc":
            raise ResponseError(f"response of {system.name} must be numbers, got dtype {response.dtype}.")
        response = native(response)
    if response.is_complex() and not spec.complex:
        raise ResponseError(
            f"response of {system.name} must be real as its spec declares ({spec.dtype}), got "
            f"{response.dtype}. Declare a complex dtype, or return the modulus."
        )
    return response.detach().to(device=device, dtype=dtype)


def native(array: NDArray[Any]) -> torch.Tensor:
    """Bring an array of any byte order and layout, read-only ones included, to torch, copying only where it must."""
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ["C", "W"]))


def joined(*parts: Any) -> Any:
    """Put batches of one array library behind each other."""
    return torch.cat(parts) if isinstance(parts[0], torch.Tensor) else np.concatenate(parts)


def real_rows(response: Any) -> NDArray[np.float64]:
    """Return responses as rows of real numbers; a complex one as its two parts."""
    tensor = torch.as_tensor(response)
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor.flatten(1).cpu().numpy().astype(np.float64)
