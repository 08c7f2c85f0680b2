"""Waveform memory of one channel of a simulated generator: arbitrary waveforms and sequences of them, by name.

Axis letters: T samples.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .codes import Refusal

FULL = 32767
"""Code of +1, and of -1 with a minus."""
BUILT_IN = "EXP_RISE"
"""The waveform that is always there, and selected after a reset."""

Codes = NDArray[np.int16]
_FEWEST = 8  # points of a waveform
_NAME = re.compile(r"[A-Za-z]\w{0,11}", re.ASCII)
_PLAYS = {"once": "once", "oncewaittrig": "onceWaitTrig", "repeat": "repeat", "repeatinf": "repeatInf"}
_PLAYS["repeattiltrig"] = "repeatTilTrig"
_MARKERS = ("maintain", "lowatstart", "highatstart", "highatstartgolow")
_STEPS = 1024  # of a sequence
_BUILT_IN_CODES = np.round(FULL * (1 - 2 * np.exp(-np.arange(100) / 15))).astype(np.int16)


@dataclass(frozen=True)
class Step:
    """One step of a sequence.

    Args:
        codes_T: Its waveform.
        repeats: How often it is played.
        play: When the next step follows.
        marker: What the Sync output does.
        point: Sample at which a marker ends.
    """

    codes_T: Codes
    repeats: int
    play: str
    marker: str
    point: int


class ArbMemory:
    """Memory of a channel.

    Args:
        points: Most points of all waveforms together.
    """

    def __init__(self, points: int) -> None:
        self.points = points
        self._waveforms: dict[str, Codes] = {}
        self._sequences: dict[str, tuple[Step, ...]] = {}

    @property
    def free(self) -> int:
        """Points that are left."""
        return self.points - sum(len(codes_T) for codes_T in self._waveforms.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that is in it."""
        return (BUILT_IN, *self._waveforms, *self._sequences)

    def clear(self) -> None:
        """Forget all but what is built in."""
        self._waveforms.clear()
        self._sequences.clear()

    def store(self, name: str, codes_T: Codes) -> None:
        """Store a waveform.

        Raises:
            Refusal: Its name is taken or none, it is too short, or the memory is full.
        """
        self._check_new(name)
        if len(codes_T) < _FEWEST:
            raise Refusal(-222, f"a waveform must have >= {_FEWEST} points")
        if len(codes_T) > self.free:
            raise Refusal(781, "Not enough memory to store new arb waveform")
        self._waveforms[name.upper()] = codes_T

    def store_sequence(self, text: str) -> None:
        """Store a sequence: its name, and for each step a waveform, repeats, play control, marker mode and point.

        Raises:
            Refusal: It is no such text, a name is wrong, or a waveform is missing.
        """
        name, *fields = (part.strip() for part in next(csv.reader([text], skipinitialspace=True), [""]))
        if not fields or len(fields) % 5 or len(fields) > 5 * _STEPS:
            raise Refusal(-161, "a sequence needs a name and five fields a step")
        self._check_new(name)
        steps = [self._step(*fields[first : first + 5]) for first in range(0, len(fields), 5)]
        self._sequences[name.upper()] = tuple(steps)

    def waveform(self, name: str) -> Codes:
        """Return a waveform, or the steps of a sequence, each once.

        Raises:
            Refusal: There is none of this name.
        """
        if name.upper() in self._sequences:
            return np.concatenate([step.codes_T for step in self._sequences[name.upper()]])
        return self._found(name)

    def is_sequence(self, name: str) -> bool:
        """Whether a name is a sequence's."""
        return name.upper() in self._sequences

    def _found(self, name: str) -> Codes:
        if name.upper() == BUILT_IN:
            return _BUILT_IN_CODES
        found = self._waveforms.get(name.upper())
        if found is None:
            raise Refusal(785, "Specified arb waveform does not exist")
        return found

    def _step(self, name: str, repeats: str, play: str, marker: str, point: str) -> Step:
        codes_T = self._found(name)
        if play.lower() not in _PLAYS or marker.lower() not in _MARKERS:
            raise Refusal(-224, f"{play},{marker}"[:40])
        if not (repeats.isdigit() and len(repeats) < 8 and point.isdigit() and len(point) < 9):
            raise Refusal(-121, f"{repeats},{point}"[:40])
        return Step(codes_T, max(1, int(repeats)), _PLAYS[play.lower()], marker.lower(), int(point))

    def _check_new(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise Refusal(783, "Arb waveform name too long") if len(name) > 12 else Refusal(-141, name[:16])
        if name.upper() in self.names:
            raise Refusal(786, "Specified arb waveform already exists")


def codes_from_block(data: bytes, order: Literal["NORM", "SWAP"], *, integer: bool) -> Codes:
    """Return the codes in a block of 16-bit integers, or of single-precision numbers from -1 to 1.

    Raises:
        Refusal: It is no whole number of points, or a point is out of range.
    """
    kind = np.dtype("i2" if integer else "f4").newbyteorder(">" if order == "NORM" else "<")
    if len(data) % kind.itemsize:
        raise Refusal(-161, f"a block must hold whole points of {kind.itemsize} bytes")
    return codes_from_numbers(np.frombuffer(data, kind).astype(np.float64), integer=integer)


def codes_from_numbers(value_T: NDArray[np.float64], *, integer: bool) -> Codes:
    """Return codes of codes, or of numbers from -1 to 1.

    Raises:
        Refusal: One is out of range.
    """
    largest = FULL if integer else 1.0
    if not (np.abs(value_T) <= largest).all():
        raise Refusal(-222, f"points must be {-largest:g} to {largest:g}")
    return np.round(value_T if integer else value_T * FULL).astype(np.int16)
