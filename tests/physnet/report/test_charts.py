from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from physnet.report.axes import Axis, fitted, number, with_unit
from physnet.report.charts import Line, bars, lines
from physnet.report.decimate import decimate
from physnet.report.heatmap import confusion
from physnet.report.section import interval


@given(count=st.integers(1, 5000), curves=st.integers(1, 200), seed=st.integers(0, 99))
def test_decimation_loses_no_extreme_and_no_mean(count: int, curves: int, seed: int) -> None:
    y = np.random.default_rng(seed).normal(size=count)
    curve = decimate(np.arange(count), y, curves=curves)
    assert len(curve.x) <= 2 * 400
    assert np.nanmin(curve.low) == y.min() and np.nanmax(curve.high) == y.max()
    assert np.all(np.diff(curve.x[np.isfinite(curve.x)]) > 0)
    sound = np.isfinite(curve.mean)
    # A mean of numbers between two others lies between them, but for rounding.
    assert np.all(curve.low[sound] <= curve.mean[sound] + 1e-12) and np.all(
        curve.mean[sound] <= curve.high[sound] + 1e-12
    )


def test_a_gap_breaks_the_line_and_what_is_not_finite_is_left_out() -> None:
    x = np.r_[0:10, 100:110].astype(float)
    y = np.arange(20.0)
    y[3] = np.nan
    curve = decimate(x, y)
    assert np.flatnonzero(np.isnan(curve.x)).tolist() == [9]
    assert 3.0 not in curve.x


@given(values=arrays(np.float64, st.integers(0, 30), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_any_values_make_a_chart_without_nan(values: np.ndarray) -> None:
    drawn = lines("a", [Line(name="b", x=np.arange(len(values)), y=values, points=True)], x="x", y="y")
    assert "nan" not in drawn and "inf" not in drawn
    drawn = lines("a", [Line(name="b", x=np.arange(len(values)), y=values)], x="x", y="y", log=True)
    assert "nan" not in drawn


@given(low=st.floats(-1e12, 1e12), span=st.floats(1e-9, 1e12))
def test_ticks_lie_on_the_axis_and_differ(low: float, span: float) -> None:
    axis = Axis(low=low, high=low + span, start=0, stop=100)
    ticks = axis.ticks
    assert len(ticks) <= 12
    for value, _ in ticks:
        # The tolerance of the first and the last tick is a billionth of their distance, and rounding of the ends.
        assert low - 1e-6 * span - 1e-9 * abs(low) <= value <= low + span + 1e-6 * span + 1e-9 * abs(low)
    if span > 1e-6 * abs(low):  # nearer numbers than this have the same name
        assert len({said for _, said in ticks}) == len(ticks)


def test_numbers_at_an_axis_stay_short() -> None:
    axis = fitted([np.array([0.0, 1.6e-3])], start=0, stop=100, pad=0)
    assert axis.exponent == -3
    assert [said for _, said in axis.ticks] == ["0.0", "0.5", "1.0", "1.5"]
    assert with_unit("response", "V", axis.exponent) == "response / 10⁻³ V"
    assert with_unit("step", "1", 6) == "step / 10⁶"
    assert [number(v) for v in (3.0, 1e6, 0.12345, math.nan, 19200.4)] == [
        "3",
        "1\u202f000\u202f000",
        "0.1235",
        "-",
        "19\u202f200",
    ]


def test_logarithmic_axes_have_decades() -> None:
    axis = fitted([np.array([1e-5, 1e3, 0.0, -1.0])], start=0, stop=80, log=True, pad=0)
    assert axis.at(1e-5) == 0 and axis.at(1e3) == 80
    assert all(math.log10(value) == round(math.log10(value)) for value, _ in axis.ticks)


def test_many_bins_are_put_together() -> None:
    drawn = bars("a", np.arange(10_001), np.ones(10_000), x="x", y="y")
    assert len(drawn) < 20_000


def test_a_binomial_interval_is_wilsons() -> None:
    # Newcombe, Statistics in Medicine 17, 857 (1998), table I: 81 of 263 and 0 of 20, 95 %, method 3.
    assert interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert interval(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@pytest.mark.parametrize("size", [2, 10, 40, 150])
def test_a_confusion_matrix_of_any_size_is_drawn_or_told(size: int) -> None:
    counts = np.eye(size, dtype=np.int64) * 5
    counts[0, 1] = 7
    drawn = confusion(counts, [f"class {n}" for n in range(size)])
    assert "class 0" in drawn and ">7<" in drawn
    assert ("<rect" in drawn) == (size <= 100)
    assert len(drawn) < 400_000


def test_no_confusion_is_said() -> None:
    assert "Every test sample was classified correctly." in confusion(np.eye(3, dtype=np.int64), "abc")
