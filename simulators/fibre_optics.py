"""Light into the modes of a fibre and out of them: pixels of a modulator and of a camera, imaged on its ends.

Axis letters: D pixels of the modulator; R pixels of the camera; Q points within a pixel; M modes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from physnet.errors import SpecError

from .fibre_modes import Modes
from .fibre_profile import Floats

# Points along a pixel beside one for each 4 rad of the fastest product: integrals are right within 1e-7 for the launch,
# computed once, and 1e-4 for a camera, computed for each row.
_MORE = {1: 5, 2: 2}


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Square pixels on a square around the axis, line by line from the lowest y; the last line may be short.

    Args:
        count: How many.
        width: Side of the square, m.

    Raises:
        SpecError: `width` is not > 0.
    """

    count: int
    width: float

    def __post_init__(self) -> None:
        if not 0 < self.width < math.inf:
            raise SpecError(f"width of a square of pixels must be > 0 m, got {self.width} m.")

    @property
    def side(self) -> int:
        """Pixels along a side of the square."""
        return math.isqrt(self.count - 1) + 1

    @property
    def pitch(self) -> float:
        """Side of a pixel, m."""
        return self.width / self.side

    def field(self, modes: Modes, *, products: int) -> tuple[Floats, Floats]:
        """Return the modes at points of the pixels, and the points' weights.

        Args:
            modes: The modes.
            products: How many modes are multiplied before they are integrated, 1 or 2: sets the number of points.

        Returns:
            Modes, 1/m, shape `(pixels, points, modes)`, and weights, m^2, shape `(points,)`, by Gauss and Legendre.
        """
        fastest = 2 * math.pi * modes.fibre.numerical_aperture / modes.fibre.wavelength * products  # radian per m
        node, weight = np.polynomial.legendre.leggauss(math.ceil(fastest * self.pitch / 4) + _MORE[products])
        place = np.arange(self.count)
        left_D, low_D = (self.pitch * (part - self.side / 2) for part in (place % self.side, place // self.side))
        along = self.pitch * (node + 1) / 2
        x_DQ = left_D[:, None] + np.tile(along, len(node))
        y_DQ = low_D[:, None] + np.repeat(along, len(node))
        places = (np.asarray(part, np.float64).ravel() for part in (x_DQ, y_DQ))
        value = modes.field(*places).reshape(*x_DQ.shape, len(modes))
        return value, np.outer(weight, weight).ravel() * self.pitch**2 / 4

    def launch(self, modes: Modes) -> Floats:
        """Return the amplitudes of the modes for each pixel, shape `(modes, pixels)`.

        All pixels together, full and in phase, carry a power of 1. What no guided mode takes up is lost.
        """
        value_DQM, weight_Q = self.field(modes, products=1)
        launched_MD = np.einsum("dqm,q->md", value_DQM, weight_Q) / (self.pitch * math.sqrt(self.count))
        return np.asarray(launched_MD)

    def camera(self, modes: Modes) -> Floats:
        """Return field amplitudes at points of the pixels, shape `(pixels, points, modes)`.

        The sum of their squares over a pixel's points is the power on it, times the number of pixels: 1 on average if
        a power of 1 comes out and falls on the square.
        """
        value_RQM, weight_Q = self.field(modes, products=2)
        return np.asarray(value_RQM * np.sqrt(weight_Q * self.count)[:, None])
