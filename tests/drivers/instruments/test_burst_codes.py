from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physnet.drivers.instruments.burst_codes import burst_codes, fit_amplitude, four_digits
from physnet.errors import DriveError

UNIT = 0.2 / 32767
codes = st.lists(st.integers(-32767, 32767), min_size=6, max_size=20).map(lambda found: [0, *found, 0])


def test_rows_of_a_channel_follow_each_other() -> None:
    wave_NCT = np.array([[[0.0, 0.1, 0.0], [0.0, 0.2, 0.0]], [[0.1, -0.1, 0.0], [0.0, -0.2, 0.0]]])
    found = burst_codes(wave_NCT, limit=(0.1, 0.2), full=(0.1, 0.2), largest=100, points=(6, 6))
    assert found.tolist() == [[0, 100, 0, 100, -100, 0], [0, 100, 0, 0, -100, 0]] and found.dtype == np.dtype("<i2")


def test_each_channel_has_a_limit_of_its_own() -> None:
    wave_NCT = np.array([[[0.0, 0.1, 0.0], [0.0, 0.2, 0.0]]])
    with pytest.raises(DriveError, match=r"channel 2 of 2 must be within -0\.1 to 0\.1 V, got 0\.2"):
        burst_codes(wave_NCT, limit=(0.2, 0.1), full=(0.2, 0.1), largest=100, points=(1, 9))


@pytest.mark.parametrize(
    ("value", "up", "expected"),
    [(0.246912, True, 0.247), (0.246912, False, 0.2469), (0.4, True, 0.4), (0.4, False, 0.4), (9.9999, True, 10.0)],
)
def test_four_digits(value: float, up: bool, expected: float) -> None:
    assert four_digits(value, up=up) == expected


@given(codes=codes)
def test_a_fitted_amplitude_leaves_the_volts_of_a_code_what_they_are(codes: list[int]) -> None:
    before = np.array(codes, "<i2")
    after, amplitude = fit_amplitude(before, UNIT, 1e-3)
    span = int(after.max()) - int(after.min())
    assert float(f"{amplitude:.3e}") == amplitude >= 1e-3
    # Half a code in the span.
    assert abs(amplitude / span - UNIT) * span <= 0.5 * UNIT * (1 + 1e-9)
    assert after[0] == after[-1] == 0
    if (max(codes) - min(codes)) * UNIT >= 1e-3:
        # Never farther out, and drawn in by at most a thousandth of the span, and the code that is rounded.
        assert (np.abs(after) <= np.abs(before)).all()
        assert np.abs(after.astype(int) - before).max() <= 1e-3 * (max(codes) - min(codes)) + 1


@given(codes=st.lists(st.integers(-160, 160), min_size=6, max_size=20).map(lambda found: [0, *found, 0]))
def test_a_pair_of_samples_spans_what_is_too_small(codes: list[int]) -> None:
    before = np.array(codes, "<i2")
    after, amplitude = fit_amplitude(before, UNIT, 2e-3)  # 328 codes
    assert amplitude == 2e-3 and int(after.max()) - int(after.min()) == 328
    assert after[3:].tolist() == codes[3:] and after[0] == 0
    assert np.abs(after).max() == 164
