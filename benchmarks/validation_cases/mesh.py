"""Cases of the Mach-Zehnder mesh: unitarity, decomposition of random unitary matrices, reciprocity.

Axis letters: P ports; M interferometers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import unitary_group

from physnet.simulators.mach_zehnder import MachZehnderMesh
from physnet.simulators.mesh_decomposition import MeshLayout, MeshPhases, decompose, interferometer

from .outcome import Case, Outcome, error_check

SHAPES: Any = ("rectangular", "triangular")
# On each path some 3 ports couplers and phases round by 2^-53, and as many steps of a decomposition.
ROUNDING = 1e-13
BECAUSE = "float64: some 3 roundings of 2^-53 at each port that a path passes, twice as many with a decomposition"


def assembled(phases: MeshPhases, layout: MeshLayout) -> NDArray[np.complex128]:
    """Return the matrix of a mesh, one interferometer after the other."""
    matrix = np.eye(layout.ports, dtype=complex)
    for port, theta, phi in zip(layout.port_M, phases.theta_M, phases.phi_M, strict=True):
        matrix[port : port + 2] = interferometer(theta, phi) @ matrix[port : port + 2]
    return np.asarray(np.exp(1j * phases.output_P)[:, None] * matrix)


def unitarity() -> Outcome:
    """No power is lost in a mesh of 16 ports, whatever its imperfections: U^+ U = 1."""
    checks = []
    faults: dict[str, dict[str, Any]] = {
        "ideal": {}, "couplers off by 0.2 rad": {"coupler_error": 0.2},
        "crosstalk of 0.1 and 3 bits": {"phase_crosstalk": 0.1, "phase_bits": 3},
    }  # fmt: skip
    for shape in SHAPES:
        for name, options in faults.items():
            matrix = MachZehnderMesh(drives=16, responses=16, mesh=shape, **options).matrix
            lost = float(np.abs(matrix.conj().T @ matrix - np.eye(16)).max())
            what = f"U^+ U with 1, {shape}, {name}"
            checks.append(error_check(what, measured=lost, tolerance=ROUNDING, because=BECAUSE))
    return Outcome(checks=tuple(checks))


def decomposition_of_random_unitary_matrices() -> Outcome:
    """Random unitary matrices of the Haar measure become phases (Clements, Reck), and the mesh of these the matrix.

    The mesh is put together apart, interferometer by interferometer, and once more by the system itself, which leaves
    the phases of its outputs open: no detector sees them.
    """
    sizes = (2, 4, 8, 16, 24)
    checks, curves = [], {}
    for shape in SHAPES:
        errors = []
        for ports in sizes:
            unitary = unitary_group.rvs(ports, random_state=ports)
            errors.append(
                float(np.abs(assembled(decompose(unitary, shape), MeshLayout.of(shape, ports)) - unitary).max())
            )
        curves[shape] = errors
        what = f"matrix of the mesh with the random one, up to {sizes[-1]} ports, {shape}"
        checks.append(error_check(what, measured=max(errors), tolerance=ROUNDING, because=BECAUSE))
        unitary = unitary_group.rvs(8, random_state=1)
        mesh = MachZehnderMesh(drives=8, responses=8, mesh=shape, signed=True)
        mesh.program(unitary)
        output = (mesh.matrix * unitary.conj()).sum(1)
        off = float(np.abs(mesh.matrix - output[:, None] * unitary).max())
        what = f"matrix of the programmed system with the random one but for phases of outputs, 8 ports, {shape}"
        checks.append(error_check(what, measured=off, tolerance=ROUNDING, because=BECAUSE))

    def draw(axes: Axes) -> None:
        for shape, errors in curves.items():
            axes.semilogy(sizes, errors, "o-", label=shape)
        axes.axhline(ROUNDING, color="0.6", linestyle=":", label="tolerance")
        axes.set(xlabel="ports", ylabel="largest error of an element")
        axes.legend()

    return Outcome(checks=tuple(checks), draw=draw, caption="Error of the decomposition by size.")


def random_start_is_of_the_haar_measure() -> Outcome:
    """The first setting of a mesh is random: |U_11|^2 of 4 ports has the distribution 1 - (1 - p)^3."""
    count = 200
    sample = np.sort(
        [abs(MachZehnderMesh(drives=4, responses=4, seed=seed).matrix[0, 0]) ** 2 for seed in range(count)]
    )
    steps = np.arange(1, count + 1) / count
    exact = 1 - (1 - sample) ** 3
    statistic = float(max(np.abs(steps - exact).max(), np.abs(steps - 1 / count - exact).max()))
    check = error_check(
        "distribution of |U_11|^2 over 200 seeds with Beta(1, 3), largest distance", measured=statistic,
        tolerance=1.95 / count**0.5, because="Kolmogorov-Smirnov: by chance in 1 of 1000 draws; seeds are fixed",
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        axes.plot(sample, steps, label="meshes")
        axes.plot(sample, exact, "k", linewidth=1, label="$1 - (1 - p)^3$")
        axes.set(xlabel="$|U_{11}|^2$", ylabel="share of the meshes below")
        axes.legend()

    return Outcome(checks=(check,), draw=draw, caption="Distribution over 200 seeds.")


def reciprocity() -> Outcome:
    """Light from the other end meets couplers and phases in the opposite order: its matrix is the transpose.

    Each part is reciprocal by itself. The way back is put together from couplers and phase shifters one by one, without
    the formulas of the mesh; crosstalk and unlike couplers are what they are in both directions.
    """
    checks = []
    for shape in SHAPES:
        mesh = MachZehnderMesh(drives=7, responses=7, mesh=shape, coupler_error=0.1, phase_crosstalk=0.05, seed=3)
        state = mesh.state()
        theta, phi = (p.numpy() for p in mesh._shifters(*(torch.from_numpy(state[n]) for n in ("theta", "phi"))))
        back = np.eye(7, dtype=complex)
        for m in reversed(range(len(theta))):
            at = slice(mesh.layout.port_M[m], mesh.layout.port_M[m] + 2)
            first, second = (_coupler(float(angle)) for angle in mesh._coupler_2M[:, m])
            # Light from behind: second coupler, theta, first coupler, phi.
            for part in (second, np.diag([np.exp(1j * theta[m]), 1]), first, np.diag([np.exp(1j * phi[m]), 1])):
                back[at] = part @ back[at]
        found = float(np.abs(back - mesh.matrix.T).max())
        what = f"matrix from the other end with the transpose, {shape}"
        checks.append(error_check(what, measured=found, tolerance=ROUNDING, because=BECAUSE))
    return Outcome(checks=tuple(checks))


def _coupler(angle: float) -> NDArray[np.complex128]:
    return np.array([[np.cos(angle), 1j * np.sin(angle)], [1j * np.sin(angle), np.cos(angle)]])


def one_interferometer() -> Outcome:
    """The power that an interferometer of two ideal couplers passes straight on is sin^2(theta / 2)."""
    theta = np.linspace(0, 2 * np.pi, 25)
    mesh = MachZehnderMesh(drives=2, responses=2)
    seen = []
    for value in theta:
        mesh.configure({"theta": np.array([value])})
        seen.append(abs(mesh.matrix[0, 0]) ** 2)
    exact = np.sin(theta / 2) ** 2
    check = error_check(
        "power straight on with sin^2(theta / 2), 25 settings", measured=float(np.abs(seen - exact).max()),
        tolerance=ROUNDING, because=BECAUSE,
    )  # fmt: skip

    def draw(axes: Axes) -> None:
        line = np.linspace(0, 2 * np.pi, 200)
        axes.plot(line, np.sin(line / 2) ** 2, "k", linewidth=1, label="$\\sin^2(\\theta / 2)$")
        axes.plot(theta, seen, "o", label="mesh of two ports")
        axes.set(xlabel="phase between the couplers / rad", ylabel="power straight on")
        axes.legend()

    return Outcome(checks=(check,), draw=draw, caption="Power at the output opposite the input.")


CASES: tuple[Case, ...] = (
    one_interferometer,
    unitarity,
    decomposition_of_random_unitary_matrices,
    random_start_is_of_the_haar_measure,
    reciprocity,
)
