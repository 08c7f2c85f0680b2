from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.contracts import DriveSpec, ResponseSpec, SystemSpec
from physnet.drives import check_drive, fit_drive
from physnet.errors import DriveError


def system(**drive: Any) -> SystemSpec:
    return SystemSpec(
        name="bench",
        kind="simulated",
        drive=DriveSpec(**{"shape": (3,), "unit": "V", **drive}),
        response=ResponseSpec(shape=(1,)),
    )


def test_a_drive_at_its_limits_passes() -> None:
    check_drive(system(low=-2, high=5), torch.tensor([[-2.0, 5.0, 0.0]]))


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1), (1, 2, 3), ()])
def test_a_drive_of_the_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DriveError, match=r"must have shape \(n, 3\)"):
        check_drive(system(), torch.zeros(shape))


def test_a_flat_drive_stands_for_an_image() -> None:
    spec = system(shape=(2, 3))
    check_drive(spec, torch.zeros(4, 6))
    assert fit_drive(spec.drive, torch.zeros(4, 6)).shape == (4, 2, 3)


def test_the_message_names_value_unit_channel_row_and_way_out() -> None:
    drive = torch.zeros(5, 3)
    drive[2, 1], drive[4, 0] = 1.5, 7
    with pytest.raises(DriveError) as caught:
        check_drive(system(), drive)
    for part in ("bench", "0 to 1 V", "channel 1", "1.5", "row 2", "nothing was sent", "encoder"):
        assert part in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_drive_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(DriveError):
        check_drive(system(), torch.tensor([[0.0, value, 0.0]]))


def test_every_channel_has_its_own_range() -> None:
    spec = system(low=(0.0, 1.0, -1.0), high=(1.0, 2.0, 0.0))
    check_drive(spec, torch.tensor([[1.0, 2.0, -1.0]]))
    with pytest.raises(DriveError, match=r"-1 to 0 V in channel 2, got 0\.5"):
        check_drive(spec, torch.tensor([[1.0, 2.0, 0.5]]))


def test_a_binary_drive_takes_its_two_levels_and_nothing_between() -> None:
    spec = system(low=-1, high=1, domain="binary")
    check_drive(spec, torch.tensor([[-1.0, 1.0, -1.0]]))
    with pytest.raises(DriveError, match="must be -1 or 1 V, got 0 in row 0"):
        check_drive(spec, torch.tensor([[-1.0, 0.0, 1.0]]))


@pytest.mark.parametrize(
    ("limits", "row", "words"),
    [
        ({"max_rms": 0.5}, [0.5, 0.5, 0.51], "root mean square"),
        ({"max_sum": 1.5}, [0.5, 0.5, 0.51], "sum of absolute values"),
        ({"max_slew": 0.5}, [0.0, 0.51, 0.51], "change between neighbours"),
    ],
)
def test_a_joint_limit_is_kept(limits: dict[str, float], row: list[float], words: str) -> None:
    spec = system(low=-1, high=1, **limits)
    allowed = torch.tensor([row]).clamp_max(0.5)
    check_drive(spec, torch.cat([allowed, -allowed]))
    with pytest.raises(DriveError, match=f"{words}.* in row 1"):
        check_drive(spec, torch.cat([allowed, torch.tensor([row])]))


def test_slew_is_counted_along_the_last_axis_alone() -> None:
    spec = system(shape=(2, 2), max_slew=0.1)
    check_drive(spec, torch.tensor([[[0.0, 0.0], [1.0, 1.0]]]))
    with pytest.raises(DriveError, match="neighbours"):
        check_drive(spec, torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]))


def test_the_slew_of_a_complex_drive_is_the_modulus_of_its_change() -> None:
    spec = system(dtype="complex128", max_slew=1.5)
    check_drive(spec, torch.tensor([[1, 1j, -1]], dtype=torch.complex128))
    with pytest.raises(DriveError, match="neighbours"):
        check_drive(spec, torch.tensor([[1, -1, -1]], dtype=torch.complex128))


@given(
    limit=st.floats(1e-3, 1e3),
    excess=st.floats(1e-6, 1.0),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(deadline=None)
def test_an_excess_beyond_rounding_is_always_refused(limit: float, excess: float, dtype: torch.dtype) -> None:
    # The slack is 2^-22 = 2.4e-7 of the range, and float32 rounds by 6e-8: 1e-6 is above both.
    spec = system(high=limit)
    with pytest.raises(DriveError):
        check_drive(spec, torch.tensor([[0.0, 0.0, limit * (1 + excess)]], dtype=dtype))


def test_a_fitted_drive_is_a_contiguous_copy() -> None:
    drive = torch.rand(3, 4).T
    fitted = fit_drive(DriveSpec(shape=(3,), dtype="float32"), drive)
    assert fitted.is_contiguous()
    assert torch.equal(fitted, drive)
    fitted.zero_()
    assert drive.abs().sum() > 0


def test_fitting_leaves_values_inside_the_range_as_they_are() -> None:
    values = torch.tensor([[0.0, 0.25, 1.0]], dtype=torch.float64)
    assert torch.equal(fit_drive(DriveSpec(shape=(3,)), values), values)
    phasors = torch.polar(values, torch.full_like(values, 0.7)) * 0.999
    assert torch.equal(fit_drive(DriveSpec(shape=(3,), dtype="complex128"), phasors), phasors)
    unit = torch.tensor([[1, 1j, -1]], dtype=torch.complex64)
    assert torch.equal(fit_drive(DriveSpec(shape=(3,), dtype="complex64"), unit), unit)
    codes = torch.tensor([[0, 1, 1]], dtype=torch.int16)
    assert torch.equal(fit_drive(DriveSpec(shape=(3,), dtype="int16"), codes), codes)


def test_a_range_without_exact_limits_is_fitted_from_both_sides() -> None:
    spec = DriveSpec(shape=(2,), low=-0.1, high=0.1, dtype="float32")
    fitted = fit_drive(spec, torch.tensor([[-0.1, 0.1]])).numpy().astype(np.float64)
    assert -0.1 <= fitted[0, 0] < -0.0999999
    assert 0.0999999 < fitted[0, 1] <= 0.1
