"""Products of rows with a fixed matrix, as fast as one large product: a row's bits do not depend on its neighbours.

Axis letters: N rows; K inputs; C outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

# A BLAS picks its kernels by shape, and only within one shape does a row's result not depend on its neighbours.
SURE = 128
"""Rows of the product that gives every row its result; other heights must agree with it."""
# Heights that are faster for many rows and for few, used where they were seen to give the bits of the sure one.
_TALL, _LOW = 512, (32, 8)
_MOST = 1 << 23  # numbers in one product: beyond, they leave the last-level cache before they are read again
_NARROW = 16  # in products of 6 or 10 columns a row's last digits depend on its place: never fewer are computed

_tried: dict[tuple[object, ...], tuple[int, ...]] = {}  # heights by all that a BLAS chooses its kernels by


class RowProduct:
    """Multiplies rows by a fixed `float32` matrix, many of them at the speed of a large product.

    On a CPU with oneDNN the matrix is packed once, in the order in which its kernels read it; elsewhere the product is
    torch's. Both take 128 rows at a time. Other heights are tried on random rows when a shape of matrix is first used,
    and taken if every bit is the same: sums in another order would show in one of the 128 rows.

    Args:
        matrix_KC: The matrix, shape `(inputs, outputs)`; moved to `device`.
        device: torch device.
    """

    def __init__(self, matrix_KC: torch.Tensor, *, device: str | torch.device = "cpu") -> None:
        self.inputs, self.outputs = matrix_KC.shape
        self._device = torch.device(device)
        missing = max(0, _NARROW - self.outputs)
        matrix_CK = torch.nn.functional.pad(matrix_KC.T, (0, 0, 0, missing)).to(self._device, torch.float32)
        self._matrix = _packed(matrix_CK.contiguous())

    @property
    def dense(self) -> torch.Tensor:
        """The matrix, shape `(outputs, inputs)`."""
        matrix = self._matrix
        return (matrix.to_dense() if matrix.is_mkldnn else matrix)[: self.outputs]

    def cut(self, rows: int, *, most: int = _TALL) -> Iterator[slice]:
        """Yield the portions in which `rows` rows are best multiplied: as tall as there are rows for, up to `most`."""
        heights = [height for height in self.heights() if height <= most] or self.heights()[-1:]
        first = 0
        while first < rows:
            height = next((tall for tall in heights if tall <= rows - first), heights[-1])
            yield slice(first, min(first + height, rows))
            first += height

    def __call__(self, row_NK: torch.Tensor) -> torch.Tensor:
        """Return `row_NK @ matrix_KC`, with its graph if the rows have one."""
        if row_NK.requires_grad:
            return _Product.apply(row_NK, self)  # type: ignore[no-any-return, no-untyped-call]
        return self.multiply(row_NK)

    def multiply(self, row_NK: torch.Tensor) -> torch.Tensor:
        """Return the product without a graph."""
        parts = [self._tile(row_NK[rows]) for rows in self.cut(len(row_NK))]
        out_NC = parts[0] if len(parts) == 1 else torch.cat(parts or [row_NK.new_empty(0, len(self._matrix))])
        return out_NC[:, : self.outputs]

    def heights(self) -> tuple[int, ...]:
        """Rows of a product that give the bits of the sure height with the present number of threads, tallest first."""
        key = (self._matrix.shape, self._matrix.is_mkldnn, self._device, torch.get_num_threads())
        if key not in _tried:
            _tried[key] = self._try_heights()
        return _tried[key]

    def _try_heights(self) -> tuple[int, ...]:
        row_NK = torch.randn(SURE, self.inputs, generator=torch.Generator().manual_seed(0)).to(self._device)
        sure_NC = self._exact(row_NK)
        low = []
        for height in _LOW:
            tiles = [self._exact(row_NK[first : first + height]) for first in range(0, SURE, height)]
            if torch.equal(torch.cat(tiles), sure_NC):
                low.append(height)
        if _TALL * self.outputs > _MOST:
            return (SURE, *low)
        places = torch.cat([torch.arange(SURE).roll(shift) for shift in range(1, 2 * _TALL // SURE, 2)])
        tall = torch.equal(self._exact(row_NK[places]), sure_NC[places])
        return (*((_TALL,) if tall else ()), SURE, *low)

    def _tile(self, row_NK: torch.Tensor) -> torch.Tensor:
        """Multiply at most the tallest height's rows."""
        height = next(height for height in reversed(self.heights()) if height >= len(row_NK))
        missing = height - len(row_NK)
        return self._exact(torch.nn.functional.pad(row_NK, (0, 0, 0, missing)) if missing else row_NK)[: len(row_NK)]

    def _exact(self, row_NK: torch.Tensor) -> torch.Tensor:
        """Multiply in one product of just this height."""
        with torch.no_grad():
            if self._matrix.is_mkldnn:
                out_NC: torch.Tensor = torch.ops.mkldnn._linear_pointwise(row_NK, self._matrix, None, "none", [], "")
                return out_NC
            return row_NK @ self._matrix.T


class _Product(torch.autograd.Function):
    """The product and its gradient; the packed one has none of its own."""

    @staticmethod
    def forward(ctx: Any, row_NK: torch.Tensor, product: RowProduct) -> torch.Tensor:
        ctx.product = product
        return product.multiply(row_NK)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor, None]:
        return grads[0] @ ctx.product.dense, None


def _packed(matrix_CK: torch.Tensor) -> torch.Tensor:
    """Return the matrix in oneDNN's order, or as it is where torch has no such product or it does not work."""
    if matrix_CK.device.type != "cpu":
        return matrix_CK
    row_NK = torch.ones(2, matrix_CK.shape[1])
    try:
        # Neither is part of torch's public interface; both are there since 2.0.
        packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix_CK, SURE)
        right = torch.ops.mkldnn._linear_pointwise(row_NK, packed, None, "none", [], "").shape == (2, len(matrix_CK))
        return packed if right and packed.to_dense().shape == matrix_CK.shape else matrix_CK
    except (AttributeError, NotImplementedError, RuntimeError):
        return matrix_CK
