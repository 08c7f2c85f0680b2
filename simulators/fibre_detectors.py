"""What is read at the end of a fibre: camera pixels, the powers of the modes, or bands of the spectrum.

A reading of 1 is what each response would get if all the light of a full drive were spread evenly over the responses.

Axis letters: N rows; M modes; T samples of a pulse (one for continuous light); R responses; Q points within a pixel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from physnet.errors import SpecError

from .fibre_line import Line
from .fibre_modes import Modes
from .fibre_optics import Pixels
from .row_product import RowProduct

_ROWS = 256  # of a camera's product: its points are many


class Detector(ABC):
    """A square law, integrated over a pulse.

    Args:
        responses: How many.
        line: The fibre before it.
        device: torch device.
    """

    def __init__(self, responses: int, line: Line, device: torch.device) -> None:
        self.responses, self._line = responses, line
        pulse_T = torch.ones(1) if line.pulse is None else torch.from_numpy(line.pulse.field())
        self._energy = float(pulse_T.double().square().sum())

    @abstractmethod
    def detect(self, end_NM2T: torch.Tensor) -> torch.Tensor:
        """Return the responses to amplitudes in units of the root of the peak power, with their graph."""


class EndCamera(Detector):
    """Pixels of a camera that the end of the fibre is imaged on.

    Args:
        pixels: Of the camera.
        modes: Of the fibre.
        line: The fibre.
        device: torch device.
    """

    def __init__(self, pixels: Pixels, modes: Modes, line: Line, device: torch.device) -> None:
        super().__init__(pixels.count, line, device)
        field_RQM = torch.from_numpy(pixels.camera(modes))
        self._points = field_RQM.shape[1]
        self._product = RowProduct(field_RQM.flatten(0, 1).T.float(), device=device)

    def detect(self, end_NM2T: torch.Tensor) -> torch.Tensor:
        """Return the powers on the pixels, shape `(n, responses)`."""
        if self._line.samples > 1:
            rows = [self._power(row_M2T.permute(2, 1, 0)).sum(0) for row_M2T in end_NM2T]
            return torch.stack(rows) / self._energy
        end_N2M = end_NM2T[..., 0].transpose(1, 2)
        return torch.cat([self._power(end_N2M[first : first + _ROWS]) for first in range(0, len(end_N2M), _ROWS)])

    def _power(self, end_N2M: torch.Tensor) -> torch.Tensor:
        real_NP, imag_NP = (self._product(part.contiguous()) for part in end_N2M.unbind(1))
        # Products and sum apart: a fused multiply-add rounds otherwise at a vector's edge than inside.
        power_NP = real_NP * real_NP + imag_NP * imag_NP
        return power_NP.reshape(len(end_N2M), self.responses, self._points).sum(2)


class ModePowers(Detector):
    """A mode sorter: the powers of the first modes.

    Args:
        responses: How many.
        modes: Of the fibre.
        line: The fibre.
        device: torch device.

    Raises:
        SpecError: There are fewer modes.
    """

    def __init__(self, responses: int, modes: Modes, line: Line, device: torch.device) -> None:
        super().__init__(responses, line, device)
        if responses > len(modes):
            raise SpecError(f"responses must be at most the {len(modes)} modes that are sorted, got {responses}.")
        self._scale = len(modes) / self._energy

    def detect(self, end_NM2T: torch.Tensor) -> torch.Tensor:
        """Return the powers of the modes, shape `(n, responses)`."""
        kept = end_NM2T[:, : self.responses]
        return (kept * kept).sum(3).sum(2) * self._scale


class BandPowers(Detector):
    """A spectrometer behind all modes together: equal bands around the carrier, from low to high frequency.

    The bands fill the inner half of the frequencies that the samples can hold.

    Args:
        responses: Bands, a divisor of half the samples.
        line: The fibre, with a pulse.
        device: torch device.

    Raises:
        SpecError: The light is continuous, or the samples can't be shared out.
    """

    def __init__(self, responses: int, line: Line, device: torch.device) -> None:
        super().__init__(responses, line, device)
        if line.pulse is None:
            raise SpecError("response must be camera or modes for continuous light, which has one frequency.")
        if (line.samples // 2) % responses:
            raise SpecError(
                f"responses must divide the {line.samples // 2} frequencies of the inner half of the band, got "
                f"{responses}. More samples hold more frequencies."
            )

    def detect(self, end_NM2T: torch.Tensor) -> torch.Tensor:
        """Return the powers in the bands, shape `(n, responses)`."""
        samples = self._line.samples
        rows = []
        for end_M2T in end_NM2T:
            # The discrete transform backwards: its bins then run with the optical frequency.
            spectrum_MT = torch.fft.ifft(torch.complex(*end_M2T.unbind(1)), norm="ortho")
            power_MT = spectrum_MT.real * spectrum_MT.real + spectrum_MT.imag * spectrum_MT.imag
            inner_T = torch.fft.fftshift(power_MT.sum(0))[samples // 4 : samples - samples // 4]
            rows.append(inner_T.reshape(self.responses, -1).sum(1))
        return torch.stack(rows) * (self.responses / self._energy)
