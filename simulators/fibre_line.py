"""How a fibre is stepped through: lengths that the light sets, the step that follows them, and what a step does.

Axis letters: M modes; T samples of a pulse (one for continuous light); J junctions between sections.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from physnet.errors import SpecError

from .fibre_modes import Modes
from .fibre_profile import Complexes
from .fibre_pulse import Pulse, relative_phase, walk_off

# Steps in the shortest length in which two modes beat, and in the nonlinear length. The error of a fibre is the
# nonlinear phase over the fourth power of the first: for phases beyond 1 rad more steps are taken in a beat.
STEPS_PER_BEAT, STEPS_PER_NONLINEAR_LENGTH = 4.0, 10.0
MOST_STEPS = 1_000_000
_BAND = 3.0  # in widths of the pulse's own spectrum, the frequencies whose phases a step must resolve
_COLLAPSE = 0.149  # critical power of a Gaussian beam in units of wavelength^2 / (n n2)


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Lengths of the problem, m; infinite where there is no such effect.

    Args:
        beat: The shortest in which two waves that carry light get a phase of 2 pi apart.
        nonlinear: In which the peak power, all in the mode that is narrowest, turns its phase by 1 rad.
        walk_off: Difference in arrival of the fastest and the slowest mode at the end, s.
        collapse: Power beyond which light focuses itself without limit, W.
    """

    beat: float
    nonlinear: float
    walk_off: float
    collapse: float


def scales_of(modes: Modes, *, length: float, peak_power: float, n2: float, pulse: Pulse | None) -> Scales:
    """Return the lengths that decide about the step.

    Source:
        G. P. Agrawal, Nonlinear Fiber Optics, sections 3.1 and 10.1; R. W. Boyd, Nonlinear Optics, section 7.1
        (critical power of a Gaussian beam).
    """
    fibre = modes.fibre
    phase_M = modes.beta_M - modes.beta_M[0]
    low, high, lag = float(phase_M.min()), float(phase_M.max()), 0.0
    if pulse is not None:
        band = _BAND * 2 * math.pi * pulse.bandwidth
        phase_MT = relative_phase(modes, np.linspace(-band, band, 33))
        low, high = float(phase_MT.min()), float(phase_MT.max())
        lag = walk_off(modes, length)
    turned = n2 * fibre.wavenumber * peak_power / modes.area()
    return Scales(
        beat=2 * math.pi / (high - low) if high > low else math.inf,
        nonlinear=1 / turned if turned > 0 else math.inf,
        walk_off=lag,
        collapse=_COLLAPSE * fibre.wavelength**2 / (fibre.core * n2),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A fibre cut into sections and steps.

    Args:
        sections: Equal straight parts, with a junction between each two.
        steps: Of each section.
        step: m.
        half_MT: What half a step does to each mode at each frequency, in the order of a discrete Fourier transform.
        section_MT: What a section without the Kerr effect does.
        junction_JMM: Coupling between the sections.
        gain: `n2 k P step`, m^2: the Kerr term of amplitudes in units of the root of the peak power P, times this, is
            the change in a step. 0 for a linear fibre.
        pulse: None for continuous light.
    """

    sections: int
    steps: int
    step: float
    half_MT: Complexes
    section_MT: Complexes
    junction_JMM: Complexes
    gain: float
    pulse: Pulse | None

    @property
    def linear(self) -> bool:
        """Whether there is no Kerr effect."""
        return self.gain == 0

    @property
    def samples(self) -> int:
        """Samples of a pulse, 1 for continuous light."""
        return int(self.half_MT.shape[1])

    def transfer(self) -> Complexes:
        """Return the matrix from modes to modes at the carrier, without the Kerr effect, shape `(modes, modes)`."""
        carrier_M = self.section_MT[:, 0]
        matrix_MM = np.diag(carrier_M)
        for junction_MM in self.junction_JMM:
            matrix_MM = carrier_M[:, None] * (junction_MM @ matrix_MM)
        return np.asarray(matrix_MM)


def rates(modes: Modes, *, attenuation: float, pulse: Pulse | None) -> Complexes:
    """Return what each mode does along a straight fibre at each frequency, `dA/dz = rate A`, 1/m, as in `half_MT`.

    Args:
        modes: The modes.
        attenuation: Of the power, 1/m.
        pulse: None for continuous light.
    """
    if pulse is None:
        phase_MT = (modes.beta_M - modes.beta_M[0])[:, None]
    else:
        phase_MT = relative_phase(modes, pulse.frequencies())
    return np.asarray(1j * phase_MT - attenuation / 2)


def make_line(
    modes: Modes,
    scales: Scales,
    *,
    length: float,
    attenuation: float,
    junction_JMM: Complexes,
    peak_power: float,
    n2: float,
    pulse: Pulse | None,
    step: float | None,
) -> Line:
    """Cut a fibre into steps, and refuse what can't come out right.

    Args:
        modes: The modes.
        scales: Their lengths.
        length: Of the fibre, m.
        attenuation: Of the power, 1/m.
        junction_JMM: Coupling between sections, of which there is one more.
        peak_power: W.
        n2: Nonlinear index, m^2/W.
        pulse: None for continuous light.
        step: m; None for the longest that follows the beats and the nonlinear phase.

    Raises:
        SpecError: The power, the window or the step is certainly wrong; the message has the numbers.
    """
    sections = len(junction_JMM) + 1
    if not peak_power < scales.collapse:
        raise SpecError(
            f"peak_power must be below {scales.collapse:.3g} W, where light focuses itself without limit and guided "
            f"modes don't hold it, got {peak_power:g} W."
        )
    if pulse is not None and not 4 * pulse.width + scales.walk_off <= pulse.window:
        raise SpecError(
            f"window must be at least 4 widths of the pulse and the walk-off of the modes, {4 * pulse.width:g} + "
            f"{scales.walk_off:.3g} s, got {pulse.window:g} s. Pulses would come in again at its other end."
        )
    gain, steps = n2 * modes.fibre.wavenumber * peak_power, 1
    if gain > 0:
        more = max(1.0, length / scales.nonlinear) ** 0.25
        longest = min(scales.beat / (STEPS_PER_BEAT * more), scales.nonlinear / STEPS_PER_NONLINEAR_LENGTH)
        steps = max(1, math.ceil(length / sections / (longest if step is None else step) * (1 - 1e-12)))
    taken = length / sections / steps
    if gain > 0 and not taken <= min(scales.beat, scales.nonlinear):
        raise SpecError(
            f"step must be at most the shortest beat length of the modes, {scales.beat:.3g} m, and the nonlinear "
            f"length, {scales.nonlinear:.3g} m, got {taken:.3g} m. {STEPS_PER_BEAT:g} steps in one and "
            f"{STEPS_PER_NONLINEAR_LENGTH:g} in the other do well: leave step out."
        )
    if steps * sections > MOST_STEPS:
        raise SpecError(
            f"a fibre must take at most {MOST_STEPS} steps, got {steps * sections} of {taken:.3g} m, with beats of "
            f"{scales.beat:.3g} m. A shorter fibre at higher power does as much."
        )
    rate_MT = rates(modes, attenuation=attenuation, pulse=pulse)
    return Line(
        sections=sections,
        steps=steps,
        step=taken,
        half_MT=np.exp(rate_MT * taken / 2),
        section_MT=np.exp(rate_MT * length / sections),
        junction_JMM=junction_JMM,
        gain=gain * taken,
        pulse=pulse,
    )
