"""A converter's levels, range and joint limits, over dtypes and array libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physnet.allowed_drives import limit_drives, random_drives
from physnet.contracts import DriveSpec, ResponseSpec, SystemSpec
from physnet.errors import SpecError
from physnet.simulators.converter import Dac


def system(**drive: Any) -> SystemSpec:
    return SystemSpec(name="box", kind="simulated", drive=DriveSpec(**drive), response=ResponseSpec(shape=(1,)))


@pytest.mark.parametrize("bits", [1, 3, 8])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_a_dac_has_its_levels_and_stays_in_range(bits: int, dtype: str) -> None:
    low, high = 0.1 if dtype == "complex64" else -0.3, 1.0
    spec = system(shape=(500,), dtype=dtype, low=low)
    drive = np.concatenate([np.asarray(random_drives(spec, rows=4)), np.asarray(limit_drives(spec))])
    played = np.asarray(Dac(spec.drive, bits).convert(drive))
    assert played.dtype == drive.dtype
    size = np.abs(played) if dtype == "complex64" else played
    # A modulus computed back from float32 parts: 2^-22.
    slack = 2**-22 if dtype == "complex64" else 0.0
    assert np.all((size.astype(np.float64) >= low - slack) & (size.astype(np.float64) <= high + slack / 4))
    if dtype == "float32":
        assert len(np.unique(played)) <= 2**bits
        assert np.max(np.abs(played - drive)) <= (high - low) / (2**bits - 1) / 2 + 1e-6  # float32


def test_tensors_and_images_are_converted_like_rows_of_numpy() -> None:
    spec = system(shape=(3, 4))
    drive = np.asarray(random_drives(spec, rows=5), dtype=np.float64)
    dac = Dac(spec.drive, 4)
    played = dac.convert(drive)
    assert played.shape == drive.shape
    tensor = torch.from_numpy(drive.copy())
    np.testing.assert_array_equal(np.asarray(dac.convert(tensor)), played)
    np.testing.assert_array_equal(tensor.numpy(), drive)


def test_joint_limits_are_declared_tighter_by_what_rounding_can_add() -> None:
    limits: dict[str, Any] = {"max_rms": 0.5, "max_sum": 2.0, "max_slew": 0.8}
    spec = system(shape=(6,), low=-1.0, **limits)
    dac = Dac(spec.drive, 4)
    step = 2 / 15
    # Half a step a channel, of six channels, and half a step at either end of a difference.
    assert dac.tightened.max_rms == pytest.approx(0.5 - step / 2)
    assert dac.tightened.max_sum == pytest.approx(2.0 - 6 * step / 2)
    assert dac.tightened.max_slew == pytest.approx(0.8 - step)
    assert Dac(system(shape=(6,)).drive, 4).tightened == system(shape=(6,)).drive


@pytest.mark.parametrize(("drive", "message"), [({"dtype": "int16"}, "codes already"), ({"max_sum": 0.5}, "more bits")])
def test_a_drive_that_can_not_be_rounded_is_refused(drive: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Dac(system(shape=(6,), low=0.0, **drive).drive, 1)
