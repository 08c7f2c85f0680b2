"""Pulses and exact solutions that the cases of the nonlinear waveguide are made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.simulators.waveguide_medium import TimeGrid, Waveguide
from physnet.simulators.waveguide_solver import Extrapolated, PulseSolver
from physnet.simulators.waveguide_torch import TorchSolver

BETA2, GAMMA = -21.7e-27, 1.3e-3
T0 = 0.2e-12
DISPERSION_LENGTH = T0**2 / abs(BETA2)  # 1.84 m
SOLITON = abs(BETA2) / (GAMMA * T0**2)  # W, peak power of the fundamental soliton
GRID = TimeGrid(samples=512, window=40 * T0)  # at the ends sech(20) = 4e-9


def extrapolated(waveguide: Waveguide, grid: TimeGrid, *, steps: int) -> PulseSolver:
    """Return the extrapolated solver of order 4."""
    return Extrapolated(lambda count: TorchSolver(waveguide, grid, steps=count), steps=steps)


def guide(**options: Any) -> Waveguide:
    """Return a guide of one dispersion length without loss and third-order dispersion, but for `options`."""
    plain = {"length": DISPERSION_LENGTH, "beta2": BETA2, "beta3": 0.0, "gamma": GAMMA, "attenuation": 0.0}
    return Waveguide(**{**plain, **options})


def run(solver: PulseSolver, field: NDArray[Any]) -> NDArray[np.complex128]:
    """Return what a pulse is at the end."""
    ends = solver.propagate(torch.from_numpy(np.atleast_2d(field))).field_NT
    return ends.to(torch.complex128).numpy().reshape(field.shape)


def error(field: NDArray[Any], exact: NDArray[Any]) -> float:
    """Return the norm of the difference over that of the exact field."""
    return float(np.linalg.norm(field - exact) / np.linalg.norm(exact))


def soliton(grid: TimeGrid, order: int, distance: float) -> NDArray[np.complex128]:
    """Exact solitons of order 1 and 2; Agrawal, Nonlinear Fiber Optics, eq. 5.2.12 and 5.2.24."""
    x, z = grid.time / T0, distance / DISPERSION_LENGTH
    if order == 1:
        shape = 1 / np.cosh(x) + 0j
    else:
        shape = 4 * (np.cosh(3 * x) + 3 * np.exp(4j * z) * np.cosh(x))
        shape /= np.cosh(4 * x) + 4 * np.cosh(2 * x) + 3 * np.cos(4 * z)
    return np.asarray(math.sqrt(SOLITON) * shape * np.exp(0.5j * z))


def dispersed_gaussian(grid: TimeGrid, lengths: float) -> NDArray[np.complex128]:
    """Return a Gaussian of 1 W after so many dispersion lengths without Kerr effect; Agrawal, eq. 3.2.7."""
    z = -1j * math.copysign(lengths, BETA2)
    return np.asarray(np.exp(-((grid.time / T0) ** 2) / 2 / (1 + z)) / np.sqrt(1 + z))


def width(grid: TimeGrid, field: NDArray[Any]) -> float:
    """Return the root-mean-square width of a pulse's power, in units of `T0` such that a Gaussian has 1."""
    power = np.abs(field) ** 2
    return math.sqrt(2 * np.sum(power * grid.time**2) / np.sum(power)) / T0
