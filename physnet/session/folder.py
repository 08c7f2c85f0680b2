"""The folder of a run: made complete by one rename, opened again and taken up where the run ended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py

from ..errors import SessionError
from ..records import RunPlan
from . import disk, filling, layout, table
from .layout import CHECKPOINTS, RESERVE, SESSION
from .space import RESERVE_BYTES, reason
from .store import SessionFile
from .table import Column


def weight_bytes(plan: RunPlan) -> int:
    """Return the bytes of all tensors of a run."""
    return sum(int(array.nbytes) for array in plan.tensors.values())


def make_run_folder(folder: Path, plan: RunPlan, *, run: str) -> SessionFile:
    """Make a run folder with everything in it that the run will write to.

    Args:
        folder: The folder, absolute; its parents are made too.
        plan: What the run is going to do.
        run: What tells it from every other.

    Returns:
        Its session file, open.

    Raises:
        SessionError: The folder exists, can't be made, or the plan can't be laid out. No folder is left.
    """
    image = layout.build(plan, run=run)
    if os.path.lexists(folder):
        raise SessionError(f"run folder {folder} exists already. Choose another name, or let new_run_folder do it.")
    part = folder.parent / f".{folder.name[:80]}.part-{os.getpid()}"
    reserve = RESERVE_BYTES + weight_bytes(plan)
    file = None
    try:
        disk.make_folder(folder.parent)
        shutil.rmtree(part, ignore_errors=True)
        disk.make_folder(part / CHECKPOINTS)
        disk.take_room(part / RESERVE, reserve)
        file = SessionFile.create(part / SESSION, image)
        file.move_folder(folder)
    except BaseException as error:
        if file is not None:
            file.close()
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError | ValueError):
            raise SessionError(
                f"run folder {folder} can't be made: {reason(error)}. Choose a folder on a local disk that you "
                f"may write to, with {(image.size + reserve) / 1e6:.0f} MB free."
            ) from error
        raise
    return file


def open_again(folder: Path) -> SessionFile:
    """Open the session file of a run that ended before it was done.

    Raises:
        SessionError: The run is still going on, or the file can't be written to.
    """
    try:
        return SessionFile(folder / SESSION)
    except BlockingIOError as error:
        raise SessionError(f"run {folder} is still going on: another process is writing it.") from error
    except OSError as error:
        raise SessionError(f"run {folder} can't be written to: {reason(error)}.") from error


@dataclass(frozen=True, kw_only=True)
class TakenUp:
    """What a session says of the run so far.

    Args:
        run: What tells the run from every other.
        attempt: How many times it was resumed, this one included.
        used: Rows of each table.
        best: The best validation accuracy, and its epoch; -1 and None before there was one.
    """

    run: str
    attempt: int
    used: Mapping[str, int]
    best: tuple[float, int | None]


def take_up(file: SessionFile, folder: Path, plan: RunPlan, columns: Mapping[str, tuple[Column, ...]]) -> TakenUp:
    """Give a session room to go on, and read how far it has come.

    Args:
        file: Its file, from `open_again`.
        folder: The run folder.
        plan: What the run is going to do: layers, metrics and tensors as before.
        columns: Columns of each table.

    Raises:
        SessionError: It has another plan or schema.
        OSError: The disk refused.
    """
    with file.read() as content:
        schema = int(content.attrs["physnet_schema"])
        if schema != layout.SCHEMA:
            raise SessionError(
                f"run {folder} has schema {schema}, and runs of schema {layout.SCHEMA} can be gone on with. "
                "physnet recover brings an older one up to date."
            )
        entry, run = content["entry"], str(content.attrs["run"])
        if problem := filling.other_plan(entry, plan):
            raise SessionError(f"run {folder} can't be gone on with: {problem}.")
        found = {name: table.read(entry[name], own) for name, own in columns.items()}
        used = {name: int(rows.places[-1]) + 1 if len(rows.places) else 0 for name, rows in found.items()}
        best: tuple[float, int | None] = (-1.0, None)
        for accuracy, epoch in zip(
            found["epochs"].values["validation_accuracy"], found["epochs"].values["epoch"], strict=True
        ):
            best = (float(accuracy), int(epoch)) if accuracy > best[0] else best

    def change(content: h5py.File) -> None:
        entry = content["entry"]
        for name, own in columns.items():
            rows, _ = layout.ROOM[name]
            table.clear(entry[name], own, used[name])
            table.resize(entry[name], own, max(rows, used[name] + rows // 2))
        filling.write_end(entry, "running", "", ended=False)

    (folder / CHECKPOINTS).mkdir(exist_ok=True)
    disk.take_room(folder / RESERVE, RESERVE_BYTES + weight_bytes(plan))
    file.replace(change)
    attempt = 1 + max([0, *found["attempts"].values["attempt"].tolist()])
    return TakenUp(run=run, attempt=attempt, used=used, best=best)
