from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import unitary_group

from physnet import registry
from physnet.contracts import Differentiable, PhysicalSystem, Stateful, Tunable
from physnet.errors import DriveError, InputError, SessionError, SpecError
from physnet.simulators.mach_zehnder import MachZehnderMesh
from physnet.simulators.mesh_decomposition import MeshLayout
from physnet.simulators.mesh_phases import PhaseShifters
from physnet.testing import SystemConformance, random_drives

ROUNDING = 1e-13  # float64 over a path of some 3 ports couplers and phases
SINGLE = 1e-5  # float32: 2^-24 of each of up to 24 terms of either sign, and of their squares


class TestRectangular(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return MachZehnderMesh(drives=6, responses=6, signed=True)


class TestTriangularOfPhases(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return MachZehnderMesh(
            drives=3, responses=4, ports=5, mesh="triangular", modulator="phase", phase_bits=6, phase_crosstalk=0.02,
            coupler_error=0.05,
        )  # fmt: skip


def powers(mesh: MachZehnderMesh, drive: torch.Tensor) -> np.ndarray:
    return torch.as_tensor(mesh.measure(drive, np.arange(len(drive), dtype=np.int64)).response).double().numpy()


def drives(mesh: MachZehnderMesh, rows: int) -> torch.Tensor:
    return torch.as_tensor(random_drives(mesh.spec, rows=rows))


@pytest.mark.parametrize("shape", ["rectangular", "triangular"])
def test_a_programmed_mesh_is_the_matrix(shape: Any) -> None:
    mesh = MachZehnderMesh(drives=8, responses=8, mesh=shape, signed=True)
    unitary = unitary_group.rvs(8, random_state=1)
    assert mesh.program(unitary) == 1
    # But for the phases of its outputs, which no detector sees.
    output = (mesh.matrix * unitary.conj()).sum(1)
    assert np.allclose(np.abs(output), 1, rtol=0, atol=ROUNDING)
    assert np.allclose(mesh.matrix, output[:, None] * unitary, rtol=0, atol=ROUNDING)
    drive = drives(mesh, 300)
    expected = np.abs(drive.double().numpy() @ unitary.T) ** 2
    assert np.allclose(powers(mesh, drive), expected, rtol=0, atol=SINGLE)


def test_phase_drives_enter_as_fields_of_one() -> None:
    mesh = MachZehnderMesh(drives=3, responses=4, ports=6, modulator="phase", seed=2)
    drive = drives(mesh, 50)
    expected = np.abs(np.exp(1j * drive.double().numpy()) @ mesh.matrix[:4, :3].T) ** 2
    assert np.allclose(powers(mesh, drive), expected, rtol=0, atol=SINGLE)
    assert mesh.spec.nonlinearity == {"medium", "detector"}


@pytest.mark.parametrize("options", [{}, {"coupler_error": 0.2}, {"phase_crosstalk": 0.1, "phase_bits": 3}])
@pytest.mark.parametrize("shape", ["rectangular", "triangular"])
def test_no_power_is_lost_whatever_the_imperfections(shape: Any, options: dict[str, Any]) -> None:
    mesh = MachZehnderMesh(drives=7, responses=7, mesh=shape, **options)
    assert np.abs(mesh.matrix.conj().T @ mesh.matrix - np.eye(7)).max() < ROUNDING
    drive = drives(mesh, 20)
    assert np.allclose(powers(mesh, drive).sum(1), drive.double().square().sum(1).numpy(), rtol=0, atol=7 * SINGLE)


def test_the_first_matrix_is_random_and_follows_from_the_seed() -> None:
    def make(seed: int) -> np.ndarray:
        return MachZehnderMesh(drives=4, responses=4, seed=seed).matrix

    assert np.array_equal(make(1), make(1)) and not np.allclose(make(1), make(2))
    # Haar measure: |U_11|^2 of 4 ports has the distribution Beta(1, 3), mean 1/4, variance 3/80.
    sample = np.array([np.abs(make(seed)[0, 0]) ** 2 for seed in range(100)])
    assert abs(sample.mean() - 0.25) < 5 * (3 / 80 / 100) ** 0.5


def test_unlike_couplers_limit_what_an_interferometer_can_do() -> None:
    mesh = MachZehnderMesh(drives=2, responses=2, coupler_error=0.1, seed=3)
    first, second = (mesh._coupler_2M - np.pi / 4).numpy()[:, 0]
    seen = []
    for theta in np.linspace(0, np.pi, 41):
        mesh.configure({"theta": np.array([theta])})
        seen.append(abs(mesh.matrix[0, 0]) ** 2)
    # Power in the bar, with coupler angles pi/4 + a and pi/4 + b: from sin^2(a + b) in the cross setting to
    # cos^2(a - b) in the bar setting.
    assert abs(seen[0] - np.sin(first + second) ** 2) < ROUNDING
    assert abs(seen[-1] - np.cos(first - second) ** 2) < ROUNDING


def test_phases_are_rounded_to_the_drivers_levels() -> None:
    coarse, fine = (MachZehnderMesh(drives=4, responses=4, phase_bits=bits) for bits in (2, None))
    values = {"theta": np.array([0.1, 1.5, 3.0, 6.1, 5.4, 0.8]), "phi": np.full(6, 4.6)}
    quarter = np.pi / 2
    rounded = {"theta": quarter * np.array([0, 1, 2, 4, 3, 1]), "phi": np.full(6, 3 * quarter)}
    coarse.configure(values)
    fine.configure(rounded)
    assert np.allclose(coarse.matrix, fine.matrix, rtol=0, atol=ROUNDING)
    assert np.array_equal(coarse.state()["theta"], values["theta"])  # what was written is what is told


def test_a_heater_warms_others_by_the_square_of_the_distance() -> None:
    layout = MeshLayout.of("rectangular", 4)  # ports 0 2 | 1 | 0 2 | 1
    shifters = PhaseShifters(layout, bits=None, crosstalk=0.03)
    theta = torch.zeros(6)
    theta[2] = 1.0  # of column 1, port 1: place (3, 1)
    seen_theta, seen_phi = shifters(theta, torch.zeros(6))
    place_theta = [(1, 0), (1, 2), (3, 1), (5, 0), (5, 2), (7, 1)]
    place_phi = [(0, 0), (0, 2), (2, 1), (4, 0), (4, 2), (6, 1)]
    for seen, places in ((seen_theta, place_theta), (seen_phi, place_phi)):
        for value, (along, across) in zip(seen, places, strict=True):
            square = (along - 3) ** 2 + (across - 1) ** 2
            assert abs(float(value) - (0.03 / square if square else 1.0)) < ROUNDING


def test_a_gradient_passes_drives_and_phases() -> None:
    mesh = MachZehnderMesh(drives=4, responses=4, phase_crosstalk=0.02, coupler_error=0.05, seed=1)
    state = mesh.state()
    leaves = [torch.from_numpy(state[name]).requires_grad_() for name in ("theta", "phi")]

    def loss(*phases: torch.Tensor) -> torch.Tensor:
        return mesh.transfer(*phases)[0, 1].abs().square()

    # Central differences in float64 with a step of 1e-6 err by 1e-10 and 1e-12.
    assert torch.autograd.gradcheck(loss, leaves, eps=1e-6, atol=1e-8)
    rounded = MachZehnderMesh(drives=4, responses=4, phase_bits=4)
    (gradient,) = torch.autograd.grad(rounded.transfer(leaves[0], leaves[1].detach())[0, 1].abs().square(), leaves[0])
    assert bool(gradient.abs().max() > 0)
    drive = drives(mesh, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(mesh.forward(drive, np.arange(3)).sum(), drive)
    # All power comes out: the gradient of |x|^2.
    assert torch.allclose(gradient, 2 * drive.detach(), rtol=0, atol=SINGLE)


def test_parameters_are_written_read_and_put_back() -> None:
    mesh = MachZehnderMesh(drives=3, responses=3)
    assert isinstance(mesh, Tunable) and isinstance(mesh, Stateful) and isinstance(mesh, Differentiable)
    drive = drives(mesh, 5)
    before, state = powers(mesh, drive), dict(mesh.state())
    assert mesh.configure({"theta": np.array([0.5, 1.0, 1.5])}) == 1
    assert not np.array_equal(powers(mesh, drive), before)
    assert np.array_equal(mesh.state()["phi"], state["phi"])
    mesh.restore(state)
    assert np.array_equal(powers(mesh, drive), before)
    assert mesh.configure({"phi": np.zeros(3)}) == 3
    spec = mesh.spec
    assert spec.repeatable and spec.reproducible and not spec.stateful and spec.nonlinearity == {"detector"}
    with pytest.raises(SessionError, match="theta and phi"):
        mesh.restore({"theta": state["theta"]})


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"psi": np.zeros(3)},
        {"theta": np.zeros(4)},
        {"theta": np.zeros(3), "phi": np.array([0.0, 0.0, 6.3])},
        {"theta": np.array([0.0, -0.1, 0.0])},
        {"phi": np.array([0.0, np.nan, 0.0])},
    ],
)
def test_a_bad_setting_is_refused_and_nothing_written(values: dict[str, Any]) -> None:
    mesh = MachZehnderMesh(drives=3, responses=3)
    before = dict(mesh.state())
    with pytest.raises(DriveError, match="Nothing was written"):
        mesh.configure(values)
    assert all(np.array_equal(mesh.state()[name], value) for name, value in before.items())
    with pytest.raises(DriveError, match="3 ports"):
        mesh.program(np.eye(4))
    with pytest.raises(InputError, match="unitary"):
        mesh.program(np.ones((3, 3)))


@pytest.mark.parametrize(
    "options",
    [
        {"ports": 2},
        {"drives": 0},
        {"mesh": "hexagonal"},
        {"phase_bits": 0},
        {"phase_crosstalk": 1.0},
        {"coupler_error": float("nan")},
        {"modulator": "phase", "signed": True},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="must be"):
        MachZehnderMesh(**{"drives": 3, "responses": 3} | options)


def test_its_options_can_be_checked_as_a_table() -> None:
    model = registry.options_model(MachZehnderMesh)
    table = {"drives": 4, "responses": 4, "mesh": "triangular", "phase_bits": 8}
    assert MachZehnderMesh(**registry.arguments(model, table)).spec.identity["phase_bits"] == 8
