from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.contracts import Flag, PhysicalSystem
from physnet.errors import SpecError
from physnet.simulators.camera import Camera
from physnet.simulators.scattering import ScatteringMedium
from physnet.testing import SystemConformance, random_drives

PIXELS, SPREAD = 20_000, 5.0  # standard errors: chance of a false alarm 6e-7 a comparison; and the numbers are fixed


class TestCounting(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return ScatteringMedium(drives=20, responses=30, pooling=2, photoelectrons=50.0, dark_counts=3.0)


class TestFilling(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return ScatteringMedium(
            drives=20,
            responses=30,
            modulator="phase",
            camera="intensity",
            photoelectrons=900.0,
            saturation=0.7,
            pooling=3,
        )


def expose(intensity: float, **options: Any) -> torch.Tensor:
    camera = Camera(**{"modulus": False, "pooling": 1} | options)
    field = torch.full((1, 2 * PIXELS), (intensity / 2) ** 0.5)
    return camera.expose(field, np.array([7], dtype=np.int64))[0][0].double()


@pytest.mark.parametrize("intensity", [0.0, 0.02, 0.5, 30.0])
def test_a_pixel_counts_photoelectrons_and_dark_ones(intensity: float) -> None:
    value = expose(intensity, photoelectrons=100.0, dark_counts=2.0)
    counts = 100 * intensity + 2
    # Poisson: standard error of the mean sqrt(m / n); of the variance sqrt((m + 2 m^2) / n), its fourth central moment
    # less the square of the second. Beside it, what the counts miss of mean and variance, see keyed_poisson.
    assert abs(float(value.mean()) * 100 - counts) < SPREAD * (counts / PIXELS) ** 0.5 + 5e-6 * counts
    error = SPREAD * ((counts + 2 * counts**2) / PIXELS) ** 0.5 + 2e-4 * counts
    assert abs(float(value.var()) * 100**2 - counts) < error
    whole = value * 100
    assert torch.allclose(whole, whole.round(), rtol=0, atol=1e-3)  # 3000 counts, divided and multiplied in float32


def test_a_modulus_has_a_noise_that_does_not_depend_on_the_light() -> None:
    for intensity in (2.0, 10.0):
        value = expose(intensity, modulus=True, photoelectrons=100.0)
        # sqrt(n / e) of Poisson counts n: deviation 1 / sqrt(4 e) (1 + 3 / (16 n) ...), and its standard error of
        # 1 / sqrt(2 pixels): 5 of them and twice the correction.
        assert abs(float(value.std()) * 20 - 1) < SPREAD / (2 * PIXELS) ** 0.5 + 0.4 / (100 * intensity)


def test_shot_noise_is_keyed_by_pass_number_and_seed() -> None:
    medium = ScatteringMedium(drives=20, responses=30, photoelectrons=50.0)
    drive: Any = random_drives(medium.spec, rows=300)
    passes = np.arange(300, dtype=np.int64)
    whole = torch.as_tensor(medium.measure(drive, passes).response)
    order = np.random.default_rng(0).permutation(300)
    assert torch.equal(torch.as_tensor(medium.measure(drive[order], passes[order]).response), whole[order])
    parts = [medium.measure(drive[k : k + 77], passes[k : k + 77]).response for k in range(0, 300, 77)]
    assert torch.equal(torch.cat([torch.as_tensor(part) for part in parts]), whole)
    assert not torch.equal(torch.as_tensor(medium.measure(drive, passes + 300).response), whole)
    assert medium.spec.reproducible and not medium.spec.repeatable and not medium.spec.stateful
    assert medium.spec.identity["photoelectrons"] == 50.0


def test_counts_are_those_of_the_medium_s_intensity_on_average() -> None:
    options: dict[str, Any] = {"drives": 20, "responses": 40, "camera": "intensity", "seed": 3}
    clear, counting = ScatteringMedium(**options), ScatteringMedium(**options, photoelectrons=20.0)
    drive: Any = random_drives(clear.spec, rows=1)
    mean = torch.as_tensor(clear.measure(drive, np.zeros(1, np.int64)).response)[0].double()
    shots = torch.as_tensor(counting.measure(drive.expand(2000, -1), np.arange(2000)).response).double()
    # Per channel a standard error of sqrt(I / (e n)); 40 channels.
    assert bool(((shots.mean(0) - mean).abs() < SPREAD * (mean / 20 / 2000) ** 0.5).all())


def test_a_full_pixel_is_held_and_its_row_flagged() -> None:
    medium = ScatteringMedium(drives=20, responses=30, camera="intensity", saturation=0.1)
    assert medium.spec.response.full_scale == 0.1
    drive: Any = random_drives(medium.spec, rows=2)
    drive[1] *= 0.01
    reading = medium.measure(drive, np.arange(2, dtype=np.int64))
    assert reading.flags is not None and list(reading.flags) == [Flag.CLIPPED, Flag.NONE]
    # float32(0.1) lies above 0.1.
    assert float(torch.as_tensor(reading.response).double().max()) <= 0.1
    clear = ScatteringMedium(drives=20, responses=30, camera="intensity").measure(drive, np.arange(2)).response
    assert torch.equal(torch.as_tensor(reading.response)[1], torch.as_tensor(clear)[1])
    assert medium.spec.repeatable
    modulus = ScatteringMedium(drives=20, responses=30, saturation=0.25)
    assert modulus.spec.response.full_scale == 0.5


def test_the_gradient_is_that_of_the_mean() -> None:
    options: dict[str, Any] = {"drives": 20, "responses": 30, "camera": "intensity"}
    drive: Any = random_drives(ScatteringMedium(**options).spec, rows=3)
    gradients = []
    for extra in ({}, {"photoelectrons": 5.0, "dark_counts": 1.0}):
        leaf = drive.clone().requires_grad_()
        response = ScatteringMedium(**options | extra).forward(leaf, np.arange(3, dtype=np.int64))
        gradients += torch.autograd.grad(response.sum(), leaf)
    assert torch.equal(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"photoelectrons": 0.0}, "photoelectrons"),
        ({"photoelectrons": float("nan")}, "photoelectrons"),
        ({"dark_counts": 1.0}, "without photoelectrons"),
        ({"photoelectrons": 1.0, "dark_counts": -1.0}, "dark_counts"),
        ({"saturation": -1.0}, "saturation"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ScatteringMedium(drives=3, responses=4, **options)
