"""Look at a system: play a few rows through a port, and write figures and a movie.

Axis letters: N rows; K repetitions; R response channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from ..contracts import PhysicalSystem
from ..errors import InputError, SessionError
from ..passes import Purpose, pass_numbers
from ..port import Port
from ..seeding import derive_seed, stream
from .contract import FRAMES, Viewable, field_of
from .drives import FEW, choose_drives
from .figures import write_field, write_geometry
from .movie import Movie, check_movie, write_movie
from .picture import Field, Geometry
from .response import write_response

REPEATS = 16
"""Passes of the row that is shown."""
_EPOCHS = 1 << 14
_Kind = TypeVar("_Kind", Geometry, Field)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was written, and what is to be said about it.

    Args:
        name: Of the system.
        kind: Its kind.
        passes: Rows that were played.
        files: By what they show.
        frames: Of the field; 0 where the system shows none.
        deviation: Largest difference between the response and what follows from the field shown, over the largest
            response; None where there is none to compare.
        notes: Lines to print.
    """

    name: str
    kind: str
    passes: int
    files: dict[str, Path] = field(default_factory=dict)
    frames: int = 0
    deviation: float | None = None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "passes": self.passes,
            "files": {what: str(path) for what, path in self.files.items()},
            "frames": self.frames,
            "deviation": self.deviation,
            "notes": list(self.notes),
        }


def view(
    system: PhysicalSystem,
    folder: Path,
    *,
    name: str | None = None,
    drive: str = "random",
    seed: int = 0,
    movie: Movie = "gif",
    frames: int = FRAMES,
    permitted: bool = False,
    interrupted: Callable[[], None] = lambda: None,
) -> Seen:
    """Write figures of geometry, field and response, and a movie. The system is opened, driven, and made safe again.

    A measured system is driven only where it is permitted, by `FEW - 1 + REPEATS` rows within its range, through a
    port. A system without a field to show has a figure of its response only.

    Args:
        system: The system, not entered yet.
        folder: Where the files go; made if it is not there.
        name: What to call it; the spec's own name when None.
        drive: `random`, `one`, or a file of `numpy.save`.
        seed: Of drives and order.
        movie: `gif`, `mp4` or `none`.
        frames: Most frames.
        permitted: Whether an instrument may be driven.
        interrupted: Called between parts and frames; raises to stop.

    Raises:
        InputError: Something asked for can't be done, or an instrument would be driven; nothing was touched.
        MeasurementError: Rows stayed unusable.
        SessionError: A file can't be written.
    """
    spec = system.spec
    if spec.kind == "measured" and not permitted:
        raise InputError(
            f"{spec.name} must be simulated unless --yes is given, got a measured system: viewing it would play "
            f"{FEW - 1 + REPEATS} rows into an instrument. Add --yes if it may be driven."
        )
    check_movie(movie)
    rows = choose_drives(spec, drive, seed=seed)
    title = f"{name or spec.name} ({spec.kind})"
    if name and name != spec.name:
        title = f"{name}: {title.removeprefix(name).strip()} {spec.name}".strip()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SessionError(f"folder {folder} can't be made: {error}. Choose another one with -o.") from error
    files: dict[str, Path] = {}
    shown, inner, wrapped = field_of(system, rows[0])
    readout, count, notes = None, 0, list[str]()
    if shown is not None:
        readout, count = _inside(shown, inner, folder, files, title, movie, frames, wrapped, interrupted)
        if wrapped:
            notes.append("The field is that of the system without its impairments.")
    else:
        notes.append("This system shows no field: it is a black box, and only its response is drawn.")
    port = Port(system, seed=seed, dtype=torch.float64)
    with port:
        response_NR, repeat_KR = _play(port, rows, seed=seed, interrupted=interrupted)
    path = folder / "response.png"
    files["response"] = write_response(spec, rows.reshape(FEW, -1), response_NR, repeat_KR, path, title=title)
    deviation = None
    if readout is not None and not wrapped:
        top = float(np.abs(response_NR[0]).max()) or 1.0
        deviation = float(np.abs(readout.ravel() - response_NR[0]).max()) / top
    return Seen(
        name=name or spec.name,
        kind=spec.kind,
        passes=port.count.passes,
        files=files,
        frames=count,
        deviation=deviation,
        notes=tuple(notes),
    )


def _inside(
    shown: Viewable,
    drive: Any,
    folder: Path,
    files: dict[str, Path],
    title: str,
    movie: Movie,
    frames: int,
    wrapped: bool,
    interrupted: Callable[[], None],
) -> tuple[Any, int]:
    """Draw geometry and field; return the read-out of the field, and how many frames it has."""
    geometry = _of(Geometry, "geometry", shown.geometry())
    files["geometry"] = write_geometry(geometry, folder / "geometry.png", title=title)
    interrupted()
    found = _of(Field, "field", shown.field(drive, frames=frames))
    interrupted()
    files["field"] = write_field(found, folder / "field.png", title=title)
    if movie != "none" and len(found.at_F) > 1:
        path = folder / f"field.{movie}"
        files["movie"] = write_movie(found, path, title=title, kind=movie, interrupted=interrupted)
    return found.readout, len(found.at_F)


def _of(kind: type[_Kind], name: str, found: object) -> _Kind:
    """Refuse a method that only happens to have the name of one of `Viewable`."""
    if not isinstance(found, kind):
        raise InputError(
            f"{name}() of a system must return a physnet.viewing.{kind.__name__}, got {type(found).__name__}. Give the "
            "method another name if it means something else."
        )
    return found


def _play(port: Port, rows: Any, *, seed: int, interrupted: Callable[[], None]) -> tuple[Any, Any]:
    """Play the row that is shown first, then the others and its repetitions in a random order."""
    which = np.concatenate((np.arange(1, FEW), np.zeros(REPEATS - 1, np.int64)))
    which = np.concatenate(([0], stream(seed, "view order").permutation(which)))
    interrupted()
    epoch = derive_seed(seed, "view passes") % _EPOCHS
    passes = pass_numbers(Purpose.CALIBRATE, epoch=epoch, rows=len(which))
    reading = port.measure(rows[which], passes, ordered=True)
    response = torch.as_tensor(reading.response).flatten(1).cpu().numpy()
    first_N = [int(np.flatnonzero(which == n)[0]) for n in range(FEW)]
    return response[first_N], response[which == 0]
