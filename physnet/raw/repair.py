"""Raw data that a kill or a cut copy left: verified, cut segments brought back as far as they go, room given back."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ..errors import SessionError
from ..plain_files import listed, open_plain
from ..session import disk
from .blocks import rows_begun
from .layout import FOLDER, Form, build, inspect, numbers_in
from .reader import RawSystem, check_owner, open_raw
from .segment import Segment

_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class Mended:
    """A segment that was cut, and is whole again.

    Args:
        path: Where it is.
        copy: A copy with all that is left of it.
        rows: Sound rows in that.
        room: Rows that it has room for.
    """

    path: Path
    copy: Path
    rows: int
    room: int


@dataclass(frozen=True, kw_only=True)
class Segments:
    """What is left of a run's raw data.

    Args:
        rows: Sound rows, by system.
        torn: Rows that were begun and are not sound, by system.
        mended: Segments that were cut, of which rows are left.
        roomy: Segments with room that they don't need: a killed process leaves it.
        unreadable: Segments of which nothing can be read, and those of another run, and why.
    """

    rows: dict[str, int]
    torn: dict[str, int]
    mended: tuple[Mended, ...]
    roomy: tuple[Path, ...]
    unreadable: tuple[tuple[Path, str], ...]


def verify(folder: Path, scratch: Path, run: str = "") -> Segments | None:
    """Look at every row of a run's raw data; None where there are none.

    Args:
        folder: The run's folder. Nothing in it is changed.
        scratch: Folder for copies of segments that were cut, made when needed.
        run: The run that they must belong to; empty for any.

    Raises:
        SessionError: The folder can't be read.
    """
    mended, roomy, unreadable = [], [], []
    names = [name for name in listed(folder / FOLDER) if numbers_in(name)]
    for name in names:
        path = folder / FOLDER / name
        try:
            structure = inspect(path)
            check_owner(structure, run)
            if rows_begun(structure) < structure.rows:
                roomy.append(path)
        except SessionError as error:
            found = None if "another run" in str(error) else _lengthened(path, scratch)
            if found is None:
                unreadable.append((path, str(error)))
            else:
                mended.append(found)
    rows: dict[str, int] = {}
    torn: dict[str, int] = {}
    for where in (folder, *([scratch] if mended else [])):
        with contextlib.suppress(SessionError):
            for system in open_raw(where).systems.values():
                rows[system.name] = rows.get(system.name, 0) + system.rows
                torn[system.name] = torn.get(system.name, 0) + system.damaged
    if not names:
        return None
    return Segments(rows=rows, torn=torn, mended=tuple(mended), roomy=tuple(roomy), unreadable=tuple(unreadable))


def trim(path: Path) -> bool:
    """Give back the room that a segment does not need, or remove one without rows. Return whether there was any.

    All that was begun stays, rows that are not sound as well.

    Raises:
        SessionError: It can't be read.
        OSError: The disk refused. It is as it was.
    """
    structure = inspect(path)
    used = rows_begun(structure)
    if used == structure.rows:
        return False
    if not used:
        disk.remove(path)
        return True
    places = structure.places
    header, fresh, size = build(
        structure.name,
        RawSystem([structure]).spec,
        Form(
            drive=places["drive"].dtype,
            response=places["response"].dtype,
            spread=places["spread"].dtype if "spread" in places else None,
        ),
        index=structure.index,
        number=structure.number,
        rows=used,
        share=structure.share,
        seed=structure.seed,
        run=structure.run,
        encoded=structure.spec,
    )
    old = Segment(path, places, structure.rows)
    try:
        old.used = used
        old.replace_by(header, fresh, size)
    finally:
        old.close()
    return True


def _lengthened(path: Path, scratch: Path) -> Mended | None:
    """Return a copy of a cut segment at its full length, if any row in it is sound: what was cut off was never written.

    The checksums of the rows are at the end: of a segment that lost them, no row can be told from another.
    """
    with contextlib.suppress(SessionError, OSError), open_plain(path) as stream:
        size, head = os.fstat(stream.fileno()).st_size, stream.read(48)
        whole = int.from_bytes(head[28:36], "little")
        if head[:8] != _MAGIC or head[8:9] not in (b"\2", b"\3") or not size < whole <= 1 << 40:
            return None
        copy = scratch / FOLDER / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        stream.seek(0)
        with open(copy, "wb") as target:
            shutil.copyfileobj(stream, target, 1 << 20)
            target.truncate(whole)
        try:
            alone = scratch / "one"
            (alone / FOLDER).mkdir(parents=True)
            os.rename(copy, alone / FOLDER / path.name)
            room = inspect(alone / FOLDER / path.name).rows
            rows = sum(system.rows for system in open_raw(alone).systems.values())
            if not rows:
                return None
            os.rename(alone / FOLDER / path.name, copy)
            return Mended(path=path, copy=copy, rows=rows, room=room)
        finally:
            shutil.rmtree(scratch / "one", ignore_errors=True)
    return None
