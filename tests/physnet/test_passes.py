from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physnet.errors import InputError
from physnet.passes import Purpose, fields_of, pass_numbers

LIMITS = {"epoch": 2**14, "step": 2**18, "layer": 2**6, "first_row": 2**21}
PLACES = st.fixed_dictionaries(
    {"purpose": st.sampled_from(Purpose), **{name: st.integers(0, end - 1) for name, end in LIMITS.items()}}
)


@given(places=st.lists(PLACES, min_size=2, max_size=20, unique_by=lambda place: tuple(place.values())))
@settings(deadline=None)
def test_no_two_places_share_a_number(places: list[dict[str, Any]]) -> None:
    numbers = [int(pass_numbers(**place, rows=1)[0]) for place in places]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < 2**63 for number in numbers)


@given(place=PLACES, rows=st.integers(1, 5000))
@settings(deadline=None)
def test_rows_are_numbered_one_by_one_within_their_place(place: dict[str, Any], rows: int) -> None:
    place["first_row"] = min(place["first_row"], LIMITS["first_row"] - rows)
    numbers = pass_numbers(**place, rows=rows)
    assert numbers.dtype == np.int64
    assert numbers.shape == (rows,)
    assert (np.diff(numbers) == 1).all()
    last = {**place, "first_row": place["first_row"] + rows - 1}
    assert numbers[-1] == pass_numbers(**last, rows=1)[0]


def test_purposes_never_meet() -> None:
    top = {name: end - 1 for name, end in LIMITS.items()}
    ranges = [
        (int(pass_numbers(purpose, rows=1)[0]), int(pass_numbers(purpose, **top, rows=1)[0]))
        for purpose in sorted(Purpose)
    ]
    assert all(below[1] < above[0] for below, above in pairwise(ranges))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("beyond", [-1, 0])
def test_a_field_out_of_its_range_is_refused(name: str, beyond: int) -> None:
    value = -1 if beyond else LIMITS[name]
    place: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=r"of a pass number must be 0 to"):
        pass_numbers(Purpose.TRAIN, rows=1, **place)


@pytest.mark.parametrize(("first", "rows"), [(0, 2**21 + 1), (2**21 - 1, 2), (5, 2**21)])
def test_rows_that_would_run_into_the_next_layer_are_refused(first: int, rows: int) -> None:
    with pytest.raises(InputError, match="row of a pass number"):
        pass_numbers(Purpose.TRAIN, first_row=first, rows=rows)


def test_the_last_row_of_the_last_place_still_fits() -> None:
    numbers = pass_numbers(Purpose.TRAIN, epoch=2**14 - 1, step=2**18 - 1, layer=63, first_row=2**21 - 2, rows=2)
    assert numbers[-1] == (2 << 59) - 1


def test_no_rows_get_no_numbers_and_a_negative_count_is_refused() -> None:
    assert pass_numbers(Purpose.TEST, rows=0).shape == (0,)
    with pytest.raises(InputError):
        pass_numbers(Purpose.TEST, rows=-1)


def test_the_numbers_of_the_purposes_never_change() -> None:
    # They are part of the session format.
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "STANDARDISE": 0,
        "TRAIN": 1,
        "VALIDATE": 2,
        "TEST": 3,
        "PREDICT": 4,
        "CONTROL": 5,
        "CALIBRATE": 6,
        "SENTINEL": 7,
        "DARK": 8,
        "REFERENCE": 9,
    }


@given(place=PLACES)
@settings(deadline=None)
def test_a_number_tells_what_it_was_made_of(place: dict[str, Any]) -> None:
    found = fields_of(pass_numbers(**place, rows=1))
    expected = {**place, "row": place["first_row"], "purpose": int(place["purpose"])}
    assert {name: int(values[0]) for name, values in found.items()} == {
        name: expected[name] for name in ("purpose", "epoch", "step", "layer", "row")
    }
