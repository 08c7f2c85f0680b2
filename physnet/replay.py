"""A run with raw data as a system: it answers what was played with what came back.

Axis letters: N rows asked for, M rows recorded, K neighbours, R response values.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from .contracts import Cost, Flag, Passes, Reading, SystemSpec
from .errors import MeasurementError, SessionError
from .neighbours import Neighbours, as_fraction, blended, same
from .raw import RawRows, open_raw
from .raw.hashes import Hashes, hashed, mixed
from .session import open_run

Rows = NDArray[np.int64]
_NEIGHBOURS = 4
# Bytes of recorded drives that a refusal is measured against.
_NEAREST_BYTES = 64 << 20


class ReplaySystem:
    """Answers a drive with the response that a run recorded for it, to the bit.

    A row that was recorded under its pass number, with the same drive, gets that very response (of several attempts,
    the last): the experiment of a run with `session.raw = "all"` trains again on its replay to the same weights. A
    drive that was recorded under another pass number gets the response that came first. Any other is refused; with
    `interpolate` it is answered by the mean of the responses to the nearest recorded drives, weighted by the inverse
    square of their distance. That is interpolation, not a measurement, and the spec says so.

    Responses stay on the disk. In memory are about 80 bytes for each recorded row; when something is interpolated, also
    every different drive that was recorded, in double precision.

    Args:
        run: Folder of the run. In an experiment, a relative path starts from the experiment's folder.
        system: Name of the system in that run; not needed where it has one only.
        interpolate: Recorded drives to interpolate from, or true for four; false refuses what was not recorded.
        name: Name in sessions and messages.

    Raises:
        SessionError: The run has no raw data of such a system, or none that can be read.
    """

    def __init__(
        self,
        *,
        run: Path,
        system: str | None = None,
        interpolate: bool | Annotated[int, Field(ge=0, le=64)] = False,
        name: str = "replay",
    ) -> None:
        run = Path(run)
        self._raw = open_raw(run).system(system)
        index = self._raw.index
        self._usable = np.flatnonzero(index.valid)
        if not len(self._usable):
            raise SessionError(f"raw data of {self._raw.name!r} in {run} hold no row that could be used. Name another.")
        drives = [hashed(rows.drive) for rows in self._raw.blocks(superseded=True)]
        drive_M = np.concatenate(drives)[self._usable]
        self._by_drive = _Lookup(drive_M)
        self._by_pass = _Lookup(_keyed(drive_M, index.pass_number[self._usable]))
        # `True` is an int as well
        self._count = _NEIGHBOURS if interpolate is True else int(interpolate)
        self._near: Neighbours | None = None
        self._near_rows = self._usable[:0]
        self._refused: dict[int, str] = {}
        self._spec = self._described(run, name)

    @property
    def spec(self) -> SystemSpec:
        """What the recorded system said of itself, and where it comes from."""
        return self._spec

    def measure(self, drive: NDArray[Any], passes: Passes) -> Reading:
        """Look up drives, shape `(n, *drive_shape)`.

        Raises:
            MeasurementError: A drive was not recorded, and nothing is interpolated. It carries the rows before it.
            SessionError: The raw data changed, or can't be read any more.
        """
        started = time.time()
        spec = self._spec
        drive = np.ascontiguousarray(drive, np.dtype(spec.drive.dtype).newbyteorder("<"))
        hash_N = hashed(drive)
        place_N = self._by_pass.last(_keyed(hash_N, passes))
        place_N = np.where(place_N < 0, self._by_drive.first(hash_N), place_N)
        found_N = place_N >= 0
        rows = self._raw.take(self._usable[place_N[found_N]])
        # A hash may agree by chance: what counts is the drive itself.
        equal = (_bits(rows.drive) == _bits(drive[found_N])).all(axis=1)
        found_N[found_N] = equal
        rows = rows.part(equal)
        if found_N.all():
            return self._reading(rows, started)
        if not self._count:
            row = int(np.argmin(found_N))
            message = self._refusal(row, int(passes[row]), drive[row : row + 1])
            before = self._reading(rows.part(slice(0, row)), started)
            raise MeasurementError(message, reading=before)
        response_NR = np.empty((len(drive), *spec.response.shape), spec.response.dtype)
        response_NR[found_N] = rows.response
        response_NR[~found_N] = self._interpolated(drive[~found_N])
        flags_N = np.zeros(len(drive), np.uint8)
        flags_N[found_N] = _flags(rows)
        return Reading(response=response_NR, flags=flags_N, started=started, stopped=time.time())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to make safe."""

    def _described(self, run: Path, name: str) -> SystemSpec:
        recorded, index = self._raw.spec, self._raw.index
        title = ""
        with contextlib.suppress(SessionError):
            title = open_run(run).title
        kind = np.result_type(*(segment.places["response"].dtype for segment in self._raw.segments))
        return dataclasses.replace(
            recorded,
            name=name,
            kind="replay",
            response=dataclasses.replace(recorded.response, dtype=kind.name),
            reproducible=True,
            stateful=False,
            cost=Cost(),
            resource="",
            max_batch=None,
            array="numpy",
            device="cpu",
            identity={
                "run": run.absolute().name,
                "title": title,
                "system": self._raw.name,
                "recorded_kind": recorded.kind,
                "recorded_identity": dict(recorded.identity),
                "rows": len(self._usable),
                "share": self._raw.share,
                "raw_sha256": index.digest,
                "interpolated_from": self._count,
            },
        )

    def _reading(self, rows: RawRows, started: float) -> Reading:
        return Reading(
            response=rows.response.astype(self._spec.response.dtype, copy=False),
            flags=_flags(rows),
            started=started,
            stopped=time.time(),
            shots=max(1, int(rows.meta["shots"].max(initial=1))),
            spread=rows.spread,
        )

    def _interpolated(self, drive: NDArray[Any]) -> NDArray[Any]:
        """Answer drives that were not recorded; integers are rounded."""
        if self._near is None:
            self._near_rows = self._usable[self._by_drive.firsts]
            self._near = Neighbours(as_fraction(self._spec.drive, self._raw.take(self._near_rows).drive))
        scaled = as_fraction(self._spec.drive, drive)
        distance_NK, index_NK = self._near.find(scaled, self._count)
        wanted, back = np.unique(index_NK, return_inverse=True)
        response_NKR = self._raw.take(self._near_rows[wanted]).response.reshape(len(wanted), -1)[
            back.reshape(index_NK.shape)
        ]
        exact_N = same(distance_NK, scaled.shape[1])
        response_NR = response_NKR[:, 0].astype(np.result_type(response_NKR, np.float64))
        if not exact_N.all():
            response_NR[~exact_N] = blended(distance_NK[~exact_N], response_NKR[~exact_N])
        kind = np.dtype(self._spec.response.dtype)
        rounded: NDArray[Any] = np.round(response_NR) if kind.kind in "iu" else response_NR
        return rounded.astype(kind).reshape(len(drive), *self._spec.response.shape)

    def _refusal(self, row: int, number: int, drive: NDArray[Any]) -> str:
        """Say that a drive was not recorded, and how far off it is. Worked out once: the port asks again."""
        if number not in self._refused:
            scaled, nearest, seen = as_fraction(self._spec.drive, drive), np.inf, 0
            for rows in self._raw.blocks(superseded=True):
                sound = rows.drive[rows.valid]
                if len(sound):
                    apart = as_fraction(self._spec.drive, sound) - scaled
                    nearest = min(nearest, float(np.sqrt(np.square(apart).sum(axis=1).min())))
                    seen += len(sound)
                if seen * max(1, drive.nbytes) > _NEAREST_BYTES:
                    break
            self._refused = {number: f"the nearest of {seen} recorded drives differs by {nearest:.3g} of the range"}
        share = "" if self._raw.share >= 1 else f" (this run kept a share of {self._raw.share:g})"
        return (
            f"{self._spec.name}: the drive of row {row}, pass {number}, was not recorded; {self._refused[number]}. "
            f"Record all of it with session.raw = 'all'{share}, or set interpolate."
        )


class _Lookup:
    """Finds where in a list of hashes one stands."""

    def __init__(self, hash_M: Hashes) -> None:
        self._order = np.argsort(hash_M, kind="stable")
        self._sorted = hash_M[self._order]

    @property
    def firsts(self) -> Rows:
        """Places of the first of each, in the list's order."""
        new = np.ones(len(self._sorted), np.bool_)
        new[1:] = self._sorted[1:] != self._sorted[:-1]
        return np.sort(self._order[new])

    def first(self, hash_N: Hashes) -> Rows:
        """Return the first place of each; -1 where it is not in the list."""
        return self._at(np.searchsorted(self._sorted, hash_N, side="left"), hash_N)

    def last(self, hash_N: Hashes) -> Rows:
        """Return the last place of each; -1 where it is not in the list."""
        return self._at(np.searchsorted(self._sorted, hash_N, side="right") - 1, hash_N)

    def _at(self, place_N: NDArray[np.intp], hash_N: Hashes) -> Rows:
        inside = np.clip(place_N, 0, len(self._sorted) - 1)
        return np.where(self._sorted[inside] == hash_N, self._order[inside], -1)


def _bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return flat.reshape(len(array), flat.size // max(1, len(array)))


def _keyed(hash_N: Hashes, passes: Passes) -> Hashes:
    return mixed(hash_N ^ mixed(passes.astype(np.uint64)))


def _flags(rows: RawRows) -> NDArray[np.uint8]:
    """Return what the system said of the rows. How often they had been presented belongs to the recorded run."""
    flags: NDArray[np.uint8] = rows.meta["flags"] & np.uint8(0xFF ^ Flag.RETRIED)
    return flags
