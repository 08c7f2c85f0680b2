"""Responses as real numbers to compute with, and back: whatever array library and type a system answers in.

Axis letters: N rows; X real parts of response channels, (real, imaginary) pairs for a complex response.
"""

from __future__ import annotations

import numpy as np
import torch

from physnet.contracts import Array


def torch_copy(array: Array) -> torch.Tensor:
    """Return a contiguous copy as a tensor, without a graph."""
    if isinstance(array, torch.Tensor):
        return array.detach().clone(memory_format=torch.contiguous_format)
    return torch.from_numpy(np.array(array, order="C"))


def to_parts(response: Array) -> torch.Tensor:
    """Return a copy of a response as real numbers to compute with, shape `(n, parts)`: at least `float32`."""
    if isinstance(response, np.ndarray) and response.dtype.kind in "iu":
        response = response.astype(np.float64)  # torch lacks most of the unsigned types
    value = torch_copy(response)
    if value.is_complex():
        value = torch.view_as_real(value)
    elif not value.is_floating_point():
        value = value.double()
    return (value.float() if value.dtype in (torch.float16, torch.bfloat16) else value).reshape(len(response), -1)


def from_parts(value_NX: torch.Tensor, like: Array, shape: tuple[int, ...] | None = None) -> Array:
    """Undo `to_parts`: array library and dtype of `like`; integers are rounded and kept within their type.

    Args:
        value_NX: Real numbers.
        like: A response.
        shape: Of one row; None for that of `like`.
    """
    whole = like.is_complex() if isinstance(like, torch.Tensor) else like.dtype.kind == "c"
    rows = (len(value_NX), *(like.shape[1:] if shape is None else shape))
    value = torch.view_as_complex(value_NX.reshape(*rows, 2).contiguous()) if whole else value_NX.reshape(rows)
    if isinstance(like, torch.Tensor):
        if not (like.is_complex() or like.is_floating_point()):
            limits = torch.iinfo(like.dtype)
            value = value.round().clamp(limits.min, limits.max)
        return value.to(like.dtype)
    array = value.numpy()
    if like.dtype.kind in "iu":
        array = np.clip(np.rint(array), np.iinfo(like.dtype).min, np.iinfo(like.dtype).max)
    return array.astype(like.dtype, copy=False)


def row_sum(value_NX: torch.Tensor) -> torch.Tensor:
    """Sum each row by halves: a library's sum may add in another order for another number of rows or threads."""
    while (width := value_NX.shape[1]) > 1:
        half = width // 2
        folded_NX = value_NX[:, :half] + value_NX[:, half : 2 * half]
        value_NX = torch.cat((folded_NX, value_NX[:, 2 * half :]), dim=1) if width % 2 else folded_NX
    return value_NX[:, 0]
