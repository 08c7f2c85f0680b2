"""A spatial light modulator: drives become a field; and a cavity that sends the light back to it again and again.

Axis letters: N rows; D drives, one for each element; K the field at the elements as reals; E it as [Re | Im].
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from physnet.contracts import DriveSpec
from physnet.errors import SpecError

from .transfer_matrix import TransferMatrix, Turn, gaussian

_ROUND, _ROUND_QUADRATURE = 5, 6  # streams of keyed_normal, beside those of scattering.py and camera.py


class Modulator:
    """Elements that a uniform wave falls on.

    Args:
        drives: How many.
        kind: `amplitude`: an element multiplies by the drive, 0 to 1; `phase`: by `exp(i drive)`, drive in rad.
        signed: Amplitudes from -1 to 1. Amplitude only.
        phase_range: Largest phase in rad; None for pi. Phase only.
        name: Of the system, for messages.

    Raises:
        SpecError: An argument belongs to the other kind.
    """

    def __init__(
        self,
        *,
        drives: int,
        kind: Literal["amplitude", "phase"],
        signed: bool = False,
        phase_range: float | None = None,
        name: str = "modulator",
    ) -> None:
        if kind == "phase" and signed:
            raise SpecError(f"signed of {name} must be false with a phase modulator: a phase has no sign to add.")
        if kind == "amplitude" and phase_range is not None:
            raise SpecError(f"phase_range of {name} must be left out with an amplitude modulator, got {phase_range}.")
        self.is_phase = kind == "phase"
        if self.is_phase:
            high = math.pi if phase_range is None else phase_range
            spec = DriveSpec(shape=(drives,), high=high, unit="rad", dtype="float32", domain="phase", axes=("drive",))
        else:
            low = -1.0 if signed else 0.0
            domain: Literal["real", "non_negative"] = "real" if signed else "non_negative"
            spec = DriveSpec(shape=(drives,), low=low, dtype="float32", domain=domain, axes=("drive",))
        self.spec = spec
        """The drive."""

    def field(self, drive_ND: torch.Tensor) -> torch.Tensor:
        """Return the field behind the elements: the drive itself, or `[cos | sin]` of it."""
        return torch.cat((drive_ND.cos(), drive_ND.sin()), dim=1) if self.is_phase else drive_ND.contiguous()


class RoundTrips:
    """A cavity with the modulator inside: light that leaves an element comes back to all of them.

    After `k` passes the field is `x (1 + S f)`, element by element, with the drives' factors `x` and the field `f` of
    `k - 1` passes: the first `k` terms of the Born series, of which the last is a polynomial of degree `k` in `x`. `S`
    is circular complex Gaussian and symmetric, since the cavity is reciprocal; it returns the share `retained` of the
    power on average. The steady state of a real cavity has all terms; those left out are weaker by `retained^(k/2)`.

    Args:
        drives: Elements.
        passes: Times that light meets the modulator, >= 2.
        retained: Share of the power that comes back.
        seed: Seed of `S`.
        turns: Whether it turns, as the transfer matrix does, towards an independent matrix.
        device: torch device.

    Source:
        F. Xia et al., Nonlinear optical encoding enabled by recurrent linear scattering, Nature Photonics 18 (2024),
        arXiv:2307.08558 (the experiment, in an integrating sphere); the random model of the round trip is ours.
    """

    def __init__(
        self, *, drives: int, passes: int, retained: float, seed: int, turns: bool, device: str | torch.device
    ) -> None:
        self._drives, self._passes = drives, passes

        def symmetric(stream: int) -> torch.Tensor:
            # The sum of two numbers of half the power each: pairs of elements have the power, an element with itself
            # has twice as much, which is coherent backscattering.
            scale = math.sqrt(retained / drives / 4)
            matrix_DD = gaussian(drives, drives, scale=scale, seed=seed, stream=stream, device=device)
            return matrix_DD + matrix_DD.T

        self.transfer = TransferMatrix(
            symmetric(_ROUND), towards_PD=symmetric(_ROUND_QUADRATURE) if turns else None, real_field=False
        )
        """From the elements back to the elements."""

    def __call__(self, field_NK: torch.Tensor, turn: Turn | None) -> torch.Tensor:
        """Return the field behind the elements after all passes as `[Re | Im]`, from the one after the first."""
        drives = self._drives
        real_ND, imag_ND = field_NK[:, :drives], field_NK[:, drives:]
        field_NE = torch.cat((real_ND, torch.zeros_like(real_ND) if imag_ND.shape[1] == 0 else imag_ND), dim=1)
        for _ in range(self._passes - 1):
            back_real_ND, back_imag_ND = self.transfer(field_NE, turn).chunk(2, dim=1)
            lit_ND = back_real_ND + 1.0
            if imag_ND.shape[1] == 0:
                field_NE = torch.cat((real_ND * lit_ND, real_ND * back_imag_ND), dim=1)
            else:
                new_real_ND = real_ND * lit_ND - imag_ND * back_imag_ND
                new_imag_ND = real_ND * back_imag_ND + imag_ND * lit_ND
                field_NE = torch.cat((new_real_ND, new_imag_ND), dim=1)
        return field_NE
