"""Stepping by CUDA graphs, and who is stepped how: without a device, where nothing is recorded, and on one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.validation_cases.waveguide_pulses import GRID, guide, soliton
from physnet.simulators import waveguide_cuda, waveguide_graph
from physnet.simulators.cuda import HOPPER
from physnet.simulators.waveguide_graph import LONGEST, GraphSolver
from physnet.simulators.waveguide_medium import TimeGrid
from physnet.simulators.waveguide_routes import choose
from physnet.simulators.waveguide_torch import TorchSolver

EFFECTS: list[dict[str, Any]] = [{}, {"raman_fraction": 0.18, "self_steepening": True}]


def pulses(rows: int) -> torch.Tensor:
    return torch.from_numpy(np.linspace(0.5, 1.5, rows)[:, None] * soliton(GRID, 1, 0.0))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Play what would be recorded; return how often each piece was launched, the run before recording left out."""
    launched: list[int] = []

    def record(work: Callable[[], object], device: torch.device) -> Callable[[], None]:
        work()
        number = len(launched)
        launched.append(0)

        def replay() -> None:
            launched[number] += 1
            work()

        return replay

    monkeypatch.setattr(waveguide_graph, "record", record)
    monkeypatch.setattr(waveguide_graph, "ROWS", 3)
    return launched


@pytest.mark.parametrize("effects", EFFECTS)
def test_it_steps_as_the_plain_solver_does(recorded: list[int], effects: dict[str, Any]) -> None:
    solvers = [
        TorchSolver(guide(**effects), GRID, steps=18),
        GraphSolver(guide(**effects), GRID, steps=18, device="cpu"),
    ]
    field = pulses(7)
    for _ in range(2):  # the second time nothing is recorded, and what the first one left is overwritten
        plain, found = (solver.propagate(field) for solver in solvers)
        # The same operations in the same order; chunks of other sizes may be summed in another one.
        assert torch.allclose(found.field_NT, plain.field_NT, rtol=0, atol=1e-13 * float(plain.field_NT.abs().max()))
        for name in ("phase_N", "time_edge_N", "spectrum_edge_N"):
            assert torch.allclose(getattr(found, name), getattr(plain, name), rtol=1e-9, atol=1e-20)
        assert len(found.field_NT) == 7
    # Three chunks, twice: segments of 4 and of 5 steps, two each on the way, and five looks.
    assert sorted(recorded) == [12, 12, 30]
    leaf = field[:1].clone().requires_grad_()
    assert torch.equal(solvers[1].trace(leaf), solvers[0].trace(leaf))


def test_a_long_way_is_cut(recorded: list[int]) -> None:
    grid, steps = TimeGrid(samples=128, window=GRID.window), 4 * (2 * LONGEST + 1)
    field = torch.from_numpy(soliton(grid, 1, 0.0)[None])
    ends = [
        solver(guide(), grid, steps=steps, device="cpu").propagate(field).field_NT
        for solver in (TorchSolver, GraphSolver)
    ]
    assert sorted(recorded) == [4, 5, 8]  # once 85 and twice 86 steps a segment; looks
    # Two halves of a nonlinear step are one, for a phase: rounding of 1 000 steps, 1e-16 each, at random.
    assert (ends[1] - ends[0]).abs().max() < 1e-13 * ends[0].abs().max()


def test_who_can_do_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waveguide_cuda, "why_not", lambda device: None)
    monkeypatch.setattr(waveguide_cuda, "chip_of", lambda device: HOPPER)
    plain, steep = guide(), guide(self_steepening=True)
    device, short, long = (
        torch.device("cuda"),
        TimeGrid(samples=1024, window=1e-11),
        TimeGrid(samples=16384, window=1e-10),
    )

    def chosen(waveguide: Any, grid: TimeGrid, precision: str = "single") -> str:
        return choose("auto", waveguide, grid, precision=precision, device=device, name="guide")

    assert chosen(plain, short) == "cuda"
    assert chosen(steep, short) == chosen(plain, long) == chosen(plain, short, "double") == "graph"
    monkeypatch.setattr(waveguide_cuda, "why_not", lambda device: "numba-cuda is not installed")
    assert chosen(plain, short) == "graph"
    assert choose("torch", plain, short, precision="single", device=device, name="guide") == "torch"


@pytest.mark.gpu
@pytest.mark.parametrize("effects", EFFECTS)
def test_a_device_steps_as_the_plain_solver_does(effects: dict[str, Any]) -> None:
    field = pulses(300)
    plain = TorchSolver(guide(**effects), GRID, steps=90).propagate(field)
    solver = GraphSolver(guide(**effects), GRID, steps=90, device="cuda")
    for _ in range(2):
        found = solver.propagate(field)
        # Double precision, 90 steps of a few roundings of 1e-16 each.
        assert torch.allclose(found.field_NT.cpu(), plain.field_NT, rtol=0, atol=1e-12 * float(field.abs().max()))
        assert torch.allclose(found.phase_N.cpu(), plain.phase_N, rtol=1e-9)
    assert torch.equal(solver.propagate(field[299:]).field_NT[0], found.field_NT[299])
