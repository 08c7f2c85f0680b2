from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physnet.contracts import PhysicalSystem
from physnet.errors import SessionError, SpecError
from physnet.simulators.impairments import Impaired
from physnet.testing import SystemConformance, random_drives

from .wire import Wire, answer, rows


class TestLag(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Impaired(Wire(shape=(3, 4), dtype="complex64", low=0.0), memory=0.4, noise=0.1)


class TestAcCoupling(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Impaired(
            Wire(dtype="float32", low=0.0), ac_time=0.02, seconds_per_pass=1e-3, adc_bits=8, full_scale=1.0, memory=0.1
        )


def test_a_response_keeps_its_share_of_the_one_before() -> None:
    drive = np.zeros((30, 6))
    drive[0] = np.arange(6) / 5
    value = answer(Impaired(Wire(), memory=0.75), drive)
    # An impulse dies away as 0.25 x 0.75^k; quarters are exact for the first rows, float64 rounds the rest.
    assert np.allclose(value, 0.25 * 0.75 ** np.arange(30)[:, None] * drive[0], rtol=1e-14, atol=0)
    settled = answer(Impaired(Wire(), memory=0.75), np.ones((200, 6)))
    assert np.allclose(settled[-1], 1.0, rtol=0, atol=1e-15)  # 0.75^200 = 1e-25


def test_a_constant_response_droops_with_the_time_constant() -> None:
    system = Impaired(Wire(), ac_time=0.05, seconds_per_pass=1e-3)
    value = answer(system, np.ones((500, 6)))
    # Read at the end of each row: exp(-t / tau), here down to e^-10; float64 rounding of 500 steps.
    expected = np.exp(-np.arange(1, 501) * 1e-3 / 0.05)
    assert np.allclose(value, expected[:, None], rtol=0, atol=500 * 2.0**-52)


def test_ac_coupling_is_a_first_order_high_pass() -> None:
    count, time, pace = 4000, 0.02, 1e-3
    system = Impaired(Wire(shape=(1,)), ac_time=time, seconds_per_pass=pace)
    k = np.arange(count)
    for cycles in (5, 80, 700):  # whole numbers of cycles in the second half
        turn = 2 * np.pi * cycles * 2 / count
        system.reset()
        value = answer(system, np.cos(turn * k)[:, None])[count // 2 :, 0]
        seen = 2 * np.mean(value * np.exp(-1j * turn * k[count // 2 :]))
        # The recursion's own transfer function: a (1 - z) / (1 - a z), z = exp(-i w dt). Its start has died away:
        # exp(-2000 dt / tau) = 4e-44.
        a, z = np.exp(-pace / time), np.exp(-1j * turn)
        assert abs(seen - a * (1 - z) / (1 - a * z)) < 1e-12
        # And the capacitor's: i w tau / (1 + i w tau), which it approaches for w dt << 1: off by w dt / 2 and dt / tau.
        analogue = 1j * turn * time / pace / (1 + 1j * turn * time / pace)
        assert abs(seen - analogue) < turn / 2 + pace / time


def test_a_pause_discharges_the_capacitor() -> None:
    system = Impaired(Wire(), ac_time=0.05, seconds_per_pass=1e-3)
    answer(system, np.ones((300, 6)))
    voltage = 1 - np.exp(-0.3 / 0.05)
    system.clock.wait(0.02)
    value = answer(system, np.zeros((1, 6)))
    # Nothing comes in, and the capacitor's voltage is read upside down, a pause and a row later.
    assert np.allclose(value, -voltage * np.exp(-(0.02 + 1e-3) / 0.05), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "options", [{"memory": 0.6}, {"ac_time": 0.01}, {"memory": 0.3, "ac_time": 0.02, "noise": 0.1}]
)
def test_batches_change_nothing_and_a_saved_state_goes_on(options: dict[str, Any]) -> None:
    def make() -> Impaired:
        return Impaired(Wire(dtype="float32", low=-1.0), seconds_per_pass=1e-3, **options)

    whole, cut, other = make(), make(), make()
    drive: Any = random_drives(whole.spec, rows=90)
    response = answer(whole, drive)
    parts = [np.asarray(cut.measure(drive[k : k + 7], rows(90)[k : k + 7]).response) for k in range(0, 42, 7)]
    other.restore({name: value.copy() for name, value in cut.state().items()})
    answer(cut, drive)  # what goes on elsewhere changes no saved state
    parts.append(np.asarray(other.measure(drive[42:], rows(90)[42:]).response))
    assert np.array_equal(np.concatenate(parts), response)
    whole.reset()
    assert np.array_equal(answer(whole, drive), response)
    assert whole.spec.stateful and not whole.spec.reproducible and not whole.spec.repeatable


def test_a_state_of_another_system_is_refused() -> None:
    system = Impaired(Wire(), memory=0.5, ac_time=0.1, seconds_per_pass=1e-3)
    state = dict(system.state())
    for missing in ("impairments.memory", "impairments.ac_coupling", "impairments.ac_ended"):
        with pytest.raises(SessionError, match=missing.partition(".")[2]):
            system.restore({name: value for name, value in state.items() if name != missing})
    with pytest.raises(SessionError, match="shape"):
        system.restore(state | {"impairments.memory": np.zeros(7)})


def test_memories_that_make_no_sense_are_refused() -> None:
    for share in (1.0, -0.1, float("nan")):
        with pytest.raises(SpecError, match="memory"):
            Impaired(Wire(), memory=share)
    with pytest.raises(SpecError, match="ac_time"):
        Impaired(Wire(), ac_time=0.0, seconds_per_pass=1e-3)
    with pytest.raises(SpecError, match="give one"):
        Impaired(Wire(), ac_time=1.0)
