"""The room of the acoustic cavity: what stands where, from a seed and a few numbers.

Axis letters: Y, X cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .acoustic_codec import choose_cells, generator
from .acoustic_grid import Floats, Grid, Ints
from .acoustic_media import Elements, Medium, Resonators

_RIGID, _SPEED, _SOURCES, _MICROPHONES, _RESONATORS, _ELEMENTS, PHASES = range(7)  # streams of one seed
_LOUDNESS = 6.9077  # ln(1000): the amplitude falls by 60 dB in a reverberation time


@dataclass(frozen=True, kw_only=True)
class Room:
    """Everything that has a place.

    Args:
        medium: What fills the grid.
        sources: `(y, x)` of each source.
        microphones: `(y, x)` of each microphone.
    """

    medium: Medium
    sources: Ints
    microphones: Ints


def furnish(
    grid: Grid,
    *,
    seed: int,
    speed: float,
    speed_variation: float,
    reverberation: float,
    admittance: float,
    scatterers: int,
    scatterer_radius: float,
    resonators: int,
    resonance: float,
    resonator_quality: float,
    resonator_mass: float,
    elements: int,
    threshold: float,
    stiffness_frequency: float,
    element_damping: float,
    phenomenological_speed: float,
    sources: int,
    microphones: int,
) -> Room:
    """Place everything at random; arguments as for `AcousticCavity`."""
    rigid_YX = _disks(grid, scatterers, scatterer_radius, seed)
    free_YX = ~rigid_YX & _clear(grid)
    placed = {}
    for name, count, stream in (
        ("sources", sources, _SOURCES),
        ("microphones", microphones, _MICROPHONES),
        ("resonators", resonators, _RESONATORS),
        ("elements", elements, _ELEMENTS),
    ):
        cells = choose_cells(free_YX, count, seed=seed, stream=stream, what=name)
        free_YX[cells[:, 0], cells[:, 1]] = False
        placed[name] = cells
    damping_YX = np.full(grid.shape, _LOUDNESS / reverberation)
    for axis, side in ((0, 0), (0, -1), (1, 0), (1, -1)):
        if grid.sides[2 * axis + (side != 0)] == "closed":
            # A wall of admittance y takes y / (rho c) of the pressure away, from cells that are one pitch deep.
            wall = (side, slice(None)) if axis == 0 else (slice(None), side)
            damping_YX[wall] += admittance * speed / (2 * grid.pitch)
    masses = Resonators(cells=placed["resonators"], frequency=resonance, quality=resonator_quality, mass=resonator_mass)
    active = stiffness_frequency > 0 or element_damping > 0 or phenomenological_speed != 0
    nonlinear = Elements(
        cells=placed["elements"],
        threshold=threshold,
        stiffness=(2 * math.pi * stiffness_frequency) ** 2,
        damping=element_damping,
        speed=phenomenological_speed,
    )
    medium = Medium(
        speed_YX=speed * _bumps(grid, speed_variation, seed),
        damping_YX=damping_YX,
        rigid_YX=rigid_YX,
        resonators=masses if resonators else None,
        elements=nonlinear if elements and active else None,
    )
    return Room(medium=medium, sources=placed["sources"], microphones=placed["microphones"])


def _clear(grid: Grid) -> NDArray[np.bool_]:
    """Cells off the walls and outside absorbing layers with the reach of the stencil."""
    clear_YX = np.zeros(grid.shape, dtype=bool)
    (bottom, top), (left, right) = (
        tuple(layer + grid.halo if layer else 1 for layer in grid.layers(axis)) for axis in (0, 1)
    )
    clear_YX[bottom : grid.shape[0] - top, left : grid.shape[1] - right] = True
    return clear_YX


def _disks(grid: Grid, count: int, radius: float, seed: int) -> NDArray[np.bool_]:
    """Rigid disks around random cells; cut off where they would reach into a layer or a wall."""
    rigid_YX = np.zeros(grid.shape, dtype=bool)
    y, x = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    for centre_y, centre_x in choose_cells(_clear(grid), count, seed=seed, stream=_RIGID, what="scatterers"):
        rigid_YX |= (y - centre_y) ** 2 + (x - centre_x) ** 2 <= (radius / grid.pitch) ** 2
    rigid_YX &= _clear(grid)
    # Disks that overlap may close a pocket off, in which no sound would ever be heard: fill it.
    pocket_YX, pockets = ndimage.label(~rigid_YX)
    if pockets > 1:
        rigid_YX = pocket_YX != 1 + int(np.argmax(np.bincount(pocket_YX.ravel())[1:]))
    return rigid_YX


def _bumps(grid: Grid, variation: float, seed: int) -> Floats:
    """A smooth random map of mean near 1: cosines of up to four half periods a side, tanh-limited to 3 deviations."""
    rng = generator(seed, _SPEED)
    value_YX = np.zeros(grid.shape)
    y, x = ((np.arange(n) + 0.5) / n for n in grid.shape)
    for p in range(5):
        for q in range(5):
            weight = rng.standard_normal()
            if p or q:
                value_YX += weight * np.cos(math.pi * p * y)[:, None] * np.cos(math.pi * q * x)
    value_YX /= value_YX.std()
    return np.asarray(1 + variation * 3 * np.tanh(value_YX / 3))
