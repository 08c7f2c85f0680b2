"""What absorbing layers send back: the bound that theory gives, how it falls with their thickness, and a pulse in 2-D.

A layer reflects twice: what its damping lets through returns from its soft end, and the cells, in which waves travel a
little differently from the continuum, reflect where the damping begins. Below, L is the thickness of a layer, R0 the
reflection that it is built for head on, h the pitch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import hankel1

from physnet.simulators.acoustic_grid import STENCILS, Grid, Stencil
from physnet.simulators.acoustic_media import Medium, Scheme, stable_time_step
from physnet.simulators.acoustic_torch import TorchSolver

AIR, PITCH, BUILT_FOR = 343.0, 0.01, 1e-3
ORDERS = (2, 4)
Array = NDArray[Any]


def scheme_of(grid: Grid, *, cells_a_wave: int) -> Scheme:
    medium = Medium.uniform(grid, speed=AIR)
    step = 0.9 * stable_time_step(grid, medium)
    return Scheme(grid=grid, medium=medium, time_step=step, frequency=AIR / (cells_a_wave * PITCH), single=False)


def cells_a_step(stencil: Stencil) -> float:
    """How far sound travels in a step of `scheme_of`, in cells."""
    return 0.9 * 2 / math.sqrt(2 * stencil.largest)


def wavenumbers(stencil: Stencil, phase: float) -> tuple[float, float]:
    """Return h K1 and h^2 K2: on exp(-i k x), k h = phase, the first difference is -i K1 and the second one -K2."""
    first = sum(2 * weight * math.sin(j * phase) for j, weight in enumerate(stencil.first, start=1))
    return first, float(stencil.symbol(np.array([phase]))[0])


def plane_wave_reflection(order: Any, layer: int, *, cells_a_wave: int, across: int | None) -> tuple[float, float]:
    """Return what a layer reflects of a plane wave at its design frequency, and the cosine of the wave's angle.

    A strip, periodic along y, carries the mode of `across` cells a period (None: the plane one) in a pulse of narrow
    band; the same strip without a layer, so long that nothing comes back in time, tells what is incident.
    """
    frequency = AIR / (cells_a_wave * PITCH)
    sine = 0.0 if across is None else cells_a_wave / across
    spread = frequency * (1 - sine) / 6  # of the band: nothing of it is below the mode's cut-off
    lowest = max(frequency - 4.5 * spread, frequency / 100)
    slowest = AIR * math.sqrt(1 - (sine * frequency / lowest) ** 2) if sine else AIR
    length = 6 / (2 * math.pi * spread)  # the pulse is down to exp(-18) at either end
    # There and back, and a fifth more: short waves travel too slowly on a grid, by (k h)^2 / 8 at 8 cells a wave.
    duration = 2 * length + 1.2 * (60 + 2 * layer) * PITCH / slowest
    room = math.ceil(duration * AIR / PITCH / 2) + 10
    height = across or 2 * STENCILS[order].halo + 1
    traces = []
    for side, beyond in (("absorbing", layer), ("closed", room)):
        sides: Any = ("periodic", "periodic", "closed", side)
        grid = Grid(shape=(height, room + 40 + beyond), pitch=PITCH, order=order, sides=sides, layer=layer)
        scheme = scheme_of(grid, cells_a_wave=cells_a_wave)
        time = np.arange(math.ceil(duration / scheme.time_step)) * scheme.time_step - length
        wave = np.exp(-((2 * math.pi * spread * time) ** 2) / 2) * np.cos(2 * math.pi * frequency * time)
        mode = np.cos(2 * math.pi * np.arange(height) / height) if across else np.ones(height)
        sources, microphones = np.array([(y, room) for y in range(height)]), np.array([(0, room + 20)])
        solver = TorchSolver(scheme, sources=sources, microphones=microphones, dtype=np.float64)
        tone = np.exp(-2j * math.pi * frequency * time)
        traces.append(complex(solver.propagate((mode[:, None] * wave)[None])[0][0, 0] @ tone))
    return abs(traces[0] - traces[1]) / abs(traces[1]), math.sqrt(1 - sine**2)


def from_the_end(stencil: Stencil, layer: int, *, frequency: Any, design: float, cosine: float) -> Array:
    """Return what comes back from the soft end of a layer, L = `layer` cells, at frequencies in Hz.

    The layer stretches x by s = 1 + d / (a + i w), with the damping d = 3 c ln(1 / R0) / (2 L) (x / L)^2 and the shift
    a = pi f (1 - x / L), f the design frequency. There and back a wave is damped by exp(-2 cos / c times the integral
    of d w^2 / (w^2 + a^2)); without the shift that is R0^cos. On the grid d is read where cells end rather than begin,
    and its memory lags by half a step; either makes it larger, by d0 h / c. What makes it smaller is that differences
    are: (K1^2 + K2) / 2 K1 stands in the place of k, if all of it is memory, and 2 sin(w dt / 2) / dt in that of w.
    """
    depth = (np.arange(1000) + 0.5) / 1000
    omega = 2 * math.pi * np.asarray(frequency, dtype=np.float64).reshape(-1, 1)
    damping = 1.5 * AIR * math.log(1 / BUILT_FOR) / (layer * PITCH) * depth**2
    shift = math.pi * design * (1 - depth)
    integral = layer * PITCH * np.mean(damping * omega**2 / (omega**2 + shift**2), axis=1)
    phase, step = 2 * math.pi * design * PITCH / AIR * cosine, cells_a_step(stencil)
    first, second = wavenumbers(stencil, 2 * math.sin(phase * step / 2) / step)
    return np.asarray(np.exp(-2 * cosine / AIR * integral * (first**2 + second) / (2 * first * phase)))


def from_the_cells(
    stencil: Stencil,
    layer: int,
    *,
    cells_a_wave: int,
    cosine: float,
    reflection: float = BUILT_FOR,
    time_step: float | None = None,
) -> float:
    """Reflection that the cells add where the layer begins, to first order in its damping.

    What the layer adds to the wave equation, (B u')' with 1 + B = 1 / s, is computed in two ways: as D1 (B D1 u) what
    it remembers, as B D2 u + (D1 B) D1 u the share (a + i w) dt that acts at once. Weighted with the wave that returns,
    and with the K2 B u that dividing by 1 + B leaves, the two come to K1(k)^2 - K2(k) and K1(k) K1(2 k) - 2 K2(k),
    times the transform of B at 2 k. Both vanish with the pitch, as its power `order`. B = -d / (a + i w) begins with a
    bend of 3 c ln(1 / R0) / (L^3 |a + i w|), which makes the transform that over (2 k)^3; a source of one sends out a
    wave of 1 / (2 K1). So it falls as 1 / L^3, and hardly depends on the angle. Below, h = c = 1.

    Args:
        stencil: The differences.
        layer: L in cells.
        cells_a_wave: Of a wave at the design frequency.
        cosine: Of the angle between the wave and the normal.
        reflection: R0.
        time_step: In cells of sound; None for all of it at once, which is the larger of the two.
    """
    omega = 2 * math.pi / cells_a_wave
    phase = omega * cosine
    (once, second), (twice, _) = wavenumbers(stencil, phase), wavenumbers(stencil, 2 * phase)
    rate = complex(omega / 2, omega)  # the shift is pi f = w / 2 where the layer begins
    share = 1.0 if time_step is None else rate * time_step
    remembered, present = once**2 - second, once * twice - 2 * second
    bend = 3 * math.log(1 / reflection) / layer**3 / abs(rate)
    return abs(remembered * (1 - share) + present * share) * bend / (2 * phase) ** 3 / (2 * once)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("cells_a_wave", "across"), [(8, None), (12, None), (24, None), (12, 25), (8, 10)])
def test_a_layer_reflects_no_more_than_its_end_and_its_cells_do(order: Any, cells_a_wave: int, across: Any) -> None:
    stencil, design = STENCILS[order], AIR / (cells_a_wave * PITCH)
    found = {}
    for layer in (10, 20, 40, 80) if across is None else (10, 20, 40):
        reflected, cosine = plane_wave_reflection(order, layer, cells_a_wave=cells_a_wave, across=across)
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
    monkeypatch.setattr("physnet.simulators.acoustic_grid._REFLECTION", built_for)
    found = []
    for layer in (40, 80):
        reflected, cosine = plane_wave_reflection(order, layer, cells_a_wave=cells_a_wave, across=across)
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
