"""What a twin computes: features of the drive, affine maps with a smooth nonlinearity between them, a detector.

Axis letters: N rows; D drives; F features; R response values; O outputs of the last map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts import DriveSpec, SystemSpec

Head = Literal["plain", "complex", "modulus", "intensity"]
Kind = Literal["linear", "coherent", "mlp"]
KINDS: tuple[Kind, ...] = ("linear", "coherent", "mlp")
HEADS: tuple[Head, ...] = ("plain", "complex", "modulus", "intensity")
# Rows per matrix product, and columns in multiples of this. Always so many: a BLAS picks its kernels by shape, and only
# within one shape does a row's result not depend on its neighbours; with columns left over beside whole blocks (6 or 10
# of them) it was seen to depend on the row's place as well.
_HEIGHT, _WIDTH = 128, 64


def features(spec: DriveSpec, drive_ND: torch.Tensor) -> torch.Tensor:
    """Return what a twin sees of a drive, `float32`, shape `(N, F)`.

    A real drive as fractions of its range; a complex one as real and imaginary part, in parts of the largest modulus; a
    phase as cosine and sine, since it is periodic.
    """
    flat_ND = drive_ND.reshape(len(drive_ND), spec.channels)
    if flat_ND.is_complex():
        high_D = torch.as_tensor(np.array(spec.high_array), dtype=torch.float32, device=flat_ND.device)
        return torch.cat((flat_ND.real.float() / high_D, flat_ND.imag.float() / high_D), dim=1)
    flat_ND = flat_ND.float()
    if spec.domain == "phase":
        return torch.cat((flat_ND.cos(), flat_ND.sin()), dim=1)
    low_D = torch.as_tensor(np.array(spec.low_array), dtype=torch.float32, device=flat_ND.device)
    span_D = torch.as_tensor(spec.high_array - spec.low_array, dtype=torch.float32, device=flat_ND.device)
    return (flat_ND - low_D) / span_D


def has_field(spec: DriveSpec) -> bool:
    """Whether the features are the parts of a complex number for each drive."""
    return np.dtype(spec.dtype).kind == "c" or spec.domain == "phase"


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A fitted twin without its frame: numbers in, numbers out.

    Args:
        kind: How it was fitted.
        head: What the last map's outputs become: themselves, a complex number of two halves, its modulus, or the
            square of that.
        mean_F: Subtracted from the features.
        maps: Weight, shape `(inputs, outputs)`, and bias of each affine map.
    """

    kind: Kind
    head: Head
    mean_F: NDArray[np.float32]
    maps: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return all numbers by name."""
        found: dict[str, NDArray[Any]] = {"mean": self.mean_F}
        for number, (weight, bias) in enumerate(self.maps):
            found |= {f"weight{number}": weight, f"bias{number}": bias}
        return found

    @classmethod
    def from_tensors(cls, kind: Kind, head: Head, tensors: Mapping[str, NDArray[Any]]) -> Model:
        """Take back what `tensors` returned.

        Raises:
            ValueError: They don't fit together.
        """
        maps = []
        width = tensors["mean"].size
        for number in range((len(tensors) - 1) // 2):
            weight, bias = tensors[f"weight{number}"], tensors[f"bias{number}"]
            if weight.ndim != 2 or weight.shape[0] != width or bias.shape != weight.shape[1:]:
                raise ValueError(f"weight{number} of shape {weight.shape} does not follow {width} outputs")
            width = weight.shape[1]
            maps.append((weight, bias))
        arrays = [tensors["mean"], *(array for pair in maps for array in pair)]
        if not maps or any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays):
            raise ValueError("every number must be a finite float32")
        return cls(kind=kind, head=head, mean_F=tensors["mean"], maps=tuple(maps))

    @property
    def values(self) -> int:
        """Response values of a row."""
        outputs = self.maps[-1][1].size
        return outputs if self.head == "plain" else outputs // 2


class Evaluator:
    """Computes a model's responses, with their graph.

    A row's response has the same bits wherever it stands in a batch.

    Args:
        model: The model.
        drive: What it is driven with.
        device: torch device.
    """

    def __init__(self, model: Model, drive: DriveSpec, device: str | torch.device = "cpu") -> None:
        self._drive, self._head = drive, model.head
        self._mean_F = torch.from_numpy(np.array(model.mean_F)).to(device)
        self._outputs = model.maps[-1][1].size
        self._maps = []
        inputs = model.mean_F.size
        for weight, bias in model.maps:
            outputs = _WIDTH * -(-bias.size // _WIDTH)
            full_weight, full_bias = torch.zeros((inputs, outputs)), torch.zeros(outputs)
            full_weight[: weight.shape[0], : bias.size] = torch.from_numpy(np.array(weight))
            full_bias[: bias.size] = torch.from_numpy(np.array(bias))
            self._maps.append((full_weight.to(device), full_bias.to(device)))
            inputs = outputs

    def __call__(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return responses, shape `(N, R)`."""
        if not (drive_ND.is_floating_point() or drive_ND.is_complex()):
            drive_ND = drive_ND.float()
        tiles = []
        for first in range(0, len(drive_ND), _HEIGHT):
            tile_ND = drive_ND[first : first + _HEIGHT]
            tile_ND = tile_ND.reshape(len(tile_ND), self._drive.channels)
            rows = len(tile_ND)
            if rows < _HEIGHT:
                fill = tile_ND[:1].detach().expand(_HEIGHT - rows, -1)
                tile_ND = torch.cat((tile_ND, fill))
            tiles.append(self._tile(tile_ND.contiguous())[:rows])
        return torch.cat(tiles)

    def _tile(self, drive_ND: torch.Tensor) -> torch.Tensor:
        value = features(self._drive, drive_ND) - self._mean_F
        for number, (weight, bias) in enumerate(self._maps):
            value = (squareplus(value) if number else value) @ weight + bias
        return detected(value[:, : self._outputs], self._head)


def squareplus(value: torch.Tensor) -> torch.Tensor:
    """Return a smooth rectifier made of operations that round alike wherever a number stands in an array.

    Source:
        J. T. Barron, Squareplus: a softplus-like algebraic rectifier, arXiv:2112.11687.
    """
    return (value + (value * value + 4).sqrt()) * 0.5


def detected(value_NO: torch.Tensor, head: Head) -> torch.Tensor:
    """Turn the outputs of the last map into responses. The gradient of a modulus at 0 is 0."""
    if head == "plain":
        return value_NO
    real_NR, imag_NR = value_NO.chunk(2, dim=1)
    if head == "complex":
        return torch.complex(real_NR, imag_NR)
    power_NR = real_NR * real_NR + imag_NR * imag_NR
    if head == "intensity":
        return power_NR
    lit = power_NR > 0
    return torch.where(lit, torch.where(lit, power_NR, 1.0).sqrt(), 0.0)


def split_complex(response_NR: NDArray[Any]) -> NDArray[np.float64]:
    """Return complex responses as real and imaginary halves, and real ones as they are, in double precision."""
    if np.iscomplexobj(response_NR):
        return np.concatenate((response_NR.real, response_NR.imag), axis=1).astype(np.float64)
    return response_NR.astype(np.float64)


def describe_nonlinearity(spec: SystemSpec, model: Model) -> frozenset[Literal["medium", "detector", "digital"]]:
    """Say where a twin is nonlinear."""
    found: set[Literal["medium", "detector", "digital"]] = set()
    if spec.drive.domain == "phase":
        found.add("medium")
    if model.head in ("modulus", "intensity"):
        found.add("detector")
    if len(model.maps) > 1:
        found.add("digital")
    return frozenset(found)
