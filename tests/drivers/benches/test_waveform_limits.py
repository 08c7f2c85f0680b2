"""Axis letters as in the module."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.drivers.benches.waveform_limits import WaveformLimits
from physnet.errors import DriveError, SpecError

RATE = 1e4
# A square wave between silences: peak 1 V, rms sqrt(1/2) V, a step of 2 V in 1e-4 s, half of the row.
ROW_T = np.concatenate([np.zeros(25), np.tile([1.0, -1.0], 25), np.zeros(25)])


def rows() -> NDArray[np.float64]:
    """Return three rows of two channels, of which row 1, channel 1, is twice as large as the others."""
    waveform = np.tile(0.5 * ROW_T, (3, 2, 1))
    waveform[1, 1] *= 2
    return waveform


@pytest.mark.parametrize(
    "name, value, unit",
    [("peak", 1.0, "V"), ("rms", math.sqrt(0.5), "V"), ("slew", 2.0 * RATE, "V/s"), ("duty", 0.5, "of a row")],
)
def test_a_row_beyond_a_limit_is_named_with_value_limit_and_way_out(name: str, value: float, unit: str) -> None:
    waveform = rows()
    if name == "duty":
        waveform[:, :, :50] = 0
        waveform[1, 1] = ROW_T
    limit = 0.99 * value
    with pytest.raises(DriveError) as caught:
        WaveformLimits(**{name: (None, limit)}).check(waveform, RATE)
    text = str(caught.value)
    assert f"{name} of row 1, channel 1" in text and f"{limit:g} {unit}" in text and f"{value:.6g} {unit}" in text
    assert "not sent" in text and ("guard" in text or "amplitude" in text)
    WaveformLimits(**{name: (limit, None)}).check(waveform, RATE)
    # Rounding of a mean of 100 squares: 100 * 1.1e-16.
    WaveformLimits(**{name: (limit, value * (1 + 1e-13))}).check(waveform, RATE)


@pytest.mark.parametrize("sample", [0, -1])
def test_a_row_that_does_not_begin_and_end_at_rest_jumps(sample: int) -> None:
    waveform = np.ones((1, 1, 10))
    waveform[0, 0, sample] = 3.0
    # 3 V to rest in one sample is more than the 2 V to the neighbour.
    WaveformLimits(slew=(3 * RATE,)).check(waveform, RATE)
    with pytest.raises(DriveError, match="slew"):
        WaveformLimits(slew=(2.9 * RATE,)).check(waveform, RATE)


def test_duty_counts_what_is_above_a_hundredth_of_the_rows_own_peak() -> None:
    waveform = np.array([[[0.0, 1.0, 0.009, 0.011]]])
    WaveformLimits(duty=(0.5,)).check(waveform, RATE)
    with pytest.raises(DriveError, match="duty"):
        WaveformLimits(duty=(0.49,)).check(waveform, RATE)
    WaveformLimits(duty=(0.01,)).check(np.zeros((2, 1, 5)), RATE)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_without_any_limit(value: float) -> None:
    waveform = rows()
    waveform[2, 0, 7] = value
    with pytest.raises(DriveError, match="row 2, channel 0, sample 7"):
        WaveformLimits().check(waveform, RATE)


def test_limits_that_make_no_sense_are_refused() -> None:
    for limit in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SpecError, match="rms must be > 0 V"):
            WaveformLimits(rms=(limit,))
    with pytest.raises(SpecError, match="one length"):
        WaveformLimits(peak=(1.0,), rms=(1.0, 1.0))
    with pytest.raises(SpecError, match="one per channel, 2"):
        WaveformLimits(peak=(9.0,)).check(rows(), RATE)
    with pytest.raises(DriveError, match="shape"):
        WaveformLimits().check(rows()[0], RATE)
