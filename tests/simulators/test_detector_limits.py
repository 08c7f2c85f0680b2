from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physnet.contracts import Flag, PhysicalSystem
from physnet.errors import SpecError
from physnet.simulators.impairments import Impaired
from physnet.testing import SystemConformance, random_drives

from .wire import Wire, answer, rows


class TestBroken(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        wire = Wire(shape=(5, 8), dtype="complex64", low=0.0)
        return Impaired(wire, dead=0.1, stuck=0.2, full_scale=0.5, adc_bits=6, noise=0.1)


def test_the_shares_are_dead_and_stuck_whatever_is_played() -> None:
    wire = Wire(shape=(200,), low=0.5)
    drive: Any = random_drives(wire.spec, rows=30)
    value = answer(Impaired(wire, dead=0.1, stuck=0.05, full_scale=2.0, noise=0.1, seed=3), drive)
    still = np.ptp(value, axis=0) == 0
    dead = still & (value[0] == 0)
    assert np.count_nonzero(dead) == 20 and np.count_nonzero(still) == 30
    levels = value[0, still & ~dead]
    assert np.all((levels > 0) & (levels < 2)) and len(np.unique(levels)) == 10
    other = answer(Impaired(wire, dead=0.1, stuck=0.05, full_scale=2.0, seed=4), drive)
    assert np.any((np.ptp(other, axis=0) == 0) != still)
    plain = answer(Impaired(wire, full_scale=2.0, noise=0.1, seed=3), drive)
    assert np.array_equal(value[:, ~still], plain[:, ~still])


def test_stuck_levels_fill_the_detector_s_range() -> None:
    wire = Wire(shape=(4000,))
    for signed, lowest in ((True, -2.0), (False, 0.0)):
        value = answer(Impaired(wire, stuck=1.0, full_scale=2.0, signed=signed), np.zeros((1, 4000)))[0]
        # Uniform over n: its ends lie some (range / n) inside, 10 of them with a chance of e^-10.
        assert lowest <= value.min() < lowest + 10 * (2 - lowest) / 4000
        assert 2 - 10 * (2 - lowest) / 4000 < value.max() <= 2


def test_broken_channels_are_neither_noisy_nor_flagged() -> None:
    system = Impaired(Wire(), dead=1.0, full_scale=0.5, adc_bits=3, signed=False)
    reading = system.measure(np.full((2, 6), 0.25), rows(2))
    assert not np.any(np.asarray(reading.response)) and reading.flags is not None and not np.any(reading.flags)
    # What comes in before the broken channel still clips the detector.
    clipped = system.measure(np.full((1, 6), 0.75), rows(1))
    assert clipped.flags is not None and list(clipped.flags) == [Flag.CLIPPED]
    assert system.spec.repeatable and system.spec.reproducible and not system.spec.stateful


def test_a_monitor_is_never_broken() -> None:
    value = answer(Impaired(Wire(), dead=1.0, monitor="append"), np.ones((1, 6)))
    assert value.tolist() == [[0.0] * 6 + [1.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dead": -0.1}, "dead and stuck"),
        ({"dead": float("nan")}, "dead and stuck"),
        ({"dead": 0.6, "stuck": 0.6, "full_scale": 1.0}, "dead and stuck"),
        ({"stuck": 0.5}, "full_scale"),
    ],
)
def test_shares_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Impaired(Wire(), **options)
