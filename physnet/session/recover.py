"""Repairing a run's folder after a kill, a full disk or a cut copy; what was lost is said exactly.

Nothing is destroyed: a session file that held damage, and one of an older schema, is kept beside the repaired one; what
can't be read is moved to `damaged/`. The repaired file takes its place in one step.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import SessionError
from ..plain_files import open_plain
from ..printable import printable
from ..raw.layout import FOLDER
from ..raw.repair import Segments, trim, verify
from . import checkpoint, disk, layout, leftovers, losses
from .checkpoint import Checkpoint
from .layout import CHECKPOINTS, SESSION
from .leftovers import Leftover
from .reader import open_run
from .rebuild import last_time, rebuild
from .remains import Remains
from .safety import FAILURES, is_folder
from .state import State

try:
    import fcntl
except ImportError:  # Windows, where writers don't lock
    fcntl = None  # type: ignore[assignment]

DAMAGED = "damaged"


@dataclass(kw_only=True)
class Report:
    """What a recovery found and did.

    Args:
        folder: The run's folder.
        dry: Whether nothing was changed, though it should be.
        found: What was not as it should be.
        repaired: What was done about it.
        lost: What could not be saved.
        missing: What was lost before: it is no damage, and stays so.
        kept: Originals of what was repaired, and what could not be read.
        checkpoints: The sound ones, oldest first.
        unborn: Whether it is a run that was killed while its folder was made.
    """

    folder: Path
    dry: bool = False
    found: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    unborn: bool = False

    @property
    def sound(self) -> bool:
        """Whether there was nothing to repair."""
        return not self.found


def recover(folder: Path | str, *, dry_run: bool = False) -> Report:
    """Bring a run's folder in order.

    Args:
        folder: The run's folder.
        dry_run: Only say what would be done.

    Returns:
        What was found, done and lost. Done again, it finds nothing.

    Raises:
        SessionError: The run is still going on, is of a newer physnet, can't be saved, or the disk refused.
            Nothing was changed, or what was is sound.
    """
    folder = Path(os.path.abspath(folder))
    report = Report(folder=folder, dry=dry_run)
    unborn = leftovers.beside(folder.parent, folder.name)
    if not (folder / SESSION).exists() and not (folder / CHECKPOINTS).exists():
        unborn = unborn or leftovers.beside(folder)
        if not unborn:
            raise SessionError(f"{folder} is not a run folder: there is no {SESSION} in it. Give a folder of a run.")
        report.unborn = True
        _remove(report, unborn)
        return report
    try:
        with _held(folder):
            _recover(folder, report, unborn)
    except OSError as error:
        raise SessionError(
            f"run {folder} can't be repaired: {error}. What was there is there still. Free some space, or copy the "
            "folder to a disk that you may write to, and start again."
        ) from error
    return report


def _recover(folder: Path, report: Report, unborn: Sequence[Leftover]) -> None:
    path = folder / SESSION
    report.checkpoints, unsound = _checkpoints(folder)
    spare = report.checkpoints[-1].tensors if report.checkpoints else {}
    state = State.of(path, spare)
    part = path.with_name(f".{SESSION}.part")
    if state.left is None and part.exists():
        other = State.of(part, spare)
        if other.left is not None:
            state = replace(
                other, problems=(f"{SESSION} can't be read ({state.why}); {part.name} can", *other.problems)
            )
    if state.left is None:
        raise _refusal(path, state.why, report.checkpoints)
    left = state.left
    foreign, report.checkpoints = _foreign(left.about.run, report.checkpoints)
    _remove(report, [*leftovers.inside(folder), *unborn], keep=part if state.problems or left.lost else None)
    for name, why in [*unsound, *foreign]:
        report.found.append(why)
        report.lost.append(f"checkpoint {name.name}")
        _put_aside(report, name)
    _mend_raw(folder, report, left.about.run)
    ends = losses.told(left, report.checkpoints)
    report.missing += ends.missing if not ends.lost else []
    notes = [*[f"{part}: lost" for part in (*ends.lost, *left.lost)], *left.assumed]
    unused = sum(rows.room - len(rows.rows) for rows in left.tables.values())
    torn = any(rows.torn or rows.unknown for rows in left.tables.values())
    report.found += state.problems
    report.lost += [*ends.lost, *left.lost]
    if left.lost:
        report.found.append(f"damaged or gone: {', '.join(left.lost)}")
    report.found += ends.found
    if left.running:
        report.found.append("it was killed: no end was written")
    elif unused and not torn:
        report.found.append("tables are longer than their rows")
    older = left.about.schema < layout.SCHEMA
    if older:
        report.found.append(f"its schema is {left.about.schema}, and the present one is {layout.SCHEMA}")
    damaged = bool(state.problems or left.lost or notes or torn)
    if damaged or left.running or unused or older:
        _replace(report, _ended(left), [*notes, *(state.problems if damaged else ())], damaged=damaged, older=older)
    if damaged and not report.dry and part.exists():
        _put_aside(report, part)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep a session from being opened by others meanwhile.

    Raises:
        SessionError: Another process is writing it.
    """
    path = folder / SESSION
    if not path.exists():
        yield
        return
    if fcntl is None:
        try:
            os.rename(path, path)  # Windows refuses it for a file that another process has open
        except PermissionError as error:
            raise _going_on(folder) from error
        yield
        return
    with open_plain(path) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _going_on(folder) from error
        except OSError:  # a disk without locks
            pass
        yield


def _going_on(folder: Path) -> SessionError:
    return SessionError(
        f"run {folder} is still going on: another process has {SESSION} open. Recover it when it has ended."
    )


def _checkpoints(folder: Path) -> tuple[list[Checkpoint], list[tuple[Path, str]]]:
    sound, unsound = [], []
    for path in checkpoint.listed(folder / CHECKPOINTS):
        try:
            sound.append(checkpoint.load(path))
        except SessionError as error:
            with open_plain(path):  # one that may not be read at all is not touched
                unsound.append((path, str(error).removesuffix(" Use an older one from the same folder.")))
    return sound, unsound


def _foreign(run: str, found: Sequence[Checkpoint]) -> tuple[list[tuple[Path, str]], list[Checkpoint]]:
    foreign, own = [], []
    for one in found:
        try:
            checkpoint.load(one.path, run=run)
            own.append(one)
        except SessionError as error:
            foreign.append((one.path, str(error)))
    return foreign, own


def _refusal(path: Path, why: str, found: Sequence[Checkpoint]) -> SessionError:
    error = SessionError(
        f"session {path} can't be recovered: {why}. Nothing was changed. Copy it again from where it was written."
    )
    if found:
        error.add_note("Its checkpoints are sound, and hold weights; which network they are of, only the session says:")
        for one in found:
            error.add_note(f"  {one.path}  ({where(one)})")
    else:
        error.add_note(f"There is no sound checkpoint in {path.parent / CHECKPOINTS} either.")
    return error


def where(one: Checkpoint) -> str:
    """Say where a run stood at a checkpoint, for people, who count epochs from 1."""
    return f"{'' if one.complete else 'in '}epoch {one.epoch + 1}, step {one.step}"


def _ended(left: Remains) -> Remains:
    """Say of a run without an end that it was killed, and when it last wrote."""
    if left.end.status != "killed":
        return left
    message = "no end was written" if left.running else left.end.message
    return replace(left, end=replace(left.end, message=message, time=left.end.time or last_time(left)))


def _replace(report: Report, left: Remains, notes: Sequence[str], *, damaged: bool, older: bool) -> None:
    """Put a clean file in the session's place."""
    path = report.folder / SESSION
    rows = {name: len(one.rows) for name, one in left.tables.items()}
    counted = ", ".join(f"{rows[name]} {name}" for name in ("steps", "epochs", "events"))
    done = [f"{SESSION} made anew: {counted}"]
    if left.running:
        done.append("its status: killed")
    if older:
        done.append(f"its schema: {layout.SCHEMA}; what it did not record is NaN, or 0 where nothing was to be counted")
    report.repaired += done
    stamp = f"{datetime.datetime.now():%Y%m%d-%H%M%S}"
    kept = _free(path.with_name(f"{SESSION}.schema-{left.about.schema}" if older else f"{SESSION}.damaged-{stamp}"))
    keeps = (damaged or older) and path.exists()
    if keeps:
        report.kept.append(kept)
    if report.dry:
        return
    try:
        image = rebuild(left, notes)
    except FAILURES as error:
        said = printable(str(error))
        raise SessionError(
            f"session {path} can't be recovered: {said}. Copy it again from where it was written."
        ) from error
    part = path.with_name(f".{SESSION}.part-{os.getpid()}")
    try:
        disk.write_whole(part, image)
        found = open_run(part)
        unexpected = set(found.damaged_parts) - {name for name, text in left.texts.items() if text is None}
        if unexpected or found.damaged_rows or len(found.steps["step"]) + found.superseded_steps != rows["steps"]:
            raise SessionError(
                f"what was made of {path} is not what was left of it. Please report this; it is unchanged."
            )
        if keeps:
            _link(path, kept)
        disk.replace(part, path)
    finally:
        disk.remove(part)


def _remove(report: Report, found: Sequence[Leftover], keep: Path | None = None) -> None:
    names = []
    for one in found:
        if one.path == keep:
            continue
        name = (
            one.path.name
            if one.path.parent in (report.folder, report.folder.parent)
            else (f"{one.path.parent.name}/{one.path.name}")
        )
        if one.held_by is not None:
            report.missing.append(f"{name} is left alone: process {one.held_by} may still write it")
            continue
        names.append(name)
        if not report.dry:
            one.remove()
    if names:
        report.found.append(f"left over: {', '.join(names)}")
        report.repaired.append("what was left over: removed")


def _put_aside(report: Report, path: Path) -> None:
    """Move a file to `damaged/`."""
    target = _free(report.folder / DAMAGED / path.name)
    report.kept.append(target)
    report.repaired.append(f"{path.name}: moved to {DAMAGED}/")
    if not report.dry:
        disk.make_folder(target.parent)
        disk.rename(path, target)


def _mend_raw(folder: Path, report: Report, run: str) -> None:
    if not is_folder(folder / FOLDER):
        return
    where = None if report.dry else folder
    with tempfile.TemporaryDirectory(prefix=".recover-", dir=where, ignore_cleanup_errors=True) as scratch:
        raw: Segments | None = verify(folder, Path(scratch), run)
        if raw is None:
            return
        for name, count in raw.torn.items():
            if count:  # its readers leave them out: nothing is to be done
                report.missing.append(f"{count} raw rows of {name} are torn and left out, {raw.rows[name]} are sound")
        for one in raw.mended:
            report.found.append(f"raw/{one.path.name} is cut")
            if one.rows < one.room:
                places = f"{one.room - one.rows} of {one.room} places for rows"
                report.lost.append(f"whatever was at {places} of raw/{one.path.name}")
            _put_aside(report, one.path)
            if not report.dry:
                disk.rename(one.copy, one.path)
                trim(one.path)
        for path in raw.roomy:
            report.found.append(f"raw/{path.name} is longer than its rows")
            report.repaired.append(f"raw/{path.name}: cut to its rows")
            if not report.dry:
                trim(path)
        for path, why in raw.unreadable:
            report.found.append(f"raw/{path.name} can't be read: {why}")
            report.lost.append(f"all rows of raw/{path.name}")
            _put_aside(report, path)


def _link(path: Path, target: Path) -> None:
    """Give a file a second name; a copy where the disk knows no such thing."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)


def _free(path: Path) -> Path:
    free, number = path, 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free
