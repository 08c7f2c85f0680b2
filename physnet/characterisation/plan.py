"""Which drives are played, in which order: one list for all questions.

The list is made of blocks. Rows that are compared with each other (the four of a mixed difference, the scales of one
drive) are one block and stand near each other, so that a slow drift cancels between them; a few blocks take turns at
random, so that no row follows one that it is compared with; the blocks are shuffled, so that none of the questions has
a time of its own; sentinels stand between them, evenly, from the first row to the last. Only where the order itself is
the question (memory) is it kept.

Axis letters: N rows; D drive channels; P places in the play list; see `Plan` for the axes of its tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..allowed_drives import limit_drives, random_drives
from ..contracts import SystemSpec
from ..drives import check_drive
from ..errors import DriveError, InputError
from ..seeding import derive_seed, stream

Rows = NDArray[Any]
"""Drives as `float64` or `complex128`, shape `(rows, channels)`."""
Index = NDArray[np.int64]

FEWEST, DEFAULT = 800, 2000
"""Passes: fewer than `FEWEST` replicates can't reach the confidence that claims are made at."""
SCALES = tuple(2.0 ** (-k / 2) for k in range(6))
_SENTINELS, _PROBES, _COUPLES, _OPEN = 3, 2, 4, 5
_SHARES = {"homogeneity": 0.14, "groups": 0.12, "pairs": 0.10, "parity": 0.08, "memory": 0.08, "drift": 0.12}


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The play list, and where in it the rows of each question stand.

    Args:
        drive_PD: Drives in the order in which they are to be played.
        couples: Places of two presentations of random drives, `(drive, 2)`.
        near: Whether the two of a couple stand within one block; far apart elsewhere, `(drive,)`.
        homogeneity: `(drive, replicate, scale)`, scales as in `SCALES`.
        groups: `(tuple, replicate, 4)`: rest, one half of the channels driven, the other half, both.
        pairs: The same with single channels.
        parity: `(drive, replicate, 3)`: a drive, its mirror image, the centre.
        centre: What parity mirrors about, in words.
        memory: `(probe, replicate, 4)`: the weak drive, the probe after it, the strong drive, the probe after it.
        sentinels: `(sentinel, time)`.
        notes: What is left out, and why.
    """

    drive_PD: Rows
    couples: Index
    near: NDArray[np.bool_]
    homogeneity: Index
    groups: Index
    pairs: Index
    parity: Index
    centre: str
    memory: Index
    sentinels: tuple[Index, ...]
    notes: tuple[str, ...]

    @property
    def passes(self) -> dict[str, int]:
        """Rows of each question; their sum is the length of the list."""
        return {
            "noise and rank": int(self.couples.size),
            "homogeneity": int(self.homogeneity.size),
            "mixing of groups": int(self.groups.size),
            "mixing of pairs": int(self.pairs.size),
            "even and odd part": int(self.parity.size),
            "memory": int(self.memory.size),
            "drift": sum(len(times) for times in self.sentinels),
        }


def make_plan(spec: SystemSpec, *, passes: int, seed: int = 0) -> Plan:
    """Plan a characterisation.

    Args:
        spec: The system. Every row is within its range and its joint limits.
        passes: Length of the list, at least `FEWEST`.
        seed: Same seed, same list.

    Raises:
        InputError: `passes` is out of range.
        SpecError: The joint limits allow no drive at all.
    """
    if not FEWEST <= passes <= 1 << 20:
        raise InputError(
            f"passes of a characterisation must be {FEWEST} to {1 << 20}, got {passes}. Fewer can't tell anything from "
            "noise at the confidence that is claimed."
        )
    return _Planner(spec, passes, seed).plan()


class _Planner:
    """Collects rows and blocks, then puts them in order."""

    def __init__(self, spec: SystemSpec, passes: int, seed: int) -> None:
        self._spec, self._drive, self._passes, self._seed = spec, spec.drive, passes, seed
        self._random = stream(seed, "characterisation")
        low_D, high_D = self._drive.low_array, self._drive.high_array
        self._complex = self._drive.dtype.startswith("complex")
        self._rest_D = np.clip(0.0, low_D, high_D)
        if self._drive.domain == "binary":
            self._rest_D = np.where(np.abs(low_D) <= np.abs(high_D), low_D, high_D)
        self._rows: list[Rows] = []
        self._blocks: list[Index] = []
        self._fixed: list[bool] = []
        self._notes: list[str] = []

    def plan(self) -> Plan:
        share = {name: int(part * self._passes) for name, part in _SHARES.items()}
        homogeneity = self._homogeneity(share["homogeneity"] // (2 * len(SCALES)))
        groups = self._mixing(share["groups"] // 8, single=False)
        pairs = self._mixing(share["pairs"] // 8, single=True)
        parity, centre = self._parity(share["parity"] // 6)
        memory = self._memory(share["memory"] // (4 * _PROBES))
        rest = self._passes - share["drift"] - sum(map(len, self._blocks))
        couples, near = self._couples(rest // (2 * _COUPLES) * _COUPLES)
        sentinels, order = self._order()
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return Plan(
            drive_PD=np.concatenate(self._rows)[order],
            couples=place[couples],
            near=near,
            homogeneity=place[homogeneity],
            groups=place[groups],
            pairs=place[pairs],
            parity=place[parity],
            centre=centre,
            memory=place[memory],
            sentinels=tuple(place[times] for times in sentinels),
            notes=tuple(self._notes),
        )

    def _homogeneity(self, drives: int) -> Index:
        shape = (0, 2, len(SCALES))
        if self._drive.domain == "binary":
            return self._without(shape, "homogeneity: a binary drive can't be scaled")
        if np.any(self._rest_D != 0):
            return self._without(shape, "homogeneity: the drive range does not hold zero")
        found = [
            self._block(np.asarray(SCALES)[:, None] * base_D, replicates=2) for base_D in self._draw(drives, "scaled")
        ]
        return self._table(found, shape)

    def _mixing(self, tuples: int, *, single: bool) -> Index:
        """Rest, one part driven, another part driven, both; the parts are halves, or single channels."""
        shape, channels = (0, 2, 4), self._drive.channels
        if channels < 2:
            return self._without(shape, "" if single else "mixing: there is only one drive")
        if single and channels == 2:
            return self._without(shape, "")
        strong_ND = self._strong(tuples) if single else self._draw(tuples, "mixed")
        found = []
        for strong_D in strong_ND:
            order = self._random.permutation(channels)
            width = 1 if single else channels // 2
            first, second = np.zeros(channels, np.bool_), np.zeros(channels, np.bool_)
            first[order[:width]] = True
            second[order[width : 2 * width] if single else order[width:]] = True
            parts = (first & second, first, second, first | second)
            rows_4D = np.stack([np.where(part, strong_D, self._rest_D) for part in parts])
            found.append(self._block(rows_4D, replicates=2))
        return self._table(found, shape)

    def _parity(self, drives: int) -> tuple[Index, str]:
        shape = (0, 2, 3)
        low_D, high_D = self._drive.low_array, self._drive.high_array
        if self._drive.domain == "binary" or (self._complex and np.any(low_D > 0)):
            return self._without(shape, "even and odd part: the drive has no centre to mirror about"), "nothing"
        if self._complex:
            centre_D, reach_D, words = 0 * high_D, high_D, "zero"
        elif np.all((low_D < 0) & (high_D > 0)):
            centre_D, reach_D, words = 0 * high_D, np.minimum(-low_D, high_D), "zero"
        else:
            centre_D, reach_D, words = (low_D + high_D) / 2, (high_D - low_D) / 2, "the middle of the range"
        found = []
        for _ in range(drives):
            offset_D: Rows = self._random.uniform(-1, 1, self._drive.channels) * reach_D
            if self._complex:
                offset_D = offset_D * np.exp(2j * np.pi * self._random.random(self._drive.channels)) * (1 - 1e-6)
            rows_3D = np.stack([centre_D + offset_D, centre_D - offset_D, centre_D + 0 * offset_D])
            found.append(self._block(rows_3D, replicates=2))
        return self._table(found, shape), words

    def _memory(self, replicates: int) -> Index:
        # Full phases everywhere are only a common phase, which most detectors don't see.
        weak_D, (strong_D,) = (
            self._rest_D,
            (self._draw(1, "strong") if self._drive.domain == "phase" else self._strong(1)),
        )
        shape = (_PROBES, 0, 4)
        if replicates < 2 or np.array_equal(weak_D, strong_D):
            return self._without(shape, "memory: there is no strong drive to leave a trace")
        tables = []
        for probe_D in self._draw(_PROBES, "probes"):
            start = self._add(np.stack([weak_D, probe_D, strong_D, probe_D] * replicates))
            ids = start + np.arange(4 * replicates).reshape(replicates, 4)
            for block in ids:
                # Which of the two comes first is drawn, so that a drift has no side.
                self._keep(np.roll(block, 2 * int(self._random.integers(2))), fixed=True)
            tables.append(ids)
        return np.stack(tables)

    def _couples(self, drives: int) -> tuple[Index, NDArray[np.bool_]]:
        start = self._add(np.repeat(self._draw(drives, "random"), 2, axis=0))
        ids = start + np.arange(2 * drives).reshape(drives, 2)
        near = np.arange(drives) < drives // (2 * _COUPLES) * _COUPLES
        for block in ids[near].reshape(-1, 2 * _COUPLES):
            self._keep(block)
        apart = self._random.permutation(ids[~near].ravel())
        for block in apart.reshape(-1, _COUPLES):
            self._keep(block)
        return ids, near

    def _order(self) -> tuple[list[Index], Index]:
        """Put the blocks in order, and spread sentinels between them so that the list has its length."""
        others = sum(map(len, self._blocks))
        count = self._passes - others
        drive_SD = self._draw(_SENTINELS, "sentinels")
        ids = self._add(drive_SD[np.arange(count) % _SENTINELS]) + np.arange(count)
        due = np.linspace(0, others, count)
        order: list[int] = []
        given = 0
        for played, rows in self._interleaved():
            while given < count and due[given] <= played:
                order.append(int(ids[given]))
                given += 1
            order += rows
        order += [int(row) for row in ids[given:]]
        return [ids[first::_SENTINELS] for first in range(_SENTINELS)], np.asarray(order, np.int64)

    def _interleaved(self) -> Iterator[tuple[int, list[int]]]:
        """Yield what may not be torn apart, and the rows before it.

        A few blocks are open at once and take turns, so that no row follows one of its own block: what is left of the
        row before then has nothing to do with the question.
        """
        waiting = [int(block) for block in self._random.permutation(len(self._blocks))]
        opened: list[tuple[int, list[int]]] = []
        played, last = 0, -1
        while waiting or opened:
            while waiting and len(opened) < _OPEN:
                block = waiting.pop()
                rows = [int(row) for row in self._blocks[block]]
                if self._fixed[block]:
                    yield played, rows
                    played += len(rows)
                else:
                    opened.append((block, [int(row) for row in self._random.permutation(rows)]))
            others = [one for one in opened if one[0] != last] or opened
            if not others:
                continue
            turn = others[int(self._random.integers(len(others)))]
            last = turn[0]
            yield played, [turn[1].pop()]
            played += 1
            if not turn[1]:
                opened.remove(turn)

    def _draw(self, rows: int, name: str) -> Rows:
        drawn = random_drives(self._spec, rows=max(rows, 1), seed=derive_seed(self._seed, f"characterisation {name}"))
        return self._plain(drawn)[:rows]

    def _strong(self, rows: int) -> Rows:
        """Every channel at the end of its range that is farther from rest, as far as joint limits allow."""
        low_ND, high_ND = self._plain(limit_drives(self._spec))[:2]
        strong_D = np.where(np.abs(high_ND - self._rest_D) >= np.abs(low_ND - self._rest_D), high_ND, low_ND)
        return np.repeat(self._fitting(strong_D[None]), rows, axis=0)

    def _plain(self, drive: torch.Tensor | NDArray[np.generic]) -> Rows:
        array = drive.cpu().numpy() if isinstance(drive, torch.Tensor) else np.asarray(drive)
        return array.reshape(len(array), -1).astype(np.complex128 if self._complex else np.float64)

    def _fitting(self, rows_ND: Rows) -> Rows:
        """Pull rows towards rest, all by the same factor, until the joint limits allow them."""
        for step in range(60):
            pulled = rows_ND if step == 0 else self._rest_D + 0.9**step * (rows_ND - self._rest_D)
            try:
                check_drive(self._spec, torch.from_numpy(np.ascontiguousarray(pulled)))
            except DriveError:
                if self._drive.domain == "binary":
                    break
                continue
            return pulled
        return np.repeat(self._rest_D[None].astype(rows_ND.dtype), len(rows_ND), axis=0)

    def _block(self, rows_ND: Rows, *, replicates: int) -> Index:
        """Add a block of rows for each replicate; return its rows, `(replicate, row)`."""
        rows_ND = self._fitting(rows_ND)
        start = self._add(np.concatenate([rows_ND] * replicates))
        ids = start + np.arange(replicates * len(rows_ND)).reshape(replicates, len(rows_ND))
        for block in ids:
            self._keep(block)
        return ids

    def _add(self, rows_ND: Rows) -> int:
        start = sum(map(len, self._rows))
        self._rows.append(rows_ND.astype(np.complex128 if self._complex else np.float64))
        return start

    def _keep(self, block: Index, *, fixed: bool = False) -> None:
        self._blocks.append(block)
        self._fixed.append(fixed)

    def _table(self, found: Sequence[Index], shape: tuple[int, ...]) -> Index:
        return np.stack(found) if found else np.empty(shape, np.int64)

    def _without(self, shape: tuple[int, ...], note: str) -> Index:
        if note:
            self._notes.append(note)
        return np.empty(shape, np.int64)
