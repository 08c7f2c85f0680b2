"""The nonlinear Schroedinger equation on a CUDA device, for `gpu.py`.

Peers: the loop over torch's cuFFT of `waves_pulses.py`, in place, launched step by step, and recorded as one graph.
Ratios are to the former. The kernel and that graph are timed without the host's time to launch them; the others, and
the kernel once more, as called.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
import waves_pulses
from gpu_turns import HEAD, Entrant, compared, device_alone, timed

from physnet.simulators.cuda_graph import record
from physnet.simulators.waveguide_cuda import CudaSolver
from physnet.simulators.waveguide_graph import GraphSolver
from physnet.simulators.waveguide_medium import TimeGrid, Waveguide
from physnet.simulators.waveguide_torch import TorchSolver

TOLERANCE = 1e-3
"""Relative to the norm. Rounding of 200 steps was 1e-4 in all solvers on a CPU; a wrong step is off by far more."""
_SAMPLED = 64  # rows whose answer is computed on the CPU, at equal distances


def pulse_table(device: torch.device, repeats: int) -> list[str]:
    """Compare, time, print and return the lines of the table."""
    lines = [
        f"Schroedinger equation, {waves_pulses.SAMPLES} samples, {waves_pulses.STEPS} steps, complex64; GFLOP/s of the "
        "transforms alone, 5 N log2 N each",
        "",
        HEAD.format(rate="GFLOP/s", peer="stepwise cuFFT"),
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for rows in (waves_pulses.ROWS, 4096):
        guide, grid, field = waves_pulses.task(rows)
        entrants = _entrants(guide, grid, field.to(torch.complex64).to(device), waves_pulses.STEPS)
        errors = compared(entrants, _judge(guide, grid, field, waves_pulses.STEPS), TOLERANCE)
        work = waves_pulses.FLOP * rows / waves_pulses.ROWS / 1e9
        lines += timed(f"{rows} rows", entrants, errors, work=work, repeats=repeats)
        print("\n".join(lines[-len(entrants) :]), flush=True)
    return lines


def pulse_check(steps: int = 5, rows: int = 3) -> dict[str, float]:
    """Compare the kernel with the plain solver at small size, in the interpreter."""
    guide, _, field = waves_pulses.task(rows)
    guide = dataclasses.replace(guide, length=guide.length * steps / waves_pulses.STEPS)
    grid = TimeGrid(samples=128, window=40 * waves_pulses.T0)
    field = field[:, :: waves_pulses.SAMPLES // 128].contiguous()
    solver = CudaSolver(guide, grid, steps=steps, device="cpu")
    entrant = Entrant(name="Schroedinger, kernel", run=lambda: solver.propagate(field).field_NT)
    return compared([entrant], _judge(guide, grid, field, steps), TOLERANCE)


def _entrants(guide: Waveguide, grid: TimeGrid, field: torch.Tensor, steps: int) -> list[Entrant]:
    device = field.device
    kernel = CudaSolver(guide, grid, steps=steps, device=device)
    options: dict[str, Any] = {"steps": steps, "dtype": torch.complex64, "device": device}
    graph, plain = GraphSolver(guide, grid, **options), TorchSolver(guide, grid, **options)
    linear_F = torch.from_numpy(guide.linear(grid, guide.length / steps)).to(device, torch.complex64)
    loop = waves_pulses.torch_steps(linear_F, guide.gamma * guide.length / steps)
    buffer = field.clone()
    replay = record(lambda: loop(buffer), device)

    def recorded() -> torch.Tensor:
        buffer.copy_(field)
        replay()
        return buffer

    def resident() -> torch.Tensor:
        return kernel.propagate(field).field_NT

    return [
        Entrant(name="kernel", run=resident, seconds=lambda: device_alone(resident)),
        Entrant(name="kernel, as called", run=resident),
        Entrant(name="graph of torch", run=lambda: graph.propagate(field).field_NT),
        Entrant(name="torch", run=lambda: plain.propagate(field).field_NT),
        Entrant(name="cuFFT, stepwise", run=lambda: loop(field.clone()), is_peer=True),
        Entrant(name="cuFFT, in a graph", run=recorded, seconds=lambda: device_alone(recorded)),
    ]


def _judge(guide: Waveguide, grid: TimeGrid, field: torch.Tensor, steps: int) -> Callable[[torch.Tensor], float]:
    """Return what tells the error of some rows, relative to the norm, against the CPU in double precision."""
    some = slice(None, None, max(1, len(field) // _SAMPLED))
    exact = TorchSolver(guide, grid, steps=steps).propagate(field[some]).field_NT

    def error(found: torch.Tensor) -> float:
        return waves_pulses.relative(found[some].cpu().to(torch.complex128), exact)

    return error
