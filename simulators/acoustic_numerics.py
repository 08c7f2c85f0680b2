"""Numbers that tell how well a grid carries a wave: cells in a wavelength, speed on the grid, what layers reflect.

A layer reflects twice: what its damping lets through returns from its soft end, and the cells, in which waves travel a
little differently from the continuum, reflect where the damping begins. Below, L is the thickness of a layer, R0 the
reflection that it is built for head on, h the pitch.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from .acoustic_grid import REFLECTION, Floats, Stencil
from .acoustic_media import Scheme, stable_time_step
from .numerics_warning import NumericsWarning

# Round numbers. A room in which sound is slower by 5 % answers as one that is larger by 5 %; a layer that sends back
# 5 % of the pressure keeps 0.25 % of the energy.
MOST_VELOCITY_ERROR, MOST_REFLECTION = 0.05, 0.05


@dataclass(frozen=True, kw_only=True)
class AcousticNumerics:
    """How well a cavity's grid carries tones.

    Args:
        frequency: The highest tone, Hz.
        cells_per_wavelength: Of the shortest wave: the highest tone where sound is slowest.
        velocity_error: Of that wave's speed on the grid, relative, in the direction where it is worst; below 0 where
            it is too slow, -1 if the grid carries no such wave.
        courant: The time step as a share of the largest stable one.
        layer_reflection: Largest share of the pressure that absorbing layers send back head on; 0 without them.
    """

    frequency: float
    cells_per_wavelength: float
    velocity_error: float
    courant: float
    layer_reflection: float

    def warn(self, name: str) -> None:
        """Warn of what is coarse, with the number and the way out; `name` is what the message calls the cavity."""
        if not abs(self.velocity_error) <= MOST_VELOCITY_ERROR:
            pace = f"travels {abs(self.velocity_error):.1%} too {'slowly' if self.velocity_error < 0 else 'fast'}"
            warnings.warn(
                f"{name}: sound of {self.frequency:g} Hz has {self.cells_per_wavelength:.3g} cells in a wavelength and "
                f"{pace if self.velocity_error > -1 else 'does not travel at all'} on this grid (at most "
                f"{MOST_VELOCITY_ERROR:.0%} is fine). Make the pitch smaller, or set order = 4.",
                NumericsWarning,
                stacklevel=3,
            )
        if not self.layer_reflection <= MOST_REFLECTION:
            warnings.warn(
                f"{name}: absorbing layers send back {self.layer_reflection:.2g} of the pressure of a tone head on (at "
                f"most {MOST_REFLECTION:g} is fine). Make the layer thicker.",
                NumericsWarning,
                stacklevel=3,
            )


def numerics_of(scheme: Scheme, tones: tuple[float, ...]) -> AcousticNumerics:
    """Return how well a scheme carries tones, Hz."""
    slowest, grid = float(scheme.medium.speed_YX.min()), scheme.grid
    # The shift of a layer is set by its design frequency, so lower tones are absorbed less.
    reflected = max(layer_reflection(scheme, tone) for tone in tones) if grid.absorbing else 0.0
    return AcousticNumerics(
        frequency=max(tones),
        cells_per_wavelength=slowest / (max(tones) * grid.pitch),
        velocity_error=velocity_error(scheme, max(tones)),
        courant=scheme.time_step / stable_time_step(grid, scheme.medium),
        layer_reflection=reflected,
    )


def velocity_error(scheme: Scheme, frequency: float) -> float:
    """Return the relative error of a plane wave's speed on the grid, along an axis or a diagonal, whichever is larger.

    By the discrete dispersion relation, `sin^2(w dt / 2) = (c dt / h)^2 sum of the stencil's symbols / 4`.
    """
    speed, grid = float(scheme.medium.speed_YX.min()), scheme.grid
    turn = 2 * math.pi * frequency * scheme.time_step
    courant = speed * scheme.time_step / grid.pitch
    errors = []
    for direction in (np.array([1.0, 0.0]), np.array([math.sqrt(0.5)] * 2)):
        last = math.pi / direction[0]
        target = 4 * math.sin(turn / 2) ** 2 / courant**2

        def left(phase: float, direction: Floats = direction, target: float = target) -> float:
            return float(grid.stencil.symbol(phase * direction).sum()) - target

        if turn >= math.pi or left(last) <= 0:
            return -1.0
        errors.append(turn / courant / float(brentq(left, 1e-9, last, xtol=1e-12)) - 1)
    return max(errors, key=abs)


def layer_reflection(scheme: Scheme, frequency: float, *, cosine: float = 1.0) -> float:
    """Return a bound of what a scheme's absorbing layers reflect of a plane wave, as a share of its pressure.

    Args:
        scheme: Its layers are built for its frequency and the largest speed of sound.
        frequency: Of the wave, Hz.
        cosine: Of the angle between the wave and the normal.
    """
    grid, speed = scheme.grid, float(scheme.medium.speed_YX.max())
    common: dict[str, Any] = {"courant": speed * scheme.time_step / grid.pitch, "cosine": cosine}
    common["design"] = 2 * math.pi * scheme.frequency * grid.pitch / speed
    (end,) = end_reflection(
        grid.stencil, grid.layer, omega=2 * math.pi * np.array([frequency]) * grid.pitch / speed, **common
    )
    common.pop("courant")
    return float(end) + cell_reflection(grid.stencil, grid.layer, **common)


def end_reflection(
    stencil: Stencil, layer: int, *, omega: Floats, design: float, cosine: float, courant: float
) -> Floats:
    """Return what comes back from the soft end of a layer, L = `layer` cells. Units: h = c = 1.

    The layer stretches x by s = 1 + d / (a + i w), with the damping d = 3 ln(1 / R0) / (2 L) (x / L)^2 and the shift
    a = w0 / 2 (1 - x / L), w0 the design frequency. There and back a wave is damped by exp(-2 cos times the integral
    of d w^2 / (w^2 + a^2)); without the shift that is R0^cos. On the grid d is read where cells end rather than begin,
    and its memory lags by half a step; either makes it larger, by d0. What makes it smaller is that differences are:
    (K1^2 + K2) / 2 K1 stands in the place of k, if all of it is memory, and 2 sin(w dt / 2) / dt in that of w.

    Args:
        stencil: The differences.
        layer: L.
        omega: Angular frequencies of the wave.
        design: w0, at which the differences are taken.
        cosine: Of the angle between the wave and the normal.
        courant: The time step.
    """
    depth = (np.arange(1000) + 0.5) / 1000
    omega = np.asarray(omega, dtype=np.float64).reshape(-1, 1)
    damping = 1.5 * math.log(1 / REFLECTION) / layer * depth**2
    shift = design / 2 * (1 - depth)
    integral = layer * np.mean(damping * omega**2 / (omega**2 + shift**2), axis=1)
    phase = design * cosine
    first, second = wavenumbers(stencil, 2 * math.sin(phase * courant / 2) / courant)
    return np.asarray(np.exp(-2 * cosine * integral * (first**2 + second) / (2 * first * phase)))


def cell_reflection(
    stencil: Stencil,
    layer: int,
    *,
    design: float,
    cosine: float,
    reflection: float = REFLECTION,
    time_step: float | None = None,
) -> float:
    """Return what the cells add where the layer begins, to first order in its damping. Units: h = c = 1.

    What the layer adds to the wave equation, (B u')' with 1 + B = 1 / s, is computed in two ways: as D1 (B D1 u) what
    it remembers, as B D2 u + (D1 B) D1 u the share (a + i w) dt that acts at once. Weighted with the wave that returns,
    and with the K2 B u that dividing by 1 + B leaves, the two come to K1(k)^2 - K2(k) and K1(k) K1(2 k) - 2 K2(k),
    times the transform of B at 2 k. Both vanish with the pitch, as its power `order`. B = -d / (a + i w) begins with a
    bend of 3 ln(1 / R0) / (L^3 |a + i w|), which makes the transform that over (2 k)^3; a source of one sends out a
    wave of 1 / (2 K1). So it falls as 1 / L^3, and hardly depends on the angle.

    Args:
        stencil: The differences.
        layer: L.
        design: Angular frequency that the layer is built for, and of the wave.
        cosine: Of the angle between the wave and the normal.
        reflection: R0.
        time_step: None for all of it at once, which is the larger of the two.
    """
    phase = design * cosine
    (once, second), (twice, _) = wavenumbers(stencil, phase), wavenumbers(stencil, 2 * phase)
    rate = complex(design / 2, design)  # the shift is w0 / 2 where the layer begins
    share = 1.0 if time_step is None else rate * time_step
    remembered, present = once**2 - second, once * twice - 2 * second
    bend = 3 * math.log(1 / reflection) / layer**3 / abs(rate)
    return abs(remembered * (1 - share) + present * share) * bend / (2 * phase) ** 3 / (2 * once)


def wavenumbers(stencil: Stencil, phase: float) -> tuple[float, float]:
    """Return h K1 and h^2 K2: on exp(-i k x), k h = phase, the first difference is -i K1 and the second one -K2."""
    first = sum(2 * weight * math.sin(j * phase) for j, weight in enumerate(stencil.first, start=1))
    return first, float(stencil.symbol(np.array([phase]))[0])
