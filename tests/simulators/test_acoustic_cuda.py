"""The acoustic cavity's CUDA kernel against the plain solver: in the interpreter, and on a device if there is one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.validation_cases.acoustic_boxes import AIR, cells, scheme_of
from physnet.errors import MeasurementError, SpecError
from physnet.simulators.acoustic_cuda import CudaSolver, plan_for
from physnet.simulators.acoustic_cuda_plan import Plan, make_plan
from physnet.simulators.acoustic_cuda_tables import Tables, make_tables, single_cells
from physnet.simulators.acoustic_grid import Grid
from physnet.simulators.acoustic_media import Elements, Medium, Resonators, Scheme
from physnet.simulators.acoustic_solver import FieldState
from physnet.simulators.acoustic_torch import TorchSolver
from physnet.simulators.cuda import CONSUMER, HOPPER

SIDES: dict[str, Any] = {
    "closed": ("closed",) * 4,
    "soft": ("soft",) * 4,
    "absorbing": ("absorbing",) * 4,
    "periodic": ("periodic",) * 4,
    "periodic along x": ("soft", "closed", "periodic", "periodic"),
    "one of each": ("closed", "absorbing", "soft", "absorbing"),
    "the other way": ("absorbing", "closed", "absorbing", "closed"),
}
STEPS, ROWS = 7, 2
SOURCES, MICROPHONES = cells((7, 8), (10, 12), (7, 8)), cells((9, 9), (7, 8), (6, 13))


def make_scheme(
    shape: tuple[int, int], order: Any, sides: str, *, uniform: bool, kind: str, layer: int = 3, many: int = 1
) -> Scheme:
    """A box with what a scheme may have, `many` times as large in cells."""
    grid = Grid(shape=shape, pitch=0.01, order=order, sides=SIDES[sides], layer=layer)
    places = many * cells((7, 9), (7, 10), (11, 7))
    strength = {"stiffness": (2 * math.pi * 1500) ** 2, "damping": 4e4, "speed": 0.8}
    parts: dict[str, Any] = {}
    if kind != "none":
        chosen = strength if kind == "all" else {kind: strength[kind]}
        parts["elements"] = Elements(cells=places, threshold=0.5, **chosen)
    if not uniform:
        rng, rigid = np.random.default_rng(0), np.zeros(shape, dtype=bool)
        rigid[9 * many : 9 * many + 2, 11 * many] = True
        rigid[8 * many, 7 * many] = True
        masses = Resonators(cells=many * cells((6, 6), (10, 10)), frequency=900.0, quality=15.0, mass=2e-3)
        parts |= {"rigid_YX": rigid, "resonators": masses, "damping_YX": rng.uniform(0, 80, shape)}
        parts["speed_YX"] = AIR * rng.uniform(0.8, 1.0, shape)
    return scheme_of(grid, Medium.uniform(grid, speed=AIR) if uniform and not parts else _medium(grid, parts))


def _medium(grid: Grid, parts: dict[str, Any]) -> Medium:
    return Medium(**{**vars(Medium.uniform(grid, speed=AIR)), **parts})


def differences(
    scheme: Scheme, *, lines: int | None, device: str = "cpu", dtype: Any = np.float64, steps: int = STEPS,
    rows: int = ROWS, many: int = 1, state: bool = True, damage: Callable[[Tables], None] | None = None,
) -> dict[str, float]:  # fmt: skip
    """Step noise with both solvers; return by how much they differ, in units of the largest value."""
    rng = np.random.default_rng(3)
    options: dict[str, Any] = {"sources": many * SOURCES, "microphones": many * MICROPHONES, "dtype": dtype}
    plain = TorchSolver(scheme, device=device, **options)
    source = rng.standard_normal((rows, len(SOURCES), steps))
    begin = _noise(scheme, plain, rows, dtype) if state else None
    plan = plan_for(scheme, sources=options["sources"], dtype=dtype, device=device)
    assert plan is not None
    if lines is not None:
        plan = dataclasses.replace(plan, lines=lines)
    kernel = CudaSolver(scheme, device=device, plan=plan, **options)
    if damage is not None:
        damage_tables(kernel, damage, scheme, plan)
    expected, end = plain.propagate(source, begin, keep=True)
    found, kernel_end = kernel.propagate(source, begin, keep=True)
    assert end is not None and kernel_end is not None
    inside = _inside(scheme)
    result = {"trace": _difference(expected, found)}
    for name in FieldState.names():
        one, other = getattr(end, name), getattr(kernel_end, name)
        if name in ("now_NP", "before_NP"):  # in the padding a state may hold anything
            one, other = one[:, inside], other[:, inside]
        result[name] = _difference(one, other)
    return result


def damage_tables(kernel: CudaSolver, damage: Callable[[Tables], None], scheme: Scheme, plan: Plan) -> None:
    """Give the kernel tables in which something is wrong."""
    places: dict[str, Any] = {"sources_S": kernel.sources_S, "microphones_M": kernel.microphones_M}
    tables = make_tables(scheme, plan, limit=kernel.limit, **places)
    damage(tables)
    kernel.read(tables)


def _inside(scheme: Scheme) -> Any:
    inside = np.zeros(scheme.grid.padded, dtype=bool)
    inside[scheme.inside] = True
    return inside.ravel()


def _noise(scheme: Scheme, plain: TorchSolver, rows: int, dtype: Any) -> FieldState:
    """A state in which nothing is zero that can be something else."""
    rng, start = np.random.default_rng(4), FieldState.rest(scheme, rows, dtype)
    open_P = scheme.grid.pad(~scheme.medium.rigid_YX).ravel()
    start.now_NP[:] = rng.standard_normal(start.now_NP.shape) * open_P
    start.before_NP[:] = start.now_NP + 0.3 * rng.standard_normal(start.now_NP.shape) * open_P
    start.resonator_NAR[:] = rng.standard_normal(start.resonator_NAR.shape)
    if not scheme.grid.absorbing:
        return start
    _, later = plain.propagate(np.zeros((rows, len(SOURCES), 3)), start, keep=True)
    assert later is not None
    return dataclasses.replace(start, layer_NAP=later.layer_NAP)


def _difference(one: Any, other: Any) -> float:
    return float(np.abs(one - other).max() / max(np.abs(one).max(), 1e-3)) if one.size else 0.0


def in_a_box(shape: tuple[int, int], order: int, sides: str, kind: str, uniform: bool, **options: Any) -> Any:
    """As `differences`, for a scheme that is made where the kernel runs."""
    return differences(make_scheme(shape, order, sides, uniform=uniform, kind=kind), **options)


# Of a step the sum over a cell rounds some ten times by 2^-53 of the largest field; what differs grows at most as
# steps^1.5 = 19: 2e-14. The field of noise falls by up to a factor of ten in absorbing layers.
CLOSE = 2e-13


@pytest.mark.parametrize(
    ("shape", "order", "sides", "kind", "uniform", "lines"),
    [
        ((20, 22), 2, "closed", "none", True, 8),
        ((21, 19), 4, "closed", "all", True, 16),
        ((16, 22), 2, "soft", "none", True, 8),
        ((17, 20), 4, "soft", "stiffness", True, 8),
        ((19, 20), 2, "periodic", "damping", True, 8),
        ((17, 21), 4, "periodic", "none", True, 16),
        ((20, 21), 4, "periodic along x", "none", False, 8),
        ((20, 22), 2, "absorbing", "none", True, 8),
        ((21, 23), 4, "absorbing", "none", True, 16),
        ((22, 20), 2, "one of each", "all", False, 8),
        ((20, 21), 4, "one of each", "speed", True, 24),
        ((23, 20), 4, "the other way", "none", False, 8),  # the last strip lacks a single cell
    ],
)
def test_the_kernel_does_what_the_plain_solver_does(
    interpreter: Callable[..., Any], shape: Any, order: int, sides: str, kind: str, uniform: bool, lines: int
) -> None:
    found = interpreter(in_a_box, shape, order, sides, kind, uniform, lines=lines)
    assert max(found.values()) < CLOSE, found


@pytest.mark.parametrize(("order", "sides"), [(2, "one of each"), (4, "periodic")])
def test_several_groups_of_columns_make_one_field(interpreter: Callable[..., Any], order: int, sides: str) -> None:
    found = interpreter(in_a_box, (17, 38), order, sides, "none", True, lines=8, rows=1, steps=5)
    assert max(found.values()) < CLOSE, found


def test_single_precision_from_silence(interpreter: Callable[..., Any]) -> None:
    found = interpreter(
        in_a_box, (20, 22), 2, "absorbing", "none", True, lines=8, dtype=np.float32, state=False, steps=9
    )
    assert max(found.values()) < CLOSE * 2**29  # 2^-24 for 2^-53


def _another_neighbour(tables: Tables) -> None:
    tables.columns_XK[5, 0] += 1


def _another_end(tables: Tables) -> None:
    tables.ends_BK[1, 0] = tables.ends_BK[1, 2]


def _another_profile(tables: Tables) -> None:
    tables.profiles[1, 2] *= 1.001


def _another_layer(tables: Tables) -> None:
    tables.layer_KX[2, 1] *= 1.001


def _no_link(tables: Tables) -> None:
    tables.term_numbers_TK[0, 0] = 0


def _another_owner(tables: Tables) -> None:
    first = int(np.flatnonzero(tables.owners_IK[:, 0])[0])
    tables.owners_IK[first, 0] <<= 1


@pytest.mark.parametrize(
    "damage", [_another_neighbour, _another_end, _another_profile, _another_layer, _no_link, _another_owner]
)
def test_one_wrong_number_would_be_seen(interpreter: Callable[..., Any], damage: Any) -> None:
    order = 4 if damage is _no_link else 2  # there are links beyond a rigid cell then
    found = interpreter(
        in_a_box, (20, 22), order, "the other way", "none", False, lines=8, damage=damage, rows=1, steps=4
    )
    assert found["now_NP"] > 1e6 * CLOSE


def _run_away() -> str:
    grid = Grid(shape=(20, 22), pitch=0.01)
    scheme = scheme_of(grid, Medium.uniform(grid, speed=AIR), share=1.0, single=True)
    scheme.weight_P[:] *= 2.5  # far beyond the stable step
    scheme.centre_P[:] = 2 - 4 * scheme.weight_P
    wave = np.zeros((2, 1, 12))
    wave[1, 0, 0] = 1.0
    unstable = CudaSolver(scheme, device="cpu", sources=cells((7, 9)), microphones=cells((3, 3)), limit=100.0)
    try:
        unstable.propagate(wave)
    except MeasurementError as error:
        return str(error)
    return "nothing was said"


def test_a_field_that_runs_away_is_named_with_cell_and_step(interpreter: Callable[..., Any]) -> None:
    said = interpreter(_run_away)
    assert "in row 1 at step" in said and "smaller time step" in said


def test_a_solver_says_why_it_can_not_run() -> None:
    scheme = make_scheme((20, 22), 2, "closed", uniform=True, kind="none")
    with pytest.raises(SpecError, match=r"got 'cuda': CUDA kernels run on cuda, and the device is cpu"):
        CudaSolver(scheme, device="cpu", sources=SOURCES, microphones=MICROPHONES)


def plan_of(shape: tuple[int, int], *, sides: str = "closed", layer: int = 20, single: bool = True) -> Plan | None:
    grid = Grid(shape=shape, pitch=0.01, sides=SIDES[sides], layer=layer)
    scheme = scheme_of(grid, Medium.uniform(grid, speed=AIR))
    return make_plan(scheme, single=single, single_cells=1, chip=HOPPER)


def test_the_budget_of_a_multiprocessor_is_that_of_the_docstring() -> None:
    plan = plan_of((128, 128), sides="absorbing")
    assert plan is not None and (plan.lines, plan.threads) == (32, 512)
    assert plan.rows_at_once(HOPPER, 1) == 1
    assert plan.rows_at_once(CONSUMER, 1) == 0  # 99 KiB are too little for its layers
    small = plan_of((64, 64))
    assert small is not None and (small.lines, small.threads, small.rows_at_once(HOPPER, 1)) == (24, 192, 3)
    layered = plan_of((64, 64), sides="absorbing")
    assert layered is not None and (layered.rows_at_once(HOPPER, 1), layered.rows_at_once(CONSUMER, 1)) == (2, 1)
    assert [round(part.shared(1) / 1024) for part in (plan, small, layered)] == [201, 19, 84]
    assert plan_of((300, 300)) is None
    assert plan_of((128, 128), single=False) is None


def test_a_kernel_has_code_for_every_part_of_a_layer() -> None:
    for height in range(20, 150):
        for lines in (8, 16, 24, 32):
            for low, high in ((21, 21), (9, 0), (0, 22), (5, 6)):
                plan = Plan(
                    lines=lines, shape=(height, 40), order=2, slabs=(low, high, 0, 0), uniform=True, nonlinear=False,
                    single=True,
                )  # fmt: skip
                if low + high >= height or not plan.is_possible:
                    continue
                changed = [lines * strip + k for strip, part in enumerate(plan.layer_of_strips) for k in range(*part)]
                assert changed == [y for y in range(height) if y < low or y >= height - high]
                assert len(plan.parts_of_layers) <= 4


def test_single_cells_belong_to_the_thread_whose_strip_they_lie_in() -> None:
    scheme = make_scheme((20, 40), 2, "closed", uniform=False, kind="all")
    sources = scheme.grid.flat(SOURCES)
    plan = Plan(lines=8, shape=(20, 40), order=2, slabs=(0,) * 4, uniform=False, nonlinear=True, single=True)
    tables = make_tables(scheme, plan, sources_S=sources, microphones_M=sources, limit=1.0)
    seen = []
    for thread, (mask, first) in enumerate(tables.owners_IK.tolist()):
        strip, lane = divmod(thread // 32, plan.groups)[0], thread % 32
        x = (thread // 32 + strip) % plan.groups * 32 + lane
        bits = [k for k in range(plan.lines) if mask >> k & 1]
        for c, k in enumerate(bits, start=first):
            assert tables.cells_CK[c, 0] == plan.halo + (strip * plan.lines + k) * plan.width + x
            seen.append(int(tables.cells_CK[c, 1]))
    assert sorted(seen) == single_cells(scheme, sources).tolist()


@pytest.mark.gpu
@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(("kind", "uniform"), [("none", True), ("all", False)])
def test_the_kernel_on_a_device(order: int, sides: str, kind: str, uniform: bool) -> None:
    scheme = make_scheme((97, 108), order, sides, uniform=uniform, kind=kind, layer=12, many=4)
    if plan_for(scheme, sources=4 * SOURCES, dtype=np.float32, device="cuda") is None:
        pytest.skip("a row of this grid has no room on a multiprocessor of this device")
    found = differences(scheme, lines=None, device="cuda", dtype=np.float32, steps=200, rows=300, many=4)
    # As above with 2^-24 and 200 steps, whose errors were seen to grow as their root: 10 * 6e-8 * 14 = 9e-6; saturated
    # terms of slope below 1 don't widen it. The field of noise falls by a factor of ten in absorbing layers.
    assert max(found.values()) < 1e-4, found
