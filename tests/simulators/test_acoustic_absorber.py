"""What absorbing layers send back: the bound that theory gives, how it falls with their thickness, and a pulse in 2-D.

The bound is that of `acoustic_numerics`, which derives it. L is the thickness of a layer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import hankel1

from benchmarks.validation_cases.acoustic_absorber import AIR, PITCH, cells_a_step, plane_wave_reflection, scheme_of
from physnet.simulators.acoustic_grid import STENCILS, Grid, Stencil
from physnet.simulators.acoustic_numerics import cell_reflection, end_reflection
from physnet.simulators.acoustic_torch import TorchSolver

ORDERS = (2, 4)
Array = NDArray[Any]


def from_the_end(stencil: Stencil, layer: int, *, frequency: Any, design: float, cosine: float) -> Array:
    """`end_reflection` at frequencies in Hz, for a layer of `scheme_of`."""
    scale = 2 * math.pi * PITCH / AIR
    return end_reflection(
        stencil, layer, omega=scale * np.atleast_1d(frequency), design=scale * design, cosine=cosine,
        courant=cells_a_step(stencil),
    )  # fmt: skip


def from_the_cells(stencil: Stencil, layer: int, *, cells_a_wave: int, cosine: float, **others: Any) -> float:
    """`cell_reflection` of a wave of so many cells."""
    return cell_reflection(stencil, layer, design=2 * math.pi / cells_a_wave, cosine=cosine, **others)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("cells_a_wave", "across"), [(8, None), (12, None), (24, None), (12, 25), (8, 10)])
def test_a_layer_reflects_no_more_than_its_end_and_its_cells_do(order: Any, cells_a_wave: int, across: Any) -> None:
    stencil, design = STENCILS[order], AIR / (cells_a_wave * PITCH)
    found = {}
    for layer in (10, 20, 40, 80) if across is None else (10, 20, 40):
        reflected, cosine, _ = plane_wave_reflection(order, layer, cells_a_wave=cells_a_wave, across=across)
        (end,) = from_the_end(stencil, layer, frequency=design, design=design, cosine=cosine)
        added = from_the_cells(stencil, layer, cells_a_wave=cells_a_wave, cosine=cosine)
        assert reflected < end + added, (layer, reflected, end, added)
        found[layer] = reflected
    # A layer that absorbed everything would be no layer of this profile: what its end sends back is approached from
    # below. The logarithm of the reflection, -6.7, grows by a share of 1.5 / L, since d is read where cells end, and of
    # 0.6 * 0.32 * 10.4 / L by the lag of half a step, 0.32 of a cell: with 40 cells exp(-0.59) = 0.55 of it is left.
    assert found[40] > 0.5 * end


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("cells_a_wave", "across"), [(8, None), (12, None), (24, None), (12, 25)])
def test_what_the_cells_reflect_falls_with_the_cube_of_the_thickness(
    monkeypatch: pytest.MonkeyPatch, order: Any, cells_a_wave: int, across: Any
) -> None:
    # So strong a layer that nothing comes back from its end: what is left is what the cells add.
    built_for = 1e-9
    monkeypatch.setattr("physnet.simulators.acoustic_grid.REFLECTION", built_for)
    found = []
    for layer in (40, 80):
        reflected, cosine, _ = plane_wave_reflection(order, layer, cells_a_wave=cells_a_wave, across=across)
        expected = from_the_cells(
            STENCILS[order],
            layer,
            cells_a_wave=cells_a_wave,
            cosine=cosine,
            reflection=built_for,
            time_step=cells_a_step(STENCILS[order]),
        )
        # First order in the pitch times the damping, and in the step in time, which is left out above: for waves of 8
        # cells (k h)^2 is 0.6, a fifth of which is 12 %.
        assert reflected == pytest.approx(expected, rel=0.15), layer
        found.append(reflected)
    assert math.log2(found[0] / found[1]) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("layer", [10, 20, 40])
def test_a_pulse_in_a_room_with_absorbing_sides_is_heard_as_in_the_open(order: Any, layer: int) -> None:
    inner, wide, cells_a_wave = 40, 90, 12
    design = AIR / (cells_a_wave * PITCH)
    source, microphones = np.array([8, 10]), np.array([(4, 30), (36, 20)])
    traces = []
    for margin, side in ((layer, "absorbing"), (wide, "closed")):
        sides: Any = (side,) * 4
        grid = Grid(shape=(inner + 2 * margin,) * 2, pitch=PITCH, order=order, sides=sides, layer=layer)
        scheme = scheme_of(grid, cells_a_wave=cells_a_wave)
        # The wide domain's walls are heard after 2 x 90 cells, later than the end of the record.
        steps = math.floor(170 * PITCH / AIR / scheme.time_step)
        turn = (math.pi * design * (np.arange(steps) * scheme.time_step - 1.5 / design)) ** 2
        wave = (1 - 2 * turn) * np.exp(-turn)
        solver = TorchSolver(scheme, sources=source[None] + margin, microphones=microphones + margin, dtype=np.float64)
        traces.append(solver.propagate(wave[None, None])[0][0])
    # Each end is a mirror: an image of the source behind it, L further away on either side, sends the pulse back at
    # that angle and weakened by that distance. The parts of four ends can't add up to more than their moduli do, taken
    # over the pulse's spectrum. What the cells add is taken at the design frequency.
    frequency = np.linspace(design / 50, 4 * design, 200)
    spectrum = frequency**2 * np.exp(-((frequency / design) ** 2))

    def loudness(distance: float) -> Array:
        return np.asarray(np.abs(hankel1(0, 2 * math.pi * frequency / AIR * distance * PITCH)))

    for number, place in enumerate(microphones):
        direct = float((spectrum * loudness(math.dist(source, place))).sum())
        allowed = 0.0
        for axis in (0, 1):
            aside = abs(int(source[1 - axis] - place[1 - axis]))
            for both in (source[axis] + place[axis] + 1, 2 * inner - 1 - source[axis] - place[axis]):
                for reached in (0, 2 * layer):
                    distance = math.hypot(both + reached, aside)
                    cosine = (both + reached) / distance
                    if reached:
                        part = from_the_end(STENCILS[order], layer, frequency=frequency, design=design, cosine=cosine)
                    else:
                        part = np.full(
                            len(frequency),
                            from_the_cells(STENCILS[order], layer, cells_a_wave=cells_a_wave, cosine=cosine),
                        )
                    allowed += float((spectrum * loudness(distance) * part).sum()) / direct
        error = np.abs(traces[0][number] - traces[1][number]).max() / np.abs(traces[1][number]).max()
        assert error < allowed < 0.02
