"""Bring features to a common scale, with statistics of the training rows alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..records import Tensors

ScalingKind = Literal["none", "standard", "range"]
# Rows scaled at a time: the float64 copy of a block of 28x28 images stays near 25 MB.
_BLOCK = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureScaling:
    """The map `(x - offset) / scale`, feature by feature.

    A row that was not fitted on can leave the range 0..1 of kind `"range"`: it is the encoder's business to
    clip, and to count what it clipped.

    Args:
        kind: `"none"`; `"standard"` (zero mean, unit variance); `"range"` (smallest value to 0, largest to
            1).
        offset: What is subtracted, float64, shape `(features,)`, in the unit of the features.
        scale: What is divided by, float64, shape `(features,)`, > 0, in the unit of the features.

    Raises:
        DataError: The fields contradict each other.
    """

    kind: ScalingKind
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __post_init__(self) -> None:
        _check_kind(self.kind)
        if self.offset.ndim != 1 or self.offset.shape != self.scale.shape:
            raise DataError(
                f"offset and scale must be one number per feature, got shapes {self.offset.shape} and "
                f"{self.scale.shape}. Fit the scaling again, or restore another checkpoint."
            )
        if not np.all(np.isfinite(self.offset) & np.isfinite(self.scale) & (self.scale > 0)):
            raise DataError(
                "offset must be finite and scale finite and > 0, got a value that isn't. "
                "Fit the scaling again, or restore another checkpoint."
            )

    @classmethod
    def fit(cls, kind: ScalingKind, x: NDArray[Any]) -> Self:
        """Fit the map to training rows.

        A feature that is constant there gets scale 1: it becomes 0 and can't blow up noise.

        Args:
            kind: Which map.
            x: Training rows, shape `(n, features)`, n >= 1, finite.

        Returns:
            The fitted map.

        Raises:
            DataError: `kind` is unknown, or `x` has another shape or isn't finite.
        """
        _check_kind(kind)
        _check_rows(x)
        if not len(x):
            raise DataError("x must hold at least 1 training row, got 0. Check the limits of the split.")
        low, high = x.min(axis=0).astype(np.float64), x.max(axis=0).astype(np.float64)
        if kind == "standard":
            offset = x.mean(axis=0, dtype=np.float64)
            scale = x.std(axis=0, dtype=np.float64)
        elif kind == "range":
            offset, scale = low, high - low
        else:
            offset, scale = np.zeros_like(low), np.ones_like(low)
        # Compared by value: the computed spread of a constant is a rounding error, not 0.
        constant = (high == low) & (kind != "none")
        return cls(kind=kind, offset=np.where(constant, low, offset), scale=np.where(constant, 1.0, scale))

    @classmethod
    def from_tensors(cls, kind: ScalingKind, tensors: Tensors) -> Self:
        """Restore a map from what `tensors` returned.

        Raises:
            DataError: A tensor is missing, or they contradict each other.
        """
        missing = {"offset", "scale"} - set(tensors)
        if missing:
            raise DataError(
                f"a feature scaling must have the tensors 'offset' and 'scale', got {sorted(tensors)}. "
                f"Restore another checkpoint."
            )
        return cls(
            kind=kind,
            offset=np.asarray(tensors["offset"], dtype=np.float64),
            scale=np.asarray(tensors["scale"], dtype=np.float64),
        )

    def tensors(self) -> dict[str, NDArray[np.float64]]:
        """Return the named arrays that a checkpoint carries: `offset` and `scale`."""
        return {"offset": self.offset, "scale": self.scale}

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """Scale rows.

        Args:
            x: Shape `(n, features)`, finite.

        Returns:
            Scaled rows, float32, same shape.

        Raises:
            DataError: `x` has another number of features, isn't finite, or leaves the range of float32 when
                scaled.
        """
        _check_rows(x)
        if x.shape[1] != len(self.offset):
            raise DataError(
                f"x must have the {len(self.offset)} features the scaling was fitted on, got {x.shape[1]}. "
                f"Choose the same columns as in training."
            )
        scaled = np.empty(x.shape, dtype=np.float32)
        with np.errstate(over="ignore"):
            for start in range(0, len(x), _BLOCK):
                scaled[start : start + _BLOCK] = (x[start : start + _BLOCK] - self.offset) / self.scale
        if not np.isfinite(scaled).all():
            row, column = np.argwhere(~np.isfinite(scaled))[0]
            raise DataError(
                f"x must be within the range of float32 after scaling, got {x[row, column]:g} in row {row}, "
                f"feature {column}, with scale {self.scale[column]:g}. Check that it has the unit of the "
                "training rows."
            )
        return scaled


def _check_kind(kind: str) -> None:
    if kind not in get_args(ScalingKind):
        raise DataError(
            f"scaling must be one of {', '.join(get_args(ScalingKind))}, got {kind!r}. 'standard' suits most data."
        )


def _check_rows(x: NDArray[Any]) -> None:
    if x.ndim != 2:
        raise DataError(f"x must have shape (rows, features), got {x.shape}. Flatten each sample to one row.")
    finite = np.isfinite(x)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"x must be finite, got {x[row, column]} in row {row}, feature {column}. Leave out such rows, or "
            "fill them in."
        )
