"""The Kerr term of a multimode fibre: in real space, at nodes that integrate four modes, and as a dense tensor.

Both give `K_p = sum_lmn S_plmn A_l A_m^* A_n` with `S_plmn = integral F_p F_l F_m F_n`. The tensor is the definition,
and the plain way: its cost grows with the fourth power of the number of modes. In real space the field is composed at
the nodes, multiplied with its own intensity, and projected on the modes again; that is exact where the nodes are.

Axis letters: M modes; P nodes; C pairs of modes; X columns (rows of a batch, or samples of a pulse). Amplitudes have
the shape `(M, 2, X)`, real and imaginary part apart: sums and products of real numbers are rounded alike everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .fibre_modes import Factors, Modes
from .fibre_profile import Floats


class Kerr(ABC):
    """The sum over all quadruples of modes."""

    @abstractmethod
    def term(self, amplitude_M2X: torch.Tensor) -> torch.Tensor:
        """Return `K`, 1/m^2 times the cube of the amplitude, with its graph."""


class QuadratureKerr(Kerr):
    """`K` by the nodes of `Factors`: two real matrix products.

    Args:
        factors: Nodes and modes.
        dtype: Of the amplitudes.
        device: torch device.
    """

    def __init__(self, factors: Factors, *, dtype: torch.dtype, device: torch.device) -> None:
        self._modes = len(factors.group_M)
        field_PM = torch.from_numpy(_filled(factors.field())).to(device, dtype)
        self._field_PM = field_PM.contiguous()
        self._field_MP = torch.from_numpy(_filled(field_PM.T.cpu().numpy())).to(device).contiguous()
        self._weight_P1 = torch.from_numpy(_filled(factors.weight()[:, None])).to(device, dtype)

    def term(self, amplitude_M2X: torch.Tensor) -> torch.Tensor:
        """Return `K`, 1/m^2 times the cube of the amplitude, with its graph."""
        found: torch.Tensor = _Term.apply(amplitude_M2X, self)  # type: ignore[no-untyped-call]
        return found

    def compose(self, amplitude_M2X: torch.Tensor) -> torch.Tensor:
        """Return the field at the nodes, shape `(P, 2, X)`."""
        modes, _, columns = amplitude_M2X.shape
        return (self._field_PM @ amplitude_M2X.reshape(modes, 2 * columns)).view(-1, 2, columns)

    def project(self, field_P2X: torch.Tensor) -> torch.Tensor:
        """Return the sums over the nodes of the modes times a field, shape `(M, 2, X)`."""
        points, _, columns = field_P2X.shape
        return (self._field_MP @ field_P2X.reshape(points, 2 * columns))[: self._modes].view(-1, 2, columns)

    def intensity(self, field_P2X: torch.Tensor) -> torch.Tensor:
        """Return the intensity at the nodes times their weights, shape `(P, X)`."""
        real_PX, imag_PX = field_P2X.unbind(1)
        return (real_PX * real_PX + imag_PX * imag_PX) * self._weight_P1

    def slope(self, field_P2X: torch.Tensor, along_P2X: torch.Tensor) -> torch.Tensor:
        """Return the symmetric derivative of the weighted `|u|^2 u` along a direction, shape `(P, 2, X)`."""
        shared_PX = 2 * self._weight_P1 * (field_P2X * along_P2X).sum(1)
        return self.intensity(field_P2X)[:, None] * along_P2X + field_P2X * shared_PX[:, None]


class _Term(torch.autograd.Function):
    """Keeps the amplitudes for the gradient, not the field at the nodes, which is many times larger."""

    @staticmethod
    def forward(ctx: Any, amplitude_M2X: torch.Tensor, kerr: QuadratureKerr) -> torch.Tensor:
        ctx.save_for_backward(amplitude_M2X)
        ctx.kerr = kerr
        field_P2X = kerr.compose(amplitude_M2X)
        return kerr.project(field_P2X * kerr.intensity(field_P2X)[:, None])

    @staticmethod
    def backward(ctx: Any, weight_M2X: torch.Tensor) -> tuple[torch.Tensor, None]:
        (amplitude_M2X,) = ctx.saved_tensors
        kerr: QuadratureKerr = ctx.kerr
        return kerr.project(kerr.slope(kerr.compose(amplitude_M2X), kerr.compose(weight_M2X.contiguous()))), None


class TensorKerr(Kerr):
    """`K` by the dense tensor, over pairs of modes: `S` is symmetric, and real like the modes.

    Args:
        modes: The modes; the memory grows with the fourth power of their number, 9 MB in single precision for 55.
        dtype: Of the amplitudes.
        device: torch device.
    """

    def __init__(self, modes: Modes, *, dtype: torch.dtype, device: torch.device) -> None:
        self._row_C, self._column_C = (torch.from_numpy(part).to(device) for part in np.triu_indices(len(modes)))
        self._pair_MM = torch.zeros((len(modes), len(modes)), dtype=torch.int64, device=device)
        numbers = torch.arange(len(self._row_C), device=device)
        self._pair_MM[self._row_C, self._column_C] = numbers
        self._pair_MM[self._column_C, self._row_C] = numbers
        twice_C = np.where(self._row_C.cpu().numpy() == self._column_C.cpu().numpy(), 1.0, 2.0)
        self._tensor_CC = torch.from_numpy(_filled(overlaps(modes) * twice_C)).to(device, dtype).contiguous()

    def term(self, amplitude_M2X: torch.Tensor) -> torch.Tensor:
        """Return `K`, 1/m^2 times the cube of the amplitude, with its graph."""
        first, second = amplitude_M2X[self._row_C], amplitude_M2X[self._column_C]
        coherence_CX = first[:, 0] * second[:, 0] + first[:, 1] * second[:, 1]
        action_MMX = (self._tensor_CC @ coherence_CX)[self._pair_MM]
        return (action_MMX[:, :, None] * amplitude_M2X).sum(1)


def _filled(matrix: NDArray[Any]) -> NDArray[Any]:
    """Return a matrix with rows of zeros up to a multiple of sixteen.

    Products with fewer rows were seen to be summed in another order by another number of threads.
    """
    return np.pad(matrix, ((0, -len(matrix) % 16), (0, 0)))


def overlaps(modes: Modes) -> Floats:
    """Return `S_plmn`, 1/m^2, for the pairs `p <= l` and `m <= n`, shape `(pairs, pairs)`."""
    nodes = modes.factors()
    field_PM = nodes.field()
    row_C, column_C = np.triu_indices(len(modes))
    product_PC = field_PM[:, row_C] * field_PM[:, column_C]
    return np.asarray(product_PC.T @ (nodes.weight()[:, None] * product_PC))
