"""Propagation through a fibre step by step, in torch: the reference, the way to gradients, and the way to a GPU.

Axis letters: N rows; M modes; T samples of a pulse (one for continuous light); X columns of a call; J junctions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from .fibre_kerr import Kerr
from .fibre_line import Line
from .fibre_profile import Complexes

_COLUMNS = 128  # continuous rows of a call, always as many: a row's digits must not depend on its neighbours
_REMEMBERED = 32  # steps that a gradient keeps all of; between them it keeps the amplitudes only


class TorchPropagator:
    """Fourth-order Runge-Kutta in the interaction picture: order 4 in the step, exact for a linear fibre.

    `dA/dz = i beta A - alpha / 2 A + i n2 k sum S A A* A` is integrated for the amplitudes whose linear phases are
    taken out, where nothing but the Kerr term is left. Energy is kept to the order of the error, so that its loss
    shows steps that are too long.

    Args:
        line: Steps, sections and junctions.
        kerr: The Kerr term; None only for a linear line.
        dtype: Of real and imaginary parts.
        device: torch device.

    Source:
        J. Hult, J. Lightwave Technol. 25, 3770 (2007) (the integrator); F. Poletti, P. Horak, J. Opt. Soc. Am. B 25,
        1645 (2008) (the equations, here without self-steepening and Raman terms).
    """

    order = 4
    """Of the error in the step."""

    def __init__(self, line: Line, kerr: Kerr | None, *, dtype: torch.dtype, device: torch.device) -> None:
        assert line.linear or kerr is not None
        self.line, self.kerr, self.dtype, self.device = line, kerr, dtype, device
        self._half_M2T, self._section_M2T = (self._parts(part) for part in (line.half_MT, line.section_MT))
        # A junction as a real matrix on real and imaginary parts together.
        real, imag = line.junction_JMM.real, line.junction_JMM.imag
        both = np.concatenate((np.concatenate((real, -imag), axis=2), np.concatenate((imag, real), axis=2)), axis=1)
        # Rows up to a multiple of sixteen: with fewer, the order of the sums was seen to depend on threads.
        filled = np.pad(both, ((0, 0), (0, -both.shape[1] % 16), (0, 0)))
        self._junction_J = torch.from_numpy(filled).to(device, dtype).contiguous()
        pulse_T = np.ones(1) if line.pulse is None else line.pulse.field()
        self._pulse_T = torch.from_numpy(pulse_T).to(device, dtype)

    def propagate(self, launched_NM2: torch.Tensor) -> torch.Tensor:
        """Return the amplitudes at the end of the fibre, shape `(rows, modes, 2, samples)`, with their graph.

        Args:
            launched_NM2: Amplitudes at the peak of the pulse, real and imaginary part, in units of the root of the peak
                power.
        """
        rows, samples = len(launched_NM2), self.line.samples
        if rows == 0:
            return launched_NM2.new_zeros((0, launched_NM2.shape[1], 2, samples))
        if samples > 1:
            begun = (launched_NM2[..., None] * self._pulse_T).contiguous()
            return torch.stack([self._advance(row_M2X) for row_M2X in begun])
        parts = []
        for first in range(0, rows, _COLUMNS):
            tile_NM2 = launched_NM2[first : first + _COLUMNS]
            missing = _COLUMNS - len(tile_NM2)
            tile_M2X = torch.nn.functional.pad(tile_NM2, (0, 0, 0, 0, 0, missing)).permute(1, 2, 0).contiguous()
            parts.append(self._advance(tile_M2X).permute(2, 0, 1)[: _COLUMNS - missing, ..., None])
        return torch.cat(parts)

    @torch.no_grad()
    def stations(self, launched_M2: torch.Tensor, stops: Iterable[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield where one row is after some steps, `(stop, amplitudes (modes, 2, samples))`: for looking at it.

        Args:
            launched_M2: Amplitudes at the beginning, as for `propagate`.
            stops: Steps of the whole fibre, in ascending order. A junction belongs to the section behind it.
        """
        amplitude_M2X, done = (launched_M2.to(self.dtype)[..., None] * self._pulse_T).contiguous(), 0
        for stop in stops:
            while done < stop:
                section, within = divmod(done, self.line.steps)
                if section and not within:
                    amplitude_M2X = self._couple(amplitude_M2X, section - 1)
                number = min(stop - done, self.line.steps - within)
                amplitude_M2X = self._steps(amplitude_M2X, number)
                done += number
            yield stop, amplitude_M2X

    def _advance(self, amplitude_M2X: torch.Tensor) -> torch.Tensor:
        """Take columns through all sections."""
        for section in range(self.line.sections):
            if section:
                amplitude_M2X = self._couple(amplitude_M2X, section - 1)
            if self.line.linear:
                amplitude_M2X = self._turn(amplitude_M2X, self._section_M2T)
                continue
            for first in range(0, self.line.steps, _REMEMBERED):
                number = min(_REMEMBERED, self.line.steps - first)
                if amplitude_M2X.requires_grad:
                    kept: Any = checkpoint(self._steps, amplitude_M2X, number, use_reentrant=False)
                    amplitude_M2X = kept
                else:
                    amplitude_M2X = self._steps(amplitude_M2X, number)
        return amplitude_M2X

    def _steps(self, amplitude_M2X: torch.Tensor, number: int) -> torch.Tensor:
        for _ in range(number):
            begun = self._turn(amplitude_M2X, self._half_M2T)
            first = self._turn(self._change(amplitude_M2X), self._half_M2T)
            second = self._change(begun + first / 2)
            third = self._change(begun + second / 2)
            fourth = self._change(self._turn(begun + third, self._half_M2T))
            mean = begun + first / 6 + second / 3 + third / 3
            amplitude_M2X = self._turn(mean, self._half_M2T) + fourth / 6
        return amplitude_M2X

    def _change(self, amplitude_M2X: torch.Tensor) -> torch.Tensor:
        """Return `i gain K`."""
        assert self.kerr is not None
        real_MX, imag_MX = (self.kerr.term(amplitude_M2X) * self.line.gain).unbind(1)
        return torch.stack((-imag_MX, real_MX), dim=1)

    def _turn(self, amplitude_M2X: torch.Tensor, factor_M2T: torch.Tensor) -> torch.Tensor:
        """Multiply each mode, at each frequency, with a complex factor, in double precision and rounded once.

        A rounded factor would be off by up to 2^-25 in the same way at every step, and change the energy by 3e-8 each.
        """
        if self.line.samples > 1:
            spectrum = torch.fft.fft(torch.complex(*amplitude_M2X.unbind(1)))
            amplitude_M2X = torch.stack((spectrum.real, spectrum.imag), dim=1)
        (real_MX, imag_MX), (cos_MT, sin_MT) = amplitude_M2X.double().unbind(1), factor_M2T.unbind(1)
        turned = (real_MX * cos_MT - imag_MX * sin_MT, real_MX * sin_MT + imag_MX * cos_MT)
        turned_M2X = torch.stack(turned, dim=1).to(self.dtype)
        if self.line.samples == 1:
            return turned_M2X
        back = torch.fft.ifft(torch.complex(*turned_M2X.unbind(1)))
        return torch.stack((back.real, back.imag), dim=1)

    def _couple(self, amplitude_M2X: torch.Tensor, junction: int) -> torch.Tensor:
        flat = amplitude_M2X.transpose(0, 1).reshape(-1, amplitude_M2X.shape[2])
        coupled = (self._junction_J[junction] @ flat)[: len(flat)]
        return coupled.view(2, -1, amplitude_M2X.shape[2]).transpose(0, 1).contiguous()

    def _parts(self, factor_MT: Complexes) -> torch.Tensor:
        return torch.from_numpy(np.stack((factor_MT.real, factor_MT.imag), axis=1)).to(self.device)
