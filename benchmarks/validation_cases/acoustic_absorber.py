"""What an absorbing layer of the acoustic cavity sends back, measured with a plane wave, beside its bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from physnet.simulators.acoustic_grid import STENCILS, Grid, Stencil
from physnet.simulators.acoustic_media import Medium, Scheme, stable_time_step
from physnet.simulators.acoustic_numerics import layer_reflection
from physnet.simulators.acoustic_torch import TorchSolver

from .outcome import Case, Check, Outcome

AIR, PITCH = 343.0, 0.01


def scheme_of(grid: Grid, *, cells_a_wave: int) -> Scheme:
    """Return a scheme whose layers are built for waves of so many cells."""
    medium = Medium.uniform(grid, speed=AIR)
    step = 0.9 * stable_time_step(grid, medium)
    return Scheme(grid=grid, medium=medium, time_step=step, frequency=AIR / (cells_a_wave * PITCH), single=False)


def cells_a_step(stencil: Stencil) -> float:
    """Return how far sound travels in a step of `scheme_of`, in cells."""
    return 0.9 * 2 / math.sqrt(2 * stencil.largest)


def plane_wave_reflection(
    order: Any, layer: int, *, cells_a_wave: int, across: int | None
) -> tuple[float, float, Scheme]:
    """Return what a layer reflects of a plane wave at its design frequency, the cosine of its angle, and the scheme.

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
    traces, schemes = [], []
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
        schemes.append(scheme)
    return abs(traces[0] - traces[1]) / abs(traces[1]), math.sqrt(1 - sine**2), schemes[0]


def absorbing_layer() -> Outcome:
    """A plane wave of 12 cells head on into absorbing layers of 10 to 40 cells, beside the bound that theory gives.

    A layer reflects at its end, built for 0.001 of the pressure, and where its cells begin to damp, which falls as the
    cube of its thickness. The two together must not be exceeded.
    """
    thickness = (10, 20, 40)
    checks, found = [], {}
    for order in (2, 4):
        measured, bound = [], []
        for layer in thickness:
            reflected, cosine, scheme = plane_wave_reflection(order, layer, cells_a_wave=12, across=None)
            measured.append(reflected)
            bound.append(layer_reflection(scheme, scheme.frequency, cosine=cosine))
        found[order] = measured, bound
        checks += [
            Check(
                compared=f"reflection of a layer of {layer} cells, order {order}", claim=0.0, measured=m, tolerance=b,
                because="what the end and the cells reflect at most, derived in `acoustic_numerics`",
            )
            for layer, m, b in zip(thickness, measured, bound, strict=True)
        ]  # fmt: skip

    def draw(axes: Axes) -> None:
        for order, (measured, bound) in found.items():
            axes.loglog(thickness, measured, "o", color=f"C{order // 2 - 1}", label=f"measured, order {order}")
            axes.loglog(thickness, bound, "-", color=f"C{order // 2 - 1}", label=f"bound, order {order}")
        axes.set_xticks(thickness, [str(layer) for layer in thickness])
        axes.minorticks_off()
        axes.set(xlabel="thickness / cells", ylabel="reflected share of the pressure", ylim=(5e-5, 2e-2))
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Reflection head on of a wave of 12 cells.")


CASES: tuple[Case, ...] = (absorbing_layer,)
