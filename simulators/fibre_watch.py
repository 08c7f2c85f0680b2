"""Numbers that tell whether a row was computed well: energy that steps lost, and energy at the edges of the windows.

Axis letters: N rows; M modes; T samples of a pulse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .fibre_line import Line, Scales
from .fibre_profile import Floats

# The integrator keeps energy to the order of its error: with 55 modes of a graded fibre steps that left an error of
# 9e-4 of the field had changed it by 7e-5, and those of 1.3e-5 by 5e-6. Rounding adds up to 3e-9 a step.
MOST_DRIFT, ROUNDING = 2e-4, 5e-9
MOST_AT_EDGE = 1e-3
_TIME_EDGE, _SPECTRUM_EDGE = 16, 8  # the outer 1/16 of the window on either side, the outer 1/8 of the frequencies


@dataclass(frozen=True, kw_only=True, eq=False)
class Watched:
    """What was seen of rows, shape `(rows,)` each.

    Args:
        drift_N: Relative change of the energy that is no attenuation.
        window_N: Share of the energy in the outer 1/16 of the time window on either side; 0 for continuous light.
        spectrum_N: Share in the outer 1/8 of the frequencies on either side; 0 for continuous light.
        steps: Of the fibre.
    """

    drift_N: Floats
    window_N: Floats
    spectrum_N: Floats
    steps: int

    def trouble(self) -> tuple[int, str] | None:
        """Return the first row that was not computed well and what to do, or None."""
        limit = MOST_DRIFT + ROUNDING * self.steps
        well_N = (self.drift_N <= limit) & (self.window_N <= MOST_AT_EDGE) & (self.spectrum_N <= MOST_AT_EDGE)
        if bool(np.all(well_N)):
            return None
        row = int(np.argmin(well_N))
        drift, window, spectrum = (float(part[row]) for part in (self.drift_N, self.window_N, self.spectrum_N))
        if not drift <= limit:
            return row, (
                f"energy must be kept within {limit:.2g}, got a change by {drift:.2g}. Steps are too long for this "
                "drive: set a shorter step, or lower peak_power."
            )
        if not window <= MOST_AT_EDGE:
            return row, (
                f"at most {MOST_AT_EDGE:g} of a pulse's energy must be in the outer {2 / _TIME_EDGE:g} of the window, "
                f"got {window:.2g}. Set a longer window."
            )
        return row, (
            f"at most {MOST_AT_EDGE:g} of a pulse's energy must be in the outer {2 / _SPECTRUM_EDGE:g} of the "
            f"frequencies, got {spectrum:.2g}. Set more samples."
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FibreNumerics:
    """How well drives of your choice are computed.

    Args:
        step_error_N: Largest change of a row's responses when each step is halved, over the row's largest response. The
            error of the longer step is 16 / 15 of it.
        watched: Energy lost, and at the edges of the windows.
        scales: Lengths of the problem.
        step: m.
    """

    step_error_N: Floats
    watched: Watched
    scales: Scales
    step: float


def watch(launched_NM2: torch.Tensor, end_NM2T: torch.Tensor, line: Line, *, kept: float) -> Watched:
    """Look at rows at the end of a fibre.

    Args:
        launched_NM2: Amplitudes at the beginning.
        end_NM2T: Amplitudes at the end.
        line: The fibre.
        kept: Share of the energy that attenuation leaves.
    """
    pulse = torch.ones(1) if line.pulse is None else torch.from_numpy(line.pulse.field())
    begun_N = launched_NM2.detach().double().square().sum((1, 2)) * float(pulse.double().square().sum()) * kept
    power_NMT = end_NM2T.detach().double().square().sum(2)
    end_N = power_NMT.sum((1, 2))
    drift_N = torch.where(begun_N > 0, (end_N / begun_N.clamp_min(1e-300) - 1).abs(), end_N)
    rows, steps = len(launched_NM2), 0 if line.linear else line.steps * line.sections
    window_N, spectrum_N = torch.zeros(rows), torch.zeros(rows)
    if line.pulse is not None:
        total_N = end_N.clamp_min(1e-300)
        edge = line.samples // _TIME_EDGE
        window_N = (power_NMT[..., :edge].sum((1, 2)) + power_NMT[..., -edge:].sum((1, 2))) / total_N
        spectrum = torch.fft.fft(torch.complex(*end_NM2T.detach().double().unbind(2)), norm="ortho")
        middle, edge = line.samples // 2, line.samples // (2 * _SPECTRUM_EDGE)
        spectrum_N = spectrum[..., middle - edge : middle + edge].abs().square().sum((1, 2)) / total_N
    found = (part.cpu().double().numpy() for part in (drift_N, window_N, spectrum_N))
    drift, window, band = found
    return Watched(drift_N=drift, window_N=window, spectrum_N=band, steps=steps)
