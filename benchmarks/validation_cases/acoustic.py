"""Cases of the acoustic cavity: dispersion, Green's function, orders, energy, decay, reciprocity."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from physnet.simulators.acoustic_grid import STENCILS, Grid
from physnet.simulators.acoustic_media import Medium, Resonators
from physnet.simulators.acoustic_solver import FieldState
from physnet.simulators.acoustic_torch import TorchSolver

from .acoustic_boxes import (
    AIR,
    Array,
    cells,
    discrete_energy,
    discrete_phase,
    point_source,
    ricker,
    scheme_of,
    swinging_mode,
    varied,
)
from .outcome import Case, Check, Outcome, error_check, order_check


def free_space_green_function() -> Outcome:
    """A pulse from a point in the open plane against the exact Green's function, (i/4) H0(k r), at two pitches.

    The error has to fall with the pitch as the claimed order of the stencil.
    """
    checks, found = [], {}
    for stencil in STENCILS.values():
        errors = []
        for count in (16, 24):
            time, trace, exact = point_source(stencil, count)
            errors.append(float(np.linalg.norm(trace - exact) / np.linalg.norm(exact)))
            found[stencil.order, count] = time, trace, exact
        measured = math.log(errors[0] / errors[1]) / math.log(24 / 16)
        what = f"fall of the error of a point source's pulse with the pitch, stencil of order {stencil.order}"
        checks.append(order_check(what, claim=stencil.order, measured=measured))

    def draw(axes: Axes) -> None:
        time, _, exact = found[4, 24]
        axes.plot(time, exact, "k", linewidth=1, label="exact")
        for order in (2, 4):
            time, trace, _ = found[order, 16]
            axes.plot(time, trace, "--", label=f"order {order}, 8 cells in the shortest wave")
        axes.set(xlabel="time / s", ylabel="pressure / source", xlim=(0.8, 2.4))
        axes.legend()

    return Outcome(
        checks=tuple(checks), draw=draw,
        caption="A Ricker pulse 1 m from its source, c = 1 m/s, on the coarser of the two grids.",
    )  # fmt: skip


def dispersion() -> Outcome:
    """Modes of a closed box swing, and their frequency is read from the field.

    It must be that of the discrete dispersion relation, which also tells how much slower than sound a wave is on the
    grid: points on the curve of the figure, for waves of 20 down to 4 cells.
    """
    steps, checks = 1000, []
    curves: dict[int, tuple[Array, Array]] = {}
    for stencil in STENCILS.values():
        worst, points = 0.0, []
        for turns in ((0, 3), (0, 6), (0, 9), (0, 12), (0, 15), (3, 4)):
            found = swinging_mode(stencil, turns, courant_share=0.9, steps=steps)
            exact = np.cos(found["turn"] * np.arange(1, steps + 1))
            worst = max(worst, float(np.abs(found["trace"] - exact).max()))
            # u(t + dt) + u(t - dt) = 2 cos(w dt) u(t), by least squares
            u = found["trace"]
            twice = float((u[2:] + u[:-2]) @ u[1:-1] / (u[1:-1] @ u[1:-1]))
            if turns[0] == 0:
                waves = 2 * math.pi / found["phases"][1]
                points.append((waves, math.acos(twice / 2) / found["phases"][1] / found["courant"]))
        curves[stencil.order] = np.array(points)[:, 0], np.array(points)[:, 1]
        checks.append(
            error_check(
                f"swing of six modes over {steps} steps with the discrete dispersion relation, order {stencil.order}",
                measured=worst,
                tolerance=1e-11,
                because="a step rounds by 2^-53; random over steps these errors grow as steps^1.5 = 3e4: 4e-12",
            )
        )

    def draw(axes: Axes) -> None:
        waves = np.linspace(3.5, 21, 200)
        for order, color in ((2, "C0"), (4, "C1")):
            stencil = STENCILS[order]
            courant = 0.9 * 2 / math.sqrt(2 * stencil.largest)
            phase = 2 * math.pi / waves
            exact = [discrete_phase(stencil, courant, np.array([p])) / p / courant for p in phase]
            axes.plot(waves, exact, color=color, label=f"dispersion relation, order {order}")
            axes.plot(*curves[order], "o", color=color, label=f"measured, order {order}")
        axes.axhline(1, color="0.7", linewidth=0.8)
        axes.set(xlabel="cells in a wavelength", ylabel="speed on the grid / speed of sound")
        axes.legend()

    return Outcome(
        checks=tuple(checks), draw=draw,
        caption="Speed of waves along an axis at 0.9 of the largest stable time step.",
    )  # fmt: skip


def order_in_time() -> Outcome:
    """The same grid with finer and finer time steps, against the exact swing of the grid's own mode.

    What differs is the error of the leap-frog step alone, which is of order 2 at either stencil.
    """
    shares = np.array([0.8, 0.4, 0.2, 0.1])
    errors: dict[int, Array] = {}
    for stencil in STENCILS.values():
        found = [swinging_mode(stencil, (3, 4), courant_share=s, steps=round(120 / s)) for s in shares]
        errors[stencil.order] = np.array([abs(f["trace"][-1] - math.cos(f["semi"] * len(f["trace"]))) for f in found])
    checks = [
        order_check(
            f"fall of the error with the time step, stencil of order {order}",
            claim=2, measured=float(np.log2(error[-2] / error[-1])),
        )
        for order, error in errors.items()
    ]  # fmt: skip

    def draw(axes: Axes) -> None:
        for order, error in errors.items():
            axes.loglog(shares, error, "o-", label=f"stencil of order {order}")
        axes.loglog(shares, errors[2][-1] * (shares / shares[-1]) ** 2, "k:", label="slope 2")
        axes.set_xticks(shares, [f"{share:g}" for share in shares])
        axes.minorticks_off()
        axes.set(xlabel="time step / largest stable one", ylabel="error of the swing")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Error of a mode after the same time.")


def energy() -> Outcome:
    """A lossless box with rigid blocks, resonators and a speed that varies, full of noise, over 1000 steps.

    The leap-frog scheme keeps a discrete energy exactly; only rounding may change it.
    """
    checks, levels = [], {}
    for order in STENCILS:
        grid = Grid(shape=(30, 34), pitch=0.01, order=order)  # type: ignore[arg-type]
        masses = Resonators(cells=cells((12, 13), (22, 20)), frequency=900.0, quality=math.inf, mass=2e-3)
        scheme = scheme_of(grid, varied(grid, damping_YX=np.zeros(grid.shape), resonators=masses))
        state = FieldState.rest(scheme, 1, np.float64)
        noise = np.random.default_rng(1).standard_normal(grid.shape) * ~scheme.medium.rigid_YX
        state.now_NP[0] = state.before_NP[0] = grid.pad(noise).ravel()
        solver = TorchSolver(scheme, sources=cells((5, 5)), microphones=cells((5, 5)), dtype=np.float64)
        laplacian = scheme.laplacian()
        found = [discrete_energy(scheme, laplacian, state)]
        for _ in range(20):
            _, end = solver.propagate(np.zeros((1, 1, 50)), state, keep=True)
            assert end is not None
            state = end
            found.append(discrete_energy(scheme, laplacian, state))
        levels[order] = np.array(found) / found[0] - 1
        checks.append(
            error_check(
                f"energy over 1000 steps with its first value, order {order}",
                measured=float(np.abs(levels[order]).max()),
                tolerance=1e-12,
                because="each cell rounds by 2^-53 of its size a few times a step, with random signs: 1e-13",
            )
        )

    def draw(axes: Axes) -> None:
        for order, level in levels.items():
            axes.plot(50 * np.arange(len(level)), level * 1e15, ".-", label=f"order {order}")
        axes.set(xlabel="step", ylabel="change of energy / 1e-15")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Relative change of the discrete energy.")


def decay() -> Outcome:
    """A uniform damping b must let a mode decay as exp(-b t)."""
    rate = 60.0
    grid = Grid(shape=(24, 30), pitch=0.01)
    scheme = scheme_of(grid, Medium.uniform(grid, speed=AIR, damping=rate))
    start = FieldState.rest(scheme, 1, np.float64)
    mode = np.cos(math.pi * 3 * (np.arange(24) + 0.5) / 24)[:, None] * np.ones(30)[None]
    start.now_NP[0] = start.before_NP[0] = grid.pad(mode).ravel()
    solver = TorchSolver(scheme, sources=cells((0, 0)), microphones=cells((0, 0)), dtype=np.float64)
    trace = solver.propagate(np.zeros((1, 1, 1500)), start)[0][0, 0]
    # A damped cosine obeys u(t + dt) = 2 Re(z) u(t) - |z|^2 u(t - dt), and |z| = exp(-b dt).
    (_, square), *_ = np.linalg.lstsq(np.stack((trace[1:-1], -trace[:-2]), axis=1), trace[2:], rcond=None)
    measured = -math.log(square) / 2 / scheme.time_step
    share = rate * scheme.time_step
    check = Check(
        compared="rate at which a mode decays with the damping of the medium", unit="1/s",
        claim=rate, measured=measured, tolerance=rate * share**2,
        because=f"the step damps by (1 - b dt) / (1 + b dt), which is exp(-2 b dt) to (b dt)^2 / 3, b dt = {share:.1e}",
    )  # fmt: skip
    return Outcome(checks=(check,))


def reciprocity() -> Outcome:
    """Source and microphone change places in a box with everything in it that is linear; losses too.

    The source of the equation acts as c^2 f, so the operator is symmetric and so is its inverse.
    """
    checks, traces = [], {}
    for order in STENCILS:
        grid = Grid(shape=(30, 34), pitch=0.01, order=order)  # type: ignore[arg-type]
        scheme = scheme_of(grid, varied(grid))
        places = cells((5, 6), (25, 29))
        wave = ricker(2000.0, 600, scheme.time_step)[None, None]
        there, back = (
            TorchSolver(
                scheme, sources=places[a : a + 1], microphones=places[1 - a : 2 - a], dtype=np.float64
            ).propagate(wave)[0][0, 0]
            for a in (0, 1)
        )
        traces[order] = np.arange(1, 601) * scheme.time_step, there, back
        checks.append(
            error_check(
                f"trace there with trace back, over the largest of it, order {order}",
                measured=float(np.abs(there - back).max() / np.abs(there).max()),
                tolerance=1e-11,
                because="rounding of 600 steps, 2^-53 each, which grows at most as steps^1.5 = 1.5e4: 2e-12",
            )
        )

    def draw(axes: Axes) -> None:
        time, there, back = traces[2]
        axes.plot(time * 1e3, there, linewidth=2.5, color="0.75", label="there")
        axes.plot(time * 1e3, back, linewidth=0.8, label="back")
        axes.set(xlabel="time / ms", ylabel="pressure / source")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="The two traces lie on each other (order 2).")


CASES: tuple[Case, ...] = (dispersion, free_space_green_function, order_in_time, energy, decay, reciprocity)
