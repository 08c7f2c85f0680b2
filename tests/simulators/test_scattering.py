from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from pydantic import ValidationError, create_model
from scipy import stats

from physnet.contracts import Differentiable, PhysicalSystem, Stateful
from physnet.errors import SpecError
from physnet.simulators.drift import Drift
from physnet.simulators.scattering import ScatteringMedium
from physnet.testing import SystemConformance, random_drives

PIXELS = 20_000
ROUNDING = 1e-5  # float32: 2^-24 relative per operation, over sums of up to 100 terms of either sign: some 1e-6


def respond(medium: ScatteringMedium, drive: Any) -> torch.Tensor:
    drive = torch.as_tensor(drive, dtype=torch.float32)
    drive = drive[None] if drive.ndim == 1 else drive
    response = medium.measure(drive, np.arange(len(drive), dtype=np.int64)).response
    assert isinstance(response, torch.Tensor)
    return response.double()


def drives(medium: ScatteringMedium, rows: int) -> torch.Tensor:
    drive = random_drives(medium.spec, rows=rows)
    assert isinstance(drive, torch.Tensor)
    return drive


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class TestAmplitude(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return ScatteringMedium(drives=20, responses=30)


class TestPhase(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return ScatteringMedium(drives=21, responses=10, modulator="phase", camera="intensity", pooling=3)


class TestTurning(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return ScatteringMedium(drives=20, responses=30, signed=True, turn=Drift(rate=10.0))


def test_it_declares_itself() -> None:
    still = ScatteringMedium(drives=3, responses=4)
    assert isinstance(still, PhysicalSystem) and isinstance(still, Stateful) and isinstance(still, Differentiable)
    assert still.spec.kind == "simulated" and still.spec.nonlinearity == {"detector"}
    assert still.spec.repeatable and still.spec.reproducible and not still.spec.stateful
    turning = ScatteringMedium(drives=3, responses=4, turn=Drift(rate=1.0)).spec
    assert turning.stateful and not turning.repeatable and not turning.reproducible
    phase = ScatteringMedium(drives=3, responses=4, modulator="phase").spec
    assert phase.nonlinearity == {"medium", "detector"}
    assert phase.drive.unit == "rad" and phase.drive.domain == "phase" and phase.drive.high == math.pi


def test_the_modulus_follows_a_rayleigh_distribution() -> None:
    medium = ScatteringMedium(drives=64, responses=PIXELS, seed=3)
    drive = drives(medium, 1)
    sigma = float(drive.square().mean() / 2) ** 0.5
    assert stats.kstest(respond(medium, drive)[0].numpy(), "rayleigh", args=(0, sigma)).pvalue > 1e-3


def test_the_mean_intensity_is_that_of_the_field() -> None:
    for modulator, mean in (("amplitude", None), ("phase", 1.0)):
        medium = ScatteringMedium(drives=64, responses=PIXELS, camera="intensity", modulator=modulator)  # type: ignore[arg-type]
        drive = drives(medium, 1)
        expected = float(drive.square().mean()) if mean is None else mean
        # An exponential intensity has a standard deviation of its mean: 5 standard errors are 5/sqrt(n).
        assert abs(float(respond(medium, drive).mean()) / expected - 1) < 5 / PIXELS**0.5


@pytest.mark.parametrize("pooling", [1, 4, 16])
def test_speckle_contrast_falls_as_one_over_the_root_of_the_pooled_pixels(pooling: int) -> None:
    medium = ScatteringMedium(drives=32, responses=5000, camera="intensity", pooling=pooling)
    value = respond(medium, drives(medium, 1))
    contrast = float(value.std() / value.mean())
    # The variance estimate of a Gamma variable of order M over n values has a relative standard error of
    # sqrt((2 + 6/M)/n), so that of the contrast has half of it, plus the mean's 1/sqrt(M n): 5 of these.
    error = 0.5 * ((2 + 6 / pooling) / 5000) ** 0.5 + (1 / (pooling * 5000)) ** 0.5
    assert abs(contrast * pooling**0.5 - 1) < 5 * error


def test_intensities_of_two_drives_have_the_kernel_of_the_medium() -> None:
    medium = ScatteringMedium(drives=32, responses=PIXELS, camera="intensity", signed=True)
    x, y = drives(medium, 2)
    intensity = respond(medium, torch.stack((x, y)))
    measured = float((intensity[0] * intensity[1]).mean()) * 32**2
    expected = float(x.square().sum() * y.square().sum() + (x @ y) ** 2)
    # A product of two exponential variables has a relative standard deviation of at most sqrt(4!/2^2 - 1) = 2.3 when
    # they are equal, sqrt(3) when independent: 5 standard errors.
    assert abs(measured / expected - 1) < 5 * 2.3 / PIXELS**0.5


@pytest.mark.parametrize(("camera", "degree"), [("modulus", 1), ("intensity", 2)])
def test_the_response_is_homogeneous_and_even(camera: Any, degree: int) -> None:
    medium = ScatteringMedium(drives=40, responses=50, camera=camera, signed=True, pooling=2)
    drive = drives(medium, 5)
    response = respond(medium, drive)
    # A factor of a power of two scales float32 exactly; so does a change of sign.
    assert torch.equal(respond(medium, drive / 4), response / 4**degree)
    assert torch.equal(respond(medium, -drive), response)
    assert torch.count_nonzero(respond(medium, 0 * drive)) == 0


def test_a_global_phase_is_not_seen() -> None:
    medium = ScatteringMedium(drives=40, responses=50, modulator="phase")
    drive = drives(medium, 5) / 2
    assert torch.allclose(respond(medium, drive), respond(medium, drive + 1.0), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("modulator", ["amplitude", "phase"])
@pytest.mark.parametrize("camera", ["modulus", "intensity"])
@pytest.mark.parametrize("pooling", [1, 3])
def test_the_tiled_product_equals_the_plain_one(modulator: Any, camera: Any, pooling: int) -> None:
    medium = ScatteringMedium(
        drives=37, responses=11, modulator=modulator, camera=camera, pooling=pooling, turn=Drift(rate=1.0)
    )
    drive = drives(medium, 300)
    field = torch.exp(1j * drive.double()) if modulator == "phase" else drive.double() + 0j
    angle = torch.arange(300, dtype=torch.float64)[:, None] * 1e-3
    towards = medium._transfer.towards.to(torch.complex128)
    out = (field @ medium.matrix.to(torch.complex128).T) * angle.cos() + (field @ towards.T) * angle.sin()
    expected = out.abs() if camera == "modulus" else out.abs().square()
    expected = expected.unflatten(1, (11, pooling)).mean(2)  # type: ignore[no-untyped-call]
    assert torch.allclose(respond(medium, drive), expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 33), (785, 301)])
@pytest.mark.parametrize("modulator", ["amplitude", "phase"])
def test_a_row_has_the_same_bits_wherever_it_stands(shape: tuple[int, int], modulator: Any, threads: int) -> None:
    medium = ScatteringMedium(drives=shape[0], responses=shape[1], modulator=modulator, pooling=3)
    drive = drives(medium, 300)
    torch.set_num_threads(1)
    whole = respond(medium, drive)
    torch.set_num_threads(threads)
    assert torch.equal(respond(medium, drive), whole)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert torch.equal(respond(medium, drive[order]), whole[order])
    assert torch.equal(torch.cat([respond(medium, drive[:1]), respond(medium, drive[1:260])]), whole[:260])


def test_the_field_decorrelates_as_the_cosine_of_the_angle() -> None:
    # Intensities of circular Gaussian fields of correlation c have a correlation of c^2 (Goodman 2007, section 2.8).
    angles = (0.3, 0.8, math.pi / 2)
    for angle in angles:
        medium = ScatteringMedium(
            drives=32, responses=PIXELS, camera="intensity", turn=Drift(rate=angle), seconds_per_pass=1.0
        )
        pair = respond(medium, drives(medium, 1).repeat(2, 1))
        # The estimate for exponential variables has a standard error below 2/sqrt(n).
        assert abs(float(torch.corrcoef(pair)[0, 1]) - math.cos(angle) ** 2) < 5 * 2 / PIXELS**0.5
        assert abs(float(pair[1].mean() / pair[0].mean()) - 1) < 5 * (2 / PIXELS) ** 0.5  # stationary
        assert abs(float(pair[1].std() / pair[1].mean()) - 1) < 5 * (2 / PIXELS) ** 0.5


def test_the_turn_follows_the_clock_not_the_batches() -> None:
    def make() -> ScatteringMedium:
        return ScatteringMedium(drives=20, responses=30, turn=Drift(profile="sine", amplitude=1.0, period=0.5))

    whole, cut = make(), make()
    drive = drives(whole, 40)
    response = respond(whole, drive)
    assert torch.equal(torch.cat([respond(cut, drive[:3]), respond(cut, drive[3:])]), response)
    assert whole.clock.now == cut.clock.now == 40 * whole.spec.cost.per_pass
    whole.reset()
    assert torch.equal(respond(whole, drive), response)
    whole.clock.restore({"passes": np.array(0), "waited": np.array(0.0)})
    whole.clock.wait(0.1)
    assert not torch.equal(respond(whole, drive), response)


def test_a_gradient_agrees_with_finite_differences_and_is_zero_in_the_dark() -> None:
    medium = ScatteringMedium(drives=5, responses=7)
    drive = drives(medium, 1).requires_grad_()
    weights = torch.arange(7.0)
    (gradient,) = torch.autograd.grad(medium.forward(drive, np.zeros(1, np.int64)) @ weights, drive)
    step = 2.0**-7
    for k in range(5):
        shift = torch.zeros(1, 5)
        shift[0, k] = step
        low, high = (respond(medium, drive.detach() + s * shift) @ weights.double() for s in (-1, 1))
        # Central difference: truncation h^2/6 times a third derivative of order |T|^3/|y|^2, below 1e-3 of a gradient
        # of order 10; rounding of 20 x 2^-24 over 2h is 1e-4.
        assert abs(float((high - low) / (2 * step) - gradient[0, k])) < 1e-2
    dark = torch.zeros(2, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(medium.forward(dark, np.zeros(2, np.int64)).sum(), dark)
    assert torch.count_nonzero(gradient) == 0


def test_a_measured_matrix_is_taken_as_it_is() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(6, 4)) + 1j * rng.normal(size=(6, 4))
    medium = ScatteringMedium.from_matrix(matrix, camera="intensity", pooling=2)
    assert medium.spec.drive.shape == (4,) and medium.spec.response.shape == (3,)
    drive = drives(medium, 9)
    expected = np.abs(drive.double().numpy() @ matrix.T).reshape(9, 3, 2) ** 2
    # Relative rounding of float32 over 4 terms, intensities up to 40.
    assert np.allclose(respond(medium, drive).numpy(), expected.mean(2), rtol=1e-5, atol=1e-4)
    assert len(medium.spec.identity["matrix_sha256"]) == 64
    bad: Any
    for bad in (matrix.real, matrix[0], 0 * matrix, matrix * np.nan):
        with pytest.raises(SpecError, match="matrix must be"):
            ScatteringMedium.from_matrix(bad)
    with pytest.raises(SpecError, match="multiple of pooling"):
        ScatteringMedium.from_matrix(matrix, pooling=4)


def test_the_seed_makes_the_medium() -> None:
    def make(seed: int) -> torch.Tensor:
        return ScatteringMedium(drives=4, responses=5, seed=seed).matrix

    assert torch.equal(make(1), make(1)) and not torch.equal(make(1), make(2))


@pytest.mark.parametrize(
    "options",
    [
        {"drives": 0},
        {"modulator": "phase", "signed": True},
        {"phase_range": 1.0},
        {"modulator": "polarisation"},
        {"turn": Drift(rate=1.0), "seconds_per_pass": 0.0},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="must be"):
        ScatteringMedium(**{"drives": 3, "responses": 3} | options)


def test_its_options_can_be_checked_as_a_table() -> None:
    hints = get_type_hints(ScatteringMedium.__init__, include_extras=True)
    parameters = inspect.signature(ScatteringMedium).parameters.values()
    fields: dict[str, Any] = {
        p.name: (hints[p.name], ... if p.default is inspect.Parameter.empty else p.default) for p in parameters
    }
    table = create_model("Table", **fields)
    good = table.model_validate({"drives": 3, "responses": 3, "turn": {"rate": 0.1}})
    assert ScatteringMedium(**dict(good)).spec.stateful
    for bad in ({"drives": 0, "responses": 3}, {"drives": 3, "responses": 3, "turn": {"profile": "sine"}}):
        with pytest.raises(ValidationError):
            table.model_validate(bad)


@pytest.mark.parametrize("responses", [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 20])
def test_a_row_s_response_does_not_depend_on_its_place(responses: int) -> None:
    medium = ScatteringMedium(drives=24, responses=responses, seed=1)
    drive = torch.rand(100, 24, generator=torch.Generator().manual_seed(responses))
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    numbers = np.arange(100, dtype=np.int64)
    straight = medium.measure(drive, numbers).response
    shuffled = medium.measure(drive[order], numbers).response
    assert torch.equal(torch.as_tensor(straight)[order], torch.as_tensor(shuffled))
