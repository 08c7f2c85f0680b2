"""A control's passes are its own, and shuffled responses belong to nobody."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import physnet
from physnet.controls.ports import ControlPort
from physnet.errors import InputError
from physnet.passes import Purpose, as_control, pass_numbers

RUN = (Purpose.STANDARDISE, Purpose.TRAIN, Purpose.VALIDATE, Purpose.TEST)


@physnet.system(drives=2, responses=2, drive_range=(0, 1000))
def mirror(drive: np.ndarray) -> np.ndarray:
    return drive.copy()


def through(passes: np.ndarray, *, shuffle: bool) -> np.ndarray:
    """Row numbers as they come back through a control's port."""
    port = ControlPort(physnet.Port(mirror, seed=4), mirror, shuffle=shuffle)
    drive = torch.arange(len(passes), dtype=torch.float32)[:, None].repeat(1, 2)
    with port:
        return np.asarray(port.measure(drive, passes).response)[:, 0]


def test_control_passes_are_unlike_each_other_and_unlike_the_run_s() -> None:
    blocks = [
        pass_numbers(purpose, epoch=epoch, step=2, layer=layer, rows=5)
        for purpose in RUN
        for epoch in (0, 9000)
        for layer in (0, 15)
    ]
    own = np.concatenate(blocks)
    moved = as_control(own)
    assert len(np.unique(np.concatenate([own, moved]))) == 2 * len(own)
    assert set(moved >> 59) == {Purpose.CONTROL}
    assert moved.min() >= 0


def test_a_seventeenth_layer_or_a_foreign_purpose_is_refused() -> None:
    with pytest.raises(InputError, match="16 layers"):
        as_control(pass_numbers(Purpose.TRAIN, layer=16, rows=1))
    with pytest.raises(InputError, match="standardising, training"):
        as_control(pass_numbers(Purpose.PREDICT, rows=1))


@pytest.mark.parametrize("rows", [2, 3, 50])
def test_shuffled_responses_are_all_there_and_none_in_its_place(rows: int) -> None:
    found = through(pass_numbers(Purpose.TRAIN, rows=rows), shuffle=True)
    assert sorted(found) == list(range(rows))
    assert not np.any(found == np.arange(rows))


def test_each_presentation_is_shuffled_anew_and_repeatably() -> None:
    first, again, other = (through(pass_numbers(Purpose.TRAIN, step=step, rows=40), shuffle=True) for step in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_without_shuffling_each_row_gets_its_own_response() -> None:
    np.testing.assert_array_equal(through(pass_numbers(Purpose.TEST, rows=9), shuffle=False), np.arange(9))
