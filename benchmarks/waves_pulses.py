"""The nonlinear Schroedinger equation: our solvers beside loops over torch.fft and scipy.fft, for `waves.py`.

256 pulses of 1 024 samples, from weak to solitons of order 2, through 200 symmetric steps in single precision. The
peers do the same steps as fast as these libraries let them: in place, and either with the library's threads over the
whole batch, or split, where chunks of rows that stay in the cache go to as many callers with one thread each. Errors
are those of the whole batch, relative: against the converged solution, which all solvers share but for rounding, and
against the same steps in double precision.

Axis letters: N rows; T samples in time; F bins of the spectrum.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.fft
import torch
from turns import in_turns

from physnet.simulators.acoustic_numba import is_available
from physnet.simulators.lone_threads import lone_threads
from physnet.simulators.waveguide_medium import TimeGrid, Waveguide
from physnet.simulators.waveguide_numba import NumbaSolver
from physnet.simulators.waveguide_solver import Extrapolated
from physnet.simulators.waveguide_torch import TorchSolver

ROWS, SAMPLES, STEPS, T0 = 256, 1024, 200, 0.2e-12
CHUNK = 32  # rows of a split peer: 256 KiB of field
FLOP = STEPS * ROWS * 2 * 5 * SAMPLES * np.log2(SAMPLES)  # of the transforms alone, as they are usually counted

Step = Callable[[Any], Any]


def task(rows: int = ROWS) -> tuple[Waveguide, TimeGrid, torch.Tensor]:
    guide = Waveguide(length=2 * T0**2 / 21.7e-27, beta3=0.0, attenuation=0.0)
    grid = TimeGrid(samples=SAMPLES, window=40 * T0)
    soliton = 21.7e-27 / (guide.gamma * T0**2)
    peak = soliton * torch.linspace(0.25, 4, rows, dtype=torch.float64)
    shape = torch.from_numpy(1 / np.cosh(grid.time / T0))
    return guide, grid, (peak.sqrt()[:, None] * shape).to(torch.complex128)


def torch_steps(linear_F: torch.Tensor, gain: float) -> Step:
    def run(field: torch.Tensor) -> torch.Tensor:
        other, turn = torch.empty_like(field), torch.empty_like(field)
        power, part = torch.empty_like(field.real), torch.empty_like(field.real)
        parts, turns = torch.view_as_real(field), torch.view_as_real(turn)

        def rotate(share: float) -> None:
            torch.mul(parts[..., 0], parts[..., 0], out=power)
            power.addcmul_(parts[..., 1], parts[..., 1]).mul_(gain * share)
            turns[..., 0].copy_(torch.cos(power, out=part))
            turns[..., 1].copy_(torch.sin(power, out=part))
            field.mul_(turn)

        rotate(0.5)
        for left in range(STEPS, 0, -1):
            torch.fft.fft(field, out=other)
            other.mul_(linear_F)
            torch.fft.ifft(other, out=field)
            rotate(1.0 if left > 1 else 0.5)
        return field

    return run


def scipy_steps(linear_F: Any, gain: float, workers: int) -> Step:
    def run(field: Any) -> Any:
        turn = np.empty_like(field)

        def rotate(share: float) -> None:
            power = field.real**2
            power += field.imag**2
            power *= np.float32(gain * share)
            np.cos(power, out=turn.real)
            np.sin(power, out=turn.imag)
            np.multiply(field, turn, out=field)

        rotate(0.5)
        for left in range(STEPS, 0, -1):
            other = scipy.fft.fft(field, workers=workers, overwrite_x=True)
            other *= linear_F
            field = scipy.fft.ifft(other, workers=workers, overwrite_x=True)
            rotate(1.0 if left > 1 else 0.5)
        return field

    return run


def solvers() -> tuple[dict[str, Callable[[], Any]], torch.Tensor, torch.Tensor]:
    """Return what is timed, the converged solution, and the same steps in double precision."""
    guide, grid, field = task()
    single, threads = field.to(torch.complex64), torch.get_num_threads()
    linear_F = guide.linear(grid, guide.length / STEPS).astype(np.complex64)
    gain = guide.gamma * guide.length / STEPS
    with_torch = torch_steps(torch.from_numpy(linear_F), gain)
    whole, alone = scipy_steps(linear_F, gain, threads), scipy_steps(linear_F, gain, 1)

    def torch_split() -> Any:
        with lone_threads(threads) as pool:
            return torch.cat(list(pool.map(lambda part: with_torch(part.clone()), torch.split(single, CHUNK))))

    def scipy_split() -> Any:
        chunks = np.split(single.numpy(), ROWS // CHUNK)
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(lambda part: alone(part.copy()), chunks)))

    found: dict[str, Callable[[], Any]] = {
        "torch.fft": lambda: with_torch(single.clone()),
        "torch.fft, split": torch_split,
        "scipy.fft": lambda: whole(single.numpy().copy()),
        "scipy.fft, split": scipy_split,
        "torch": lambda: TorchSolver(guide, grid, steps=STEPS, dtype=torch.complex64).propagate(single).field_NT,
    }
    if is_available():
        found["numba"] = lambda: NumbaSolver(guide, grid, steps=STEPS).propagate(single).field_NT
    converged = Extrapolated(lambda steps: TorchSolver(guide, grid, steps=steps), steps=2 * STEPS)
    double = TorchSolver(guide, grid, steps=STEPS)
    return found, converged.propagate(field).field_NT, double.propagate(field).field_NT


def relative(field: Any, other: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(torch.as_tensor(field) - other) / torch.linalg.vector_norm(other))


def pulse_table(repeats: int) -> list[str]:
    """Time the solvers in turn, print and return the lines of the table."""
    runs, converged, double = solvers()
    heard = {name: run() for name, run in runs.items()}  # and warm up
    seconds, busy = in_turns(runs, repeats)
    peers = {kind: [name for name in runs if name.startswith(kind)] for kind in ("torch.fft", "scipy.fft")}
    fastest = {kind: np.array(min((seconds[name] for name in names), key=np.median)) for kind, names in peers.items()}
    lines = [
        f"Schroedinger {ROWS} x {SAMPLES} x {STEPS} steps, complex64, {torch.get_num_threads()} threads; ratios to the "
        "faster way of each library, medians over the turns",
        "",
        "| solver | median / ms | range / ms | processor / ms | GFLOP/s | times torch.fft | range | times scipy.fft "
        "| range | error | rounding |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in runs:
        times = np.array(seconds[name])
        ratios = ""
        for kind in peers:
            ratio, lowest, highest = (np.quantile(fastest[kind] / times, part) for part in (0.5, 0, 1))
            ratios += f"| {ratio:.2f} | {lowest:.2f} to {highest:.2f} "
        lines.append(
            f"| {name} | {np.median(times) * 1e3:.0f} | {times.min() * 1e3:.0f} to {times.max() * 1e3:.0f} "
            f"| {np.median(busy[name]) * 1e3:.0f} | {FLOP / np.median(times) / 1e9:.0f} {ratios}"
            f"| {relative(heard[name], converged):.1e} | {relative(heard[name], double):.1e} |"
        )
    print("\n".join(lines), flush=True)
    return lines
