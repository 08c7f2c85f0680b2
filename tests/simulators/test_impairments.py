from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from physnet import registry
from physnet.contracts import Cost, Flag, Passes, PhysicalSystem, Reading
from physnet.errors import MeasurementError, SessionError, SpecError
from physnet.simulators.detector_noise import Flicker
from physnet.simulators.drift import Drift
from physnet.simulators.impairments import Impaired
from physnet.simulators.response_mixing import SuddenChange
from physnet.simulators.scattering import ScatteringMedium
from physnet.testing import SystemConformance, random_drives

from .wire import Wire, answer, rows


class TestNoisyMedium(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Impaired(
            ScatteringMedium(drives=20, responses=31), noise=0.1, dac_bits=6, adc_bits=8, full_scale="auto", seed=2
        )


class TestDriftingMedium(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        medium = ScatteringMedium(drives=20, responses=31, turn=Drift(rate=5.0))
        gain = Drift(profile="sine", amplitude=0.1, period=0.02)
        return Impaired(medium, noise=0.1, gain_drift=gain, rotation_drift=Drift(rate=3.0), full_scale="auto")


class TestComplexImage(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        wire = Wire(shape=(3, 4), dtype="complex64", low=0.0)
        return Impaired(wire, noise=0.1, dac_bits=5, adc_bits=6, full_scale=1.0)


class TestCodes(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        wire = Wire(dtype="float32", low=0.0, function=lambda drive: drive * 1000, response="uint16")
        return Impaired(wire, noise=0.1, adc_bits=4, full_scale=900.5, signed=False)


class TestDoubled(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Impaired(Impaired(Wire(max_rms=0.4, max_slew=1.5, max_batch=5), noise=0.1), noise=0.1, dac_bits=6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_measured_noise_is_the_declared_fraction_of_the_rows_rms(dtype: str) -> None:
    wire = Wire(shape=(4000,), dtype=dtype, low=0.0)
    drive = random_drives(wire.spec, rows=8)
    assert isinstance(drive, np.ndarray)
    error = answer(Impaired(wire, noise=0.05), drive) - drive
    rms = np.sqrt(np.mean(np.abs(drive) ** 2, axis=1))
    measured = np.sqrt(np.mean(np.abs(error) ** 2, axis=1)) / rms
    # A standard deviation from n normal numbers has a relative standard error of 1/sqrt(2n): 5 of them.
    assert np.all(np.abs(measured / 0.05 - 1) < 5 / 8000**0.5)
    if error.dtype.kind == "c":
        circular = np.mean(error**2, axis=1) / np.mean(np.abs(error) ** 2, axis=1)
        assert np.all(np.abs(circular) < 5 / 4000**0.5 * 2**0.5)


def test_noise_is_keyed_by_the_pass_number() -> None:
    system = Impaired(Wire(shape=(33,)), noise=0.1, seed=4)
    drive = random_drives(system.spec, rows=50)
    whole = answer(system, drive)
    order = np.random.default_rng(0).permutation(50)
    assert np.array_equal(np.asarray(system.measure(drive[order], rows(50)[order]).response), whole[order])
    assert not np.array_equal(np.asarray(system.measure(drive, rows(50) + 50).response), whole)
    assert not np.array_equal(answer(Impaired(Wire(shape=(33,)), noise=0.1, seed=5), drive), whole)


def test_torch_and_numpy_systems_get_the_same_noise() -> None:
    array = Impaired(Wire(dtype="float32"), noise=0.1)
    tensor = Impaired(Wire(dtype="float32", array="torch"), noise=0.1)
    drive = random_drives(array.spec, rows=5)
    assert isinstance(drive, np.ndarray)
    assert np.array_equal(answer(array, drive), answer(tensor, torch.from_numpy(drive)))


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_an_adc_has_its_levels_and_errs_by_half_a_step(bits: int, signed: bool) -> None:
    wire = Wire(shape=(500,), low=-1.0 if signed else 0.0)
    drive = random_drives(wire.spec, rows=4)
    value = answer(Impaired(wire, adc_bits=bits, full_scale=1.0, signed=signed), drive)
    assert len(np.unique(value)) <= 2**bits
    step = (2.0 if signed else 1.0) / (2**bits - 1)
    assert np.max(np.abs(value - drive)) <= step / 2 + 1e-12  # rounding of float64


def test_a_dac_keeps_the_joint_limits_of_the_system() -> None:
    limits: dict[str, Any] = {"max_rms": 0.5, "max_sum": 2.0, "max_slew": 0.8}
    wire = Wire(**limits)
    system = Impaired(wire, dac_bits=4)
    system.measure(random_drives(system.spec, rows=500), rows(500))
    played = wire.played
    assert np.all(np.sqrt(np.mean(played**2, axis=1)) <= limits["max_rms"])
    assert np.all(np.sum(np.abs(played), axis=1) <= limits["max_sum"])
    assert np.all(np.abs(np.diff(played, axis=1)) <= limits["max_slew"])
    with pytest.raises(SpecError, match="more bits"):
        Impaired(wire, dac_bits=1)


def test_a_dac_leaves_binary_drives_alone() -> None:
    wire = Wire(domain="binary", low=0.2)
    drive = random_drives(wire.spec, rows=5)
    Impaired(wire, dac_bits=1).measure(drive, rows(5))
    assert wire.played is drive


def test_clipping_is_flagged_row_by_row() -> None:
    system = Impaired(Wire(), full_scale=0.5)
    drive = np.array([[0.1] * 6, [0.1] * 5 + [0.9], [-0.6] * 6])
    reading = system.measure(drive, rows(3))
    assert reading.flags is not None and list(reading.flags) == [Flag.NONE, Flag.CLIPPED, Flag.CLIPPED]
    assert np.array_equal(np.asarray(reading.response), np.clip(drive, -0.5, 0.5))


def test_a_full_scale_that_float32_cannot_hold_is_not_exceeded() -> None:
    # float32(0.1) is 1.5e-9 above 0.1.
    value = answer(
        Impaired(Wire(dtype="float32"), full_scale=0.1, adc_bits=3, signed=True), np.ones((1, 6), np.float32)
    )
    assert np.all(value.astype(np.float64) <= 0.1)


def test_full_scale_is_found_on_request_and_leaves_no_trace() -> None:
    medium = ScatteringMedium(drives=64, responses=200, turn=Drift(rate=1.0))
    system = Impaired(medium, full_scale="auto", adc_bits=8)
    assert medium.clock.now == 0
    full_scale = system.spec.response.full_scale
    # Mean square of the modulus = mean square of drives uniform in 0 to 1 = 1/3, over 32 x 64 of them: to some percent.
    assert full_scale is not None and abs(full_scale / (4 / 3**0.5) - 1) < 0.1
    assert system.spec.identity["impairments"]["signed"] is False
    with pytest.raises(SpecError, match="calibration"):
        Impaired(Wire(kind="measured"), full_scale="auto")


def test_gain_and_rotation_follow_time() -> None:
    wire = Wire(cost=Cost(per_pass=1.0))
    drive = np.tile(random_drives(wire.spec, rows=1), (5, 1))
    gained = answer(Impaired(wire, gain_drift=Drift(rate=0.1)), drive)
    assert np.allclose(gained, drive * (1 + 0.1 * np.arange(5))[:, None], rtol=1e-15)
    system = Impaired(wire, rotation_drift=Drift(rate=0.3))
    turned = answer(system, drive)
    assert np.array_equal(turned[0], drive[0])
    # Pairs turn: their norm stays, and the part along the old response is cos(angle) of it (float64 rounding).
    assert np.allclose((turned * drive).sum(1), np.cos(0.3 * np.arange(5)) * (drive**2).sum(1), rtol=1e-12)
    assert np.allclose((turned**2).sum(1), (drive**2).sum(1), rtol=1e-12)
    assert system.clock.now == 5.0


def test_the_spec_tells_what_was_added() -> None:
    medium = ScatteringMedium(drives=3, responses=4)
    same = Impaired(medium).spec
    assert dataclasses.replace(same, identity={}) == dataclasses.replace(medium.spec, identity={})
    noisy = Impaired(medium, noise=0.1).spec
    assert noisy.reproducible and not noisy.repeatable and not noisy.stateful
    assert noisy.name == medium.spec.name and noisy.kind == "simulated"
    assert noisy.identity["model"] == "ScatteringMedium" and noisy.identity["impairments"]["noise"] == 0.1
    drifting = Impaired(medium, gain_drift=Drift(rate=0.1)).spec
    assert drifting.stateful and not drifting.reproducible and not drifting.repeatable
    turning = Impaired(ScatteringMedium(drives=3, responses=4, turn=Drift(rate=1.0))).spec
    assert turning.stateful and not turning.reproducible


def test_impairments_can_be_stacked() -> None:
    wire = Wire(shape=(4000,))
    system = Impaired(Impaired(wire, noise=0.1), noise=0.1)
    impairments = system.spec.identity["impairments"]
    assert impairments["noise"] == impairments["within"]["noise"] == 0.1
    drive = random_drives(wire.spec, rows=4)
    ratio = np.std(answer(system, drive) - drive, axis=1) / np.sqrt(np.mean(np.asarray(drive) ** 2, axis=1))
    # Independent noises add in square: 0.1^2 + 0.1^2 x 1.01; the same noise twice would give 0.2. 5 standard errors.
    assert np.all(np.abs(ratio / (0.1 * 2.01**0.5) - 1) < 5 / 8000**0.5)


def test_state_holds_both_clocks() -> None:
    def make() -> Impaired:
        return Impaired(ScatteringMedium(drives=3, responses=4, turn=Drift(rate=9.0)), gain_drift=Drift(rate=7.0))

    system, other = make(), make()
    drive = random_drives(system.spec, rows=5)
    answer(system, drive)
    other.restore(system.state())
    assert np.array_equal(answer(other, drive), answer(system, drive))
    with pytest.raises(SessionError, match="must start with"):
        system.restore({"passes": np.array(0)})


def test_it_opens_and_closes_the_system_within() -> None:
    wire = Wire()
    with pytest.raises(KeyError), Impaired(wire, noise=0.1):
        assert wire.open
        raise KeyError
    assert not wire.open


@pytest.mark.parametrize(
    ("options", "way_out"),
    [
        ({"noise": -0.1}, "fraction"),
        ({"noise": float("nan")}, "fraction"),
        ({"dac_bits": 0}, "1 to 24"),
        ({"adc_bits": 25}, "1 to 24"),
        ({"adc_bits": 8}, "'auto'"),
        ({"full_scale": 0.0}, "> 0"),
        ({"gain_drift": Drift(rate=0.1)}, "give one"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], way_out: str) -> None:
    with pytest.raises(SpecError, match=way_out):
        Impaired(Wire(), **options)


def test_a_partial_reading_is_impaired_like_a_whole_one() -> None:
    inner = ScatteringMedium(drives=6, responses=8, seed=1)

    class Breaks(ScatteringMedium):
        def measure(self, drive: torch.Tensor, passes: Passes) -> Reading:
            whole = super().measure(drive, passes)
            raise MeasurementError("lost", reading=dataclasses.replace(whole, response=whole.response[:3]))

    drive = random_drives(inner.spec, rows=5, seed=0)
    passes = np.arange(5, dtype=np.int64)
    whole = Impaired(inner, seed=2, noise=0.5).measure(drive, passes)
    with pytest.raises(MeasurementError) as broken:
        Impaired(Breaks(drives=6, responses=8, seed=1), seed=2, noise=0.5).measure(drive, passes)
    assert broken.value.reading is not None
    assert torch.equal(torch.as_tensor(broken.value.reading.response), torch.as_tensor(whole.response)[:3])


def test_an_ac_coupling_makes_the_converter_bipolar() -> None:
    wire = Wire(low=0.0, cost=Cost(per_pass=1e-3))
    for options, signed in (({}, False), ({"ac_time": 0.1}, True), ({"rotation_drift": Drift(rate=1.0)}, True)):
        system = Impaired(wire, adc_bits=4, full_scale=1.0, **options)
        assert system.spec.identity["impairments"]["signed"] is signed


def test_its_options_can_be_checked_as_a_table() -> None:
    model = registry.options_model(Impaired, exclude={"system", "seed"})
    table = {
        "photoelectrons": 900,
        "flicker": {"rms": 0.01, "lowest": 0.1},
        "change": {"epoch": 3, "share": 0.2},
        "monitor": "divide",
        "gain_drift": {"profile": "sine", "amplitude": 0.1, "period": 60.0},
        "memory": 0.1,
        "ac_time": 5.0,
        "crosstalk": 0.02,
        "dead": 0.01,
    }
    system = Impaired(Wire(cost=Cost(per_pass=1e-3)), **registry.arguments(model, table))
    told = system.spec.identity["impairments"]
    # Told as they are given, so that a stand-in can be given the same.
    assert {name: told[name] for name in table} == {**table, "change": {"epoch": 3, "step": 0, "share": 0.2}}
    assert set(table) <= set(told) and "stuck" not in told
    for bad in ({"flicker": {"rms": 0.01}}, {"change": {"share": 0.2}}, {"monitor": "subtract"}, {"memory": 1.0}):
        with pytest.raises(ValidationError):
            registry.arguments(model, bad)


def test_everything_at_once_resumes_to_the_bit() -> None:
    def make() -> Impaired:
        wire = Wire(shape=(9,), dtype="float32", low=0.0, cost=Cost(per_pass=1e-3))
        return Impaired(
            wire, noise=0.05, photoelectrons=80.0, flicker=Flicker(rms=0.02, lowest=1.0), gain_noise=0.1,
            gain_drift=Drift(rate=0.5), monitor="append", monitor_noise=0.01, rotation_drift=Drift(rate=2.0),
            crosstalk=0.1, change=SuddenChange(epoch=0, step=0), memory=0.2, ac_time=0.03, dead=0.1, stuck=0.1,
            dac_bits=6, adc_bits=8, full_scale=1.0, seed=3,
        )  # fmt: skip

    whole, first, second = make(), make(), make()
    drive = random_drives(whole.spec, rows=60)
    response = answer(whole, drive)
    parts = [np.asarray(first.measure(drive[:23], rows(60)[:23]).response)]
    second.restore(first.state())
    parts.append(np.asarray(second.measure(drive[23:], rows(60)[23:]).response))
    assert np.array_equal(np.concatenate(parts), response) and response.shape == (60, 10)
