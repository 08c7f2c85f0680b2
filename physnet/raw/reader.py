"""Reading raw data back, however its run ended, and whoever made the folder."""

from __future__ import annotations

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
from ..plain_files import listed, open_plain
from .blocks import BLOCK_BYTES, Rows, blocks_of, is_begun, joined, read_rows, runs_of
from .layout import FOLDER, Structure, inspect, numbers_in
from .rows import RawRows, checksums
from .spec import shapes_in, spec_from_json


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
            for start, rows, crc, sound in blocks_of(structure):
                damaged += int(np.count_nonzero(~sound & is_begun(rows, crc)))
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

    def blocks(self, *, superseded: bool = False, block_bytes: int = BLOCK_BYTES) -> Iterator[RawRows]:
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
            for _, rows, _, sound in blocks_of(structure, block_bytes):
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
                parts += [self._checked(structure, stream, run) for run in runs_of(row[segment == number], structure)]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return joined(parts, self.segments[-1]).part(back)

    def _checked(self, structure: Structure, stream: Any, run: Rows) -> RawRows:
        """Read some rows of a segment, in ascending order."""
        first = int(run[0])
        rows, crc = read_rows(structure, stream, first, int(run[-1]) - first + 1)
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
