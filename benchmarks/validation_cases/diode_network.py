"""Cases of the diode network: closed forms, the direct-current solution, order of the integrator, energy.

Axis letters: V nodes; U sources; K diodes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.optimize import root
from scipy.special import lambertw

from physnet.simulators.diode_circuit import Circuit, Diode, random_circuit
from physnet.simulators.diode_solver import DiodeSolver

from .outcome import Case, Check, Outcome, error_check, order_check

OHM, FARAD = 10e3, 10e-9
SOURCES = np.array([[3.0, -2.0, 1.0, 0.5], [-3.0, 3.0, -3.0, 3.0], [0.2, 0.1, -0.1, 2.0]])


def circuit(*, nodes: int = 8, diodes: int = 8, seed: int = 3, **options: Any) -> Circuit:
    """Return a random circuit of four sources."""
    plain = {"taps": 2, "links": 1, "resistance": OHM, "capacitance": FARAD, "spread": 0.5, "diode": Diode()}
    rng = np.random.default_rng(seed)
    return random_circuit(nodes=nodes, sources=4, diodes=diodes, rng=rng, **{**plain, **options})


def current(parts: Circuit, v: NDArray[Any]) -> NDArray[Any]:
    """Return the currents of the diodes, A."""
    return np.asarray(parts.diode.saturation * np.expm1((parts.diode_VK.T @ v) / parts.diode.scale))


def flow(parts: Circuit, source: NDArray[Any], v: NDArray[Any]) -> NDArray[Any]:
    """Return what flows into the capacitors, A."""
    return np.asarray(parts.source_VU @ source - parts.conductance_VV @ v - parts.diode_VK @ current(parts, v))


def jacobian(parts: Circuit, v: NDArray[Any]) -> NDArray[Any]:
    """Return the derivative of `flow` by the voltages, S."""
    steep = (current(parts, v) + parts.diode.saturation) / parts.diode.scale
    return np.asarray(-parts.conductance_VV - (parts.diode_VK * steep) @ parts.diode_VK.T)


def reference(parts: Circuit, source: NDArray[Any], duration: float) -> NDArray[Any]:
    """Return end voltages by scipy's implicit Radau method of order 5."""
    capacitance = parts.capacitance_V
    found = solve_ivp(
        lambda _, v: flow(parts, source, v) / capacitance, (0, duration), np.zeros(len(capacitance)), method="Radau",
        jac=lambda _, v: jacobian(parts, v) / capacitance[:, None],
        rtol=1e-10, atol=1e-10,  # of 3 V; the tolerance is one of a step, a hundred times below what is compared
    )  # fmt: skip
    assert found.success
    return np.asarray(found.y[:, -1])


def errors_of(parts: Circuit, duration: float, counts: Any, exact: NDArray[Any]) -> list[float]:
    """Return the largest error at the end for each number of steps, V."""
    solvers = [DiodeSolver(parts, duration=duration, steps=int(count)) for count in counts]
    return [float(np.abs(solver.run(SOURCES)[:, -1] - exact).max()) for solver in solvers]


def clamp_settled(source: NDArray[Any], diode: Diode) -> NDArray[Any]:
    """Return where a diode behind a resistor settles: (u - v) / R = Is (exp(v / nVt) - 1), by Lambert's W."""
    exponent = (source + OHM * diode.saturation) / diode.scale
    w = lambertw(OHM * diode.saturation / diode.scale * np.exp(exponent)).real
    return np.asarray(source + OHM * diode.saturation - diode.scale * w)


def clamp_by_lambert() -> Outcome:
    """A diode to ground behind 10 kiloohm settles at a voltage that Lambert's W gives in closed form.

    The voltage over which its current grows by e is n k T / q: 25.852 mV at 300 K times the ideality, 1.752.
    """
    diode = Diode()
    parts = Circuit(
        capacitance_V=np.array([FARAD]), conductance_VV=np.array([[1 / OHM]]), source_VU=np.array([[1 / OHM]]),
        diode_VK=np.array([[1.0]]), diode=diode,
    )  # fmt: skip
    source = np.array([-3.0, -1.0, 0.05, 0.3, 0.7, 1.5, 3.0, 20.0])
    end = DiodeSolver(parts, duration=0.1, steps=40).run(source[:, None])[:, -1, 0]
    thermal = Check(
        compared="voltage n k T / q of the diode at 300 K", claim=1.752 * 25.85200e-3, measured=diode.scale, unit="V",
        tolerance=1e-8, because="the textbook value has seven digits",
    )  # fmt: skip
    settled = error_check(
        "voltage after a thousand time constants with W, eight sources from -3 to 20 V", unit="V", tolerance=1e-11,
        measured=float(np.abs(end - clamp_settled(source, diode)).max()),
        because="Newton's method stops at 2e-12 V; a step of 25 time constants leaves 0.14 of the way, 40 nothing",
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        line = np.linspace(-1, 3, 200)
        axes.plot(line, clamp_settled(line, diode), "k", linewidth=1, label="Lambert's W")
        axes.plot(source[1:-1], end[1:-1], "o", label="network of one diode")
        axes.set(xlabel="source / V", ylabel="voltage of the diode / V")
        axes.legend()

    return Outcome(checks=(thermal, settled), draw=draw, caption="A clamp, settled.")


def direct_current() -> Outcome:
    """Where a network of 8 nodes and 8 diodes settles, against Kirchhoff's equations as circuit simulators solve them.

    Those have no time: `B u - G v - D i(D^T v) = 0`, solved by Powell's hybrid method with the exact derivative while
    the sources rise from nothing in 60 steps (source stepping), until no node is left with current.
    """
    parts = circuit()
    end = DiodeSolver(parts, duration=0.1, steps=60).run(SOURCES)[:, -1]
    settled, left = [], 0.0
    for source in SOURCES:
        v = np.zeros(len(parts.capacitance_V))
        for share in np.linspace(1 / 60, 1, 60):
            found = root(
                lambda v, u=share * source: flow(parts, u, v) * OHM, v, jac=lambda v: jacobian(parts, v) * OHM,
                options={"xtol": 1e-14},
            )  # fmt: skip
            v = found.x
        left = max(left, float(np.abs(flow(parts, source, v)).max()))
        settled.append(v)
    because = "Newton's method stops at 2e-12 V, Powell's at 1e-14 of 3 V; a factor of some between diodes and nodes"
    checks = (
        error_check(
            "voltages after a thousand time constants with the direct-current solution, 3 rows of sources", unit="V",
            measured=float(np.abs(end - settled).max()), tolerance=1e-11, because=because,
        ),
        error_check(
            "current that the direct-current solution leaves at a node", unit="A", measured=left, tolerance=1e-15,
            because="rounding of currents of some 1e-4 A, eight terms",
        ),
    )  # fmt: skip
    return Outcome(checks=checks)


def charging_without_diodes() -> Outcome:
    """Without diodes the network is linear: its voltages are those of the matrix exponential, by order 2."""
    parts, duration = circuit(diodes=0), 100e-6
    rate = -parts.conductance_VV / parts.capacitance_V[:, None]
    settled = np.linalg.solve(parts.conductance_VV, parts.source_VU @ SOURCES.T)
    exact = (settled - expm(rate * duration) @ settled).T
    counts = np.array([25, 50, 100, 200])
    errors = errors_of(parts, duration, counts, exact)
    late = DiodeSolver(parts, duration=0.1, steps=10).run(SOURCES)[:, -1]
    checks = (
        order_check(
            "fall of the error with the step, without diodes", claim=DiodeSolver.order,
            measured=math.log2(errors[2] / errors[3]),
        ),
        error_check(
            "voltages after ten steps of 160 time constants with the settled ones", unit="V", tolerance=1e-13,
            measured=float(np.abs(late - settled.T).max()),
            because="L-stable: a step leaves 0.03 of what was missing, ten of them 1e-15 of 3 V; rounding as much",
        ),
    )  # fmt: skip
    return Outcome(checks=checks)


def order_of_the_integrator() -> Outcome:
    """A network with diodes after 200 us, against scipy's Radau method of order 5 at a tolerance of 1e-10."""
    parts, duration = circuit(), 200e-6
    exact = np.stack([reference(parts, source, duration) for source in SOURCES])
    counts = np.array([50, 100, 200, 400])
    errors = errors_of(parts, duration, counts, exact)
    checks = (
        order_check(
            "fall of the error with the step, with diodes", claim=DiodeSolver.order,
            measured=math.log2(errors[2] / errors[3]),
        ),
        error_check(
            "voltages of 400 steps with Radau's", unit="V", measured=errors[3],
            tolerance=3.0 * 0.0404 * 27 * math.exp(-3) / 400**2,
            because="a part of time constant T errs by 0.0404 (t / T)^3 exp(-t / T) / 400^2 of 3 V, at most 27 exp(-3)",
        ),
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        axes.loglog(counts, errors, "o-", label="with 8 diodes")
        axes.loglog(counts, errors[-1] * (counts[-1] / counts) ** 2, "k:", label="slope 2")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set(xlabel="steps in 200 us", ylabel="largest error / V")
        axes.legend()

    return Outcome(checks=checks, draw=draw, caption="Error against the number of steps.")


def energy_balance() -> Outcome:
    """What the sources give is stored in the capacitors or lost in resistors and diodes, at every moment.

    The change of the stored energy is taken from the voltages by central differences, the power from the equation.
    """
    parts, steps, duration = circuit(), 2000, 200e-6
    trace = DiodeSolver(parts, duration=duration, steps=steps).run(SOURCES, times=steps)
    worst, least = 0.0, math.inf
    for row, source in zip(trace, SOURCES, strict=True):
        power = np.sum(row * np.stack([flow(parts, source, v) for v in row]), axis=1)
        energy = 0.5 * np.sum(row**2 * parts.capacitance_V, axis=1)
        change = (energy[102:] - energy[100:-2]) / (2 * duration / steps)
        worst = max(worst, float(np.abs(change - power[101:-1]).max() / np.abs(power[100:]).max()))
        lost = [float((parts.diode_VK.T @ v) @ current(parts, v)) for v in row]
        least = min(least, *lost)
    checks = (
        error_check(
            "change of the stored energy with the power into it, over the largest power", measured=worst,
            tolerance=3e-4,
            because="central differences of steps h: (2 h / T)^2 / 6 for an energy that decays twice as fast as the "
            "fastest voltage, h = 0.1 us and T = 5 us with diodes",
        ),
        error_check(
            "power that a diode gives at any moment", unit="W", measured=max(0.0, -least), tolerance=0.0,
            because="v i(v) is never negative",
        ),
    )  # fmt: skip
    return Outcome(checks=checks)


CASES: tuple[Case, ...] = (
    clamp_by_lambert,
    direct_current,
    charging_without_diodes,
    order_of_the_integrator,
    energy_balance,
)
