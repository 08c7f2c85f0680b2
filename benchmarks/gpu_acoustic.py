"""The acoustic task on a CUDA device, for `gpu.py`: 128 x 128 cells with layers of 20, 500 steps, order 2, float32.

Our kernel is timed alone, without the host's time to launch it, and as called, with the way of waveforms and sounds
between the memories of host and device; our other ways have both on their way as well. deepwave's arrays stay on the
device. It has the whole batch at once, or parts of it one after the other; ratios are to the fastest of these.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
import waves
from gpu_turns import HEAD, Entrant, compared, device_alone, timed

from physnet.simulators import acoustic_cuda
from physnet.simulators.acoustic_cuda import CudaSolver
from physnet.simulators.acoustic_graph import GraphSolver
from physnet.simulators.acoustic_grid import Grid
from physnet.simulators.acoustic_media import Medium, Scheme
from physnet.simulators.acoustic_solver import FieldSolver
from physnet.simulators.acoustic_torch import TorchSolver

BATCHES, PARTS = (32, 132, 1056), (32, 132)
TOLERANCE = 1e-4
"""Relative to the loudest sound. On a CPU the solvers in single precision were within 3e-5 of each other."""
_SAMPLED = 8  # rows whose answer is computed on the CPU, at equal distances


def acoustic_table(device: torch.device, repeats: int) -> list[str]:
    """Compare, time, print and return the lines of the table."""
    with_peer = importlib.util.find_spec("deepwave") is not None
    lines = [
        f"acoustic cavity, {waves.CELLS} x {waves.CELLS} cells with layers of {waves.LAYER}, {waves.STEPS} steps, "
        f"order 2, float32{'' if with_peer else '; deepwave is not installed'}",
        "",
        HEAD.format(rate="Gcell/s", peer="deepwave"),
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for rows in BATCHES:
        wave = waves.waves(rows)
        scheme = _scheme(waves.CELLS, waves.LAYER)
        entrants = _entrants(scheme, wave, device) + (_peers(wave, device) if with_peer else [])
        errors = compared(entrants, _judge(scheme, wave, waves.SOURCE, waves.MICROPHONES), TOLERANCE)
        work = waves.CELLS**2 * waves.STEPS * rows / 1e9
        lines += timed(f"{rows} rows", entrants, errors, work=work, repeats=repeats)
        print("\n".join(lines[-len(entrants) :]), flush=True)
    return lines


def acoustic_check(cells: int = 20, layer: int = 4, steps: int = 24) -> dict[str, float]:
    """Compare the kernel with the plain solver at small size, in the interpreter."""
    scheme, wave = _scheme(cells, layer), waves.waves(2)[:, :, 60 : 60 + steps]
    source, microphones = np.array([[9, 10]]), np.array([[12, 13], [2, 9]])
    solver = CudaSolver(scheme, sources=source, microphones=microphones, device="cpu")
    entrant = Entrant(name="acoustic, kernel", run=lambda: solver.propagate(wave)[0])
    return compared([entrant], _judge(scheme, wave, source, microphones), TOLERANCE)


def _scheme(cells: int, layer: int) -> Scheme:
    grid = Grid(shape=(cells, cells), pitch=waves.PITCH, order=2, sides=("absorbing",) * 4, layer=layer)
    medium = Medium.uniform(grid, speed=waves.SPEED)
    return Scheme(grid=grid, medium=medium, time_step=waves.STEP, frequency=waves.FREQUENCY)


def _entrants(scheme: Scheme, wave: Any, device: torch.device) -> list[Entrant]:
    options: dict[str, Any] = {"sources": waves.SOURCE, "microphones": waves.MICROPHONES, "device": device}
    kernel = _heard(CudaSolver(scheme, **options), wave)
    return [
        Entrant(name="kernel", run=kernel, seconds=lambda: _launch_alone(kernel)),
        Entrant(name="kernel, with transfers", run=kernel),
        Entrant(name="graph of torch, with transfers", run=_heard(GraphSolver(scheme, **options), wave)),
        Entrant(name="torch, with transfers", run=_heard(TorchSolver(scheme, **options), wave)),
    ]


def _heard(solver: FieldSolver, wave: Any) -> Callable[[], Any]:
    return lambda: solver.propagate(wave)[0]


def _launch_alone(run: Callable[[], Any]) -> float:
    """Return how long the kernel takes that a solver launches, without what is around it, s."""
    launch, taken = acoustic_cuda.launch, list[float]()

    def alone(*arguments: Any, **options: Any) -> None:
        taken.append(device_alone(lambda: launch(*arguments, **options)))

    with mock.patch.object(acoustic_cuda, "launch", alone):
        run()
    return sum(taken)


def _peers(wave: Any, device: torch.device) -> list[Entrant]:
    entrants = []
    for size in sorted({len(wave), *(part for part in PARTS if part < len(wave))}):
        parts = np.split(wave, range(size, len(wave), size))
        runs = [waves.peer_on(device, 2, waves.LAYER, np.ascontiguousarray(part)) for part in parts]
        name = "deepwave" if size == len(wave) else f"deepwave, {size} rows at once"
        entrants.append(Entrant(name=name, run=_in_turn(runs), is_peer=True))
    return entrants


def _in_turn(runs: list[Callable[[], torch.Tensor]]) -> Callable[[], torch.Tensor]:
    return lambda: torch.cat([run() for run in runs])


def _judge(scheme: Scheme, wave: Any, sources: Any, microphones: Any) -> Callable[[Any], float]:
    """Return what tells the largest error of some rows, against the CPU in double precision."""
    some = slice(None, None, max(1, len(wave) // _SAMPLED))
    solver = TorchSolver(scheme, sources=sources, microphones=microphones, dtype=np.float64)
    exact = solver.propagate(wave[some])[0]

    def error(found: Any) -> float:
        heard = found.cpu().numpy() if isinstance(found, torch.Tensor) else found
        length = min(heard.shape[-1], exact.shape[-1])  # deepwave reads before the step, the last one is missing
        return float(np.abs(heard[some, :, :length] - exact[..., :length]).max() / np.abs(exact).max())

    return error
