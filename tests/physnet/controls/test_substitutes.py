"""What stands in for the physics is what it says."""

from __future__ import annotations

import numpy as np
import pytest

import physnet
from physnet.contracts import DriveSpec, PhysicalSystem, ResponseSpec, SystemSpec
from physnet.controls.substitutes import RandomProjection, Zeros, projection_for
from physnet.passes import Purpose, pass_numbers
from physnet.simulators.impairments import Impaired
from physnet.simulators.scattering import ScatteringMedium
from physnet.testing.conformance import check_system

MEDIUM = ScatteringMedium(drives=12, responses=9, camera="intensity", seed=3)


def spec_of(**changes: object) -> SystemSpec:
    fields: dict[str, object] = {
        "name": "bench",
        "kind": "measured",
        "drive": DriveSpec(shape=(3, 4), low=-2.0, high=2.0, unit="V", max_rms=0.5),
        "response": ResponseSpec(shape=(5,), unit="V"),
    }
    return SystemSpec(**{**fields, **changes})  # type: ignore[arg-type]


class Told(Zeros):
    """A system of any spec."""

    def __init__(self, spec: SystemSpec) -> None:
        super().__init__(spec)
        self._spec = spec


def respond(system: PhysicalSystem, drive: np.ndarray) -> np.ndarray:
    with system:
        reading = system.measure(drive, pass_numbers(Purpose.CONTROL, rows=len(drive)))
    return np.asarray(reading.response)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Zeros(spec_of()),
        lambda: RandomProjection(spec_of(), detector="none", seed=1),
        lambda: RandomProjection(MEDIUM.spec, detector="intensity", seed=1),
        lambda: RandomProjection(
            spec_of(response=ResponseSpec(shape=(5,), dtype="complex128")), detector="none", seed=1
        ),
    ],
)
def test_every_stand_in_keeps_the_contract(make: object) -> None:
    check_system(make)  # type: ignore[arg-type]


def test_zeroed_physics_answers_zero_in_the_shape_of_the_system() -> None:
    zeros = Zeros(MEDIUM.spec)
    response = respond(zeros, np.full((7, 12), 0.5, np.float32))
    assert response.shape == (7, 9)
    assert not response.any()
    assert (zeros.spec.kind, zeros.spec.drive.shape, zeros.spec.response.shape) == ("simulated", (12,), (9,))


def test_a_projection_has_the_system_s_detector() -> None:
    drive = np.random.default_rng(0).uniform(0, 1, (50, 12)).astype(np.float32)
    modulus, intensity = (
        respond(RandomProjection(MEDIUM.spec, detector=detector, seed=5), drive)
        for detector in ("modulus", "intensity")
    )
    np.testing.assert_allclose(modulus**2, intensity, rtol=1e-5)  # the same matrix; float32
    assert modulus.min() >= 0
    # Quadratic in the drive: f(2x) = 4 f(x).
    half = respond(RandomProjection(MEDIUM.spec, detector="intensity", seed=5), drive / 2)
    np.testing.assert_allclose(4 * half, intensity, rtol=1e-5)


def test_a_projection_without_detector_is_linear() -> None:
    spec = spec_of()
    drive = np.random.default_rng(0).uniform(-1, 1, (40, 3, 4))
    projection = RandomProjection(spec, detector="none", seed=5)
    a, b = respond(projection, drive), respond(projection, drive[::-1].copy())
    np.testing.assert_allclose(respond(projection, (drive + drive[::-1]) / 2), (a + b) / 2, atol=1e-6)
    assert np.linalg.matrix_rank(a) == 5


def test_a_projection_has_unit_mean_square_for_drives_at_the_limit() -> None:
    # 12 drives of modulus 1, matrix of variance 1/12: mean intensity 1 over 4000 responses, error 1/sqrt(4000).
    spec = ScatteringMedium(drives=12, responses=4000, seed=0).spec
    response = respond(RandomProjection(spec, detector="intensity", seed=1), np.ones((1, 12), np.float32))
    assert response.mean() == pytest.approx(1, abs=4 / np.sqrt(4000))


@pytest.mark.parametrize("camera", ["modulus", "intensity"])
def test_a_system_that_tells_its_detector_needs_no_assumption(camera: str) -> None:
    medium = ScatteringMedium(drives=4, responses=3, camera=camera)  # type: ignore[arg-type]
    found = projection_for(medium, detector="auto", seed=0)
    assert (found.detector, found.assumed) == (camera, ())


def test_a_complex_response_has_no_detector() -> None:
    spec = spec_of(response=ResponseSpec(shape=(5,), dtype="complex64"), kind="simulated")
    found = projection_for(Told(spec), detector="auto", seed=0)
    assert (found.detector, found.assumed) == ("none", ())
    assert found.system.spec.response.complex


def test_what_a_bench_does_not_tell_is_assumed_and_said() -> None:
    found = projection_for(Told(spec_of(nonlinearity=frozenset({"detector"}))), detector="auto", seed=0)
    assert found.detector == "modulus"
    assert len(found.assumed) == 2
    assert "does not tell which nonlinear detector" in found.assumed[0]
    assert "tells no impairments" in found.assumed[1]


def test_the_experiment_s_detector_overrules() -> None:
    assert projection_for(MEDIUM, detector="none", seed=0).detector == "none"


def test_a_projection_wears_the_system_s_noise_and_bits() -> None:
    inner = Impaired(MEDIUM, noise=0.1, seed=1)
    worn = Impaired(inner, dac_bits=6, adc_bits=8, full_scale=3.0, seed=2)
    found = projection_for(worn, detector="auto", seed=7).system
    told = found.spec.identity["impairments"]
    assert (told["dac_bits"], told["adc_bits"], told["noise"]) == (6, 8, 0.0)
    assert told["within"]["noise"] == 0.1
    assert told["full_scale"] > 0
    drive = np.random.default_rng(0).uniform(0, 1, (3, 12)).astype(np.float32)
    levels = np.unique(respond(found, drive)) / told["full_scale"] * 255
    np.testing.assert_allclose(levels, levels.round(), atol=1e-3)  # float32 codes of an 8-bit ADC


def test_a_system_of_ones_own_can_be_replaced() -> None:
    @physnet.system(drives=4, responses=6, drive_range=(0, 1))
    def cavity(drive: np.ndarray) -> np.ndarray:
        return np.tile(drive, 2)[:, :6]

    found = projection_for(cavity, detector="auto", seed=0)
    assert found.detector == "none"
    assert respond(found.system, np.full((2, 4), 0.5)).shape == (2, 6)
