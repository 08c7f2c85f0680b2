"""Where everything stands in a programmable cavity: a fence of dipoles, a line of elements before it, what is inside.

Axis letters: P places, each `(x, y)` in m.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physnet.errors import SpecError

from .dipoles import Floats
from .numerics_warning import NumericsWarning

_SCATTERERS, _ANTENNAS = range(2)  # streams of one seed
_ATTEMPTS = 1000  # to place one thing, before the cavity counts as full
_WIDEST = 0.5  # wavelengths: up to it a row of dipoles reflects any plane wave in one direction only


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Places in m.

    Args:
        antennas: Transmitters, then receivers.
        elements: Along the wall, counterclockwise from the lower left corner.
        fixed: Fence and scatterers.
        trainable: Which of the elements are parameters; the others are driven.
    """

    antennas: Floats
    elements: Floats
    fixed: Floats
    trainable: NDArray[np.bool_]


def furnish(
    *,
    size: tuple[float, float],
    wall_spacing: float,
    driven: int,
    trainable: int,
    element_spacing: float | None,
    standoff: float,
    scatterers: int,
    antennas: int,
    wavelength: float,
    seed: int,
) -> Layout:
    """Place everything; arguments as for `ProgrammableCavity`.

    Raises:
        SpecError: There is no room.
    """
    if not (standoff > 0 and wall_spacing > 0 and (element_spacing is None or element_spacing > 0)):
        raise SpecError(
            f"standoff, wall_spacing and element_spacing must be > 0 m, got {standoff}, {wall_spacing} and "
            f"{element_spacing}."
        )
    if trainable < 0 or scatterers < 0:
        raise SpecError(f"trainable and scatterers must be >= 0, got {trainable} and {scatterers}.")
    clearance = wavelength / 4
    edge = standoff + clearance
    if not min(size) > 2 * edge:
        raise SpecError(
            f"size must be above {2 * edge:.3g} m each way, to leave room inside the line of elements, got {size} m."
        )
    inside = (np.array((edge, edge)), np.array(size) - edge)
    fence = _fence(size, wall_spacing)
    line = _line(size, standoff, driven + trainable, element_spacing, wavelength)
    still = np.concatenate((fence, line))
    poles = _scatter(scatterers, still, inside, clearance, _generator(seed, _SCATTERERS), "scatterers")
    taken = np.concatenate((still, poles))
    ports = _scatter(antennas, taken, inside, clearance, _generator(seed, _ANTENNAS), "antennas")
    number = np.arange(driven + trainable + 1) * trainable // (driven + trainable)
    return Layout(antennas=ports, elements=line, fixed=np.concatenate((fence, poles)), trainable=np.diff(number) > 0)


def warn_of_gaps(name: str, *, spacing: float, wavelength: float) -> None:
    """Warn of a fence whose gaps are wide for the shortest wave, in m; `name` is what the message calls the cavity."""
    if not spacing <= _WIDEST * wavelength:
        warnings.warn(
            f"{name}: dipoles of the wall stand {spacing / wavelength:.3g} of the shortest wavelength apart (at most "
            f"{_WIDEST:g} is fine). Beyond, a wall sends waves in several directions, as a grating does: make "
            "wall_spacing smaller.",
            NumericsWarning,
            stacklevel=3,
        )


def _line(size: tuple[float, float], standoff: float, count: int, spacing: float | None, wavelength: float) -> Floats:
    """Return the places of elements on a line inside the fence; spread over all of it where `spacing` is None."""
    length = 2 * (size[0] + size[1] - 4 * standoff)
    if spacing is None:
        spacing = length / count
        # At a tenth of a wavelength two dipoles radiate almost as one: J0(k r) = 0.90.
        if not spacing >= wavelength / 10:
            raise SpecError(
                f"elements must be at least {wavelength / 10:.3g} m apart, a tenth of a wavelength, got {count} on a "
                f"line of {length:.3g} m. Enlarge size, or give element_spacing."
            )
    if not count * spacing <= length * (1 + 1e-9):
        raise SpecError(
            f"element_spacing must be at most {length / count:.3g} m for {count} elements on a line of {length:.3g} m, "
            f"got {spacing} m. Enlarge size, or leave element_spacing out to spread them evenly."
        )
    return _at(spacing * np.arange(float(count)), size, standoff)


def _fence(size: tuple[float, float], spacing: float) -> Floats:
    """Return places all around the rectangle, about `spacing` apart."""
    length = 2 * (size[0] + size[1])
    count = round(length / spacing)
    if count < 8:
        raise SpecError(
            f"wall_spacing must be at most an eighth of the way round, {length / 8:.3g} m, got {spacing} m. A wall of "
            "fewer dipoles holds no wave."
        )
    return _at(length / count * np.arange(float(count)), size, 0.0)


def _at(way_P: Floats, size: tuple[float, float], inset: float) -> Floats:
    """Return the places after a way along a rectangle from its lower left corner."""
    width, height = size[0] - 2 * inset, size[1] - 2 * inset
    corner = np.cumsum([0.0, width, height, width, height])
    x = np.interp(way_P, corner, [0.0, width, width, 0.0, 0.0])
    y = np.interp(way_P, corner, [0.0, 0.0, height, height, 0.0])
    return np.stack((x, y), axis=1) + inset


def _scatter(
    count: int,
    taken: Floats,
    inside: tuple[Floats, Floats],
    clearance: float,
    rng: np.random.Generator,
    what: str,
) -> Floats:
    """Return random places that keep clear of all others: the same first ones however many are asked for."""
    occupied = np.concatenate((taken, np.empty((count, 2))))
    for place in range(len(taken), len(occupied)):
        for _ in range(_ATTEMPTS):
            candidate = rng.uniform(*inside)
            if np.hypot(*(occupied[:place] - candidate).T).min() >= clearance:
                occupied[place] = candidate
                break
        else:
            raise SpecError(
                f"{what} must fit inside, {clearance:.3g} m clear of everything, got {count} and room for "
                f"{place - len(taken)}. Enlarge size."
            )
    return occupied[len(taken) :]


def _generator(seed: int, stream: int) -> np.random.Generator:
    key: Any = np.array([seed, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
