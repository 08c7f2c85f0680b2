"""Cases of the multimode fibre: number and orthogonality of modes, unitarity, energy, order, solitons, speckle.

Axis letters: M modes.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from physnet.allowed_drives import random_drives
from physnet.simulators.fibre_links import make_junctions
from physnet.simulators.fibre_mode_solver import solve_modes
from physnet.simulators.fibre_profile import Fibre
from physnet.simulators.fibre_pulse import Pulse
from physnet.simulators.fibre_torch import TorchPropagator
from physnet.simulators.fibre_watch import MOST_DRIFT
from physnet.simulators.multimode_fibre import MultimodeFibre

from .fibre_light import (
    GRADED,
    N2,
    SINGLE,
    STEP,
    amplitudes,
    complexes,
    cutoffs,
    double,
    line,
    powers,
    radial_betas,
    solved,
    with_v,
)
from .outcome import Case, Check, Outcome, error_check, order_check


def number_of_modes() -> Outcome:
    """How many modes a fibre guides, by its V number.

    A step guides the LP modes whose cutoff, a zero of a Bessel function, lies below V: some V^2 / 4 of them in one
    polarisation. A parabola guides groups g < V / 2 of g modes: V^2 / 8. The graded fibre of 50 um and NA 0.2 is
    compared as well with the real profile, cladding included, solved by finite differences along the radius.
    """
    values = (1.5, 2.3, 2.5, 4.0, 5.3, 7.3, 9.5, 12.3)
    checks, found = [], {}
    for profile in ("step", "graded"):
        chosen = values if profile == "step" else (2.5, 4.5, 6.5, 9.5, 12.3)
        counts = [len(solve_modes(with_v(profile, v))) for v in chosen]
        groups = [math.ceil(v / 2) - 1 for v in chosen]
        exact = np.searchsorted(cutoffs(), chosen) if profile == "step" else [g * (g + 1) // 2 for g in groups]
        found[profile] = chosen, counts
        rule = "the cutoffs of LP modes" if profile == "step" else "groups g < V / 2"
        what = (
            f"numbers of modes of {len(chosen)} fibres, V from {chosen[0]:g} to {chosen[-1]:g}, with {rule}, {profile}"
        )
        off = max(abs(a - b) for a, b in zip(counts, exact, strict=True))
        checks.append(error_check(what, measured=off, tolerance=0.0, because="whole numbers"))
    fibre = Fibre(**(GRADED | {"radius": 25e-6}))
    real = [len(radial_betas(fibre, azimuthal, 600)) * (2 if azimuthal else 1) for azimuthal in range(12)]
    checks.append(
        Check(
            compared="modes of the graded fibre of 50 um, V = 20.3, with those of the real profile", claim=sum(real),
            measured=len(solve_modes(fibre)), tolerance=0, because="whole numbers",
        )
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        v = np.linspace(1, 13, 400)
        axes.plot(v, np.searchsorted(cutoffs(), v), "C0", linewidth=1, label="cutoffs of LP modes")
        axes.plot(
            v, [(math.ceil(x / 2) - 1) * math.ceil(x / 2) / 2 for x in v], "C1", linewidth=1, label="groups < V/2"
        )
        axes.plot(v, v**2 / 4, "k:", linewidth=0.8, label="$V^2/4$ and $V^2/8$")
        axes.plot(v, v**2 / 8, "k:", linewidth=0.8)
        for color, (profile, (chosen, counts)) in zip(("C0", "C1"), found.items(), strict=True):
            axes.plot(chosen, counts, "o", color=color, label=f"{profile} fibre")
        axes.set(xlabel="V", ylabel="modes")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Guided modes of one polarisation.")


def orthogonality_of_the_modes() -> Outcome:
    """Integrals of products of two modes over the cross-section, by nodes of another kind than the code's own."""
    modes = solved(GRADED)
    along = (np.arange(120) - 59.5) * 6 * modes.fibre.radius / 120
    cell = (along[1] - along[0]) ** 2
    field = modes.field(np.tile(along, 120), np.repeat(along, 120))
    graded = field.T @ field * cell
    modes = solved(STEP)
    node, part = np.polynomial.legendre.leggauss(60)
    fibre = modes.fibre
    far = 1 + 20 / (fibre.radius * math.sqrt(modes.beta_M[-1] ** 2 - (fibre.wavenumber * fibre.cladding) ** 2))
    cuts = fibre.radius * np.array([0, 1, 1 + (far - 1) / 8, 1 + (far - 1) / 2, far])
    r = np.concatenate([a + (b - a) * (node + 1) / 2 for a, b in itertools.pairwise(cuts)])
    weight = np.concatenate([(b - a) * part / 2 for a, b in itertools.pairwise(cuts)]) * r
    angle = 2 * math.pi * np.arange(40) / 40
    field = modes.field(np.outer(r, np.cos(angle)).ravel(), np.outer(r, np.sin(angle)).ravel())
    step = field.T @ (np.repeat(weight, 40)[:, None] * 2 * math.pi / 40 * field)
    checks = (
        error_check(
            f"matrix of overlaps of {len(graded)} modes with 1, graded", tolerance=1e-12,
            measured=float(np.abs(graded - np.eye(len(graded))).max()),
            because="sums over a grid are exact for Gaussians; rounding of 14 400 terms",
        ),
        error_check(
            f"matrix of overlaps of {len(step)} modes with 1, step", tolerance=1e-10,
            measured=float(np.abs(step - np.eye(len(step))).max()),
            because="fields are cut off where the slowest is exp(-20); rounding of Bessel functions",
        ),
    )  # fmt: skip
    return Outcome(checks=checks)


def unitarity_without_loss() -> Outcome:
    """Half a metre of graded fibre, coupled at random at five places: unitary, and the transpose from the other end."""
    modes = solved(GRADED)
    junctions = make_junctions(modes, sections=6, coupling=0.7, kink=5e-3, seed=3)
    there = line(modes, length=0.5, peak_power=0.0, junction_JMM=junctions).transfer()
    back = line(modes, length=0.5, peak_power=0.0, junction_JMM=junctions[::-1]).transfer()
    lossy = line(modes, length=0.5, peak_power=0.0, junction_JMM=junctions, attenuation=2.0).transfer()
    because = "products of eleven unitary matrices, each of them within some 1e-15"
    errors = {
        "T^+ T with 1": np.abs(there.conj().T @ there - np.eye(len(modes))).max(),
        "matrix of the reversed fibre with the transpose: reciprocity": np.abs(there.T - back).max(),
        "matrix of a fibre that loses 2 / m with exp(-1/2) times it": np.abs(lossy - there * math.exp(-0.5)).max(),
    }  # fmt: skip
    checks = [error_check(n, measured=float(e), tolerance=1e-13, because=because) for n, e in errors.items()]

    def draw(axes: Axes) -> None:
        shown = axes.imshow(np.abs(there) ** 2, cmap="viridis")
        axes.figure.colorbar(shown, ax=axes, label="share of the power")
        axes.set(xlabel="mode launched", ylabel="mode at the end", xticks=range(0, 15, 2))

    return Outcome(checks=tuple(checks), draw=draw, caption="Power from mode to mode of the coupled fibre.")


def energy_with_the_kerr_effect() -> Outcome:
    """Ten modes of the graded fibre at 1 MW over 2 mm, four random rows, without loss.

    The Kerr effect moves energy between modes and keeps the sum. Runge and Kutta's step of order 4 loses some of it: of
    a rotation by an angle a the share a^6 / 72, thus in all as the fifth power of the step.
    """
    modes, launched = solved(GRADED, 10), amplitudes(4, 10)
    options: dict[str, Any] = {"length": 2e-3, "peak_power": 1e6}
    usual = line(modes, **options).step
    shares = np.array([1.0, 0.5, 0.25])
    drifts = [
        float(np.abs(powers(double(line(modes, **options, step=usual * s), modes).propagate(launched)) - 1).max())
        for s in shares
    ]
    end = double(line(modes, **options), modes).propagate(launched)
    moved = float((end[..., 0].square().sum(2) - launched.square().sum(2)).abs().sum(1).max() / 2)
    checks = (
        error_check(
            f"energy with that at the beginning, usual steps; {moved:.0%} of it moved between modes",
            measured=drifts[0], tolerance=MOST_DRIFT,
            because="what the fibre allows a row, see `fibre_watch`",
        ),
        error_check(
            "the same, steps a quarter as long", measured=drifts[2], tolerance=drifts[0] / 4**4,
            because="the loss falls at least as the order claimed of the field's error, 4",
        ),
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        axes.loglog(shares, drifts, "o-", label="fibre")
        axes.loglog(shares, drifts[0] * shares**5, "k:", label="slope 5")
        axes.set_xticks(shares, ["1", "1/2", "1/4"])
        axes.minorticks_off()
        axes.set(xlabel="step / usual step", ylabel="change of energy")
        axes.legend()

    return Outcome(checks=checks, draw=draw, caption="Loss of energy by the length of a step.")


def order_of_the_steps() -> Outcome:
    """Six modes of the graded fibre at 1 MW over 1 mm in 16, 32 and 64 steps, for continuous light and a pulse.

    The error of n steps is 16/15 of the change to 2 n.
    """
    modes, launched = solved(GRADED, 6), amplitudes(1, 6)
    checks = []
    pulses = {"continuous light": None, "a pulse": Pulse(width=0.3e-12, shape="sech", window=3e-12, samples=64)}
    for name, pulse in pulses.items():
        options: dict[str, Any] = {"length": 1e-3, "peak_power": 1e6, "pulse": pulse}
        ends = [
            complexes(double(line(modes, **options, step=1e-3 / steps), modes).propagate(launched))
            for steps in (16, 32, 64)
        ]
        errors = [float(np.linalg.norm(a - b)) for a, b in itertools.pairwise(ends)]
        what = f"fall of the error with the step, {name}"
        checks.append(order_check(what, claim=TorchPropagator.order, measured=math.log2(errors[0] / errors[1])))
    return Outcome(checks=tuple(checks))


def strong_light_against_an_integrator() -> Outcome:
    """Six modes of the graded fibre at 1 MW over 1 mm, continuous light, against a Runge-Kutta method of order 8.

    That one solves the equation as it is written, dA_p/dz = i (beta_p - beta_0) A_p + i n2 k P times the overlap of
    mode p with |E|^2 E, and takes the overlap on a square grid, which shares nothing with the nodes of the fibre.
    """
    modes, launched, length, power = solved(GRADED, 6), amplitudes(1, 6), 1e-3, 1e6
    along = (np.arange(60) - 29.5) * 6 * modes.fibre.radius / 60
    field, cell = modes.field(np.tile(along, 60), np.repeat(along, 60)), (along[1] - along[0]) ** 2
    phase, gain = modes.beta_M - modes.beta_M[0], N2 * modes.fibre.wavenumber * power * cell

    def slope(_: float, a: NDArray[np.complex128]) -> NDArray[np.complex128]:
        wave = field @ a
        return np.asarray(1j * (phase * a + gain * (field.T @ (np.abs(wave) ** 2 * wave))))

    start = launched.numpy()[0, :, 0] + 1j * launched.numpy()[0, :, 1]
    exact = solve_ivp(slope, (0, length), start, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
    cuts = [line(modes, length=length, peak_power=power, step=length / count) for count in (32, 64, 128)]
    ends = [complexes(double(cut, modes).propagate(launched))[0, :, 0] for cut in cuts]
    errors = [float(np.linalg.norm(end - exact)) for end in ends]
    checks = (
        order_check(
            "fall of the error with the step, against the integrator", claim=TorchPropagator.order,
            measured=math.log2(errors[1] / errors[2]),
        ),
        error_check(
            "amplitudes after 128 steps with the integrator's, power 1", measured=errors[-1],
            tolerance=2 * float(np.linalg.norm(ends[2] - ends[1])) / 15,
            because="at order 4 a fifteenth of the change from 64 to 128 steps; twice that",
        ),
    )  # fmt: skip
    return Outcome(checks=checks)


def phase_of_a_single_mode() -> Outcome:
    """One mode alone turns its phase by n2 k P z / A, A its effective area."""
    modes = solved(SINGLE)
    cut = line(modes, length=0.02, peak_power=2e5)
    launched = torch.tensor([[[1.0, 0.0]], [[0.0, 0.5]]], dtype=torch.float64)
    end = complexes(double(cut, modes).propagate(launched))[:, 0, 0]
    turned = N2 * modes.fibre.wavenumber / modes.area() * 2e5 * 0.02
    exact = np.array([np.exp(1j * turned), 0.5j * np.exp(0.25j * turned)])
    checks = tuple(
        error_check(
            f"field with the exact one, a phase of {turned * part:.2f} rad", measured=float(abs(end[row] - exact[row])),
            tolerance=cut.steps * (part * turned / cut.steps) ** 5 / 8,
            because="Runge and Kutta's step of order 4 on a rotation by a: a^5 / 9 of it each",
        )
        for row, part in enumerate((1.0, 0.25))
    )  # fmt: skip
    return Outcome(checks=checks)


def soliton() -> Outcome:
    """The fundamental soliton of a single-mode fibre of silica over two dispersion lengths, in 200 steps.

    Dispersion follows from profile and silica; its third order, which solitons don't survive, is left out.
    """
    modes = solved(SINGLE)
    pulse = Pulse(width=1e-12, shape="sech", window=20e-12, samples=256)
    t0 = pulse.width / (2 * math.acosh(math.sqrt(2)))
    beta2, gamma = float(modes.dispersion()[2, 0]), N2 * modes.fibre.wavenumber / modes.area()
    power, length = -beta2 / (gamma * t0**2), 2 * t0**2 / -beta2
    cut = line(modes, length=length, peak_power=power, pulse=pulse, step=length / 200)
    phase = np.exp(0.5j * beta2 * pulse.frequencies() ** 2 * length / 400)[None]
    launched = torch.tensor([[[1.0, 0.0]]], dtype=torch.float64)
    end = complexes(double(dataclasses.replace(cut, half_MT=phase), modes).propagate(launched))[0, 0]
    check = error_check(
        "field with the exact one, largest difference over the peak", tolerance=2e-7,
        measured=float(np.abs(end - pulse.field() * np.exp(1j)).max()),
        because="order 4 with 1 rad in 200 steps, 1e-9; the window cuts the pulse at sech(17.6) = 5e-8, from both ends",
    )  # fmt: skip
    return Outcome(checks=(check,))


def speckle_contrast() -> Outcome:
    """55 modes mixed at random, 100 pixels with random phases: a camera pixel sees speckle of contrast 1.

    Its field is a sum of 100 random phases, thus almost Gaussian. Pixels of half the core average over speckles.
    """
    mixed: dict[str, Any] = {
        "drives": 100, "sections": 4, "coupling": 2.0, "modulator": "phase", "phase_range": 2 * math.pi
    }  # fmt: skip
    fibre = MultimodeFibre(**mixed, responses=9, view=2e-6)
    seen = _seen(fibre, 4000)
    contrast = float((seen.std(0) / seen.mean(0)).mean())
    coarse = _seen(MultimodeFibre(**mixed, responses=4, view=50e-6), 500)
    averaged = float((coarse.std(0) / coarse.mean(0)).max())
    checks = (
        Check(
            compared="contrast of pixels of a sixth of a speckle, 4000 drives", claim=1.0, measured=contrast,
            tolerance=0.075,
            because="100 terms miss 1/200, the size of a pixel 1/72; three of sqrt(5/4/4000) by chance",
        ),
        error_check(
            "contrast of pixels of half the core", measured=averaged, tolerance=0.5,
            because="more than four speckles of 1.55 um / 0.4 lie in 25 um",
        ),
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        x = np.linspace(0, 8, 100)
        axes.hist((seen / seen.mean(0)).ravel(), bins=60, range=(0, 8), density=True, color="0.8", label="nine pixels")
        axes.semilogy(x, np.exp(-x), "k", label="exponential")
        axes.set(xlabel="intensity / mean", ylabel="density", ylim=(1e-4, 2))
        axes.legend()

    return Outcome(checks=checks, draw=draw, caption="Intensity of small pixels over 4000 drives.")


def _seen(fibre: MultimodeFibre, rows: int) -> NDArray[np.float64]:
    drive = torch.as_tensor(random_drives(fibre.spec, rows=rows))
    response = fibre.measure(drive, np.arange(rows, dtype=np.int64)).response
    return np.asarray(torch.as_tensor(response).double().numpy())


CASES: tuple[Case, ...] = (
    number_of_modes,
    orthogonality_of_the_modes,
    unitarity_without_loss,
    energy_with_the_kerr_effect,
    order_of_the_steps,
    strong_light_against_an_integrator,
    phase_of_a_single_mode,
    soliton,
    speckle_contrast,
)
