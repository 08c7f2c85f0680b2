"""Reading raw data back, however its run ended, and whoever made the folder."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts import SystemSpec
from ..errors import SessionError, SpecError
from ..plain_files import listed, open_plain, read_exactly
from .layout import FOLDER, Structure, inspect, numbers_in
from .rows import CRC, META, RawRows, checksums
from .spec import shapes_in, spec_from_json

_BLOCK_BYTES = 16 << 20
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RawIndex:
    """Where the sound rows of a system are, in the order in which it was driven.

    Args:
        segment: Number of the segment in `RawSystem.segments`, shape `(n,)`.
        row: Row in it.
        pass_number, attempt, valid: As in `RawRows.meta`.
        digest: SHA-256 over pass numbers and checksums: changes with any row.
        damaged: Rows that were begun but don't match their checksum.
    """

    segment: Rows
    row: Rows
    pass_number: Rows
    attempt: Rows
    valid: NDArray[np.bool_]
    digest: str
    damaged: int

    def __len__(self) -> int:
        return len(self.row)

    @cached_property
    def latest(self) -> Rows:
        """Numbers of the rows that no later attempt or retry of the same pass number superseded, in order."""
        order = np.lexsort((np.arange(len(self)), self.attempt, self.pass_number))
        number = self.pass_number[order]
        last = np.ones(len(order), np.bool_)
        last[:-1] = number[1:] != number[:-1]
        return np.sort(order[last])


class RawSystem:
    """The raw data of one system of a run.

    Nothing is kept in memory but the structure, and, once rows are counted or taken, an index of some 40 bytes a row.

    Args:
        structures: Its segments, at least one, in order.

    Raises:
        SessionError: They don't belong together.
    """

    def __init__(self, structures: Sequence[Structure]) -> None:
        first = structures[-1]
        if len({one.run for one in structures if one.run}) > 1:
            raise SessionError(f"segments of {first.name!r} in {first.path.parent} are of two runs. Separate them.")
        self.segments = tuple(structures)
        self.name, self.share = first.name, first.share
        try:
            # The declared shapes first, against arrays that are really there: a spec takes memory by its channels.
            shapes = shapes_in(first.spec)
            for one in structures:
                found = (one.places["drive"].shape, one.places["response"].shape)
                if found != shapes or one.name != self.name:
                    raise SessionError(
                        f"segment {one.path} must hold system {self.name!r} with shapes {shapes}, got {one.name!r} "
                        f"with {found}. Segments of two runs are in one folder: separate them."
                    )
            self.spec: SystemSpec = spec_from_json(first.spec)
        except SpecError as error:
            raise SessionError(f"segment {first.path} is damaged: {error} Copy it again.") from error

    @property
    def kind(self) -> str:
        """Kind of the system: `simulated`, `measured`, ..."""
        return self.spec.kind

    @cached_property
    def index(self) -> RawIndex:
        """Where the sound rows are. Reads everything once.

        Raises:
            SessionError: A segment can't be read.
        """
        parts: list[dict[str, Rows]] = []
        damaged, digest = 0, hashlib.sha256()
        for number, structure in enumerate(self.segments):
            for start, rows, crc, sound in _blocks(structure):
                damaged += int(np.count_nonzero(~sound & _begun(rows, crc)))
                kept = rows.meta[sound]
                digest.update(np.ascontiguousarray(kept["pass_number"]).tobytes() + crc[sound].tobytes())
                place = {"segment": np.full(len(kept), number), "row": start + np.flatnonzero(sound)}
                parts.append({**place, **{name: kept[name] for name in ("pass_number", "attempt", "valid")}})
        joined = {
            name: np.concatenate([part[name] for part in parts]).astype(np.int64)
            for name in ("segment", "row", "pass_number", "attempt", "valid")
        }
        valid = joined.pop("valid") != 0
        return RawIndex(**joined, valid=valid, digest=digest.hexdigest(), damaged=damaged)

    @property
    def rows(self) -> int:
        """Sound rows, those included that were superseded or could not be used."""
        return len(self.index)

    @property
    def damaged(self) -> int:
        """Rows that were begun but don't match their checksum: they are left out.

        A kill can cost the rows that were being written: at most what came since the last flush.
        """
        return self.index.damaged

    def blocks(self, *, superseded: bool = False, block_bytes: int = _BLOCK_BYTES) -> Iterator[RawRows]:
        """Yield the sound rows in the order in which they were played, a block at a time.

        Args:
            superseded: Also those whose pass number was presented again later, by a retry or another attempt.
            block_bytes: Most bytes of a block, unless one row is larger.

        Raises:
            SessionError: A segment can't be read.
        """
        which: NDArray[np.bool_] | None = None
        if not superseded:
            which = np.zeros(self.rows, np.bool_)
            which[self.index.latest] = True
        done = 0
        for structure in self.segments:
            for _, rows, _, sound in _blocks(structure, block_bytes):
                found = np.flatnonzero(sound)
                if which is not None:
                    keep = which[done : done + len(found)]
                    done += len(found)
                    found = found[keep]
                if len(found):
                    yield rows.part(found)

    def take(self, which: Rows) -> RawRows:
        """Return some rows.

        Args:
            which: Numbers of rows in `index`, in any order.

        Returns:
            Those rows, in the order asked for.

        Raises:
            SessionError: A segment can't be read, or was changed since it was opened.
        """
        index = self.index
        order = np.argsort(which, kind="stable")
        wanted = which[order]
        segment, row = index.segment[wanted], index.row[wanted]
        parts = []
        for number in np.unique(segment).tolist():
            structure = self.segments[number]
            with open_plain(structure.path) as stream:
                parts += [self._checked(structure, stream, run) for run in _runs(row[segment == number], structure)]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return joined(parts, self.segments[-1]).part(back)

    def _checked(self, structure: Structure, stream: Any, run: Rows) -> RawRows:
        """Read some rows of a segment, in ascending order."""
        first = int(run[0])
        rows, crc = _read(structure, stream, first, int(run[-1]) - first + 1)
        chosen, stored = rows.part(run - first), crc[run - first]
        if not np.array_equal(checksums(chosen), stored):
            raise SessionError(f"segment {structure.path} was changed while it was read. Open the run again.")
        return chosen

    def arrays(self, *, superseded: bool = False) -> RawRows:
        """Return all sound rows at once; see `blocks`. It takes the memory that the rows take.

        Raises:
            SessionError: A segment can't be read.
        """
        return joined(list(self.blocks(superseded=superseded)), self.segments[-1])


@dataclass(frozen=True, kw_only=True, eq=False)
class RawData:
    """The raw data of a run.

    Args:
        folder: The run's folder.
        systems: By name, in the run's order.
        unreadable: What was said of segments that had to be left out.
    """

    folder: Path
    systems: Mapping[str, RawSystem]
    unreadable: tuple[str, ...]

    def system(self, name: str | None = None) -> RawSystem:
        """Return a system; the only one when no name is given.

        Raises:
            SessionError: There is no such system, or there are several and none was named.
        """
        if name is None and len(self.systems) == 1:
            return next(iter(self.systems.values()))
        if name is None or name not in self.systems:
            got = "none was named" if name is None else f"got {name!r}"
            raise SessionError(f"raw data of {self.folder} are of {', '.join(self.systems)}: name one of these, {got}.")
        return self.systems[name]


def open_raw(path: Path | str) -> RawData:
    """Open the raw data of a run.

    A segment that can't be read, or belongs to another run than the session beside it, is left out, and `unreadable`
    says so, as long as another of its system can.

    Args:
        path: A run's folder.

    Raises:
        SessionError: There are no raw data, or none that can be read.
    """
    folder = Path(path)
    run = _run_of(folder)
    found: dict[int, list[Structure]] = {}
    problems: list[str] = []
    for name in listed(folder / FOLDER):
        numbers = numbers_in(name)
        if numbers is None:
            continue
        try:
            one = inspect(folder / FOLDER / name)
            check_owner(one, run)
            found.setdefault(numbers[0], []).append(one)
        except SessionError as error:
            problems.append(str(error))
    systems: dict[str, RawSystem] = {}
    for index in sorted(found):
        if found[index]:
            system = RawSystem(sorted(found[index], key=lambda structure: structure.number))
            if system.name in systems:
                raise SessionError(f"raw data of {folder} hold system {system.name!r} twice. Separate the two runs.")
            systems[system.name] = system
    if not systems:
        why = " ".join(problems) or (
            f"there is no segment in {folder / FOLDER}. Train with raw data: set session.raw to 'all', or to a share."
        )
        raise SessionError(f"run {folder} has no raw data that can be read: {why}")
    return RawData(folder=folder, systems=systems, unreadable=tuple(problems))


def check_owner(structure: Structure, run: str) -> None:
    """Check that a segment belongs to a run.

    Args:
        structure: The segment. One that names no run belongs to any.
        run: The run's name for itself; empty for any.

    Raises:
        SessionError: It belongs to another.
    """
    if run and structure.run and structure.run != run:
        raise SessionError(f"segment {structure.path} belongs to another run than the session beside it. Take it away.")


def _run_of(folder: Path) -> str:
    """Return what the session beside the raw data calls its run; empty where there is none that can be asked."""
    from ..session.layout import SESSION  # sessions are read with what is in this package, and import it
    from ..session.safety import FAILURES, opened

    try:
        with opened(folder / SESSION) as source:
            return str(source.attribute(source.file, "run"))
    except (SessionError, *FAILURES):
        return ""


def rows_begun(structure: Structure) -> int:
    """Return how many rows of a segment were begun: behind them is room alone.

    Raises:
        SessionError: It can't be read.
    """
    count = 0
    for start, rows, crc, _ in _blocks(structure):
        begun = np.flatnonzero(_begun(rows, crc))
        count = start + int(begun[-1]) + 1 if len(begun) else count
    return count


def last_position(folder: Path, index: int) -> int:
    """Return the largest position that was given to a row of a system; -1 when none can be read.

    Args:
        folder: Folder of the segments.
        index: Number of the system.
    """
    names = [name for name in listed(folder) if (numbers := numbers_in(name)) and numbers[0] == index]
    for name in reversed(names):
        with contextlib.suppress(SessionError):
            last = -1
            for _, rows, _, sound in _blocks(inspect(folder / name)):
                last = max([last, *rows.meta["position"][sound][-1:].tolist()])
            if last >= 0:
                return last
    return -1


def _blocks(
    structure: Structure, block_bytes: int = _BLOCK_BYTES
) -> Iterator[tuple[int, RawRows, NDArray[np.uint32], NDArray[np.bool_]]]:
    """Yield the rows of a segment: number of the first, the rows, their checksums, and which of them are sound."""
    size = sum(place.row_bytes for place in structure.places.values())
    count = max(1, block_bytes // size)
    with open_plain(structure.path) as stream:
        for start in range(0, structure.rows, count):
            rows, crc = _read(structure, stream, start, min(count, structure.rows - start))
            yield start, rows, crc, _matches(rows, crc)


def _runs(row: Rows, structure: Structure) -> list[Rows]:
    """Cut rows, in ascending order, where what lies between them is not worth reading."""
    size = sum(place.row_bytes for place in structure.places.values())
    span = np.arange(len(row)) // max(1, _BLOCK_BYTES // size)  # and no run takes much memory
    return np.split(row, np.flatnonzero((np.diff(row) > 4) | (np.diff(span) != 0)) + 1)


def _read(structure: Structure, stream: Any, start: int, count: int) -> tuple[RawRows, NDArray[np.uint32]]:
    arrays: dict[str, NDArray[Any]] = {}
    try:
        for name, place in structure.places.items():
            array = np.empty((count, *place.shape), place.dtype)
            read_exactly(stream, place.offset + start * place.row_bytes, array)
            arrays[name] = array
    except (OSError, MemoryError) as error:
        raise SessionError(
            f"segment {structure.path} can't be read ({error}). Copy it again from where it was written."
        ) from error
    meta = np.empty(count, META)
    for name in META.names or ():
        meta[name] = arrays[name]
    rows = RawRows(meta=meta, drive=arrays["drive"], response=arrays["response"], spread=arrays.get("spread"))
    return rows, arrays[CRC]


def _matches(rows: RawRows, crc: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Tell the sound rows: written, and matching their checksum. Rows never written are passed over quickly."""
    sound = np.zeros(len(rows), np.bool_)
    written = np.flatnonzero((crc != 0) | (rows.meta["time"] != 0))
    if len(written):
        sound[written] = np.array(checksums(rows.part(written)), np.uint32) == crc[written]
    return sound


def _begun(rows: RawRows, crc: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Tell the rows of which anything was written."""
    parts = [rows.meta, rows.drive, rows.response, *([] if rows.spread is None else [rows.spread])]
    begun: NDArray[np.bool_] = crc != 0
    for part in parts:
        begun = begun | part.reshape(len(rows), -1).view(np.uint8).any(axis=1)
    return begun


def joined(parts: Sequence[RawRows], like: Structure) -> RawRows:
    """Put blocks together: NaN where one has no spread, and of two types of response one that holds both."""
    if not parts:
        empty = {name: np.empty((0, *place.shape), place.dtype) for name, place in like.places.items()}
        return RawRows(meta=np.empty(0, META), drive=empty["drive"], response=empty["response"])
    spread = None
    if any(part.spread is not None for part in parts):
        kind = np.result_type(np.float32, *(part.spread.dtype for part in parts if part.spread is not None))
        spread = np.concatenate(
            [np.full(part.response.shape, np.nan, kind) if part.spread is None else part.spread for part in parts]
        )
    return RawRows(
        meta=np.concatenate([part.meta for part in parts]),
        drive=np.concatenate([part.drive for part in parts]),
        response=np.concatenate([part.response for part in parts]),
        spread=spread,
    )
