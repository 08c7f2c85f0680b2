"""Rows that a port plays of its own among those it is asked for: dark ones, with no drive, and references.

What a detector says in the dark tells its offset, what a drive that never changes is answered tells the gain of the
whole bench; both drift, within an epoch too, where sentinels look between epochs only. The rows stand at random places
among the others and are passes like these, but nobody learns from them.

Axis letters: K placed rows, R response values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .allowed_drives import random_drives
from .contracts import Passes, Reading, SystemSpec
from .conversion import joined, outgoing, real_rows
from .errors import DriveError, InputError
from .passes import PLACED, Purpose, as_placed, may_be_placed_among, purpose_of
from .records import Tensors

MOST = 64
"""Most rows of a kind in one presentation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Rows that go among those of one presentation.

    Args:
        passes: Shape `(K,)`, those of dark rows first.
        sent: Shape `(K, *drive_shape)`, in the form the system takes.
    """

    passes: Passes
    sent: Any


class PlacedRows:
    """Places dark and reference rows in the presentations of one system, and adds up what it answers to them.

    Args:
        spec: The system.
        dark: Rows without drive in each presentation, 0 to 64. A presentation of fewer rows gets as many as it has.
        references: Drives that never change, each once in a presentation: random ones over the range, from the seed.
        seed: Chooses the reference drives.

    Raises:
        InputError: A number is out of its range, or the system's drive can't be switched off.
    """

    def __init__(self, spec: SystemSpec, *, dark: int = 0, references: int = 0, seed: int = 0) -> None:
        for name, rows in (("dark_rows", dark), ("reference_rows", references)):
            if not 0 <= rows <= MOST:
                raise InputError(f"{name} must be 0 to {MOST}, got {rows}.")
        self.dark, self.references = dark, references
        self._name, self._unit = spec.name, spec.response.unit
        parts = [_dark(spec, dark)] if dark else []
        if references:
            parts.append(outgoing(spec, random_drives(spec, rows=references, seed=seed), np.arange(references)))
        self._sent_K = joined(*parts) if parts else None
        self._series = {"dark": _Series(), "reference": _Series()}

    @property
    def rows(self) -> int:
        """Rows placed in a presentation of many."""
        return self.dark + self.references

    def among(self, passes: Passes) -> Placed | None:
        """Return the rows that go among those of a presentation; None for none.

        Raises:
            InputError: The presentation is of a layer above the 16th, where numbers leave no room.
        """
        if self._sent_K is None or not may_be_placed_among(passes):
            return None
        dark, references = min(self.dark, len(passes)), min(self.references, len(passes))
        numbers = (as_placed(passes[:dark], Purpose.DARK), as_placed(passes[:references], Purpose.REFERENCE))
        which = np.r_[:dark, self.dark : self.dark + references]
        return Placed(passes=np.concatenate(numbers), sent=self._sent_K[which])

    def counted(self, passes: Passes) -> dict[str, int]:
        """Return how many rows of each kind are among some, for a `PassCount`; nothing where none are placed."""
        if self._sent_K is None:
            return {}
        purpose = purpose_of(passes)
        return {one.name.lower(): int(np.count_nonzero(purpose == one)) for one in PLACED}

    def take(self, passes: Passes, reading: Reading) -> None:
        """Add up what was answered.

        Args:
            passes: Shape `(K,)`: from `among`.
            reading: The answers, in the same order.
        """
        answer_KR = real_rows(reading.response)
        dark = int(np.count_nonzero(purpose_of(passes) == Purpose.DARK))
        if dark:
            self._series["dark"].add(answer_KR[:dark].mean(0), dark)
        if len(passes) - dark == self.references > 0:  # fewer would be other drives than before
            self._series["reference"].add(answer_KR[dark:].reshape(-1), self.references)

    def tell(self) -> str:
        """Return a sentence about what came since the last time, and what changed since the first; empty for nothing.

        What changed is the root mean square over the response: of dark rows in its unit, of references as a part of
        what they were at first.
        """
        said = []
        unit = "" if self._unit == "1" else f" {self._unit}"
        for kind, series in self._series.items():
            if not (rows := series.rows):
                continue
            mean_R, first_R = series.means()
            changed = _rms(mean_R - first_R)
            if kind == "dark":
                said.append(f"{rows} dark rows, {mean_R.mean():.4g}{unit} on average, changed by {changed:.2g}{unit}")
            else:
                part = changed / _rms(first_R) if first_R.any() else math.nan
                said.append(f"{rows} reference rows, changed by {100 * part:.2g} %")
        self.forget()
        return f"{self._name}: {'; '.join(said)}" if said else ""

    def forget(self) -> None:
        """Leave out what came since the last time it was told."""
        for series in self._series.values():
            series.total, series.presentations, series.rows = None, 0, 0

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return what was answered at first, for a checkpoint."""
        return {kind: series.first for kind, series in self._series.items() if series.first is not None}

    def restore(self, arrays: Tensors) -> None:
        """Take back what `arrays` returned."""
        for kind, series in self._series.items():
            if kind in arrays:
                series.first = np.asarray(arrays[kind], np.float64)


@dataclass(kw_only=True, eq=False)
class _Series:
    """Answers to rows of one kind: their sum since they were last told, over how many, and the first mean."""

    total: NDArray[np.float64] | None = None
    presentations: int = 0
    rows: int = 0
    first: NDArray[np.float64] | None = None

    def add(self, answer_R: NDArray[np.float64], rows: int) -> None:
        self.total = answer_R if self.total is None else self.total + answer_R
        self.presentations, self.rows = self.presentations + 1, self.rows + rows

    def means(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean since it was last told, and the first such mean."""
        assert self.total is not None
        mean_R = self.total / self.presentations
        # A run that goes on with another number of reference rows has other drives: it begins anew with them.
        if self.first is None or self.first.shape != mean_R.shape:
            self.first = mean_R
        return mean_R, self.first


def _dark(spec: SystemSpec, rows: int) -> Any:
    """Return rows without drive, in the form the system takes.

    Raises:
        InputError: There is no such drive.
    """
    try:
        if spec.drive.domain == "phase":
            raise DriveError("its drive is a phase, and no phase is dark.")
        return outgoing(spec, torch.zeros(rows, spec.drive.channels), np.arange(rows))
    except DriveError as error:
        raise InputError(
            f"dark_rows must be 0 for {spec.name}, whose drive can't be switched off by 0: {error} Leave them out, or "
            "have the bench place dark rows of its own."
        ) from error


def _rms(value_R: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(value_R))))
