"""How a row of the acoustic field is shared out among the threads of a block, and what of a multiprocessor it takes.

A multiprocessor of an H100 or H200 has 65 536 registers and 227 KiB of shared memory for a block, one of a consumer
chip 99 KiB. A strip takes 2 registers a cell and some 60 more a thread; in shared memory a cell of the field is one
number, and an absorbing layer of w cells makes it 3 (w + 1) more for each line that it crosses. In float32
    128 x 128 without layers        take  65 KiB and 512 threads with 32 cells each: one row a multiprocessor,
    128 x 128 with 20 cells around  take 200 KiB and as many threads: one row, 132 at once on all multiprocessors,
    64 x 64 without layers          take  19 KiB and 192 threads with 24 cells each: three rows a multiprocessor,
    64 x 64 with 20 cells around    take  84 KiB and 256 threads with 16 cells each: two rows, one on a consumer chip.
More than 16 384 cells, in groups of 32 columns and strips of 32 lines, have no room, and on a consumer chip layers of
20 cells have none around much more than 64 x 64 cells. A graph steps those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .acoustic_media import Scheme
from .cuda import Chip

_LINES = (8, 16, 24, 32)
KEPT = 4
_SPARE = 62  # registers of a thread beside those of its cells: seen in what ptxas makes of it


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One block for a row of one kind of grid.

    A block has `groups * strips` warps; a warp owns `lines` lines of 32 columns. Offsets are numbers of shared memory.

    Args:
        lines: Cells of a strip.
        shape: Lines and columns of the grid.
        order: Order of accuracy in space.
        slabs: Cells that absorbing layers change at low y, high y, low x, high x.
        uniform: Whether one set of coefficients serves every cell.
        nonlinear: Whether there are nonlinear cells.
        single: Single precision, or double.
        rows: Blocks that a multiprocessor is to hold at once, which limits the registers of a thread.
    """

    lines: int
    shape: tuple[int, int]
    order: int
    slabs: tuple[int, int, int, int]
    uniform: bool
    nonlinear: bool
    single: bool
    rows: int = 1

    @property
    def halo(self) -> int:
        """Cells the stencil reaches on each side."""
        return self.order // 2

    @property
    def groups(self) -> int:
        """Warps side by side."""
        return -(-self.shape[1] // 32)

    @property
    def strips(self) -> int:
        """Warps one below the other."""
        return -(-self.shape[0] // self.lines)

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return 32 * self.groups * self.strips

    @property
    def columns(self) -> int:
        """Columns with those that fill the last group."""
        return 32 * self.groups

    @property
    def width(self) -> int:
        """Numbers of a line of the field; columns beyond the grid stay 0 and serve both ends of lines."""
        return self.columns + self.halo

    @property
    def zero_line(self) -> int:
        """Line of the field that stays 0, behind those of all strips."""
        return self.strips * self.lines

    @property
    def narrow(self) -> int:
        """Numbers of a line of the layers along x: the slabs, with as many zeros between as the stencil reaches."""
        return self.slabs[2] + self.slabs[3] + 2 * self.halo

    @property
    def at_phi_x(self) -> int:
        """Where the layers along x begin: phi by turns, then zeta."""
        return self.halo + (self.zero_line + 1) * self.width

    @property
    def size_x(self) -> int:
        """Numbers of one of the three."""
        return self.halo + self.zero_line * self.narrow if self.slabs[2] or self.slabs[3] else 0

    @property
    def at_phi_y(self) -> int:
        """Where the layers along y begin."""
        return self.at_phi_x + 3 * self.size_x

    @property
    def size_y(self) -> int:
        """Numbers of one of the three: the slabs with lines of zeros around."""
        slabs = self.slabs[0] + self.slabs[1]
        return (slabs + 3 * self.halo) * self.columns if slabs else 0

    @property
    def at_profile(self) -> int:
        """Where the profiles of the layers along y begin, four numbers a line, which one instruction reads."""
        return -(-(self.at_phi_y + 3 * self.size_y) // 4) * 4

    @property
    def at_single_cells(self) -> int:
        """Where single cells begin: what is added, the factor, the field before, and a resonator now and before."""
        return self.at_profile + (4 * self.zero_line if self.size_y else 0)

    @property
    def kept(self) -> int:
        """Cells of a strip whose zeta of the layers along x stays in registers; that of others in shared memory."""
        return KEPT if self.size_x else 0

    @property
    def layer_of_strips(self) -> list[tuple[int, int]]:
        """First and last cell of each strip that a layer along y changes; of the low one where there are both."""
        (low, high), found = self.slabs[:2], []
        for first in range(0, self.zero_line, self.lines):
            count = min(self.lines, self.shape[0] - first)
            begin = max(self.shape[0] - high - first, 0)
            found.append((0, min(low - first, count)) if first < low else (begin, count) if begin < count else (0, 0))
        return found

    @property
    def parts_of_layers(self) -> list[tuple[int, int]]:
        """The different ones, at most four: a kernel has code for each."""
        return sorted({part for part in self.layer_of_strips if part[0] < part[1]})

    @property
    def is_possible(self) -> bool:
        """Whether no strip reaches from one layer along y into the other, which a kernel takes for granted."""
        low, high = self.slabs[:2]
        return not (low and high) or (low - 1) // self.lines < (self.shape[0] - high) // self.lines

    @property
    def registers(self) -> int:
        """Registers that a thread needs."""
        return 2 * self.lines * (1 if self.single else 2) + _SPARE

    def shared(self, single_cells: int) -> int:
        """Return the shared memory of a block with so many single cells, in bytes."""
        return (self.at_single_cells + 5 * single_cells) * (4 if self.single else 8)

    def rows_at_once(self, chip: Chip, single_cells: int) -> int:
        """Return how many rows a multiprocessor steps at once."""
        return chip.blocks(threads=self.threads, registers=self.registers, shared=self.shared(single_cells))


def make_plan(scheme: Scheme, *, single: bool, single_cells: int, chip: Chip) -> Plan | None:
    """Return the plan with which a multiprocessor has most threads at work; None if the grid has no room there."""
    grid = scheme.grid
    slabs = [part.stop - part.start if present else 0 for part, present in _ends(scheme)]
    common: dict[str, Any] = {"shape": grid.shape, "order": grid.order, "slabs": tuple(slabs)}
    common |= {"uniform": scheme.uniform, "nonlinear": scheme.medium.elements is not None, "single": single}
    plans = [Plan(lines=lines, **common) for lines in _LINES]
    plans = [plan for plan in plans if plan.is_possible]
    at_work = {plan.lines: plan.rows_at_once(chip, single_cells) * plan.threads for plan in plans}
    if not plans:
        return None
    best = max(plans, key=lambda plan: (at_work[plan.lines], plan.lines))
    rows = best.rows_at_once(chip, single_cells)
    return replace(best, rows=rows) if rows else None


def _ends(scheme: Scheme) -> list[tuple[slice, bool]]:
    found: list[tuple[slice, bool]] = []
    for axis in (0, 1):
        present, slabs = scheme.grid.layers(axis), iter(scheme.grid.slabs(axis))
        found += [(next(slabs) if layer else slice(0, 0), bool(layer)) for layer in present]
    return found
