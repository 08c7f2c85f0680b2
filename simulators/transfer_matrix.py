"""The transfer matrix of a scattering medium, one that may turn, laid out for real products.

Axis letters: N rows; D points of the incoming field, P of the outgoing one; K and L their real numbers; R real parts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from .keyed import keyed_normal
from .row_product import SURE, RowProduct

Turn = tuple[torch.Tensor, torch.Tensor]
"""Cosine and sine of an angle per row, each of shape `(n, 1)`."""


class TransferMatrix:
    """A complex matrix `T` that fields are multiplied by, and `T'` that it turns towards: `cos(a) T + sin(a) T'`.

    Real products of `[Re | Im]` run at twice the speed of complex ones.

    Args:
        matrix_PD: Complex, shape `(outputs, inputs)`.
        towards_PD: What it turns towards; None for a matrix that stands still.
        real_field: The incoming field is real, shape `(n, inputs)`. Otherwise it is `[Re | Im]`, `(n, 2 inputs)`.
    """

    def __init__(
        self, matrix_PD: torch.Tensor, *, towards_PD: torch.Tensor | None = None, real_field: bool = False
    ) -> None:
        self._outputs, self._inputs = matrix_PD.shape
        self._product = _real_product(matrix_PD, real_field)
        self._towards = None if towards_PD is None else _real_product(towards_PD, real_field)

    @property
    def matrix(self) -> torch.Tensor:
        """A copy of `T`, `complex64`."""
        return self._complex(self._product)

    @property
    def towards(self) -> torch.Tensor:
        """A copy of what it turns towards, `complex64`."""
        assert self._towards is not None  # only asked of a medium that turns
        return self._complex(self._towards)

    @property
    def numbers(self) -> int:
        """Real numbers that a row is multiplied by."""
        return self._product.inputs * self._product.outputs

    def cut(self, rows: int, *, parts: int = 1) -> Iterator[slice]:
        """Yield the portions in which `rows` rows are best multiplied, for so many threads if they are large enough."""
        return self._product.cut(rows, most=max(SURE, rows // parts))

    def __call__(self, field_NK: torch.Tensor, turn: Turn | None = None) -> torch.Tensor:
        """Return the outgoing field as `[Re | Im]`, shape `(n, 2 outputs)`, a new tensor.

        Args:
            field_NK: The incoming field.
            turn: The angle of each row, for a matrix that turns.
        """
        out_NL = self._product(field_NK)
        if turn is None or self._towards is None:
            return out_NL
        cos_N1, sin_N1 = turn
        return out_NL * cos_N1 + self._towards(field_NK) * sin_N1

    def _complex(self, product: RowProduct) -> torch.Tensor:
        real_RPD = product.dense[:, : self._inputs].unflatten(0, (2, self._outputs))  # type: ignore[no-untyped-call]
        return torch.complex(real_RPD[0], real_RPD[1])


def gaussian(
    outputs: int, inputs: int, *, scale: float, seed: int, stream: int, device: str | torch.device
) -> torch.Tensor:
    """Return iid circular complex Gaussian numbers, `complex64`; real and imaginary part have deviation `scale`."""
    parts = keyed_normal(seed, np.arange(outputs, dtype=np.int64), 2 * inputs, stream=stream, device=device)
    return torch.view_as_complex(parts.mul_(scale).view(outputs, inputs, 2))


def _real_product(matrix_PD: torch.Tensor, real_field: bool) -> RowProduct:
    real_DP, imag_DP = matrix_PD.real.T, matrix_PD.imag.T
    matrix_KL = torch.cat((real_DP, imag_DP), dim=1)
    if not real_field:
        matrix_KL = torch.cat((matrix_KL, torch.cat((-imag_DP, real_DP), dim=1)))
    return RowProduct(matrix_KL, device=matrix_PD.device)
