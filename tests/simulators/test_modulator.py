from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.contracts import PhysicalSystem
from physnet.errors import SpecError
from physnet.simulators.drift import Drift
from physnet.simulators.scattering import ScatteringMedium
from physnet.testing import SystemConformance, random_drives


class TestRecurrentAmplitude(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return ScatteringMedium(drives=20, responses=30, passes_through=3, pooling=2)


class TestRecurrentPhase(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return ScatteringMedium(
            drives=7, responses=9, modulator="phase", passes_through=2, turn=Drift(rate=20.0), camera="intensity"
        )


def respond(medium: ScatteringMedium, drive: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(medium.measure(drive, np.arange(len(drive), dtype=np.int64)).response).double()


def drives(medium: ScatteringMedium, rows: int) -> torch.Tensor:
    return torch.as_tensor(random_drives(medium.spec, rows=rows))


@pytest.mark.parametrize("modulator", ["amplitude", "phase"])
@pytest.mark.parametrize("passes", [2, 4])
def test_the_field_is_the_born_series(modulator: Any, passes: int) -> None:
    medium = ScatteringMedium(
        drives=15, responses=40, modulator=modulator, camera="intensity", passes_through=passes, retained=0.8
    )
    drive = drives(medium, 50)
    assert medium.round_trip is not None
    round_trip, matrix = medium.round_trip.to(torch.complex128), medium.matrix.to(torch.complex128)
    element = torch.exp(1j * drive.double()) if modulator == "phase" else drive.double() + 0j
    term, field = element, element.clone()
    for _ in range(passes - 1):
        term = element * (term @ round_trip.T)
        field += term
    # float32: some 100 roundings of 2^-24 of fields whose intensities reach 50.
    assert torch.allclose(respond(medium, drive), (field @ matrix.T).abs().square(), rtol=1e-4, atol=1e-4)


def test_the_response_is_a_polynomial_of_twice_the_passes() -> None:
    for passes in (1, 2, 3):
        medium = ScatteringMedium(drives=12, responses=50, signed=True, camera="intensity", passes_through=passes)
        # Exact powers of two times small whole numbers: the drives themselves are not rounded.
        scale = torch.arange(-4, 5)[:, None] / 4
        drive = torch.randint(-8, 9, (1, 12), generator=torch.Generator().manual_seed(passes)) / 8 * scale
        # A polynomial of degree 2 n through 9 points: the least-squares fit leaves rounding, 2^-24 over some 50 sums,
        # 3e-6 of the largest. One degree less leaves the last term, of which a fit takes off all but 1 / 32.
        value = respond(medium, drive.float()).numpy()
        left = []
        for degree in (2 * passes - 1, 2 * passes):
            fit = np.polynomial.polynomial.polyfit(scale[:, 0].numpy(), value, degree)
            left.append(np.abs(value - np.polynomial.polynomial.polyval(scale[:, 0].numpy(), fit).T).max())
        assert left[1] < 1e-5 * value.max() < 1e-3 * value.max() < left[0]


def test_a_round_trip_is_reciprocal_and_returns_its_share_of_the_power() -> None:
    medium = ScatteringMedium(drives=200, responses=1, passes_through=2, retained=0.3)
    assert medium.round_trip is not None
    matrix = medium.round_trip.to(torch.complex128)
    assert torch.equal(matrix, matrix.T)
    # n (n + 1) / 2 independent entries of exponential power; those of the diagonal are twice as strong: mean power of a
    # row (n + 1) / n x 0.3, with a relative standard error of 1 / sqrt(entries).
    power = float(matrix.abs().square().sum(1).mean())
    assert abs(power / (0.3 * 201 / 200) - 1) < 5 / (200 * 201 / 2) ** 0.5
    diagonal = float(matrix.diagonal().abs().square().mean()) * 200
    assert abs(diagonal / 0.6 - 1) < 5 / 200**0.5


def test_one_pass_is_the_plain_medium_and_the_spec_tells_of_more() -> None:
    plain = ScatteringMedium(drives=12, responses=20, seed=4)
    once = ScatteringMedium(drives=12, responses=20, seed=4, passes_through=1, retained=0.9)
    drive = drives(plain, 9)
    assert torch.equal(respond(plain, drive), respond(once, drive)) and once.round_trip is None
    assert once.spec.nonlinearity == {"detector"} and "passes_through" not in once.spec.identity
    twice = ScatteringMedium(drives=12, responses=20, passes_through=2).spec
    assert twice.nonlinearity == {"medium", "detector"} and twice.identity["passes_through"] == 2
    assert twice.repeatable and twice.reproducible


def test_a_row_has_the_same_bits_wherever_it_stands() -> None:
    medium = ScatteringMedium(drives=33, responses=21, passes_through=3, modulator="phase", pooling=2)
    drive = drives(medium, 700)
    whole = respond(medium, drive)
    order = torch.randperm(700, generator=torch.Generator().manual_seed(0))
    assert torch.equal(respond(medium, drive[order]), whole[order])
    assert torch.equal(torch.cat([respond(medium, part) for part in drive.split(45)]), whole)  # type: ignore[no-untyped-call]


def test_a_turning_cavity_forgets_its_speckle() -> None:
    medium = ScatteringMedium(
        drives=30,
        responses=4000,
        camera="intensity",
        passes_through=3,
        turn=Drift(rate=np.pi / 2),
        seconds_per_pass=1.0,
    )
    pair = respond(medium, drives(medium, 1).repeat(2, 1))
    # A quarter of a turn: every matrix is another. Independent speckle, standard error of the correlation 2 / sqrt(n)
    # and that of a common scale of the two cavities, which a correlation does not see.
    assert abs(float(torch.corrcoef(pair)[0, 1])) < 5 * 2 / 4000**0.5


@pytest.mark.parametrize("options", [{"passes_through": 0}, {"retained": 1.0}, {"retained": float("nan")}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="must be"):
        ScatteringMedium(drives=3, responses=4, **options)
