from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.allowed_drives import limit_drives, random_drives
from physnet.contracts import DriveSpec, ResponseSpec, SystemSpec
from physnet.errors import SpecError


def system(**drive: Any) -> SystemSpec:
    return SystemSpec(name="box", kind="simulated", drive=DriveSpec(**drive), response=ResponseSpec(shape=(1,)))


def both(spec: SystemSpec) -> NDArray[Any]:
    drive = np.concatenate([np.asarray(random_drives(spec, rows=20)), np.asarray(limit_drives(spec))])
    assert drive.dtype == spec.drive.dtype and drive.shape[1:] == spec.drive.shape
    return drive


@settings(max_examples=60, deadline=None)
@given(
    low=st.floats(-10, 9),
    width=st.floats(0.01, 10),
    dtype=st.sampled_from(["float32", "float64", "float16"]),
    limits=st.dictionaries(st.sampled_from(["max_rms", "max_sum", "max_slew"]), st.floats(0.1, 50)),
)
def test_drives_stay_within_every_limit(low: float, width: float, dtype: str, limits: dict[str, float]) -> None:
    spec = system(shape=(2, 3), low=low, high=low + width, dtype=dtype, **limits)
    try:
        drive = both(spec).astype(np.float64)
    except SpecError:
        assert limits  # the range lies beyond them
        return
    assert np.all((drive >= low) & (drive <= low + width))
    flat = np.abs(drive).reshape(len(drive), -1)
    slack = 1 + 2.0**-10  # half precision
    assert np.all(np.sqrt(np.mean(flat**2, axis=1)) <= limits.get("max_rms", np.inf) * slack)
    assert np.all(flat.sum(axis=1) <= limits.get("max_sum", np.inf) * slack)
    assert np.all(np.abs(np.diff(drive, axis=-1)) <= limits.get("max_slew", np.inf) * slack + 2.0**-6)


def test_binary_drives_take_two_values() -> None:
    drive = both(system(shape=(5,), low=-1, high=2, domain="binary", max_rms=1.9))
    assert set(np.unique(drive)) == {-1.0, 2.0}


def test_complex_drives_stay_within_the_modulus() -> None:
    drive = both(system(shape=(500,), low=0.0, high=0.7, dtype="complex64"))
    assert np.abs(drive.astype(np.complex128)).max() <= 0.7
    assert drive.imag.min() < -0.3 and drive.real.min() < -0.3


def test_limits_are_reached() -> None:
    drive = limit_drives(system(shape=(4,), low=(0.0, -1.0, -2.0, 0.5), high=1.0))
    assert np.asarray(drive)[:2].tolist() == [[0, -1, -2, 0.5], [1, 1, 1, 1]]


def test_the_seed_makes_the_drives() -> None:
    spec = system(shape=(4,))
    assert np.array_equal(random_drives(spec, rows=3, seed=1), random_drives(spec, rows=3, seed=1))
    assert not np.array_equal(random_drives(spec, rows=3, seed=1), random_drives(spec, rows=3, seed=2))
