"""Which of the solvers of the acoustic field a cavity takes: by device, and by what has room on it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from physnet.errors import SpecError

from .acoustic_cuda import CudaSolver, plan_for
from .acoustic_graph import GraphSolver
from .acoustic_grid import Ints
from .acoustic_media import Scheme
from .acoustic_numba import NumbaSolver, is_available
from .acoustic_solver import FieldSolver
from .acoustic_torch import TorchSolver
from .cuda import why_not

Backend = Literal["auto", "torch", "numba", "cuda", "graph"]
Kind = Literal["torch", "numba", "cuda", "graph"]

ROWS: dict[str, int] = {"torch": 64, "numba": 64, "cuda": 1056, "graph": 1024}
"""Rows of a call, at most; a device has more to do at once, and eight rows on each multiprocessor even out the last."""


def choose(backend: Backend, scheme: Scheme, *, sources: Ints, device: torch.device, name: str) -> Kind:
    """Return what steps the field in single precision: the fastest that can do it, where `backend` is `auto`.

    Args:
        backend: What the user asked for.
        scheme: One time step.
        sources: `(y, x)` of each source, shape `(S, 2)`.
        device: torch device.
        name: Of the cavity, for messages.

    Raises:
        SpecError: The backend asked for can't do it.
    """
    if backend == "torch":
        return "torch"
    if backend == "auto":
        able: tuple[Kind, ...] = ("cuda", "graph") if device.type == "cuda" else ("numba",)
        return next((kind for kind in able if refusal(kind, scheme, sources, device) is None), "torch")
    refused = refusal(backend, scheme, sources, device)
    if refused is not None:
        raise SpecError(f"backend of {name} must be 'auto', or one that can do it, got {backend!r}: {refused}.")
    return backend


def refusal(kind: Kind, scheme: Scheme, sources: Ints, device: torch.device) -> str | None:
    """Return why a solver can't step the field of a scheme on a device; None if it can."""
    if kind == "numba":
        if not is_available():
            return "numba is not installed. pip install 'physnet[fast]' brings it, for the CPU"
        return None if device.type == "cpu" else f"it runs on cpu, and the device is {device}. Leave out the device"
    if kind == "cuda":
        reason = why_not(device)
        if reason is None and plan_for(scheme, sources=sources, dtype=np.float32, device=device) is None:
            return f"a row of {scheme.grid.shape} cells has no room on a multiprocessor. Choose 'graph'"
        return reason
    if kind == "graph" and device.type != "cuda":
        return f"graphs are launched on cuda, and the device is {device}. Choose another backend"
    return None


def make_solver(
    kind: Kind, scheme: Scheme, *, device: torch.device, alone: bool = False, **options: Any
) -> FieldSolver:
    """Return the solver of a kind.

    Args:
        kind: From `choose`.
        scheme: One time step.
        device: torch device; the CPU for `numba`.
        alone: Whether rows come one by one.
        options: As for `FieldSolver`.
    """
    if kind == "numba":
        return NumbaSolver(scheme, lanes=1 if alone else None, **options)
    makers: dict[str, Any] = {"torch": TorchSolver, "cuda": CudaSolver, "graph": GraphSolver}
    made: FieldSolver = makers[kind](scheme, device=device, **options)
    return made
