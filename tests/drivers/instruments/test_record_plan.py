from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physnet.drivers.instruments.infiniivision_commands import NUMBERS
from physnet.drivers.instruments.record_plan import RecordPlan, plan_record
from physnet.errors import InputError

RANGE = (1e-6, 500.0)


def plan(samples: int, rate: float, longest: float = 1.6) -> RecordPlan:
    return plan_record(samples, rate, numbers=NUMBERS, longest=longest, durations=RANGE)


def test_a_number_that_fits_is_taken_as_it_is() -> None:
    assert plan(100_000, 50e3) == RecordPlan(points=100_000, keep=1, duration=2.0)


def test_a_round_time_range_is_worth_a_longer_record_and_a_segment_is_short() -> None:
    # 2 s at 64 kHz: 200 000 points are 3.125 s; nothing shorter has four digits.
    assert plan(128_000, 64e3) == RecordPlan(points=200_000, keep=1, duration=3.125)
    # 50 ms at 64 kHz, at most 55 ms: every third of 10 000 points over 52.083... ms.
    assert plan(3200, 64e3, 1.1) == RecordPlan(points=10_000, keep=3, duration=10_000 / 192e3)


@pytest.mark.parametrize(("samples", "rate"), [(2_000_001, 1e6), (100, 0.1), (100, 500e6)])
def test_what_fits_into_no_record_is_refused(samples: int, rate: float) -> None:
    with pytest.raises(InputError, match="must fit"):
        plan(samples, rate)


@given(samples=st.integers(1, 2_000_000), rate=st.floats(1.0, 1e7), longest=st.sampled_from([1.1, 1.6]))
def test_the_samples_lie_at_the_rate_and_are_enough(samples: int, rate: float, longest: float) -> None:
    try:
        found = plan(samples, rate, longest)
    except InputError:
        # 2 is the most that the smallest number, at its highest multiple, is longer than needed.
        assert not RANGE[0] * 2 <= samples / rate <= RANGE[1] / 2
        return
    assert found.points in NUMBERS and found.samples >= samples
    assert RANGE[0] <= found.duration <= RANGE[1]
    # keep * rate * duration points, to the rounding of double precision.
    assert found.keep * rate * found.duration == pytest.approx(found.points, rel=1e-12)
