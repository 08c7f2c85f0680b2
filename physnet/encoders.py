"""Encoders: from the numbers a layer receives to a drive that is in range by construction.

Every encoder but `affine` normalises each sample by itself, so nothing a layer emits, at any hour of a run, leaves the
range. The price is the sample's overall scale, which is lost; and a detector that reads a modulus or an intensity is
even, so a bare sign is lost too. Each encoder says what survives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from .contracts import DriveSpec
from .errors import DriveError, InputError, SpecError

_TINY = 1e-30


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A drive, and how many values had to be clipped for it.

    Args:
        drive: Shape `(n, channels)`, in the drive's unit, within its range.
        clipped: Values clipped, over all rows.
    """

    drive: torch.Tensor
    clipped: int = 0


class Encoder(ABC):
    """Common part of the encoders: the map from a unit interval to a system's range."""

    survives: ClassVar[str]
    """What of a sample survives an even detector, in words."""

    def channels(self, inputs: int) -> int:
        """Return how many drive channels `inputs` numbers become."""
        return inputs

    def check(self, spec: DriveSpec) -> None:
        """Refuse a system this encoder can't drive.

        Raises:
            SpecError: The message names an encoder that can.
        """
        if spec.domain == "binary":
            raise SpecError(
                f"encoder '{self.name}' emits continuous values, the system takes binary ones. Use the "
                f"encoder 'levels'."
            )

    @property
    def name(self) -> str:
        """Name in experiment files."""
        return next(name for name, kind in ENCODERS.items() if kind is type(self))

    @abstractmethod
    def __call__(self, values: torch.Tensor, spec: DriveSpec) -> Encoded:
        """Encode a batch.

        Args:
            values: Shape `(n, inputs)`, any finite numbers.
            spec: The drive to make.

        Returns:
            A drive of shape `(n, channels(inputs))`.
        """


@dataclass(frozen=True, kw_only=True)
class Split(Encoder):
    """Positive and negative parts on channels of their own: `[max(h, 0), max(-h, 0)] / max|h|`.

    Twice as many channels as numbers: first all positive parts, then all negative ones.
    """

    survives: ClassVar[str] = "sign (on separate channels) and ratios; the sample's scale is lost"

    def channels(self, inputs: int) -> int:
        """Return twice the number of inputs."""
        return 2 * inputs

    def __call__(self, values: torch.Tensor, spec: DriveSpec) -> Encoded:
        """Encode a batch."""
        scaled = _by_max(values)
        return Encoded(drive=_unipolar(torch.cat([scaled.clamp_min(0), (-scaled).clamp_min(0)], dim=1), spec))


@dataclass(frozen=True, kw_only=True)
class Absolute(Encoder):
    """Absolute values, `|h| / ||h||`.

    Args:
        scale: `max` divides by the largest absolute value and uses the whole range; `l2` by the Euclidean norm, which
            holds the drive's energy constant (the reference's acoustic cavity).
    """

    scale: Literal["max", "l2"] = "max"
    survives: ClassVar[str] = "ratios of absolute values; sign and scale are lost"

    def __call__(self, values: torch.Tensor, spec: DriveSpec) -> Encoded:
        """Encode a batch."""
        scaled = _by_max(values) if self.scale == "max" else _by_norm(values)
        return Encoded(drive=_unipolar(scaled.abs(), spec))


@dataclass(frozen=True, kw_only=True)
class Bias(Encoder):
    """Values around the middle of the range, `middle + half * h / max|h|`.

    The constant part interferes with the signal, which lets a modulus or an intensity see the sign.
    """

    survives: ClassVar[str] = "sign (against a constant bias) and ratios; the sample's scale is lost"

    def __call__(self, values: torch.Tensor, spec: DriveSpec) -> Encoded:
        """Encode a batch."""
        low, high = _range(spec, values)
        return Encoded(drive=_inside(low + (high - low) * (_by_max(values) + 1) / 2, low, high))


@dataclass(frozen=True, kw_only=True)
class Norm(Encoder):
    """Signed values around zero, `h / ||h||`, for a drive whose range holds both signs.

    Args:
        scale: As for `abs`.
    """

    scale: Literal["max", "l2"] = "max"
    survives: ClassVar[str] = "ratios; an even detector loses the common sign, and the scale is lost"

    def check(self, spec: DriveSpec) -> None:
        """Refuse a range without both signs."""
        super().check(spec)
        if not bool(np.all((spec.low_array < 0) & (spec.high_array > 0))):
            raise SpecError(
                f"encoder 'norm' needs a drive range with both signs, got {spec.low} to {spec.high} {spec.unit}. "
                "Use the encoder 'split' or 'bias'."
            )

    def __call__(self, values: torch.Tensor, spec: DriveSpec) -> Encoded:
        """Encode a batch."""
        low, high = _range(spec, values)
        scaled = _by_max(values) if self.scale == "max" else _by_norm(values)
        return Encoded(drive=_inside(scaled * torch.minimum(-low, high), low, high))


@dataclass(frozen=True, kw_only=True)
class Levels(Encoder):
    """Each number as a few bits: min-max scaled over the sample to `2**bits` levels, most significant bit first.

    For binary drives such as a metasurface (the reference's microwave cavity uses 2 bits).

    Args:
        bits: Bits per number; each becomes a channel.
    """

    bits: Annotated[int, Field(ge=1, le=16)] = 2
    survives: ClassVar[str] = "order, to 2**bits levels, sign included; the sample's scale and offset are lost"

    def channels(self, inputs: int) -> int:
        """Return `bits` channels for each input."""
        return self.bits * inputs

    def check(self, spec: DriveSpec) -> None:
        """Accept any domain: two levels exist in every range."""

    def __call__(self, values: torch.Tensor, spec: DriveSpec) -> Encoded:
        """Encode a batch."""
        low, high = _range(spec, values[:, :1].expand(-1, self.channels(values.shape[1])))
        smallest, largest = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
        # Halves: the distance between the largest numbers of both signs is beyond their type.
        unit = (values / 2 - smallest / 2) / (largest / 2 - smallest / 2).clamp_min(_TINY)
        code = (unit * (2**self.bits - 1)).round().to(torch.int64)
        places = torch.arange(self.bits - 1, -1, -1, device=values.device)
        bits = ((code.unsqueeze(-1) >> places) & 1).flatten(1).bool()
        return Encoded(drive=torch.where(bits, high, low))


@dataclass(frozen=True, kw_only=True)
class Affine(Encoder):
    """A fixed linear map from `[low, high]` to the drive's range, for inputs whose range is known.

    It is the same for every sample: the only encoder that keeps the scale, and so the only one a sample can exceed.
    Without `clip` that is an error; with it, the values are clipped, counted and logged.

    Args:
        low: Value that becomes the lowest drive.
        high: Value that becomes the highest drive.
        clip: Clip what lies outside.

    Raises:
        InputError: `low` is not below `high`.
        DriveError: When encoding, a value lies outside and `clip` is false.
    """

    low: float = 0.0
    high: float = 1.0
    clip: bool = False
    survives: ClassVar[str] = "everything within its fixed range"

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"affine low must be below high, got {self.low:g} and {self.high:g}.")

    def __call__(self, values: torch.Tensor, spec: DriveSpec) -> Encoded:
        """Encode a batch."""
        outside = (values < self.low) | (values > self.high)
        clipped = int(torch.count_nonzero(outside))
        if clipped and not self.clip:
            row, channel = divmod(int(torch.argmax(outside.flatten().to(torch.uint8))), values.shape[1])
            raise DriveError(
                f"encoder 'affine' takes {self.low:g} to {self.high:g}, got {values[row, channel].item():g} in row "
                f"{row}, input {channel} ({clipped} such values); nothing was sent. Widen its range, scale the data, "
                "or set clip = true to have such values clipped and counted."
            )
        low, high = _range(spec, values)
        unit = (values.clamp(self.low, self.high) - self.low) / (self.high - self.low)
        return Encoded(drive=_inside(low + (high - low) * unit, low, high), clipped=clipped)


ENCODERS: dict[str, type[Encoder]] = {
    "split": Split,
    "abs": Absolute,
    "bias": Bias,
    "norm": Norm,
    "levels": Levels,
    "affine": Affine,
}


def default_encoder(spec: DriveSpec, *, non_negative: bool = False) -> Encoder:
    """Choose an encoder that a system can take and that keeps the sign.

    Args:
        spec: The drive to make.
        non_negative: The values have no sign to keep.

    Returns:
        `levels` for binary drives; `abs` for values without sign; `norm` where the range has both signs; `split`
        elsewhere.
    """
    if spec.domain == "binary":
        return Levels()
    if non_negative:
        return Absolute()
    signed: bool = bool(np.all((spec.low_array < 0) & (spec.high_array > 0)))
    return Norm() if signed and spec.domain != "phase" else Split()


def _by_max(values: torch.Tensor) -> torch.Tensor:
    return values / values.abs().amax(1, keepdim=True).clamp_min(_TINY)


def _by_norm(values: torch.Tensor) -> torch.Tensor:
    # Through the maximum first: a square of 1e-20 is lost in single precision.
    scaled = _by_max(values)
    length: torch.Tensor = torch.linalg.vector_norm(scaled, dim=1, keepdim=True)
    return scaled / length.clamp_min(_TINY)


def _range(spec: DriveSpec, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lowest and highest drive per channel, in the precision of the values."""
    low, high = (
        torch.as_tensor(np.array(bound), dtype=values.dtype, device=values.device)
        for bound in (spec.low_array, spec.high_array)
    )
    return low, high


def _unipolar(unit: torch.Tensor, spec: DriveSpec) -> torch.Tensor:
    """Map 0..1 to rest..highest, where rest is zero if the range holds it, or else the lowest drive."""
    low, high = _range(spec, unit)
    rest = torch.where((low <= 0) & (high > 0), torch.zeros_like(low), low)
    return _inside(rest + (high - rest) * unit, low, high)


def _inside(drive: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    # Only rounding is cut here: every caller maps a unit interval to the range.
    return torch.minimum(torch.maximum(drive, low), high)
