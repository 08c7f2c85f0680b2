"""What a multimode fibre is made of: its index profile, and fused silica's index over the wavelength."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

Profile = Literal["graded", "step"]
Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

LIGHT = 299_792_458.0
"""Speed of light in vacuum, m/s."""

# I. H. Malitson, J. Opt. Soc. Am. 55, 1205 (1965): strengths, and resonance wavelengths in um, at 20 degrees C.
_STRENGTHS = (0.6961663, 0.4079426, 0.8974794)
_RESONANCES = (0.0684043, 0.1162414, 9.896161)
_SHORTEST, _LONGEST = 0.21e-6, 3.71e-6


def silica_index(wavelength: float) -> float:
    """Return the refractive index of fused silica at 20 degrees C.

    Args:
        wavelength: In vacuum, m, 0.21e-6 to 3.71e-6.

    Raises:
        SpecError: `wavelength` is out of range.

    Source:
        I. H. Malitson, J. Opt. Soc. Am. 55, 1205 (1965).
    """
    if not _SHORTEST <= wavelength <= _LONGEST:
        raise SpecError(
            f"wavelength must be {_SHORTEST:g} to {_LONGEST:g} m, where the index of silica is known, got "
            f"{wavelength:g} m."
        )
    square = (wavelength * 1e6) ** 2
    terms = (b * square / (square - c * c) for b, c in zip(_STRENGTHS, _RESONANCES, strict=True))
    return math.sqrt(1 + sum(terms))


@dataclass(frozen=True, kw_only=True)
class Fibre:
    """A round fibre that guides weakly, so that one scalar field describes light of either polarisation.

    `step` has one index in the core. `graded` is parabolic, `n^2 = n_core^2 - (NA r / radius)^2`, down to the cladding
    at `radius`. The numerical aperture is taken as the same at all wavelengths; the cladding follows silica.

    Args:
        profile: Of the index.
        radius: Of the core, m.
        numerical_aperture: `sqrt(n_core^2 - n_cladding^2)` on the axis.
        wavelength: In vacuum, m.
        cladding_index: None for that of fused silica; another value shifts silica's curve.

    Raises:
        SpecError: A value is out of range.
    """

    profile: Profile
    radius: float
    numerical_aperture: float
    wavelength: float
    cladding_index: float | None = None

    def __post_init__(self) -> None:
        if self.profile not in ("graded", "step"):
            raise SpecError(f"profile must be graded or step, got {self.profile!r}.")
        if not 0 < self.radius < math.inf:
            raise SpecError(f"radius must be > 0 m, got {self.radius} m.")
        silica_index(self.wavelength)
        if self.cladding_index is not None and not 1 <= self.cladding_index < math.inf:
            raise SpecError(f"cladding_index must be >= 1, got {self.cladding_index}. Leave it out for silica.")
        if not 0 < self.numerical_aperture < 0.5 * self.cladding:
            raise SpecError(
                f"numerical_aperture must be > 0 and below {0.5 * self.cladding:.2f}, half the cladding's index, got "
                f"{self.numerical_aperture}. Beyond it a fibre does not guide weakly and scalar modes are wrong."
            )

    @property
    def cladding(self) -> float:
        """Index of the cladding at this wavelength."""
        return silica_index(self.wavelength) if self.cladding_index is None else self.cladding_index

    @property
    def core(self) -> float:
        """Index on the axis."""
        return math.hypot(self.cladding, self.numerical_aperture)

    @property
    def wavenumber(self) -> float:
        """In vacuum, 1/m."""
        return 2 * math.pi / self.wavelength

    @property
    def v_number(self) -> float:
        """Normalised frequency V."""
        return self.wavenumber * self.radius * self.numerical_aperture

    def at(self, wavelength: float) -> Fibre:
        """Return the same fibre at another wavelength, m."""
        shift = self.cladding - silica_index(self.wavelength)
        cladding = None if self.cladding_index is None else silica_index(wavelength) + shift
        return dataclasses.replace(self, wavelength=wavelength, cladding_index=cladding)

    def index_squared(self, distance: NDArray[Any]) -> Floats:
        """Return `n^2` at distances from the axis, m."""
        rise = self.numerical_aperture**2
        inside = rise * (1 - (distance / self.radius) ** 2) if self.profile == "graded" else rise
        return np.asarray(self.cladding**2 + np.where(distance < self.radius, inside, 0.0))
