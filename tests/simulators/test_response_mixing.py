from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physnet.contracts import PhysicalSystem
from physnet.errors import SpecError
from physnet.passes import Purpose, pass_numbers
from physnet.simulators.impairments import Impaired
from physnet.simulators.response_mixing import SuddenChange
from physnet.testing import SystemConformance, random_drives

from .wire import Wire, answer


class TestCrosstalk(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Impaired(Wire(shape=(3, 1, 4), dtype="complex64", low=0.0), crosstalk=0.1, noise=0.1)


class TestSuddenChange(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Impaired(Wire(shape=(3, 4)), change=SuddenChange(epoch=0, share=0.5), noise=0.1)


def test_a_channel_gives_its_share_to_each_neighbour() -> None:
    wire = Wire(shape=(5,))
    value = answer(Impaired(wire, crosstalk=0.25), np.eye(5))
    expected = 0.5 * np.eye(5) + 0.25 * (np.eye(5, k=1) + np.eye(5, k=-1))
    expected[0, 0] = expected[4, 4] = 0.75
    assert np.array_equal(value, expected)  # quarters are exact
    assert Impaired(wire, crosstalk=0.25).spec.repeatable


@pytest.mark.parametrize("shape", [(1,), (2,), (9,), (4, 5), (3, 1, 2)])
def test_crosstalk_keeps_the_sum_and_leaves_an_even_response_alone(shape: tuple[int, ...]) -> None:
    wire = Wire(shape=shape)
    system = Impaired(wire, crosstalk=0.3)
    drive: Any = random_drives(wire.spec, rows=20)
    total = drive.reshape(20, -1).sum(1)
    # float64 over at most 20 channels and a few operations each.
    assert np.allclose(answer(system, drive).reshape(20, -1).sum(1), total, rtol=0, atol=1e-13)
    even = np.full((1, *shape), 0.7)
    assert np.allclose(answer(system, even), even, rtol=0, atol=1e-15)


def test_crosstalk_acts_on_both_axes_of_an_image() -> None:
    drive = np.zeros((1, 5, 5))
    drive[0, 2, 2] = 1.0
    kernel = np.array([0.1, 0.8, 0.1])
    value = answer(Impaired(Wire(shape=(5, 5)), crosstalk=0.1), drive)
    assert np.allclose(value[0, 1:4, 1:4], np.outer(kernel, kernel), rtol=0, atol=1e-15)


def numbers(epoch: int, step: int, purpose: Purpose = Purpose.TRAIN) -> Any:
    return pass_numbers(purpose, epoch=epoch, step=step, rows=4)


def test_a_change_strikes_at_its_step_whatever_the_rows_are_for() -> None:
    system = Impaired(Wire(shape=(40,)), change=SuddenChange(epoch=3, step=7, share=0.25), seed=5)
    drive: Any = random_drives(system.spec, rows=4)

    def after(epoch: int, step: int, purpose: Purpose = Purpose.TRAIN) -> Any:
        return np.asarray(system.measure(drive, numbers(epoch, step, purpose)).response)

    for early in ((0, 9), (2, 100_000), (3, 6)):
        assert np.array_equal(after(*early), drive)
        assert np.array_equal(after(*early, Purpose.VALIDATE), drive)
    changed = after(3, 7)
    for late in ((3, 8), (4, 0), (900, 0)):
        assert np.array_equal(after(*late), changed)
    # Between two epochs, whatever minibatch of the validation or look it is.
    for between in (Purpose.VALIDATE, Purpose.SENTINEL):
        assert np.array_equal(after(3, 8, between), drive) and np.array_equal(after(4, 0, between), changed)
    # After training, though the numbers begin at 0.
    for end in (Purpose.TEST, Purpose.PREDICT):
        assert np.array_equal(after(0, 0, end), changed)
    # A quarter of 40 channels took part, and none of them is where it was; the others are.
    assert np.count_nonzero(np.any(changed != drive, axis=0)) == 10
    assert np.array_equal(np.sort(changed, axis=1), np.sort(drive, axis=1))
    other = Impaired(Wire(shape=(40,)), change=SuddenChange(epoch=0, share=0.25), seed=6)
    assert not np.array_equal(answer(other, drive), changed)


def test_a_change_within_a_batch_strikes_the_rows_after_it() -> None:
    system = Impaired(Wire(dtype="complex64", low=0.0), change=SuddenChange(epoch=1, share=1.0))
    drive: Any = random_drives(system.spec, rows=8)
    mixed = np.concatenate((numbers(0, 5), numbers(1, 0)))
    value = np.asarray(system.measure(drive, mixed).response)
    assert np.array_equal(value[:4], drive[:4]) and not np.any(value[4:] == drive[4:])
    order = np.random.default_rng(0).permutation(8)
    assert np.array_equal(np.asarray(system.measure(drive[order], mixed[order]).response), value[order])


def test_a_change_makes_a_system_reproducible_but_not_repeatable() -> None:
    spec = Impaired(Wire(), change=SuddenChange(epoch=1)).spec
    assert spec.reproducible and not spec.repeatable and not spec.stateful
    assert spec.identity["impairments"]["change"] == {"epoch": 1, "step": 0, "share": 0.1}


def test_mixing_that_makes_no_sense_is_refused() -> None:
    for bad in (
        {"epoch": -1},
        {"epoch": 0, "step": 1 << 18},
        {"epoch": 0, "share": 0.0},
        {"epoch": 0, "share": np.nan},
    ):
        with pytest.raises(SpecError, match="of a change must be"):
            SuddenChange(**bad)
    for share in (0.6, -0.1, float("nan")):
        with pytest.raises(SpecError, match="crosstalk"):
            Impaired(Wire(), crosstalk=share)
    with pytest.raises(SpecError, match="one channel"):
        Impaired(Wire(shape=(1,)), change=SuddenChange(epoch=0))
