"""Drives and responses to fit a twin to, and others to judge it by.

Axis letters: N rows; M different drives; D drives; R response values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import Passes
from ..errors import SessionError
from ..passes import PLACED, purpose_of
from ..raw import RawRows, RawSystem
from ..raw.blocks import joined
from ..raw.hashes import hashed, mixed
from ..seeding import stream

LEAST = 20
"""Fewest different drives that a twin is fitted to."""
_HELD_OUT, _VALIDATION = 0.2, 0.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Some drives and what came back. No drive is in two parts.

    Args:
        drive: Shape `(n, *drive_shape)`.
        response_NR: Shape `(n, R)`.
    """

    drive: NDArray[Any]
    response_NR: NDArray[Any]

    def __len__(self) -> int:
        return len(self.drive)


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """The rows of a system, for a fit.

    Args:
        train: Different drives, each with the mean of its responses: to fit on.
        validation: The same, to choose by: when to stop, how much to regularise.
        held_out: Single rows of other drives, to report on.
        rows: Rows used, in all.
        drives: Different drives among them.
        noise: Mean square over rows and values of what differs when a drive is repeated; NaN where none was.
        repeats: Rows beyond the first of their drive.
        left_out: Rows left out because they would not fit into memory.
    """

    train: Part
    validation: Part
    held_out: Part
    rows: int
    drives: int
    noise: float
    repeats: int
    left_out: int


def load_pairs(raw: RawSystem, *, seed: int = 0, most_bytes: int = 1 << 30) -> Pairs:
    """Read the rows of a system that could be used, and deal them out by their drives.

    Args:
        raw: The raw data.
        seed: Chooses the parts.
        most_bytes: Most bytes of drives and responses; of more, a share of the drives is taken, with all their rows.

    Raises:
        SessionError: There are too few different drives.
    """
    rows, left_out = _some(raw, most_bytes)
    different = len(np.unique(hashed(rows.drive)))
    if different < LEAST:
        raise SessionError(
            f"a twin of {raw.name!r} needs raw rows of at least {LEAST} different drives, got {different}. Record "
            "more: session.raw = 'all'."
        )
    return deal_out(rows.drive, rows.response, seed=seed, left_out=left_out)


def deal_out(drive: NDArray[Any], response: NDArray[Any], *, seed: int = 0, left_out: int = 0) -> Pairs:
    """Deal rows out by their drives.

    Args:
        drive: Shape `(n, *drive_shape)`, of at least `LEAST` different drives.
        response: What came back, shape `(n, *response_shape)`.
        seed: Chooses the parts.
        left_out: Rows left out before.
    """
    response_NR = response.reshape(len(response), -1)
    response_NR = response_NR.astype(np.complex128 if response_NR.dtype.kind == "c" else np.float64)
    _, first_M, which_N, count_M = np.unique(hashed(drive), return_index=True, return_inverse=True, return_counts=True)
    mean_MR = np.zeros((len(first_M), response_NR.shape[1]), response_NR.dtype)
    np.add.at(mean_MR, which_N, response_NR)
    mean_MR /= count_M[:, None]
    freedom = len(drive) - len(first_M)
    apart = float(np.square(np.abs(response_NR - mean_MR[which_N])).mean() * len(drive))
    order_M = stream(seed, "twin").permutation(len(first_M))
    held = max(1, round(_HELD_OUT * len(first_M)))
    validation = max(1, round(_VALIDATION * (len(first_M) - held)))
    held_M, validation_M, train_M = np.split(order_M, [held, held + validation])
    held_N = np.isin(which_N, held_M)
    drive_M = drive[first_M]
    return Pairs(
        train=Part(drive=drive_M[train_M], response_NR=mean_MR[train_M]),
        validation=Part(drive=drive_M[validation_M], response_NR=mean_MR[validation_M]),
        held_out=Part(drive=drive[held_N], response_NR=response_NR[held_N]),
        rows=len(drive),
        drives=len(first_M),
        noise=apart / freedom if freedom else float("nan"),
        repeats=freedom,
        left_out=left_out,
    )


def _some(raw: RawSystem, most_bytes: int) -> tuple[RawRows, int]:
    """Return the rows that could be used, or those of a share of the drives, and how many were left out."""
    valid = int(np.count_nonzero(raw.index.valid & ~_placed(raw.index.pass_number)))
    place = raw.segments[-1].places
    # responses are held in double precision as well
    size = valid * (place["drive"].row_bytes + 3 * place["response"].row_bytes)
    share = min(1.0, most_bytes / max(1, size))
    parts = []
    for rows in raw.blocks(superseded=True):
        keep = rows.valid & ~_placed(rows.pass_number)
        if share < 1:
            # the upper bits of a mixed hash: the same for every row of a drive
            keep &= (mixed(hashed(rows.drive)) >> np.uint64(11)).astype(np.float64) < share * 2.0**53
        if keep.any():
            parts.append(rows.part(keep))
    kept = joined(parts, raw.segments[-1])
    return kept, valid - len(kept)


def _placed(passes: Passes) -> NDArray[np.bool_]:
    """Tell dark and reference rows: a few drives again and again, kept by raw data whatever the share of the others."""
    return np.isin(purpose_of(passes), PLACED)
