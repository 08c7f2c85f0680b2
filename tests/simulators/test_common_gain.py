from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physnet.contracts import Cost, Flag, PhysicalSystem
from physnet.errors import SpecError
from physnet.simulators.drift import Drift
from physnet.simulators.impairments import Impaired
from physnet.testing import SystemConformance, random_drives

from .wire import Wire, answer, rows

SPREAD = 5.0  # standard errors: chance of a false alarm 6e-7 a comparison; and the numbers are fixed


class TestAppended(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        wire = Wire(dtype="float32", low=0.0, function=lambda drive: drive * 1000, response="uint16")
        return Impaired(
            wire, gain_noise=0.1, monitor="append", monitor_noise=0.01, adc_bits=10, full_scale=900.5, signed=False
        )


class TestDivided(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        wire = Wire(shape=(3, 4), dtype="complex64", low=0.0)
        drift = Drift(profile="sine", amplitude=0.3, period=0.01)
        return Impaired(wire, gain_noise=0.1, gain_drift=drift, monitor="divide", full_scale=1.0, seconds_per_pass=1e-3)


class TestAppendedComplex(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Impaired(Wire(dtype="complex64", low=0.0), gain_noise=0.1, monitor="append")


def test_a_row_fluctuates_as_a_whole() -> None:
    wire = Wire(shape=(50,), low=0.5)
    drive: Any = np.full((20_000, 50), 0.8)
    gain = answer(Impaired(wire, gain_noise=0.05), drive) / 0.8
    assert np.ptp(gain, axis=1).max() < 1e-15  # one and the same number, divided
    # Gaussian: standard errors 1 / sqrt(n) of the mean and 1 / sqrt(2 n) of the deviation.
    assert abs(gain[:, 0].mean() - 1) < SPREAD * 0.05 / 20_000**0.5
    assert abs(gain[:, 0].std() / 0.05 - 1) < SPREAD / 40_000**0.5
    # Rows are independent: correlation of neighbours 1 / sqrt(n).
    assert abs(np.corrcoef(gain[:-1, 0], gain[1:, 0])[0, 1]) < SPREAD / 20_000**0.5


def test_the_gain_is_keyed_by_the_pass_number() -> None:
    system = Impaired(Wire(), gain_noise=0.1, monitor="append", monitor_noise=0.1)
    drive: Any = random_drives(system.spec, rows=40)
    whole = answer(system, drive)
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(np.asarray(system.measure(drive[order], rows(40)[order]).response), whole[order])
    spec = system.spec
    assert spec.reproducible and not spec.repeatable and not spec.stateful


def test_an_appended_monitor_reads_the_gain() -> None:
    wire = Wire(cost=Cost(per_pass=1.0))
    drive: Any = np.full((400, 6), 0.25)
    system = Impaired(wire, gain_noise=0.1, gain_drift=Drift(rate=1e-3), monitor="append", full_scale=1.0)
    assert system.spec.response.shape == (7,) and system.spec.response.full_scale == 1.0
    value = answer(system, drive)
    # Half of full scale at a gain of 1, and the quarter as well: the same float64 factor, twice.
    assert np.allclose(value[:, 6], 2 * value[:, 0], rtol=1e-15, atol=0)
    noisy = answer(Impaired(wire, gain_noise=0.1, monitor="append", monitor_noise=0.02), drive)
    error = noisy[:, 6] / (4 * noisy[:, 0]) - 1  # without full scale it reads 1
    assert abs(error.std() / 0.02 - 1) < SPREAD / 800**0.5


def test_division_by_the_monitor_takes_the_common_gain_out() -> None:
    wire = Wire(shape=(40,), low=0.0)
    drive: Any = random_drives(wire.spec, rows=300)
    exact = answer(Impaired(wire, gain_noise=0.2, monitor="divide"), drive)
    assert np.allclose(exact, drive, rtol=1e-15, atol=0)
    noisy = answer(Impaired(wire, gain_noise=0.2, monitor="divide", monitor_noise=0.01), drive)
    # What is left is the monitor's own noise, one number a row: 1 / (1 + e), whose deviation is e to 2 e^2.
    left = (noisy / drive)[:, 0] - 1
    assert abs(left.std() / 0.01 - 1) < SPREAD / 600**0.5 + 2 * 0.01**2
    assert Impaired(wire, monitor="divide", full_scale=1.0).spec.response.full_scale is None


def test_a_monitor_has_the_converter_s_codes() -> None:
    wire = Wire(low=0.0)
    options: dict[str, Any] = {"gain_noise": 0.1, "adc_bits": 3, "full_scale": 1.0, "signed": False}
    value = answer(Impaired(wire, monitor="append", **options), np.full((500, 6), 0.5))
    assert set(np.round(value[:, 6] * 7).astype(int)) == {2, 3, 4, 5}  # 0.5 (1 +- 0.3) in sevenths
    assert np.allclose(value * 7, np.round(value * 7), rtol=0, atol=1e-14)


def test_a_dark_monitor_is_flagged_and_not_divided_by() -> None:
    wire = Wire(cost=Cost(per_pass=1.0))
    system = Impaired(wire, gain_drift=Drift(profile="square", amplitude=-1.0, period=2.0), monitor="divide")
    reading = system.measure(np.full((2, 6), 0.5), rows(2))
    assert reading.flags is not None and list(reading.flags) == [Flag.LOW_SIGNAL, Flag.NONE]
    # A gain of 0, then one of 2.
    assert np.asarray(reading.response).tolist() == [[0.0] * 6, [0.5] * 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gain_noise": -0.1}, "gain_noise"),
        ({"gain_noise": float("nan")}, "gain_noise"),
        ({"monitor": "subtract"}, "monitor must be none"),
        ({"monitor_noise": 0.1}, "monitor_noise"),
        ({"monitor": "append", "monitor_noise": -1.0}, "monitor_noise"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Impaired(Wire(), **options)


def test_a_monitor_needs_a_place_in_the_response() -> None:
    with pytest.raises(SpecError, match="must be divide"):
        Impaired(Wire(shape=(2, 3)), monitor="append")
    with pytest.raises(SpecError, match="full_scale"):
        Impaired(Wire(dtype="float32", response="uint16"), monitor="append")
