"""Which of the ways through a fibre a system takes: compiled or torch, in real space or by the tensor."""

from __future__ import annotations

from typing import Any

import torch

from physnet.errors import SpecError

from .acoustic_numba import is_available
from .fibre_graph import GraphPropagator
from .fibre_kerr import Kerr, QuadratureKerr, TensorKerr
from .fibre_line import Line
from .fibre_modes import Modes
from .fibre_numba import NumbaPropagator
from .fibre_torch import TorchPropagator


def make_propagator(
    line: Line, modes: Modes, *, kerr: str, backend: str, device: torch.device, name: str
) -> TorchPropagator:
    """Return what takes amplitudes through a fibre, in single precision.

    Args:
        line: Steps, sections and junctions.
        modes: The modes.
        kerr: `quadrature` or `tensor`.
        backend: `auto`, `torch`, `numba` or `graph`. Linear fibres need no compiled code.
        device: torch device.
        name: Of the system, for messages.

    Raises:
        SpecError: An argument is unknown, or compiled code can't do it.
    """
    if backend not in ("auto", "torch", "numba", "graph") or kerr not in ("quadrature", "tensor"):
        raise SpecError(
            f"backend and kerr of {name} must be auto, torch, numba or graph, and quadrature or tensor, got "
            f"{backend!r} and {kerr!r}."
        )
    able = is_available() and device.type == "cpu" and kerr == "quadrature"
    if backend == "numba" and not able:
        raise SpecError(
            f"backend of {name} must be 'torch' or 'auto' on {device} with kerr {kerr!r}, or where numba is not "
            "installed, got 'numba'. pip install 'physnet[fast]' brings it, for the CPU and kerr 'quadrature'."
        )
    on_cuda = device.type == "cuda"
    if backend == "graph" and not on_cuda:
        raise SpecError(
            f"backend of {name} must be 'auto', 'torch' or 'numba' on {device}, got 'graph', which is launched on cuda."
        )
    options: dict[str, Any] = {"dtype": torch.float32, "device": device}
    if line.linear:
        return TorchPropagator(line, None, **options)
    factors = modes.factors()
    term: Kerr = TensorKerr(modes, **options) if kerr == "tensor" else QuadratureKerr(factors, **options)
    if on_cuda and backend != "torch":
        return GraphPropagator(line, term, **options)
    if able and backend != "torch":
        return NumbaPropagator(line, term, factors)
    return TorchPropagator(line, term, **options)
