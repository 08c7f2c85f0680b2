"""Cases of the node with delayed feedback: fixed points, the first bifurcation, its integrator."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.optimize import brentq

from physnet.simulators.delay_loop import DelayLoop, Ikeda, MackeyGlass, Nonlinearity

from .outcome import Case, Check, Outcome, error_check, order_check


def free(element: Nonlinearity, *, delay: float, steps: int, start: NDArray[Any], rounds: int) -> NDArray[Any]:
    """Let a loop without input run from a history over one delay, in units of tau; shape `(points,)`."""
    loop = DelayLoop(element, tau=1.0, step=delay / steps, delay=steps)
    trace = loop.run(torch.from_numpy(start)[:, None], torch.zeros(rounds * steps, 1, dtype=torch.float64))
    return np.asarray(trace[:, 0].numpy())


def first_instability(delay: float) -> tuple[float, float]:
    """Return slope K < 0 and frequency at which a fixed point loses its stability; in units of tau.

    tau y' = -y + K y(t - T) has solutions exp(l t) with l + 1 = K exp(-l T). On the imaginary axis tan(w T) = -w and
    K = -sqrt(1 + w^2), with w T between pi / 2 and pi for the smallest |K|. It tends to -1 and w to pi / T for long
    delays: the period doubling of the map x -> F(x).
    """
    w = brentq(lambda w: math.sin(w * delay) + w * math.cos(w * delay), math.pi / 2 / delay, math.pi / delay)
    return -math.sqrt(1 + w**2), w


def unstable(form: str, slope: float) -> tuple[Nonlinearity, float]:
    """Return an element and its fixed point with this slope."""
    if form == "ikeda":
        u = 0.8 * math.pi  # x + phi, where the slope is negative
        beta = slope / math.sin(2 * u)
        x = beta * math.sin(u) ** 2
        return Ikeda(beta=beta, phi=u - x), x
    p = 7.0
    eta = p / (slope + p - 1)
    return MackeyGlass(eta=eta, p=p), (eta - 1) ** (1 / p)


def growth(element: Nonlinearity, fixed: float, delay: float, w: float) -> complex:
    """Return the exponent with which a small disturbance of frequency w goes on."""
    steps, rounds = 300, 24
    time = np.linspace(-delay, 0, steps + 1)
    trace = free(element, delay=delay, steps=steps, start=fixed + 1e-7 * np.cos(w * time), rounds=rounds) - fixed
    part, lag = trace[len(trace) // 2 :], steps // 4  # other exponents have died down
    # A damped cosine obeys y(t + lag) = 2 Re(z) y(t) - |z|^2 y(t - lag), z = exp(l lag).
    sides = np.stack((part[lag:-lag], -part[: -2 * lag]), axis=1)
    (twice, square), *_ = np.linalg.lstsq(sides, part[2 * lag :], rcond=None)
    z = complex(twice / 2, math.sqrt(square - twice**2 / 4))
    return cmath.log(z) / (lag * delay / steps)


def crossing(form: str, delay: float) -> tuple[float, float]:
    """Return the slope over theory's, and the frequency, at which a loop begins to oscillate."""
    slope, w = first_instability(delay)
    exponents = [growth(*unstable(form, share * slope), delay, w) for share in (0.99, 1.01)]
    at = 0.99 + 0.02 * exponents[0].real / (exponents[0].real - exponents[1].real)
    return at, float(np.mean([exponent.imag for exponent in exponents]))


def fixed_points() -> Outcome:
    """A loop without input settles where x = F(x), if the slope there is small.

    For the Ikeda form that is x = beta sin^2(x + phi), solved by bisection; for the Mackey-Glass form (eta - 1)^(1/p).
    A fixed point of the equation is one of the scheme.
    """
    checks, curves = [], {}
    because = "rounding: whatever else has died down after 180 time constants and more"
    ikeda = Ikeda(beta=0.8, phi=0.2 * math.pi)
    exact = brentq(lambda x: x - ikeda.beta * math.sin(x + ikeda.phi) ** 2, 0, 1, xtol=1e-15)
    glass = MackeyGlass(eta=1.3, p=7.0)
    for name, element, delay, start, rounds, point in (
        ("Ikeda", ikeda, 3.0, 0.0, 60, exact),
        ("Mackey-Glass", glass, 2.0, 0.5, 200, 0.3 ** (1 / 7.0)),
    ):
        trace = free(element, delay=delay, steps=64, start=np.full(65, start), rounds=rounds)
        curves[name] = np.arange(len(trace)) * delay / 64, trace, point
        checks.append(
            Check(
                compared=f"value after {rounds} delays with the fixed point, {name}", claim=point,
                measured=float(trace[-1]), tolerance=1e-12, because=because,
            )
        )  # fmt: skip

    def draw(axes: Axes) -> None:
        for number, (name, (time, trace, point)) in enumerate(curves.items()):
            axes.plot(time, trace, color=f"C{number}", label=name)
            axes.axhline(point, color=f"C{number}", linestyle=":", linewidth=0.8)
        axes.set(xlabel="time / time constant", ylabel="x", xlim=(0, 60))
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Loops on their way to the fixed points (dotted).")


def first_bifurcation() -> Outcome:
    """A fixed point becomes unstable where the slope of F reaches K = -sqrt(1 + w^2), tan(w T) = -w.

    Measured: the growth of a small disturbance at slopes of 0.99 and 1.01 times that, and where it would be zero
    between them. Beyond, the loop oscillates with w; a long delay makes it the period doubling of the map x -> F(x).
    """
    delays = (1.0, 3.0, 8.0, 20.0)
    checks, points = [], {}
    for form in ("ikeda", "mackey_glass"):
        found = [crossing(form, delay) for delay in delays]
        points[form] = found
        for delay, (at, w) in zip(delays, found, strict=True):
            checks.append(
                Check(
                    compared=f"slope where oscillation begins over theory's, {form}, delay of {delay:g} time constants",
                    claim=1.0, measured=at, tolerance=2e-4,
                    because="interpolation over 2 % leaves half of 0.01^2, F linear over a step (w h)^2 / 12 < 2e-5",
                )
            )  # fmt: skip
            expected = first_instability(delay)[1]
            checks.append(
                Check(
                    compared=f"frequency there, {form}, delay of {delay:g} time constants", claim=expected, measured=w,
                    tolerance=1e-3 * expected, because="interpolated as well, and fitted to a trace of 12 delays",
                )
            )  # fmt: skip

    def draw(axes: Axes) -> None:
        line = np.geomspace(0.8, 25, 100)
        axes.semilogx(line, [-first_instability(d)[0] for d in line], "k", linewidth=1, label="$\\sqrt{1 + w^2}$")
        for form, marker in (("ikeda", "o"), ("mackey_glass", "x")):
            slopes = [-at * first_instability(d)[0] for d, (at, _) in zip(delays, points[form], strict=True)]
            axes.semilogx(delays, slopes, marker, label=form.replace("_", "-"))
        axes.set_xticks(delays, [f"{delay:g}" for delay in delays])
        axes.minorticks_off()
        axes.set(xlabel="delay / time constant", ylabel="- slope where oscillation begins")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="First instability: theory and loops.")


def order_of_the_integrator() -> Outcome:
    """A loop from a smooth history over four delays, with steps of 1/8 down to 1/64 of a delay, against 1/1024.

    F is taken as linear over a step and the low pass integrated exactly: order 2.
    """
    counts = np.array([16, 32, 64, 128])
    checks, curves = [], {}
    for name, element in (("Ikeda", Ikeda(beta=2.5, phi=0.3)), ("Mackey-Glass", MackeyGlass(eta=2.0, p=7.0))):
        ends = []
        for steps in (*counts, 1024):
            time = np.linspace(-2, 0, int(steps) + 1)
            trace = free(element, delay=2.0, steps=int(steps), start=0.6 + 0.3 * np.cos(3 * time), rounds=4)
            ends.append(trace[:: int(steps) // 16])
        errors = [float(np.abs(end - ends[-1]).max()) for end in ends[:-1]]
        curves[name] = errors
        measured = math.log2(errors[1] / errors[2])
        checks.append(order_check(f"fall of the error with the step, {name}", claim=DelayLoop.order, measured=measured))

    def draw(axes: Axes) -> None:
        for name, errors in curves.items():
            axes.loglog(counts, errors, "o-", label=name)
        axes.loglog(counts, curves["Ikeda"][0] * (counts[0] / counts) ** 2, "k:", label="slope 2")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set(xlabel="steps in a delay of two time constants", ylabel="largest error of x")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Error against the steps in a delay.")


def answer_to_a_jump() -> Outcome:
    """With an empty delay line, an input held at J lets x approach F(J) exponentially: the low pass is exact."""
    element, hold = Ikeda(beta=1.5, phi=0.4), 0.25
    values = np.random.default_rng(0).uniform(-1, 1, 8)
    loop = DelayLoop(element, tau=1.0, step=hold / 10, delay=80)
    trace = loop.run(loop.rest(1), torch.from_numpy(np.repeat(values, 10))[:, None])[81:, 0].numpy()
    exact, x = [], 0.0
    for value in values:
        target = element.beta * math.sin(value + element.phi) ** 2
        exact += [target + (x - target) * math.exp(-(k + 1) * hold / 10) for k in range(10)]
        x = exact[-1]
    check = error_check(
        "x with the exponentials, 8 jumps", measured=float(np.abs(trace - exact).max()), tolerance=1e-14,
        because="80 steps round numbers below 1 by 2^-53; what was rounded before decays",
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        time = (np.arange(80) + 1) * hold / 10
        axes.plot(time, exact, "k", linewidth=1, label="exact")
        axes.plot(time[::2], trace[::2], "o", markersize=2.5, label="loop")
        axes.set(xlabel="time / time constant", ylabel="x")
        axes.legend()

    return Outcome(checks=(check,), draw=draw, caption="Eight inputs, a quarter of a time constant each.")


CASES: tuple[Case, ...] = (fixed_points, first_bifurcation, order_of_the_integrator, answer_to_a_jump)
