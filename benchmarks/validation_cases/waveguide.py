"""Cases of the nonlinear waveguide: solitons, self-phase modulation, dispersion, instability, energy, orders."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from physnet.simulators.acoustic_numba import is_available
from physnet.simulators.waveguide_medium import TimeGrid
from physnet.simulators.waveguide_numba import NumbaSolver
from physnet.simulators.waveguide_torch import TorchSolver

from .outcome import Case, Check, Outcome, error_check, order_check
from .waveguide_pulses import (
    BETA2,
    DISPERSION_LENGTH,
    GAMMA,
    GRID,
    T0,
    dispersed_gaussian,
    error,
    extrapolated,
    guide,
    run,
    soliton,
    width,
)


def fundamental_soliton() -> Outcome:
    """The soliton of order 1, sech(T / T0), over one dispersion length in 100 steps.

    It keeps its shape, and its phase turns by 1/2 rad (Agrawal, Nonlinear Fiber Optics, eq. 5.2.12).
    """
    end = run(TorchSolver(guide(), GRID, steps=100), soliton(GRID, 1, 0.0))
    exact = soliton(GRID, 1, DISPERSION_LENGTH)
    middle = GRID.samples // 2
    because = "a splitting of order 2 with steps of 0.01 dispersion lengths: 0.01^2, with a factor that is below 1"
    checks = (
        error_check("field with the exact one", measured=error(end, exact), tolerance=1e-4, because=because),
        Check(
            compared="turn of the phase at the peak", claim=0.5, measured=float(np.angle(end[middle])), tolerance=1e-4,
            unit="rad", because=because,
        ),
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        axes.plot(GRID.time * 1e12, np.abs(exact) ** 2, "k", linewidth=1, label="exact")
        axes.plot(GRID.time[::4] * 1e12, np.abs(end[::4]) ** 2, ".", label="computed")
        axes.set(xlabel="time / ps", ylabel="power / W", xlim=(-1.5, 1.5))
        axes.legend()

    return Outcome(checks=checks, draw=draw, caption="Power of the pulse after one dispersion length.")


def second_soliton_and_its_period() -> Outcome:
    """The soliton of order 2 against its exact solution (Agrawal, eq. 5.2.24), in 200 extrapolated steps.

    It narrows to four times its power in the middle of the period, pi / 2 dispersion lengths, and then comes back.
    """
    period = math.pi / 2 * DISPERSION_LENGTH
    start = soliton(GRID, 2, 0.0)
    ends = {
        share: run(extrapolated(guide(length=share * period), GRID, steps=200), start) for share in (0.25, 0.5, 1.0)
    }
    peak = np.abs(start).max()
    because = "order 4: at the narrowest 16 rad a dispersion length, 0.126 rad a step; its fourth power over 12 is 2e-5"
    checks = [
        error_check(
            f"field with the exact one at {share:g} of the period", tolerance=3e-5, because=because,
            measured=error(end, soliton(GRID, 2, share * period)),
        )
        for share, end in ends.items()
    ]  # fmt: skip
    checks += [
        Check(
            compared="peak power in the middle of the period over that at its beginning", claim=4.0,
            measured=float((np.abs(ends[0.5]).max() / peak) ** 2), tolerance=4 * 6e-5, because="twice the error above",
        ),
        error_check(
            "modulus after a period with that before", tolerance=3e-5, because=because,
            measured=float(np.abs(np.abs(ends[1.0]) - np.abs(start)).max() / peak),
        ),
    ]  # fmt: skip

    def draw(axes: Axes) -> None:
        for number, (share, end) in enumerate(ends.items()):
            exact = np.abs(soliton(GRID, 2, share * period)) ** 2
            axes.plot(GRID.time * 1e12, exact, color=f"C{number}", label=f"{share:g} of the period")
            axes.plot(GRID.time[::2] * 1e12, np.abs(end[::2]) ** 2, ".", color=f"C{number}")
        axes.set(xlabel="time / ps", ylabel="power / W", xlim=(-1, 1))
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Exact (lines) and computed (points).")


def spectrum_of_self_phase_modulation() -> Outcome:
    """A Gaussian pulse in a guide without dispersion: its phase grows by gamma P z, and its spectrum splits.

    The spectrum has M peaks where the phase at the peak of the pulse is (M - 1/2) pi (Agrawal, eq. 4.1.13), and its
    root-mean-square width grows by sqrt(1 + 4 phase^2 / (3 sqrt(3))) (section 4.1.3).
    """
    grid = TimeGrid(samples=2048, window=40 * T0)
    counts = (1, 2, 3, 4)
    phases = [(count - 0.5) * math.pi for count in counts]
    start = np.exp(-((grid.time / T0) ** 2) / 2) + 0j
    field = np.sqrt(np.array(phases)[:, None] / GAMMA) * start  # 1 m: gamma P z is the phase
    end = run(TorchSolver(guide(beta2=0.0, length=1.0), grid, steps=4), field)
    exact = field * np.exp(1j * GAMMA * np.abs(field) ** 2)
    spectra = np.abs(np.fft.fftshift(np.fft.fft(end), axes=1)) ** 2
    spectra /= spectra.max(1, keepdims=True)
    order = np.argsort(np.fft.fftshift(grid.detuning))
    checks = [
        error_check(
            "field with the exact one, phases up to 11 rad", measured=error(end, exact), tolerance=16 * 11 * 2.0**-53,
            because="8 transforms round the power by some 10 times 2^-53, and the phase is 11 times that of the power",
        )
    ]  # fmt: skip
    for count, phase, spectrum in zip(counts, phases, spectra, strict=True):
        what = f"peaks of the spectrum at a phase of {count - 0.5:g} pi"
        checks.append(
            Check(compared=what, claim=count, measured=_peaks(spectrum), tolerance=0, because="a whole number")
        )
        ratio = _spread(grid, end[count - 1]) / _spread(grid, start)
        claim = math.sqrt(1 + 4 * phase**2 / (3 * math.sqrt(3)))
        because = "the grid holds the spectrum to 1e-16, so that its sums are integrals; rounding of 2048 bins"
        what = f"growth of the spectrum's width at a phase of {count - 0.5:g} pi"
        checks.append(Check(compared=what, claim=claim, measured=ratio, tolerance=1e-9, because=because))

    def draw(axes: Axes) -> None:
        frequency = np.fft.fftshift(grid.detuning)[order] / (2e12 * math.pi)
        for number, count in enumerate(counts):
            axes.plot(frequency, spectra[number][order] + 1.1 * number)
            axes.text(10.0, 1.1 * number + 0.1, f"{count - 0.5:g} $\\pi$: {count} peak{'s' if count > 1 else ''}")
        axes.set(xlabel="frequency from the carrier / THz", ylabel="spectrum, shifted", xlim=(-9, 14))

    return Outcome(checks=tuple(checks), draw=draw, caption="Spectra behind the guide, by phase at the peak.")


def _peaks(spectrum: NDArray[np.float64]) -> int:
    """Count maxima that are higher than a hundredth of the highest."""
    inner = spectrum[1:-1]
    return int(np.count_nonzero((inner > spectrum[:-2]) & (inner >= spectrum[2:]) & (inner > 0.01)))


def _spread(grid: TimeGrid, field: NDArray[np.complex128]) -> float:
    spectrum = np.abs(np.fft.fft(field)) ** 2
    return math.sqrt(float(spectrum @ grid.detuning**2 / spectrum.sum()))


def dispersion_of_a_gaussian() -> Outcome:
    """A Gaussian pulse without Kerr effect broadens by sqrt(1 + (z / L_D)^2) (Agrawal, eq. 3.2.11)."""
    grid = TimeGrid(samples=1024, window=100 * T0)
    lengths, start = np.array([0.5, 1.0, 2.0, 3.0]), np.exp(-((grid.time / T0) ** 2) / 2) + 0j
    ends = [run(TorchSolver(guide(gamma=0.0, length=z * DISPERSION_LENGTH), grid, steps=1), start) for z in lengths]
    because = "exact for a field that is periodic and band-limited: a Gaussian is, up to exp(-60) at the ends; rounding"
    checks = [
        error_check(
            f"field with the exact one after {z:g} dispersion lengths", tolerance=1e-10, because=because,
            measured=error(end, dispersed_gaussian(grid, z)),
        )
        for z, end in zip(lengths, ends, strict=True)
    ]  # fmt: skip
    found = [width(grid, end) for end in ends]
    what = "width after 3 dispersion lengths over the first one"
    checks.append(Check(compared=what, claim=math.sqrt(10), measured=found[-1], tolerance=3e-10, because=because))

    def draw(axes: Axes) -> None:
        z = np.linspace(0, 3, 100)
        axes.plot(z, np.sqrt(1 + z**2), "k", linewidth=1, label="$\\sqrt{1 + (z / L_D)^2}$")
        axes.plot(lengths, found, "o", label="computed")
        axes.set(xlabel="distance / dispersion length", ylabel="width / first width")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Root-mean-square width of the pulse.")


def gain_of_the_modulation_instability() -> Outcome:
    """A weak sideband on a continuous wave grows as linear theory says, Agrawal eq. 5.1.9, over a length of 100 m.

    Within the band it grows exponentially, beyond it swings.
    """
    grid, power, length, seed = TimeGrid(samples=256, window=64e-12), 20.0, 100.0, 1e-5
    b_max = 4 * GAMMA * power / abs(BETA2)  # square of the detuning where gain ends
    turns = (2, 6, 10, 14, 18, 22, 26, 30)
    measured, expected = [], []
    for turn in turns:
        w = 2 * math.pi * turn / grid.window
        field = math.sqrt(power) * (1 + seed * np.exp(-1j * w * grid.time))
        end = run(extrapolated(guide(length=length), grid, steps=100), field)
        sideband = np.sum(end * np.exp(1j * w * grid.time)) / grid.samples / math.sqrt(power)
        measured.append(float(abs(sideband)) / seed)
        expected.append(_growth(w, b_max, power, length))
    relative = max(abs(m - e) for m, e in zip(measured, expected, strict=True)) / max(expected)
    because = (
        "what linear theory leaves out, the square of a sideband of 1e-4; steps of 0.013 rad to the fourth power, 3e-8"
    )
    check = error_check(
        "growth of eight sidebands with linear theory, over the largest", measured=relative, tolerance=1e-6,
        because=because,
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        line = np.linspace(0.2, 31, 300)
        theory = [_growth(2 * math.pi * t / grid.window, b_max, power, length) for t in line]
        axes.plot(line / grid.window / 1e12, theory, "k", linewidth=1, label="theory")
        axes.plot(np.array(turns) / grid.window / 1e12, measured, "o", label="computed")
        axes.set(xlabel="frequency from the carrier / THz", ylabel="growth of the sideband")
        axes.legend()

    return Outcome(checks=(check,), draw=draw, caption="Growth over 100 m at 20 W.")


def _growth(w: float, b_max: float, power: float, length: float) -> float:
    """Return by how much a sideband grows: a' = i (b + g) a + i g c*, c*' its conjugate."""
    b, g = BETA2 * w**2 / 2, GAMMA * power
    half = np.sqrt(complex(b_max - w**2)) * abs(BETA2) * w / 2
    return float(abs(np.cosh(half * length) + 1j * (b + g) / half * np.sinh(half * length)))


def energy() -> Outcome:
    """A pulse of twice the soliton's field over one dispersion length without loss, with and without late response.

    Both parts of a step are unitary: only rounding may change the energy.
    """
    steps, checks = 100, []
    start = 2 * soliton(GRID, 1, 0.0)
    for fraction in (0.0, 0.18):
        end = run(TorchSolver(guide(raman_fraction=fraction), GRID, steps=steps), start)
        change = float(np.sum(np.abs(end) ** 2) / np.sum(np.abs(start) ** 2) - 1)
        what = f"energy with that at the beginning, late response {fraction:g}"
        because = "each of 100 steps rounds it by 4 times 2^-53, the same way at worst"
        checks.append(error_check(what, measured=abs(change), tolerance=4 * steps * 2.0**-53, because=because))
    return Outcome(checks=tuple(checks))


def order_of_the_steps() -> Outcome:
    """A pulse of 1.5 times the soliton's field with ever more steps, against 240 extrapolated ones.

    The symmetric splitting is of order 2, its extrapolation of order 4; so it is with late response, third-order
    dispersion and loss. Compiled steps are in single precision: their larger errors count.
    """
    counts = np.array([20, 40, 80])
    effects = {"raman_fraction": 0.18, "beta3": 0.13e-39, "attenuation": 0.1}
    field = 1.5 * soliton(GRID, 1, 0.0)
    checks, curves = [], {}
    for name, options in (("Kerr effect alone", {}), ("all effects", effects)):
        exact = run(extrapolated(guide(**options), GRID, steps=240), field)
        for make, label in ((TorchSolver, "splitting"), (extrapolated, "extrapolated")):
            errors = [error(run(make(guide(**options), GRID, steps=int(n)), field), exact) for n in counts]
            curves[f"{label}, {name}"] = errors
            claim = 2 if make is TorchSolver else 4
            measured = math.log2(errors[-2] / errors[-1])
            checks.append(order_check(f"fall of the error, {label}, {name}", claim=claim, measured=measured))
        if is_available():
            pair = [error(run(NumbaSolver(guide(**options), GRID, steps=n), field), exact) for n in (20, 40)]
            what = f"fall of the error, compiled, {name}"
            checks.append(order_check(what, claim=NumbaSolver.order, measured=math.log2(pair[0] / pair[1])))

    def draw(axes: Axes) -> None:
        for label, errors in curves.items():
            axes.loglog(counts, errors, "o-" if "alone" in label else "s--", label=label)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set(xlabel="steps in a dispersion length", ylabel="error of the field")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Error against steps: slopes of 2 and 4.")


CASES: tuple[Case, ...] = (
    fundamental_soliton,
    second_soliton_and_its_period,
    spectrum_of_self_phase_modulation,
    dispersion_of_a_gaussian,
    gain_of_the_modulation_instability,
    energy,
    order_of_the_steps,
)
