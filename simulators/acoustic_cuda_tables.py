"""What the acoustic field's CUDA kernel reads: the scheme as tables in the order in which threads need them.

Places in shared memory are those of the field there: line y, column x of the grid is `halo + y width + x` of the
plan. A column beyond the grid is 0, and so is the line behind the last; that makes soft sides. Closed and periodic ones
are in what the tables give as a neighbour.

Axis letters: X columns of the plan; B strips; I threads; C single cells; T terms; S sources; M microphones; P cells of
the padded grid, flattened; K entries of a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .acoustic_cuda_plan import Plan
from .acoustic_grid import Grid, Ints
from .acoustic_media import Scheme

Table = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The scheme as the kernel wants it.

    Args:
        numbers: Weight of a first neighbour, past, and sum of the weights of open ones in units of the first, where
            they are alike; limit of the field; 1 / threshold and strength of the equation of state; two, past and pull
            of resonators.
        maps: The first three for every cell of the plan, one after the other; a 0 where they are alike.
        ends_BK: Where a strip finds the two neighbours above it and the two below its last cell, nearest first; which
            of the plan's `parts_of_layers` it has, from 1, or 0; place of phi of its first cell; first and last cell of
            the part.
        columns_XK: Where in a line the first and the second neighbour on the left are; on the right; place in a line of
            phi; 2 in a layer, 1 beside one in the same group of columns, else 0.
        layer_KX: Of the layers along x: a, b, slope and a b times the weight of a first difference; weight of the
            Laplacian over that of a first neighbour, 0 outside.
        profiles: Of the layers along y: a, b, slope and a b as along x, of all lines of the plan.
        microphones: Places.
        owners_IK: Cells of a thread's strip that are single, as bits; number of the first of them.
        cells_CK: Place; number in the padded grid; number of the resonator or -1; first and last of `heard`.
        cell_numbers_CK: Gain of sources, load of the resonator, stiffness and damping per step.
        starts: First of the terms of each single cell, one more than there are.
        term_places: Place of the cell that a term takes its value from.
        term_numbers_TK: Its weight, taken away; weight of its equation of state, added.
        heard: Numbers of the sources.
    """

    numbers: Table
    maps: Table
    ends_BK: Table
    columns_XK: Table
    layer_KX: Table
    profiles: Table
    microphones: Table
    owners_IK: Table
    cells_CK: Table
    cell_numbers_CK: Table
    starts: Table
    term_places: Table
    term_numbers_TK: Table
    heard: Table

    def arguments(self) -> list[Table]:
        """Return the arguments of the kernel, flat and in its order; one array takes up few registers there."""
        nothing = np.zeros(1, np.int32)
        integers = nothing, self.microphones, self.cells_CK, self.starts, self.term_places, self.heard
        numbers = self.numbers, self.cell_numbers_CK, self.term_numbers_TK
        together = [np.concatenate([part.ravel() for part in parts]) for parts in (integers, numbers)]
        others = self.maps, self.ends_BK, self.columns_XK, self.layer_KX, self.profiles, self.owners_IK
        return [*together, *(part.ravel() for part in others)]


def single_cells(scheme: Scheme, sources_S: Ints) -> Ints:
    """Return the cells where more happens than the plain step and layers, as flat padded numbers, sorted."""
    parts = [scheme.cut.target, scheme.state.target, scheme.element_cells, scheme.resonator_cells, sources_S]
    return np.unique(np.concatenate(parts))


def make_tables(scheme: Scheme, plan: Plan, *, sources_S: Ints, microphones_M: Ints, limit: float) -> Tables:
    """Write a scheme as tables; sources and microphones are flat padded numbers."""
    real = np.float32 if plan.single else np.float64
    cells_C, owners_IK = _owned(scheme, plan, single_cells(scheme, sources_S))
    rank = {cell: c for c, cell in enumerate(cells_C.tolist())}
    starts, places_T, numbers_TK = _terms(scheme, plan, rank)
    cells_CK, heard = _cells(scheme, plan, rank, sources_S)
    columns_XK, layer_XK = _columns(scheme, plan)
    return Tables(
        numbers=np.array([*_plain(scheme), limit, *_constants(scheme)], real),
        maps=np.zeros(1, real) if plan.uniform else _maps(scheme, plan).ravel().astype(real),
        ends_BK=_ends(scheme.grid, plan),
        columns_XK=columns_XK.astype(np.int32),
        layer_KX=layer_XK.T.astype(real),
        profiles=_profiles(scheme, plan).astype(real),
        microphones=_places(scheme.grid, plan, microphones_M).astype(np.int32),
        owners_IK=owners_IK.astype(np.int64),
        cells_CK=cells_CK.astype(np.int32),
        cell_numbers_CK=_cell_numbers(scheme, cells_C, rank).astype(real),
        starts=starts.astype(np.int32),
        term_places=places_T.astype(np.int32),
        term_numbers_TK=numbers_TK.astype(real),
        heard=heard.astype(np.int32),
    )


def _split(grid: Grid, cells_P: Ints) -> tuple[Ints, Ints]:
    y, x = np.divmod(np.asarray(cells_P, dtype=np.int64), grid.padded[1])
    return y - grid.halo, x - grid.halo


def _places(grid: Grid, plan: Plan, cells_P: Ints) -> Ints:
    y, x = _split(grid, cells_P)
    return np.asarray(plan.halo + y * plan.width + x, dtype=np.int64)


def _owned(scheme: Scheme, plan: Plan, cells_C: Ints) -> tuple[Ints, Ints]:
    """Return single cells in the order of the threads that own them, and what each thread owns."""
    y, x = _split(scheme.grid, cells_C)
    strip, k = np.divmod(y, plan.lines)
    thread = 32 * (strip * plan.groups + (x // 32 - strip) % plan.groups) + x % 32
    order = np.lexsort((k, thread))
    owners_IK = np.zeros((plan.threads, 2), np.int64)
    np.bitwise_or.at(owners_IK[:, 0], thread, 1 << k)
    owners_IK[:, 1] = np.searchsorted(thread[order], np.arange(plan.threads))
    return cells_C[order], owners_IK


def _terms(scheme: Scheme, plan: Plan, rank: dict[int, int]) -> tuple[Ints, Ints, Table]:
    beyond_P, found = scheme.grid.beyond, []
    for target, source, weight in zip(scheme.cut.target, scheme.cut.source, scheme.cut.weight, strict=True):
        if beyond_P[source] >= 0:  # beyond a soft side the field is zero
            found.append((rank[int(target)], int(beyond_P[source]), float(weight), 0.0))
    for target, element, weight in zip(scheme.state.target, scheme.state.source, scheme.state.weight, strict=True):
        found.append((rank[int(target)], int(scheme.element_cells[element]), 0.0, float(weight)))
    found.sort(key=lambda term: term[0])
    if not found:
        return np.zeros(len(rank) + 1, np.int64), np.zeros(1, np.int64), np.zeros((1, 2))
    starts = np.searchsorted([term[0] for term in found], np.arange(len(rank) + 1))
    places = _places(scheme.grid, plan, np.array([term[1] for term in found]))
    return starts, places, np.array([term[2:] for term in found])


def _cells(scheme: Scheme, plan: Plan, rank: dict[int, int], sources_S: Ints) -> tuple[Ints, Ints]:
    cells_C, count = np.array(list(rank), dtype=np.int64), np.arange(len(rank))
    resonator_C = np.full(len(cells_C), -1, np.int64)
    for r, cell in enumerate(scheme.resonator_cells.tolist()):
        resonator_C[rank[cell]] = r
    at_S = np.array([rank[int(cell)] for cell in sources_S], dtype=np.int64)
    heard = np.argsort(at_S, kind="stable")
    first, last = (np.searchsorted(at_S[heard], count, side=side) for side in ("left", "right"))
    return np.stack([_places(scheme.grid, plan, cells_C), cells_C, resonator_C, first, last], axis=1), heard


def _cell_numbers(scheme: Scheme, cells_C: Ints, rank: dict[int, int]) -> Table:
    table_CK = np.zeros((len(cells_C), 4))
    table_CK[:, 0] = scheme.weight_P[cells_C]
    if scheme.medium.resonators is not None:
        *_, load_R = scheme.resonator_constants()
        table_CK[[rank[cell] for cell in scheme.resonator_cells.tolist()], 1] = load_R
    if scheme.medium.elements is not None:
        stiffness_E, damping_E, _ = scheme.element_constants()
        at = [rank[cell] for cell in scheme.element_cells.tolist()]
        table_CK[at, 2], table_CK[at, 3] = stiffness_E, damping_E
    return table_CK


def _constants(scheme: Scheme) -> tuple[float, ...]:
    elements, numbers = scheme.medium.elements, (0.0, 0.0, 0.0)
    if scheme.medium.resonators is not None:
        two, past, pull, _ = scheme.resonator_constants()
        numbers = two, past, pull
    return (0.0, 0.0, *numbers) if elements is None else (1 / elements.threshold, elements.speed, *numbers)


def _coefficients(scheme: Scheme) -> Table:
    """Weight of a first neighbour, past, and sum of the open weights of every cell of the grid, shape `(3, y, x)`."""
    ring_P, past_P = scheme.weight_P * scheme.grid.stencil.second[0], scheme.past_P
    open_P = np.divide(1 + past_P - scheme.centre_P, ring_P, out=np.zeros_like(ring_P), where=ring_P > 0)
    return np.stack([part.reshape(scheme.grid.padded)[scheme.inside] for part in (ring_P, past_P, open_P)])


def _plain(scheme: Scheme) -> tuple[float, ...]:
    return tuple(float(part[0, 0]) for part in _coefficients(scheme))


def _maps(scheme: Scheme, plan: Plan) -> Table:
    maps = np.zeros((3, plan.zero_line, plan.columns))
    maps[:, : plan.shape[0], : plan.shape[1]] = _coefficients(scheme)
    return maps


def _mirrored(index: int, count: int, low: str, high: str) -> int | None:
    """Return which cell of an axis is seen at `index`; None where it is silent."""
    if 0 <= index < count:
        return index
    kind = low if index < 0 else high
    if kind == "closed":
        return -1 - index if index < 0 else 2 * count - 1 - index
    return index % count if kind == "periodic" else None


def _ends(grid: Grid, plan: Plan) -> Ints:
    def start(y: int) -> int:
        found = _mirrored(y, grid.shape[0], *grid.sides[:2])
        return plan.halo + (plan.zero_line if found is None else found) * plan.width

    (low, high), height = plan.slabs[:2], grid.shape[0]
    table = np.zeros((plan.strips, 8), np.int64)
    for strip, part in enumerate(plan.layer_of_strips):
        first = strip * plan.lines
        last = min(first + plan.lines, height)
        table[strip, :4] = [start(y) for y in (first - 1, first - 2, last, last + 1)]
        if part[0] < part[1]:
            lines_before = plan.halo if first + part[0] < low else 2 * plan.halo + low + high - height
            table[strip, 4] = 1 + plan.parts_of_layers.index(part)
            table[strip, 5] = plan.at_phi_y + (lines_before + first) * plan.columns
            table[strip, 6:] = part
    return table


def _columns(scheme: Scheme, plan: Plan) -> tuple[Ints, Table]:
    grid, (low, high), halo = scheme.grid, plan.slabs[2:], plan.halo
    count = grid.shape[1]
    columns_XK = np.zeros((plan.columns, 6), np.int64)
    layer_XK = np.zeros((plan.columns, 5))
    profiles = _absorber(scheme, 1)
    in_gap = halo + low
    for x in range(plan.columns):
        for k, there in enumerate((x - 1, x - 2, x + 1, x + 2)):
            found = _mirrored(there, count, *grid.sides[2:]) if x < count else x
            columns_XK[x, k] = halo + (there if found is None else found)
        columns_XK[x, 4] = in_gap
        if x < low or count - high <= x < count:
            columns_XK[x, 4] = halo + x if x < low else in_gap + halo + x - (count - high)
            columns_XK[x, 5] = 2
            a, b, slope = (float(part[x]) for part in profiles)
            first = grid.stencil.first[0]
            layer_XK[x] = a, b, slope * first, a * b * first, 1 / grid.stencil.second[0]
    for group in range(plan.groups):
        part = columns_XK[32 * group : 32 * (group + 1), 5]
        part[part == 0] = part.any()
    return columns_XK, layer_XK


def _profiles(scheme: Scheme, plan: Plan) -> Table:
    table, first = np.zeros((plan.zero_line, 4)), scheme.grid.stencil.first[0]
    a, b, slope = _absorber(scheme, 0)
    table[: plan.shape[0]] = np.stack([a, b, slope * first, a * b * first], axis=1)
    return table


def _absorber(scheme: Scheme, axis: int) -> list[Table]:
    fast = float(scheme.medium.speed_YX.max())
    profiles = scheme.grid.absorber(axis, time_step=scheme.time_step, speed=fast, frequency=scheme.frequency)
    return [part[scheme.inside[axis]] for part in profiles]
