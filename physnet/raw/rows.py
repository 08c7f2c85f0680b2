"""Rows of raw data on their way from a port to the disk, and back.

Axis letters: none; a batch is always the first axis, `n` rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import Array, Passes
from ..exchange import Exchange
from ..passes import fields_of

try:  # the same sums as zlib's, up to five times as fast: every byte of a row is summed
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

POSIX = "seconds since 1970-01-01 00:00:00 UTC"
CRC = "crc32"
UNITS = {"time": POSIX, "duration": "s"}
"""Units of the columns that have one."""

META = np.dtype(
    [
        ("pass_number", "<i8"),
        ("attempt", "<i8"),
        ("purpose", "u1"),
        ("layer", "u1"),
        ("epoch", "<i8"),
        ("step", "<i8"),
        ("position", "<i8"),
        ("valid", "u1"),
        ("answered", "u1"),
        ("flags", "u1"),
        ("shots", "<i4"),
        ("time", "<f8"),
        ("duration", "<f8"),
    ]
)
"""What is kept of a row beside its arrays, packed. The CRC of a row is over these bytes, then those of its drive, its
response and its spread."""


@dataclass(kw_only=True, eq=False)
class RawRows:
    """Some rows of raw data.

    Args:
        meta: Shape `(n,)`, fields of `META`: `pass_number`; `attempt` at the step; `purpose`, `layer`, `epoch` and
            `step` within the epoch, as the pass number has them; `position`, a running number in the order in which
            the system was driven; `valid`, whether the row could be used; `answered`, whether there is a response at
            all (else it is zeros); `flags`; `shots`; `time` (POSIX) and `duration` of the call it was part of, in s.
        drive: Shape `(n, *drive_shape)`, as it was sent to the system.
        response: Shape `(n, *response_shape)`, as the system returned it: integers are codes of its converter.
        spread: Shape of `response`; None where the system told none.
    """

    meta: NDArray[Any]
    drive: NDArray[Any]
    response: NDArray[Any]
    spread: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.meta)

    @property
    def pass_number(self) -> Passes:
        """Shape `(n,)`."""
        numbers: Passes = np.ascontiguousarray(self.meta["pass_number"])
        return numbers

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Shape `(n,)`: the rows that could be used."""
        found: NDArray[np.bool_] = self.meta["valid"] != 0
        return found

    def part(self, rows: Any) -> RawRows:
        """Return some of the rows; views where NumPy makes views."""
        spread = None if self.spread is None else self.spread[rows]
        return RawRows(meta=self.meta[rows], drive=self.drive[rows], response=self.response[rows], spread=spread)


@dataclass(kw_only=True, eq=False)
class Pending:
    """Rows that wait to be written: copies, in little-endian byte order.

    Args:
        meta, drive: As in `RawRows`.
        response: None when nothing came back for any of them.
        spread: None when the system told none.
        done: Rows of them that are on the disk already.
    """

    meta: NDArray[Any]
    drive: NDArray[Any]
    response: NDArray[Any] | None
    spread: NDArray[Any] | None
    done: int = 0

    def __len__(self) -> int:
        return len(self.meta)

    @property
    def nbytes(self) -> int:
        """Bytes that the rows take in memory."""
        parts = (self.meta, self.drive, self.response, self.spread)
        return sum(int(part.nbytes) for part in parts if part is not None)


def pending(
    exchange: Exchange, keep: NDArray[np.bool_], *, response_shape: tuple[int, ...], attempt: int, position: int
) -> Pending:
    """Copy the rows of a call that are to be kept.

    Args:
        exchange: The call.
        keep: Shape `(n,)`: which.
        response_shape: Shape that a response must have; another was of no use, and is left out.
        attempt: How often the step was begun before.
        position: Running number of the first row of the call.
    """
    rows = len(exchange.passes)
    meta = np.zeros(rows, META)
    numbers = fields_of(exchange.passes)
    for name in ("purpose", "layer", "epoch", "step"):
        meta[name] = numbers[name]
    meta["pass_number"], meta["attempt"] = exchange.passes, attempt
    meta["position"] = np.arange(position, position + rows)
    meta["valid"] = exchange.usable
    meta["time"], meta["duration"] = exchange.started, exchange.stopped - exchange.started
    chosen: Any = slice(None) if keep.all() else keep  # all rows in one piece are copied faster
    drive = np.array(_little(exchange.drive)[chosen], order="C")
    reading, response, spread = exchange.reading, None, None
    if reading is not None and tuple(reading.response.shape[1:]) == response_shape and len(reading) <= rows:
        found = _little(reading.response)
        if found.dtype.kind in "iufc":
            count = len(reading)
            meta["answered"][:count], meta["shots"] = 1, reading.shots
            if reading.flags is not None:
                meta["flags"][:count] = reading.flags
            response = np.array(_filled(found, rows)[chosen], order="C")
            if reading.spread is not None:
                spread = np.array(_filled(_little(reading.spread), rows)[chosen], order="C")
    return Pending(meta=meta[keep], drive=drive, response=response, spread=spread)


def checksums(rows: RawRows) -> list[int]:
    """Return the CRC of each row."""
    found = [0] * len(rows)
    for part in (rows.meta, rows.drive, rows.response, rows.spread):
        if part is not None and len(rows):
            flat: Any = np.ascontiguousarray(part).reshape(-1).view(np.uint8).reshape(len(rows), -1)
            found = list(map(crc32, flat, found))
    return found


def _little(array: Array) -> NDArray[Any]:
    """Return an array as NumPy has it, little-endian; a copy only where it must be."""
    if isinstance(array, torch.Tensor):
        tensor = array.detach().cpu()
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor.resolve_conj().resolve_neg()).numpy()
    found = np.asarray(array)
    if found.dtype == np.bool_:
        return found.astype(np.uint8)
    return found.astype(found.dtype.newbyteorder("<"), copy=False)


def _filled(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """Add zeros for the rows that are missing."""
    missing = rows - len(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)]) if missing else array
