"""Which of the solvers of the nonlinear Schroedinger equation a system takes: by device, precision and physics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch

from physnet.errors import SpecError

from .acoustic_numba import is_available
from .waveguide_cuda import CudaSolver, why_not_resident
from .waveguide_graph import GraphSolver
from .waveguide_medium import TimeGrid, Waveguide
from .waveguide_numba import NumbaSolver
from .waveguide_solver import Extrapolated, PulseSolver
from .waveguide_torch import TorchSolver

Backend = Literal["auto", "torch", "numba", "cuda", "graph"]
_BACKENDS = ("auto", "torch", "numba", "cuda", "graph")


def choose(
    backend: str, waveguide: Waveguide, grid: TimeGrid, *, precision: str, device: torch.device, name: str
) -> str:
    """Return `torch`, `numba`, `cuda` or `graph`; the fastest that can do it, where `backend` is `auto`.

    Args:
        backend: One of `Backend`.
        waveguide: The equation.
        grid: Samples in time.
        precision: `single` or `double`.
        device: torch device.
        name: Of the system, for messages.

    Raises:
        SpecError: The backend is unknown, or can't do it.
    """
    if backend not in _BACKENDS:
        raise SpecError(f"backend of {name} must be one of {', '.join(_BACKENDS)}, got {backend!r}.")
    single = precision == "single"
    refused = {
        "torch": None,
        "numba": _why_not_numba(waveguide, single, device),
        "cuda": why_not_resident(waveguide, grid, device) if single else "its kernel works in single precision",
        "graph": None if device.type == "cuda" else f"graphs are launched on cuda, and the device is {device}",
    }
    if backend == "auto":
        able = ("cuda", "graph") if device.type == "cuda" else ("numba",)
        return next((kind for kind in able if not refused[kind]), "torch")
    if refused[backend]:
        raise SpecError(
            f"backend of {name} must be one that can do it, as 'auto', got {backend!r}: {refused[backend]}."
        )
    return backend


def maker(
    kind: str, grid: TimeGrid, *, order: int, precision: str, device: torch.device
) -> Callable[[Waveguide, int], PulseSolver]:
    """Return what makes a solver for a guide and a number of steps.

    Args:
        kind: From `choose`.
        grid: Samples in time.
        order: Of accuracy, 2 or 4.
        precision: `single` or `double`.
        device: torch device.
    """
    dtype = torch.complex64 if precision == "single" else torch.complex128

    def plain(guide: Waveguide, count: int) -> PulseSolver:
        if kind == "numba":
            return NumbaSolver(guide, grid, steps=count)
        if kind == "cuda":
            return CudaSolver(guide, grid, steps=count, device=device)
        solver: Any = GraphSolver if kind == "graph" else TorchSolver
        made: PulseSolver = solver(guide, grid, steps=count, dtype=dtype, device=device)
        return made

    def make(guide: Waveguide, count: int) -> PulseSolver:
        return Extrapolated(lambda number: plain(guide, number), steps=count) if order == 4 else plain(guide, count)

    return make


def _why_not_numba(waveguide: Waveguide, single: bool, device: torch.device) -> str | None:
    """Return the reason why code compiled for a CPU can't step the field; None if it can."""
    if not is_available():
        return "numba is not installed. pip install 'physnet[fast]' brings it"
    if device.type != "cpu":
        return f"it runs on cpu, and the device is {device}"
    if not single:
        return "it works in single precision"
    return "it knows no self-steepening" if waveguide.self_steepening else None
