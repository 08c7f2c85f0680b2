"""The digital neighbour does as much arithmetic as it is to, and learns."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from physnet.comparison.digital import RATES, hidden_width, multiply_adds
from physnet.comparison.tasks import Task
from physnet.comparison.training import perform
from physnet.errors import InputError

MakeTask = Callable[..., Task]


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("target", [5_000, 217_000, 2_000_000])
def test_its_width_comes_as_near_as_whole_numbers_allow(target: int, depth: int) -> None:
    width = hidden_width(target, features=64, classes=10, depth=depth)
    reached = {w: multiply_adds([64, *[w] * depth, 10]) for w in (width - 1, width, width + 1)}
    assert abs(reached[width] - target) == min(abs(found - target) for found in reached.values())


def test_it_is_never_without_a_unit() -> None:
    assert hidden_width(1, features=64, classes=10, depth=2) == 1
    with pytest.raises(InputError, match="depth"):
        hidden_width(100, features=64, classes=10, depth=0)


def test_it_learns_digits_and_says_how(task: MakeTask) -> None:
    found = perform(task(kind="digital_network", name="digital", hidden=(30,), epochs=20))
    # 128 samples of ten classes: far above the 10 % of guessing, whatever the split.
    assert found.test_accuracy > 0.5
    assert found.about["learning_rate"] in RATES and found.about["tried"] == len(RATES)
    assert found.inference_work == 64 * 30 + 30 * 10
    # Forward and back, but for the way back to the samples.
    assert found.training_work == 20 * found.train_rows * (3 * 30 * 10 + 2 * 64 * 30)
    assert found.passes == {} and found.physics == ()


def test_without_validation_samples_it_takes_the_usual_step_size(task: MakeTask) -> None:
    one = task("mono_forward", "data.validation_fraction=0")
    found = perform(Task(**{**one.__dict__, "kind": "digital_network", "hidden": (8,), "epochs": 2}))
    assert found.about["learning_rate"] == 1e-3 and math.isnan(found.validation_accuracy)
