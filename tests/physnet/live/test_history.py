from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from physnet.live.history import History, Rate
from physnet.live.protocol import POINTS

NUMBERS = st.lists(st.floats(-1e3, 1e3), max_size=300)


@given(NUMBERS)
def test_a_curve_is_never_longer_than_agreed_and_stays_between_its_values(values: list[float]) -> None:
    history = History(most=8)
    for value in values:
        history.add(value)
        points = history.curve().points
        assert 1 <= len(points) <= 8
        # six significant digits of numbers up to 1000: 0.5e-2 at most, at each of the few averagings
        assert min(values) - 0.1 <= min(points) <= max(points) <= max(values) + 0.1
    assert history.curve().latest == (values[-1] if values else None)


def test_a_long_run_keeps_its_shape() -> None:
    history = History()
    for step in range(100_000):
        history.add(step)
    points = history.curve().points
    assert POINTS / 2 <= len(points) <= POINTS
    assert points[0] < 1000
    assert points[-1] > 98_000
    assert list(points) == sorted(points)


def test_what_is_not_finite_leaves_no_point() -> None:
    history = History()
    for value in (math.nan, 1.0, math.inf, 2.0, math.nan):
        history.add(value)
    assert history.curve().points == (1.0, 2.0)
    assert history.curve().latest == 2.0


def test_a_rate_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.per_second(0.0, 0) is None
    count = 0
    for second in range(60):
        assert rate.due(float(second))
        rate.mark(float(second), count)
        count += 10 if second < 30 else 100
    assert rate.per_second(60.0, count) == pytest.approx(100)
    assert not rate.due(59.1)
    rate.clear()
    assert rate.per_second(61.0, count) is None


def test_a_rate_outlasts_a_step_longer_than_its_window() -> None:
    rate = Rate()
    rate.mark(0.0, 0)
    rate.mark(100.0, 500)
    assert rate.per_second(160.0, 800) == pytest.approx(5)
