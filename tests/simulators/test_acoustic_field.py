"""The field solvers against physics: energy, modes, reciprocity; and each other. Orders: `validation_cases`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.validation_cases.acoustic_boxes import (
    AIR,
    cells,
    discrete_energy,
    discrete_phase,
    ricker,
    scheme_of,
    varied,
)
from physnet.errors import MeasurementError, SessionError, SpecError
from physnet.simulators.acoustic_grid import STENCILS, Grid, Stencil
from physnet.simulators.acoustic_media import Elements, Medium, Resonators, Scheme, stable_time_step
from physnet.simulators.acoustic_numba import NumbaSolver, is_available
from physnet.simulators.acoustic_solver import FieldSolver, FieldState, a_priori_limit, element_values
from physnet.simulators.acoustic_torch import TorchSolver

ORDERS = (2, 4)
SOLVERS = [TorchSolver, pytest.param(NumbaSolver, marks=pytest.mark.skipif(not is_available(), reason="needs numba"))]
SIDES: dict[str, Any] = {
    "closed": ("closed",) * 4,
    "soft": ("soft",) * 4,
    "absorbing": ("absorbing",) * 4,
    "periodic": ("periodic",) * 4,
    "periodic along x": ("soft", "closed", "periodic", "periodic"),
    "one of each": ("closed", "absorbing", "soft", "absorbing"),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sides", ["closed", "soft", "periodic", "periodic along x"])
def test_a_lossless_cavity_keeps_its_energy(solver: Any, order: Any, sides: str) -> None:
    grid = Grid(shape=(30, 34), pitch=0.01, order=order, sides=SIDES[sides])
    masses = Resonators(cells=cells((12, 13), (22, 20)), frequency=900.0, quality=math.inf, mass=2e-3)
    scheme = scheme_of(grid, varied(grid, damping_YX=np.zeros(grid.shape), resonators=masses))
    start = FieldState.rest(scheme, 1, np.float64)
    noise = np.random.default_rng(1).standard_normal(grid.shape) * ~scheme.medium.rigid_YX
    start.now_NP[0] = start.before_NP[0] = grid.pad(noise).ravel()
    steps = solver(scheme, sources=cells((5, 5)), microphones=cells((5, 5)), dtype=np.float64)
    levels, state, laplacian = [], start, scheme.laplacian()
    for _ in range(4):
        _, end = steps.propagate(np.zeros((1, 1, 250)), state, keep=True)
        assert end is not None
        levels.append(discrete_energy(scheme, laplacian, end))
        state = end
    first = discrete_energy(scheme, laplacian, start)
    # The scheme conserves it exactly. A step rounds each cell by 2^-53 of its size a few times, with random signs over
    # the cells: 1 000 steps add up to some 1e-13 at worst.
    assert first > 0
    assert max(abs(level / first - 1) for level in levels) < 1e-12


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("stencil", STENCILS.values(), ids=lambda stencil: f"order {stencil.order}")
@pytest.mark.parametrize("sides", ["closed", "periodic"])
def test_a_mode_swings_at_the_frequency_of_the_discrete_dispersion(solver: Any, stencil: Stencil, sides: str) -> None:
    ny, nx, steps = 24, 30, 2000
    grid = Grid(shape=(ny, nx), pitch=0.01, order=stencil.order, sides=SIDES[sides])
    scheme = scheme_of(grid, Medium.uniform(grid, speed=AIR))
    turns = (3, 4) if sides == "closed" else (6, 8)  # half periods between walls; whole ones around a ring
    y, x = (np.cos(math.pi * p * (np.arange(n) + 0.5) / n) for p, n in zip(turns, (ny, nx), strict=True))
    mode = y[:, None] * x[None]
    courant = AIR * scheme.time_step / grid.pitch
    phases = np.array([math.pi * p / n for p, n in zip(turns, (ny, nx), strict=True)])
    omega_dt = discrete_phase(stencil, courant, phases)
    if stencil.order == 2:
        assert stencil.symbol(phases) == pytest.approx(4 * np.sin(phases / 2) ** 2)
    start = FieldState.rest(scheme, 1, np.float64)
    start.now_NP[0] = grid.pad(mode).ravel()
    start.before_NP[0] = grid.pad(mode * math.cos(omega_dt)).ravel()
    solved = solver(scheme, sources=cells((0, 0)), microphones=cells((2, 3)), dtype=np.float64)
    trace, _ = solved.propagate(np.zeros((1, 1, steps)), start)
    expected = mode[2, 3] * np.cos(omega_dt * np.arange(1, steps + 1))
    # A step rounds by some 2^-53 of the field; random over steps these errors grow as steps^1.5: 1e-16 * 9e4 = 1e-11.
    assert np.abs(trace[0, 0] - expected).max() < 2e-11


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("order", ORDERS)
def test_source_and_microphone_can_be_swapped(solver: Any, order: Any) -> None:
    grid = Grid(shape=(30, 34), pitch=0.01, order=order, sides=SIDES["closed"])
    scheme = scheme_of(grid, varied(grid))
    places = cells((5, 6), (25, 29))
    wave = ricker(2000.0, 600, scheme.time_step)[None, None]
    there, _ = solver(scheme, sources=places[:1], microphones=places[1:], dtype=np.float64).propagate(wave)
    back, _ = solver(scheme, sources=places[1:], microphones=places[:1], dtype=np.float64).propagate(wave)
    # A source f acts as c^2 f: then the operator is symmetric, and so is its inverse, up to the rounding of 600 steps.
    assert np.abs(there).max() > 1e-3
    assert np.abs(there - back).max() < 1e-11 * np.abs(there).max()


def elements_of(kind: str) -> Elements:
    places = cells((11, 12), (11, 13), (12, 20), (23, 15), (24, 24))
    strength = {"stiffness": (2 * math.pi * 1500) ** 2, "damping": 4e4, "speed": 0.8}
    chosen = strength if kind == "all" else {kind: strength[kind]}
    return Elements(cells=places, threshold=0.02, **chosen)


@pytest.mark.skipif(not is_available(), reason="needs numba")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(
    ("kind", "is_uniform"),
    [
        ("none", False),
        ("stiffness", False),
        ("damping", False),
        ("speed", False),
        ("all", False),
        ("none", True),
        ("all", True),
    ],
)
def test_the_compiled_solver_agrees_with_the_plain_one(order: Any, sides: str, kind: str, is_uniform: bool) -> None:
    grid = Grid(shape=(34, 37), pitch=0.01, order=order, sides=SIDES[sides], layer=6)
    parts: dict[str, Any] = {} if kind == "none" else {"elements": elements_of(kind)}
    medium = Medium.uniform(grid, speed=AIR, **parts) if is_uniform else varied(grid, **parts)
    scheme = scheme_of(grid, medium, single=True)
    assert scheme.uniform == is_uniform
    steps, rows = 150, 5
    rng = np.random.default_rng(2)
    source = ricker(1500.0, steps, scheme.time_step) * rng.uniform(0.5, 2, (rows, 3, 1))
    options: dict[str, Any] = {
        "sources": cells((9, 10), (20, 25), (9, 10)),
        "microphones": cells((25, 9), (10, 24), (25, 9), (16, 25)),
    }
    solvers: list[FieldSolver] = [TorchSolver(scheme, **options), NumbaSolver(scheme, **options)]
    results = [solver.propagate(source, keep=True) for solver in solvers]
    scale = np.abs(results[0][0]).max()
    # A step rounds by 2^-24 of the loudest field, in an order of its own; what differs grows at most as steps^1.5 =
    # 1.8e3, and was seen to grow as its root. Nonlinear terms of slope below 1 don't widen it.
    assert np.abs(results[0][0] - results[1][0]).max() < 2e-5 * scale
    ends = [end for _, end in results if end is not None]
    inside = np.zeros(grid.padded, dtype=bool)
    inside[scheme.inside] = True
    fields = [end.now_NP[:, inside.ravel()] for end in ends]
    assert np.abs(fields[0] - fields[1]).max() < 2e-5 * scale
    again = [solver.propagate(source, end)[0] for solver, end in zip(solvers, ends, strict=True)]
    assert np.abs(again[0] - again[1]).max() < 4e-5 * scale


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("sides", ["closed", "absorbing"])
def test_a_run_can_be_cut_in_two(solver: Any, sides: str) -> None:
    grid = Grid(shape=(34, 37), pitch=0.01, sides=SIDES[sides], layer=6)
    scheme = scheme_of(grid, varied(grid, elements=elements_of("all")), single=True)
    wave = np.random.default_rng(0).standard_normal((3, 1, 101)).astype(np.float32)
    steps = solver(scheme, sources=cells((9, 10)), microphones=cells((25, 9)))
    whole, _ = steps.propagate(wave)
    first, state = steps.propagate(wave[..., :37], keep=True)
    assert state is not None
    restored = FieldState.from_arrays(state.arrays(), state)
    second, _ = steps.propagate(wave[..., 37:], restored)
    assert np.array_equal(np.concatenate([first, second], axis=2), whole)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("sides", ["closed", "absorbing"])
def test_a_row_does_not_depend_on_the_others(solver: Any, sides: str) -> None:
    grid = Grid(shape=(34, 37), pitch=0.01, sides=SIDES[sides], layer=6, order=4)
    scheme = scheme_of(grid, varied(grid, elements=elements_of("all")), single=True)
    wave = np.random.default_rng(0).standard_normal((37, 1, 60)).astype(np.float32)
    steps = solver(scheme, sources=cells((9, 10)), microphones=cells((25, 9)))
    together, _ = steps.propagate(wave)
    alone = np.concatenate([steps.propagate(wave[k : k + 1])[0] for k in (0, 20, 36)])
    assert np.array_equal(together[[0, 20, 36]], alone)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_calling_thread_keeps_its_denormals(solver: Any) -> None:
    grid = Grid(shape=(12, 12), pitch=0.01)
    scheme = scheme_of(grid, Medium.uniform(grid, speed=AIR))
    solver(scheme, sources=cells((5, 5)), microphones=cells((6, 6))).propagate(np.zeros((2, 1, 3)))
    assert float(torch.tensor([1e-40]) * 0.5) > 0


@pytest.mark.parametrize("kind", ["stiffness", "damping", "speed", "all"])
def test_no_drive_makes_a_nonlinear_cavity_leave_its_bound(kind: str) -> None:
    # Between rigid walls a uniform pressure is free to rise for ever; soft sides hold it.
    grid = Grid(shape=(26, 28), pitch=0.01, sides=SIDES["soft"])
    medium = Medium.uniform(grid, speed=AIR, elements=elements_of(kind))
    scheme = scheme_of(grid, medium, share=0.9)
    steps = 800
    limit = a_priori_limit(scheme, sources=1, steps=steps, strength=1e3)
    wave = 1e3 * np.sign(np.sin(2 * math.pi * 1700 * np.arange(steps) * scheme.time_step))
    solver = TorchSolver(scheme, sources=cells((6, 6)), microphones=cells((20, 20)), limit=limit)
    loud, end = solver.propagate(wave[None, None], keep=True)  # raises if it leaves the bound
    assert end is not None
    # Left alone, a lossless cavity keeps swinging. Saturated terms turn into a bounded source, which the bound counts:
    # for another ten times as long nothing grows.
    quiet, _ = solver.propagate(np.zeros((1, 1, 10 * steps)), end)
    assert np.abs(quiet).max() < 3 * np.abs(loud).max()


def test_the_elements_saturate() -> None:
    x = np.linspace(-50, 50, 2001)
    force, damping, state = element_values(x)
    assert np.abs(force).max() < 1 and np.abs(state).max() < 1
    assert damping.min() > 0 and damping.max() == 1
    slope = np.diff(state) / np.diff(x)
    assert slope.min() >= 0
    assert slope.max() == pytest.approx(0.5578, abs=2e-3)  # the bound that the time step counts with, at x^2 = 2/3


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_field_that_runs_away_is_named_with_cell_and_step(solver: Any) -> None:
    grid = Grid(shape=(20, 24), pitch=0.01)
    scheme = scheme_of(grid, Medium.uniform(grid, speed=AIR), share=1.0, single=True)
    scheme.weight_P[:] *= 1.3  # as a step 14 % beyond the stable one would have it
    scheme.centre_P[:] = 2 - 4 * scheme.weight_P
    wave = np.zeros((3, 1, 400))
    wave[1, 0, 0] = 1.0
    unstable = solver(scheme, sources=cells((7, 9)), microphones=cells((3, 3)), limit=100.0)
    with pytest.raises(MeasurementError, match=r"row 1 at step \d+ .*cell \(y, x\) = \(\d+, \d+\).*smaller time step"):
        unstable.propagate(wave)


def test_an_unstable_time_step_is_refused_with_numbers() -> None:
    grid = Grid(shape=(20, 24), pitch=0.01)
    medium = Medium.uniform(grid, speed=AIR)
    limit = 0.01 / (AIR * math.sqrt(2))  # the Courant number of the plane at order 2
    assert stable_time_step(grid, medium) == pytest.approx(limit)
    with pytest.raises(SpecError, match=r"at most 2.06154e-05 s for a pitch of 0.01 m, order 2.*got 2.1e-05 s"):
        Scheme(grid=grid, medium=medium, time_step=2.1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": 3}, "order must be 2 or 4"),
        ({"sides": ("periodic", "closed", "closed", "closed")}, "opposite pairs"),
        ({"sides": ("wall",) * 4}, "closed, soft, absorbing, periodic"),
        ({"shape": (2, 20)}, "at least 3 cells along y"),
        ({"pitch": 0.0}, "pitch must be > 0 m"),
    ],
)
def test_an_impossible_grid_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Grid(**{"shape": (20, 24), "pitch": 0.01, **change})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"speed_YX": np.zeros((20, 24))}, "speed of sound must be > 0"),
        ({"damping_YX": np.full((20, 24), -1.0)}, "damping must be >= 0"),
        ({"rigid_YX": np.ones((20, 24), dtype=bool)}, "outside the absorbing layers"),
        ({"elements": Elements(cells=cells((10, 30)), threshold=1.0)}, "on the grid"),
        ({"elements": Elements(cells=cells((10, 12), (10, 12)), threshold=1.0)}, "got one twice"),
    ],
)
def test_an_impossible_medium_is_refused(parts: dict[str, Any], message: str) -> None:
    grid = Grid(shape=(20, 24), pitch=0.01, sides=SIDES["absorbing"], layer=5)
    with pytest.raises(SpecError, match=message):
        Scheme(grid=grid, medium=Medium.uniform(grid, speed=AIR, **parts), time_step=1e-6)


def test_elements_that_would_feed_energy_in_are_refused() -> None:
    changes: list[dict[str, Any]] = [{"damping": -1.0}, {"stiffness": -1.0}, {"speed": -1.0}, {"threshold": 0.0}]
    for change in changes:
        with pytest.raises(SpecError, match="must be >"):
            Elements(cells=cells((3, 3)), **{"threshold": 1.0, **change})


def test_a_state_of_another_cavity_is_refused() -> None:
    grid = Grid(shape=(20, 24), pitch=0.01)
    rest = FieldState.rest(scheme_of(grid, Medium.uniform(grid, speed=AIR)), 1, np.float32)
    with pytest.raises(SessionError, match="saved by another system"):
        FieldState.from_arrays({**rest.arrays(), "now_NP": np.zeros((1, 3))}, rest)
