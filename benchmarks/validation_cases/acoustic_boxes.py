"""Boxes, sources and exact solutions that the cases of the acoustic cavity are made of.

Axis letters: Y, X cells; P cells of the padded grid, flattened.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import hankel1

from physnet.simulators.acoustic_grid import Grid, Stencil
from physnet.simulators.acoustic_media import Medium, Resonators, Scheme, stable_time_step
from physnet.simulators.acoustic_solver import FieldState
from physnet.simulators.acoustic_torch import TorchSolver

AIR = 343.0
Array = NDArray[Any]


def ricker(frequency: float, steps: int, time_step: float) -> NDArray[np.float64]:
    """Wave of peak frequency `frequency`, Hz, that begins and ends at rest."""
    phase = (math.pi * frequency * (np.arange(steps) * time_step - 1.5 / frequency)) ** 2
    return np.asarray((1 - 2 * phase) * np.exp(-phase))


def scheme_of(grid: Grid, medium: Medium, *, share: float = 0.9, single: bool = False, **options: Any) -> Scheme:
    """Return a scheme whose time step is a share of the largest stable one."""
    step = share * stable_time_step(grid, medium)
    return Scheme(grid=grid, medium=medium, time_step=step, single=single, **options)


def cells(*places: tuple[int, int]) -> NDArray[np.int64]:
    """Return places `(y, x)` as the solvers take them."""
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def varied(grid: Grid, seed: int = 0, **parts: Any) -> Medium:
    """A medium with a bit of everything that is linear, away from absorbing layers."""
    rng = np.random.default_rng(seed)
    rigid = np.zeros(grid.shape, dtype=bool)
    rigid[14:17, 15:19] = True
    rigid[20, 12] = True
    masses = Resonators(cells=cells((12, 13), (22, 20)), frequency=900.0, quality=15.0, mass=2e-3)
    return Medium(
        **{
            "speed_YX": AIR * rng.uniform(0.8, 1.0, grid.shape),
            "damping_YX": rng.uniform(0, 80, grid.shape),
            "rigid_YX": rigid,
            "resonators": masses,
            **parts,
        }
    )


def discrete_energy(scheme: Scheme, laplacian: Any, state: FieldState) -> float:
    """Return the energy of row 0 between two steps: kinetic, of the field's links, and of the springs of resonators.

    Args:
        scheme: The scheme.
        laplacian: Its `laplacian()`, which takes a while.
        state: The field.
    """
    now_P, before_P, oscillator_AR = state.now_NP[0], state.before_NP[0], state.resonator_NAR[0]
    grid, medium, dt = scheme.grid, scheme.medium, scheme.time_step
    inside = np.zeros(grid.padded, dtype=bool)
    inside[scheme.inside] = True
    now, before = np.where(inside.ravel(), now_P, 0), np.where(inside.ravel(), before_P, 0)
    inertia = grid.pad(1 / medium.speed_YX**2).ravel()
    total = 0.5 * float(inertia @ ((now - before) / dt) ** 2)
    total -= 0.5 * float(now @ (laplacian @ before)) / grid.pitch**2
    if medium.resonators is not None:
        ratio, omega = medium.resonators.mass / grid.pitch**2, 2 * math.pi * medium.resonators.frequency
        at = scheme.resonator_cells
        q, q_before = oscillator_AR
        total += 0.5 * float(inertia[at] @ (ratio * ((q - q_before) / dt) ** 2))
        stretch = (now[at] - q) * (before[at] - q_before)
        total += 0.5 * float(inertia[at] @ (ratio * omega**2 * stretch))
    return total


def discrete_phase(stencil: Stencil, courant: float, phases: Array) -> float:
    """Return w dt of a wave whose phase turns by `phases` (k h along each axis) from cell to cell.

    `sin^2(w dt / 2) = (c dt / h)^2 sum of the stencil's symbols / 4`; at order 2 a symbol is `4 sin^2(k h / 2)`.
    """
    return 2 * math.asin(courant * math.sqrt(float(stencil.symbol(phases).sum()) / 4))


def green(distance: float, wave: NDArray[np.float64], time_step: float) -> NDArray[np.float64]:
    """Return the wave of a point source in the plane: (i/4) H0^(1)(w r / c) of each frequency, c = 1.

    By discrete Fourier transform, over a period that is long enough for what returns in it to be weak.
    """
    length = 64 * len(wave)
    omega = 2 * math.pi * np.fft.rfftfreq(length, time_step)
    transfer = np.zeros(len(omega), dtype=complex)
    transfer[1:] = np.conj(0.25j * hankel1(0, omega[1:] * distance))  # numpy's transform turns the other way
    return np.asarray(np.fft.irfft(np.fft.rfft(wave, length) * transfer, length)[: len(wave)])


def point_source(stencil: Stencil, count: int) -> tuple[Array, Array, Array]:
    """Return times, the computed and the exact wave 1 m from a source, c = 1 m/s, `count` cells on the way.

    Waves of 0.5 m and longer count. Nothing comes back from the walls in time. The time step falls with h^2, so that
    its own error of order 2 falls as h^4 and stays below both others.
    """
    pitch, distance, duration = 1 / count, 1.0, 2.4
    time_step = 8 * pitch**2 / 16 * 0.5
    side = 2 * math.ceil((duration / 2 + 0.1) * count) + 1
    grid = Grid(shape=(side, side), pitch=pitch, order=stencil.order)
    scheme = Scheme(grid=grid, medium=Medium.uniform(grid, speed=1.0), time_step=time_step, single=False)
    wave = ricker(1.2, math.ceil(duration / time_step), time_step)
    middle = side // 2
    # the microphone lies towards neither side more than the wave can return: half the way each
    places = cells((middle, middle - count // 2)), cells((middle, middle + count // 2))
    solver = TorchSolver(scheme, sources=places[0], microphones=places[1], dtype=np.float64)
    trace, _ = solver.propagate(wave[None, None])
    exact = green(distance, wave, time_step)[1:]  # a microphone is read after the step
    return (np.arange(len(exact)) + 1) * time_step, trace[0, 0, :-1], exact


def swinging_mode(stencil: Stencil, turns: tuple[int, int], *, courant_share: float, steps: int) -> dict[str, Any]:
    """Let a mode of a closed box swing and return its trace with what belongs to it."""
    ny, nx = 24, 30
    grid = Grid(shape=(ny, nx), pitch=0.01, order=stencil.order)
    scheme = scheme_of(grid, Medium.uniform(grid, speed=AIR), share=courant_share)
    y, x = (np.cos(math.pi * p * (np.arange(n) + 0.5) / n) for p, n in zip(turns, (ny, nx), strict=True))
    phases = np.array([math.pi * p / n for p, n in zip(turns, (ny, nx), strict=True)])
    courant = AIR * scheme.time_step / grid.pitch
    turn = discrete_phase(stencil, courant, phases)
    start, mode = FieldState.rest(scheme, 1, np.float64), y[:, None] * x[None]
    start.now_NP[0], start.before_NP[0] = grid.pad(mode).ravel(), grid.pad(mode * math.cos(turn)).ravel()
    solver = TorchSolver(scheme, sources=cells((0, 0)), microphones=cells((0, 0)), dtype=np.float64)
    trace, _ = solver.propagate(np.zeros((1, 1, steps)), start)
    return {
        "trace": trace[0, 0] / mode[0, 0], "turn": turn, "phases": phases, "courant": courant,
        "semi": courant * math.sqrt(float(stencil.symbol(phases).sum())), "dt": scheme.time_step,
    }  # fmt: skip
