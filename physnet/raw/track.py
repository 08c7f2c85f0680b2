"""The segments of one system, one after the other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts import SystemSpec
from ..errors import SessionError
from ..session import disk
from .layout import MOST_ROW_BYTES, Form, Place, build, file_name
from .rows import META, Pending, RawRows
from .segment import Header, Segment

_LEAST_ROWS = 64
_SHARE, _MOST = 8, 4
"""A segment has room for that part of what was written before: what is copied when the last one is cut stays little
beside it. And for at most so many times what the first one has."""


class Track:
    """Puts the rows of one system into segments.

    Args:
        folder: Folder of the segments.
        name: The system's name in its run.
        spec: Its spec.
        index: Its number in the run.
        number: The last segment that there is; 0 for none.
        share: Part of the rows that is kept.
        seed: What chooses them.
        segment_bytes: Room that the first segment is to have, unless 64 rows need more.
        run: What tells the run from every other.

    Raises:
        SessionError: A row would be too large.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        spec: SystemSpec,
        *,
        index: int,
        number: int,
        share: float,
        seed: int,
        segment_bytes: int,
        run: str = "",
    ) -> None:
        self._folder, self.name, self.spec, self._index = folder, name, spec, index
        self._number, self._share, self._seed, self._run, self._bytes = number, share, seed, run, segment_bytes
        self._written = 0
        self._segment: Segment | None = None
        self._form: Form | None = None
        widest = max(part.channels * np.dtype(part.dtype).itemsize for part in (self.spec.drive, self.spec.response))
        if widest > MOST_ROW_BYTES:
            raise SessionError(
                f"raw data of {name} must have at most {MOST_ROW_BYTES} bytes a row, got {widest}. "
                "Set session.raw to 'none'."
            )

    def write(self, pending: Sequence[Pending]) -> None:
        """Write rows. What is on the disk already is skipped when it is called again.

        Raises:
            OSError: The disk refused; `done` of each tells how many of its rows it took.
        """
        left = [one for one in pending if one.done < len(one)]
        while left:
            segment, form = self._segment, self._form
            if segment is None or form is None or not segment.room or not _fits(left[0], form):
                segment, form = self._next(left[0])
            parts, room = [], segment.room
            for one in left:
                if not room or not _fits(one, form):
                    break
                parts.append(_shaped(one, slice(one.done, one.done + room), form, self.spec))
                room -= len(parts[-1])
            segment.write(parts)
            for one, part in zip(left, parts, strict=False):
                one.done += len(part)
            segment.sync_behind()
            left = [one for one in left if one.done < len(one)]

    def sync(self) -> None:
        """Have the disk take what was written.

        Raises:
            OSError: The disk refused.
        """
        if self._segment is not None:
            self._segment.sync()

    def close(self) -> None:
        """Give back the room that was not needed, where the disk lets us, and close."""
        if self._segment is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._cut(self._segment)
            self._segment.close()
            self._segment = self._form = None

    def _next(self, pending: Pending) -> tuple[Segment, Form]:
        """Begin another segment."""
        if self._segment is not None:
            self._segment.sync()
        self.close()
        form = _form(pending, self.spec)
        row = META.itemsize + 4 + self.spec.drive.channels * form.drive.itemsize
        row += self.spec.response.channels * (form.response.itemsize + (form.spread.itemsize if form.spread else 0))
        room = min(max(self._bytes, self._written // _SHARE), _MOST * self._bytes)
        rows = max(_LEAST_ROWS, room // row)
        self._written += rows * row
        number = self._number + 1
        while os.path.lexists(self._path(number)):
            number += 1
        self._segment = Segment.create(self._path(number), *self._layout(form, number, rows), rows)
        self._number, self._form = number, form
        return self._segment, form

    def _path(self, number: int) -> Path:
        return self._folder / file_name(self._index, self.name, number)

    def _layout(self, form: Form, number: int, rows: int) -> tuple[Header, Mapping[str, Place], int]:
        return build(
            self.name,
            self.spec,
            form,
            index=self._index,
            number=number,
            rows=rows,
            share=self._share,
            seed=self._seed,
            run=self._run,
        )

    def _cut(self, segment: Segment) -> None:
        """Put a file in the segment's place that has room for its rows and no more."""
        if not segment.room:
            return
        if not segment.used:
            segment.close()
            disk.remove(segment.path)
            return
        assert self._form is not None
        segment.replace_by(*self._layout(self._form, self._number, segment.used))


def _form(pending: Pending, spec: SystemSpec) -> Form:
    """Let the first rows say what is stored: codes stay codes, whatever the spec declares."""
    declared = np.dtype(spec.response.dtype).newbyteorder("<")
    return Form(
        drive=pending.drive.dtype,
        response=declared if pending.response is None else pending.response.dtype,
        spread=None if pending.spread is None else pending.spread.dtype,
    )


def _fits(pending: Pending, form: Form) -> bool:
    """Whether rows can be stored so without losing a bit."""
    if pending.drive.dtype != form.drive:
        return False
    if pending.response is not None and not _exact(pending.response.dtype, form.response):
        return False
    if pending.spread is None:
        return True
    return form.spread is not None and _exact(pending.spread.dtype, form.spread)


def _exact(found: np.dtype[Any], stored: np.dtype[Any]) -> bool:
    return found == stored or (found.kind == stored.kind and found.itemsize <= stored.itemsize)


def _shaped(pending: Pending, rows: slice, form: Form, spec: SystemSpec) -> RawRows:
    """Return rows as the segment stores them: zeros where nothing came back, NaN where no spread was told."""
    meta = pending.meta[rows]
    shape = (len(meta), *spec.response.shape)
    response = np.zeros(shape, form.response) if pending.response is None else pending.response[rows]
    spread = None
    if form.spread is not None:
        unknown = np.nan if form.spread.kind in "fc" else 0
        spread = np.full(shape, unknown, form.spread) if pending.spread is None else pending.spread[rows]
        spread = spread.astype(form.spread, copy=False)
    return RawRows(
        meta=meta, drive=pending.drive[rows], response=response.astype(form.response, copy=False), spread=spread
    )
