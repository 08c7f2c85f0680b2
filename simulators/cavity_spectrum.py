"""Responses of a programmable cavity at several frequencies, with their gradient.

Axis letters: N rows; D drive channels; J receivers; T transmitters; F frequencies; R responses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .dipole_cavity import DipoleCavity
from .dipoles import Complexes, Floats, Ints


class Spectrum:
    """What the receivers read: S21 or its modulus, at frequencies that may stretch from row to row.

    Args:
        cavity: The cavity.
        frequency_F: Frequencies, in its units.
        receivers: How many.
        transmitters: How many.
        modulus: Whether only the modulus is read.
        full: Whether the whole cavity is solved for each row.
    """

    def __init__(
        self,
        cavity: DipoleCavity,
        *,
        frequency_F: Floats,
        receivers: int,
        transmitters: int,
        modulus: bool,
        full: bool,
    ) -> None:
        self._cavity, self._frequency_F = cavity, frequency_F
        self._shape = (receivers, transmitters, len(frequency_F))
        self._modulus, self._full = modulus, full

    def respond(self, drive_ND: Floats, stretch_N: Floats) -> Floats | Complexes:
        """Return the response, shape `(n, receivers * transmitters * frequencies)`.

        Args:
            drive_ND: Rows of drives.
            stretch_N: Relative stretch of the spectrum at each row.
        """
        transfer_NR = self._transfer(drive_ND, stretch_N)
        return _modulus(transfer_NR) if self._modulus else transfer_NR

    def forward(self, drive_ND: torch.Tensor, stretch_N: Floats) -> torch.Tensor:
        """Return the same numbers with their graph."""
        response_NR: torch.Tensor = _Forward.apply(drive_ND, self, stretch_N)  # type: ignore[no-untyped-call]
        return response_NR

    def gradient(self, drive_ND: Floats, stretch_N: Floats, weight_NR: Floats | Complexes) -> Floats:
        """Return the derivative of `Re sum_r conj(weight_r) response_r` by each drive channel."""
        if self._modulus:
            transfer_NR = self._transfer(drive_ND, stretch_N)
            size_NR = _modulus(transfer_NR)
            weight_NR = weight_NR * np.divide(transfer_NR, size_NR, out=np.zeros_like(transfer_NR), where=size_NR > 0)
        weight_NJTF: Complexes = weight_NR.conj().astype(np.complex128).reshape(len(drive_ND), *self._shape)
        gradient_ND = np.zeros_like(drive_ND)
        for rows, f, frequency in self._parts(stretch_N):
            gradient_ND[rows] += self._cavity.gradient(drive_ND[rows], frequency, weight_NJTF[rows, :, :, f])
        return gradient_ND

    def _transfer(self, drive_ND: Floats, stretch_N: Floats) -> Complexes:
        transfer_NJTF = np.empty((len(drive_ND), *self._shape), dtype=np.complex128)
        solve = self._cavity.full_transfer if self._full else self._cavity.transfer
        for rows, f, frequency in self._parts(stretch_N):
            transfer_NJTF[rows, :, :, f] = solve(drive_ND[rows], frequency)
        return transfer_NJTF.reshape(len(drive_ND), -1)

    def _parts(self, stretch_N: Floats) -> Iterator[tuple[Ints, int, float]]:
        """Yield the rows of each stretch with each frequency's number and value then."""
        for stretch in np.unique(stretch_N):
            rows = np.flatnonzero(stretch_N == stretch)
            for f, frequency in enumerate(self._frequency_F):
                yield rows, f, float(frequency * (1 + stretch))


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, drive_ND: torch.Tensor, spectrum: Spectrum, stretch_N: Floats) -> torch.Tensor:
        ctx.save_for_backward(drive_ND)
        ctx.spectrum, ctx.stretch_N = spectrum, stretch_N
        return torch.from_numpy(spectrum.respond(_as_numpy(drive_ND), stretch_N)).to(drive_ND.device)

    @staticmethod
    def backward(ctx: Any, weight_NR: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (drive_ND,) = ctx.saved_tensors
        weight: NDArray[Any] = weight_NR.detach().cpu().numpy()
        gradient_ND = ctx.spectrum.gradient(_as_numpy(drive_ND), ctx.stretch_N, weight)
        return torch.from_numpy(gradient_ND).to(drive_ND), None, None


def _as_numpy(drive_ND: torch.Tensor) -> Floats:
    return np.asarray(drive_ND.detach().cpu().numpy(), dtype=np.float64)


def _modulus(value: Complexes) -> Floats:
    # Products, sum and root apart, each rounded in one way: what numpy.abs does depends on strides.
    return np.asarray(np.sqrt(value.real * value.real + value.imag * value.imag))
