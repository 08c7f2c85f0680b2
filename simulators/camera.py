"""A camera behind a coherent field: a square law, photoelectrons, saturation, and pixels averaged into responses.

Axis letters: N rows; L the field as [Re | Im]; P pixels; R responses.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.allowed_drives import round_inward
from physnet.contracts import Flag, Passes
from physnet.errors import SpecError

from .keyed_poisson import keyed_poisson

_COUNTS = 3  # stream of keyed_poisson, and the next one; 1 and 2 are those of the medium before the camera


class Camera:
    """Takes the intensity or the modulus of a field, pixel by pixel, and averages neighbouring pixels.

    With `photoelectrons`, a pixel counts electrons: Poisson with mean `photoelectrons |y|^2 + dark_counts`, keyed by
    seed, pass number and pixel, so that neither chunks nor order change it. It reads the counts over `photoelectrons`,
    dark counts included as in a raw frame, or the root of that. The gradient is that of the mean.

    Args:
        modulus: Read `|y|` instead of `|y|^2`.
        pooling: Neighbouring pixels averaged into one response, after detection.
        photoelectrons: Mean electrons per unit of intensity; None for no shot noise.
        dark_counts: Mean electrons of a pixel in the dark.
        saturation: Intensity at which a pixel is full; None for no limit.
        seed: Seed of the shot noise.
        name: Of the system, for messages.

    Raises:
        SpecError: An argument is out of its range, or there are dark counts without photoelectrons.

    Source:
        J. W. Goodman, Statistical Optics, 2nd ed., 2015, chapter 9 (Poisson statistics of detection); EMVA Standard
        1288 (linear camera model: dark counts, saturation capacity).
    """

    def __init__(
        self,
        *,
        modulus: bool,
        pooling: int,
        photoelectrons: float | None = None,
        dark_counts: float = 0.0,
        saturation: float | None = None,
        seed: int = 0,
        name: str = "camera",
    ) -> None:
        for label, value in (("photoelectrons", photoelectrons), ("saturation", saturation)):
            if value is not None and not 0 < value < math.inf:
                raise SpecError(f"{label} of {name} must be > 0 per unit of intensity, got {value}. Leave it out.")
        if not 0 <= dark_counts < math.inf:
            raise SpecError(f"dark_counts of {name} must be >= 0 electrons, got {dark_counts}.")
        if dark_counts and photoelectrons is None:
            raise SpecError(
                f"dark_counts of {name} must be 0 without photoelectrons, got {dark_counts}. Give photoelectrons, the "
                "electrons per unit of intensity."
            )
        self._modulus, self._pooling, self._seed = modulus, pooling, seed
        self._electrons, self._dark, self._saturation = photoelectrons, dark_counts, saturation
        self.full_scale = None if saturation is None else math.sqrt(saturation) if modulus else saturation
        """Largest response."""
        self._most = math.inf
        if self.full_scale is not None:  # which may be no float32 itself
            self._most = float(round_inward(np.array([self.full_scale]), "float32", up=False)[0])

    @property
    def noisy(self) -> bool:
        """Whether the same field gives another response under another pass number."""
        return self._electrons is not None

    def options(self) -> dict[str, Any]:
        """Return what differs from a plain camera, for the identity of a system."""
        told = {"photoelectrons": self._electrons, "dark_counts": self._dark, "saturation": self._saturation}
        return {name: value for name, value in told.items() if value}

    def expose(
        self, field_NL: torch.Tensor, passes: Passes, *, out_NR: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, NDArray[np.uint8] | None]:
        """Return the responses, shape `(n, pixels / pooling)`, and the flags of the rows if a pixel can be full.

        Args:
            field_NL: The field; it is overwritten, unless it has a graph.
            passes: Pass numbers of the rows.
            out_NR: Where to put the responses of a field without a graph; None for a new tensor.
        """
        value_NP = _intensity(field_NL, out_NR if self._electrons is None and self._pooling == 1 else None)
        if self._electrons is not None:
            value_NP = _Counted.apply(value_NP, passes, self)  # type: ignore[no-untyped-call]
        flags = None
        if self._saturation is not None:
            full_N = (value_NP.detach() > self._saturation).any(1).cpu().numpy()
            flags = np.where(full_N, Flag.CLIPPED, Flag.NONE).astype(np.uint8)
            value_NP = value_NP.clamp_max(self._saturation)
        if self._modulus:
            value_NP = _square_root(value_NP)
        if self._pooling > 1:
            value_NP = value_NP.reshape(len(value_NP), -1, self._pooling).mean(2)
        value_NR = value_NP if self._saturation is None else value_NP.clamp_max(self._most)
        if out_NR is None:
            return value_NR, flags
        return (out_NR if value_NR is out_NR else out_NR.copy_(value_NR)), flags

    def count(self, intensity_NP: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return intensities as they are counted."""
        assert self._electrons is not None  # otherwise nothing is counted
        mean_NP = intensity_NP * self._electrons + self._dark
        return keyed_poisson(self._seed, passes, mean_NP, stream=_COUNTS).div_(self._electrons)


class _Counted(torch.autograd.Function):
    """Counts in the forward direction; the mean's gradient, 1, backwards."""

    @staticmethod
    def forward(ctx: Any, intensity_NP: torch.Tensor, passes: Passes, camera: Camera) -> torch.Tensor:
        return camera.count(intensity_NP, passes)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor, None, None]:
        return grads[0], None, None


def _intensity(field_NL: torch.Tensor, out_NP: torch.Tensor | None) -> torch.Tensor:
    """Return `|y|^2`. Product and sum apart: a fused multiply-add rounds otherwise at a vector's edge than inside."""
    if field_NL.requires_grad:
        real_NP, imag_NP = field_NL.chunk(2, dim=1)
        return real_NP * real_NP + imag_NP * imag_NP
    real_NP, imag_NP = field_NL.mul_(field_NL).chunk(2, dim=1)
    return torch.add(real_NP, imag_NP, out=out_NP)


def _square_root(value: torch.Tensor) -> torch.Tensor:
    """Return the square root, with gradient 0 instead of infinity at 0; in place without a graph."""
    if not value.requires_grad:
        return value.sqrt_()
    lit = value > 0
    return torch.where(lit, torch.where(lit, value, 1.0).sqrt(), 0.0)
