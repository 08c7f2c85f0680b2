from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from physnet.contracts import DriveSpec, Flag, PhysicalSystem, Reading, ResponseSpec, SystemSpec
from physnet.errors import ResponseError, SpecError
from physnet.function_system import system


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": ()}, "shape must hold at least one axis"),
        ({"shape": (3, 0)}, "shape must hold at least one axis"),
        ({"shape": (-1,)}, "shape must hold at least one axis"),
        ({"shape": (2.0,)}, "shape must hold at least one axis"),
        ({"axes": ("y", "x")}, "axes must name each axis"),
        ({"dtype": "volt"}, "must be a NumPy type name such as 'float32', got 'volt'"),
        ({"dtype": "bool"}, "must be an integer, real or complex type"),
        ({"dtype": "str"}, "must be an integer, real or complex type"),
        ({"low": (0.0, 0.0)}, "low must be one number or one per channel, got 2 numbers for 3 channels"),
        ({"high": (1.0,) * 4}, "high must be one number or one per channel, got 4 numbers for 3 channels"),
        ({"low": 1.0}, "finite with low < high"),
        ({"low": 2.0}, "finite with low < high"),
        ({"low": (0.0, 0.0, 1.0)}, "finite with low < high in every channel"),
        ({"low": math.nan}, "finite with low < high"),
        ({"high": math.inf}, "finite with low < high"),
        ({"low": -1.0, "domain": "non_negative"}, "low must be >= 0 in domain 'non_negative', got -1 V"),
        *(
            ({name: value}, f"{name} must be > 0 V")
            for name in ("max_rms", "max_sum", "max_slew")
            for value in (0.0, -1.0, math.nan, math.inf)
        ),
    ],
)
def test_a_drive_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        DriveSpec(**{"shape": (3,), "unit": "V", **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shape": ()}, "response shape must hold"),
        ({"axes": ("y", "x")}, "response axes must name"),
        ({"dtype": "nonsense"}, "response dtype must be a NumPy type name"),
        ({"dtype": "object"}, "response dtype must be an integer, real or complex"),
        *(({"full_scale": value}, "full_scale must be > 0 W") for value in (0.0, -1.0, math.nan, math.inf)),
    ],
)
def test_a_response_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ResponseSpec(**{"shape": (3,), "unit": "W", **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "name must not be empty"),
        ({"max_batch": 0}, "max_batch of bench must be >= 1 row, got 0"),
        ({"max_batch": -3}, "max_batch of bench must be >= 1 row"),
        ({"repeatable": True, "stateful": True}, "repeatable and stateful"),
    ],
)
def test_a_system_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "name": "bench",
        "kind": "simulated",
        "drive": DriveSpec(shape=(1,)),
        "response": ResponseSpec(shape=(1,)),
    }
    with pytest.raises(SpecError, match=message):
        SystemSpec(**{**given, **fields})


def test_a_range_is_told_per_channel_in_row_major_order() -> None:
    spec = DriveSpec(shape=(2, 2), low=(0.0, 1.0, 2.0, 3.0), high=9)
    assert spec.channels == 4
    assert spec.low_array.tolist() == [0, 1, 2, 3]
    assert spec.high_array.tolist() == [9, 9, 9, 9]


@pytest.mark.parametrize(("dtype", "expected"), [("float32", False), ("complex64", True), ("complex128", True)])
def test_a_response_says_whether_it_has_a_phase(dtype: str, expected: bool) -> None:
    assert ResponseSpec(shape=(2, 3), dtype=dtype).complex is expected
    assert ResponseSpec(shape=(2, 3), dtype=dtype).channels == 6


def test_specs_are_frozen() -> None:
    spec = DriveSpec(shape=(1,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.high = 100.0  # type: ignore[misc]


def test_specs_compare_by_value_and_identity_does_not_count() -> None:
    def spec(**identity: Any) -> SystemSpec:
        drive, response = DriveSpec(shape=(1,)), ResponseSpec(shape=(1,))
        return SystemSpec(name="bench", kind="simulated", drive=drive, response=response, identity=identity)

    assert spec(serial=1) == spec(serial=2)
    assert DriveSpec(shape=(1,)) != DriveSpec(shape=(1,), high=2.0)


@pytest.mark.parametrize("name", ["valid", "flags", "spread"])
@pytest.mark.parametrize("length", [None, 0, 3, 5])
def test_a_reading_whose_parts_disagree_on_the_rows_is_refused(name: str, length: int | None) -> None:
    part = np.array(1.0) if length is None else np.ones((length, 2))
    more: dict[str, Any] = {name: part}
    with pytest.raises(ResponseError, match=f"{name} must have shape"):
        Reading(response=np.zeros((4, 2)), **more)


@pytest.mark.parametrize("response", [np.array(1.0), torch.tensor(1.0)])
def test_a_single_number_is_no_reading(response: Any) -> None:
    with pytest.raises(ResponseError, match="must have a row axis first"):
        Reading(response=response)


@pytest.mark.parametrize("response", [np.zeros((4, 2)), torch.zeros(4, 2), np.zeros(4)])
def test_the_length_of_a_reading_is_its_rows(response: Any) -> None:
    assert len(Reading(response=response, valid=np.ones(4, np.bool_), flags=np.zeros(4, np.uint8))) == 4


def test_the_bits_of_the_flags_never_change() -> None:
    # They are written to sessions.
    assert {flag.name: int(flag) for flag in Flag} == {
        "CLIPPED": 1,
        "LOW_SIGNAL": 2,
        "UNSETTLED": 4,
        "RETRIED": 8,
        "MISTIMED": 16,
    }


def test_a_function_in_a_system_meets_the_contract() -> None:
    assert isinstance(system(lambda drive: drive, drives=1, responses=1), PhysicalSystem)
    assert not isinstance(object(), PhysicalSystem)
