"""Cases of the programmable cavity: coupled dipoles and the equivalent multiport.

Units are those of `dipoles`: frequencies in units of the centre, lengths in wavelengths at it.

Axis letters: N rows; P dipoles; A antennas; R inner ports.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy import special, stats

from physnet.allowed_drives import random_drives
from physnet.simulators.dipole_cavity import DipoleCavity
from physnet.simulators.dipoles import Complexes, Dipoles, bare_inverse, interaction, transfer
from physnet.simulators.metasurface import SwitchedMetasurface
from physnet.simulators.multiport import Multiport, reflection
from physnet.simulators.programmable_cavity import ProgrammableCavity

from .outcome import Case, Check, Outcome, error_check, order_check

CENTRE = 2.45e9
# 73 dipoles: as much physics as the default, in a tenth of the time.
SMALL: dict[str, Any] = {"size": (0.7, 0.6), "wall_spacing": 0.05, "scatterers": 4, "drives": 12, "responses": 12}
SMALL |= {"frequencies": (2.4e9, CENTRE, 2.5e9)}


def crowd(count: int, *, damping: float, seed: int = 0) -> Dipoles:
    """Return dipoles of all kinds near their resonances, some half a wavelength apart."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(np.arange(12), np.arange(12)), 2).reshape(-1, 2)[rng.permutation(144)[:count]]
    return Dipoles(
        place_P2=0.5 * place + rng.uniform(-0.1, 0.1, (count, 2)),
        resonance_P=rng.uniform(0.9, 1.1, count),
        strength_P=rng.uniform(0.3, 1.0, count),
        damping_P=damping * rng.uniform(0, 1, count),
    )


def random_complex(*shape: int, seed: int = 1) -> Complexes:
    """Return normal numbers."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=shape) + 1j * rng.normal(size=shape))


def respond(cavity: ProgrammableCavity, drive: NDArray[Any]) -> NDArray[Any]:
    """Return responses to rows of drives."""
    return np.asarray(cavity.measure(drive, np.arange(len(drive), dtype=np.int64)).response)


def powers(dipoles: Dipoles, frequency: float, field: Complexes) -> tuple[float, float, float, float]:
    """Return the power that dipoles take from a field, radiate and absorb, and the sum of |p^+ E| they come from."""
    moment = np.linalg.solve(interaction(dipoles, frequency), field)
    k = 2 * math.pi * frequency
    distance = np.hypot(*(dipoles.place_P2[:, None] - dipoles.place_P2[None]).transpose(2, 0, 1))
    radiated = float((k**2 / 4 * (moment.conj() @ special.jv(0, k * distance) @ moment)).real)
    absorbed = float((k * dipoles.damping_P / dipoles.strength_P**2 * np.abs(moment) ** 2).sum())
    return float(np.vdot(moment, field).imag), radiated, absorbed, float(np.abs(moment.conj() * field).sum())


def optical_theorem() -> Outcome:
    """What 60 dipoles take from a random field, Im(p^+ E), is what they radiate, k^2 / 4 p^+ J0 p, and absorb.

    So it is in two dimensions with waves of the form H0(k r), at every frequency and with any losses.
    """
    field = random_complex(60)
    frequencies = np.linspace(0.8, 1.2, 21)
    checks, curve = [], []
    for damping in (0.0, 0.5):
        found = np.array([powers(crowd(60, damping=damping), f, field) for f in frequencies])
        worst = float((np.abs(found[:, 0] - found[:, 1] - found[:, 2]) / found[:, 3]).max())
        what = (
            f"power taken with power radiated and absorbed, over |p^+ E|, {'lossy' if damping else 'lossless'} dipoles"
        )
        because = "a solution of 60 equations rounds by 2^-53 times its condition number, up to 1e3 here, averaged"
        checks.append(error_check(what, measured=worst, tolerance=1e-12, because=because))
        curve.append(found)

    def draw(axes: Axes) -> None:
        taken, radiated, absorbed, _ = curve[1].T
        axes.stackplot(frequencies, radiated, absorbed, labels=["radiated", "absorbed"], colors=["#9ecae1", "#fdd0a2"])
        axes.plot(frequencies, taken, "k.", label="taken")
        axes.set(xlabel="frequency / centre", ylabel="power", xlim=(0.8, 1.2))
        axes.legend(loc="upper left")

    return Outcome(checks=tuple(checks), draw=draw, caption="Balance of power of 60 lossy dipoles by frequency.")


def reciprocity() -> Outcome:
    """Receivers and transmitters change places among 60 dipoles: the transfer is the transpose."""
    plain = crowd(60, damping=0.2)
    values = {"resonance_P": 1.0, "strength_P": 0.5, "damping_P": 0.0}
    alike = {name: np.concatenate((np.full(8, value), getattr(plain, name)[8:])) for name, value in values.items()}
    matrix = interaction(Dipoles(place_P2=plain.place_P2, **alike), 1.01)
    near, far = np.arange(3), np.arange(3, 8)
    there, back = transfer(matrix, far, near), transfer(matrix, near, far)
    cavity = ProgrammableCavity(**SMALL, element_damping=0.01)
    drive = np.asarray(random_drives(cavity.spec, rows=10))
    whole = cavity.multiport(CENTRE).transfer(cavity.reflection(drive, CENTRE))
    because = "two solutions round by 2^-53 times their condition numbers, 1e3 to 1e4"
    checks = (
        error_check(
            "transfer there with the transpose of that back, over the largest, 3 and 5 of 60 dipoles", tolerance=1e-12,
            measured=float(np.abs(there - back.T).max() / np.abs(there).max()), because=because,
        ),
        error_check(
            "transfer of a cavity's multiport with its transpose, over the largest, 10 patterns", tolerance=1e-12,
            measured=float(np.abs(whole - whole.transpose(0, 2, 1)).max() / np.abs(whole).max()), because=because,
        ),
    )  # fmt: skip
    return Outcome(checks=checks)


def unitarity_without_loss() -> Outcome:
    """A closed lossless network keeps its power, and an open cavity without absorption reflects or radiates all of it.

    What the cavity radiates is taken from 128 plane waves, whose sum is J0(k r); together with what its inner ports
    reflect it must be a matrix with orthonormal columns.
    """
    unitary, _ = np.linalg.qr(random_complex(14, 14))
    scattering = unitary @ unitary.T  # symmetric and unitary
    network = Multiport(
        antennas_AA=scattering[:4, :4], out_AR=scattering[:4, 4:], into_RA=scattering[4:, :4],
        mutual_RR=scattering[4:, 4:],
    )  # fmt: skip
    phase = np.random.default_rng(0).uniform(0, 2 * math.pi, (20, 10))
    matrices = network.transfer(np.exp(1j * phase))
    lost = float(np.abs(matrices.conj().transpose(0, 2, 1) @ matrices - np.eye(4)).max())
    because = "rounding of one or two small solutions, condition numbers below 1e3"
    checks = [
        error_check(
            "S^+ S of a closed network with 1, 20 settings of its reflectors", measured=lost, tolerance=1e-12,
            because=because,
        )
    ]  # fmt: skip
    for frequency in (0.95, 1.0):
        both = _reflected_and_radiated(frequency)
        lost = float(np.abs(both.conj().T @ both - np.eye(16)).max())
        what = f"reflected and radiated power of an open cavity with 1, at {frequency:g} of the centre"
        checks.append(error_check(what, measured=lost, tolerance=1e-12, because=because))
    return Outcome(checks=tuple(checks))


def _reflected_and_radiated(frequency: float) -> Complexes:
    """Return what waves of unit power into 16 inner ports become: reflected ones, and 128 plane ones."""
    rng = np.random.default_rng(0)
    place = 0.4 * np.stack(np.meshgrid(np.arange(10.0), np.arange(10.0)), 2).reshape(-1, 2)[rng.permutation(100)[:60]]
    antennas = Dipoles.alike(place[:4], what="antenna", resonance=1.0, strength=0.5, damping=0.0)
    walls = Dipoles.alike(place[20:], what="wall", resonance=10.0, strength=50.0, damping=0.0)
    cavity = DipoleCavity(
        antennas=antennas, walls=walls, element_E2=place[4:20], trainable_E=np.zeros(16, dtype=bool), transmitters=2,
        surface=SwitchedMetasurface(resonances=(5.0, 1.0), strength=0.5, damping=0.0), remembered=1,
    )  # fmt: skip
    mutual, k = cavity.multiport(frequency).mutual_RR, 2 * math.pi * frequency
    ports = (np.eye(16) - mutual) / (k / 2)  # the current of port waves a and b is (a - b) / sqrt(R)
    others = interaction(antennas + walls, frequency)
    r = np.hypot(*(np.r_[place[:4], place[20:]][:, None] - place[None, 4:20]).transpose(2, 0, 1))
    moments = np.concatenate((-np.linalg.solve(others, 0.25j * k**2 * special.hankel2(0, k * r) @ ports), ports))
    places = np.concatenate((place[:4], place[20:], place[4:20]))
    angle = 2 * math.pi / 128 * np.arange(128)  # up to J128, which is below 1e-40 for k r < 40
    wave = np.exp(1j * k * np.stack((np.cos(angle), np.sin(angle)), 1) @ places.T)
    return np.concatenate((mutual, k / 2 / math.sqrt(128) * wave @ moments))


def born_limit() -> Outcome:
    """Weak dipoles scatter the incident wave alone (first Born), or that and what one other scattered (second).

    The moments of 40 dipoles in a plane wave: what these leave out must fall as the first and the second power of the
    polarizability, where the dipoles are far from resonance.
    """
    strengths = np.geomspace(0.01, 0.16, 5)
    errors = np.empty((2, len(strengths)))
    for number, strength in enumerate(strengths):
        place = crowd(40, damping=0.0).place_P2
        dipoles = Dipoles.alike(place, what="dipole", resonance=1.5, strength=float(strength), damping=0.0)
        matrix, field = interaction(dipoles, 1.0), np.exp(-2j * math.pi * place[:, 0])
        own = np.diagonal(matrix)
        exact, first = np.linalg.solve(matrix, field), field / own
        second = (field - (matrix - np.diag(own)) @ first) / own
        errors[:, number] = [np.linalg.norm(m - exact) / np.linalg.norm(exact) for m in (first, second)]
    slopes = np.log(errors[:, 0] / errors[:, 1]) / math.log((strengths[0] / strengths[1]) ** 2)
    checks = tuple(
        replace(
            order_check(
                f"growth of the error with the polarizability, {name} Born approximation", claim=n, measured=slope
            ),
            is_order=False,  # of a theory, not of this code
        )
        for n, (name, slope) in enumerate(zip(("first", "second"), slopes, strict=True), start=1)
    )

    def draw(axes: Axes) -> None:
        size = strengths**2 / (4 * math.pi**2 * 1.25)  # of the polarizability, resonance 1.5 against 1
        for name, error, slope in zip(("first", "second"), errors, (1, 2), strict=True):
            line = axes.loglog(size, error, "o", label=f"{name} Born approximation")[0]
            axes.loglog(size, error[0] * (size / size[0]) ** slope, ":", color=line.get_color(), label=f"slope {slope}")
        axes.set(xlabel="polarizability", ylabel="error of the moments")
        axes.legend()

    return Outcome(checks=checks, draw=draw, caption="What the Born approximations leave out.")


def full_solution() -> Outcome:
    """Eliminated once, as a multiport, and as a whole for every row: three ways to the same response, 20 patterns."""
    checks = []
    because = "solutions round by 2^-53 times their condition numbers, 1e3 to 1e4; three decimals to spare"
    for control in ("1-bit", "2-bit", "continuous"):
        options: dict[str, Any] = {**SMALL, "control": control, "element_damping": 0.01}
        fast, plain = ProgrammableCavity(**options), ProgrammableCavity(**options, route="full")
        drive = np.asarray(random_drives(fast.spec, rows=20))
        exact = respond(plain, drive)
        ways = {"reduced": respond(fast, drive)}
        network = fast.multiport(CENTRE)
        ways["multiport"] = network.transfer(fast.reflection(drive, CENTRE))[:, 2:, :2]
        for name, found in ways.items():
            expected = exact if name == "reduced" else exact.reshape(20, 2, 2, 3)[..., 1]
            off = float(np.abs(found - expected).max() / np.abs(expected).max())
            what = f"response, {name}, with the solution of the whole cavity, {control}"
            checks.append(error_check(what, measured=off, tolerance=1e-9, because=because))
    return Outcome(checks=tuple(checks))


def rayleigh_fading() -> Outcome:
    """Random patterns stir a cavity of many overlapping resonances: the modulus of S21 less its mean is Rayleigh's.

    Many waves of random phase add up, if losses leave no single resonance on top. What no pattern changes, the mean,
    is taken off: with it the modulus would follow Rice's distribution. The ten pairs together are drawn in the figure,
    each one is tested.
    """
    rows, receivers = 700, 10
    cavity = ProgrammableCavity(
        drives=148, responses=receivers, frequencies=(CENTRE,), wall_damping=1000.0, element_damping=0.1
    )
    field = respond(cavity, np.asarray(random_drives(cavity.spec, rows=rows)))
    stirred = (field - field.mean(0)) / field.std(0) * math.sqrt(2)
    worst = max(float(stats.kstest(np.abs(part), "rayleigh").statistic) for part in stirred.T)
    checks = (
        error_check(
            "modulus with Rayleigh's distribution, largest distance, 10 pairs of antennas", measured=worst,
            tolerance=math.sqrt(-math.log(1e-4 / 2) / 2 / rows),
            because="Kolmogorov-Smirnov: exceeded by chance in 1 of 1000 sets of 10 pairs; the scale is estimated",
        ),
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        x = np.linspace(0, 4.5, 200)
        axes.hist(np.abs(stirred).ravel(), bins=50, density=True, color="0.8", label="ten pairs of antennas")
        axes.plot(x, stats.rayleigh.pdf(x), "k", label="Rayleigh")
        axes.set(xlabel="stirred part of $|S_{21}|$ / standard deviation of a part", ylabel="density")
        axes.legend()

    return Outcome(checks=checks, draw=draw, caption=f"{rows} random patterns of 148 elements.")


def reflection_of_an_element() -> Outcome:
    """A lone lossless element reflects everything, with a phase that turns once through its resonance.

    Its coefficient is (x - i) / (x + i) with x its bare inverse polarizability over k^2 / 4, so 1 far away and -1 at
    the resonance.
    """
    resonance = np.linspace(0.8, 1.25, 46)
    found = reflection(bare_inverse(resonance, 0.5, 0.0, 1.0), 1.0)
    x = 4 * (resonance**2 - 1) / 0.5**2  # (2 pi)^2 over k^2 cancels
    checks = (
        error_check(
            "modulus with 1", measured=float(np.abs(np.abs(found) - 1).max()), tolerance=1e-14, because="rounding"
        ),
        error_check(
            "coefficient with (x - i) / (x + i)", measured=float(np.abs(found - (x - 1j) / (x + 1j)).max()),
            tolerance=1e-12, because="rounding of the difference of two squares, 2^-53 of 40 over 0.25",
        ),
        Check(
            compared="coefficient at the resonance", claim=-1.0, tolerance=1e-12, because="rounding",
            measured=float(reflection(bare_inverse(1.0, 0.5, 0.0, 1.0), 1.0).real),
        ),
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        line = np.linspace(0.8, 1.25, 300)
        theory = 4 * (line**2 - 1) / 0.25
        axes.plot(line, np.angle((theory - 1j) / (theory + 1j) * -1) + math.pi, "k", linewidth=1, label="theory")
        axes.plot(resonance, np.angle(-found) + math.pi, ".", label="element")
        axes.set(xlabel="resonance / frequency", ylabel="phase / rad")
        axes.legend()

    return Outcome(checks=checks, draw=draw, caption="Phase of the reflection by resonance frequency.")


CASES: tuple[Case, ...] = (
    optical_theorem,
    reciprocity,
    unitarity_without_loss,
    born_limit,
    full_solution,
    rayleigh_fading,
    reflection_of_an_element,
)
