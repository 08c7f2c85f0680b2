from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import physnet
from physnet.contracts import Cost
from physnet.errors import SpecError
from physnet.port import Port


def double(drive: Any) -> Any:
    return 2 * drive


def test_a_plain_function_becomes_a_system() -> None:
    system = physnet.system(double, drives=3, responses=3, drive_range=(-1, 1), drive_unit="V")
    assert system.spec.name == "double"
    assert system.spec.kind == "simulated"
    assert system.spec.drive.shape == system.spec.response.shape == (3,)
    assert (system.spec.drive.low, system.spec.drive.high, system.spec.drive.unit) == (-1, 1, "V")
    with system as opened:
        reading = opened.measure(np.ones((4, 3)), np.arange(4))
    np.testing.assert_array_equal(reading.response, 2 * np.ones((4, 3)))
    assert 0 < reading.started <= reading.stopped


def test_as_a_decorator_it_takes_options_and_leaves_the_function_callable() -> None:
    decorate = physnet.system(drives=(2, 3), responses=2, kind="measured", name="cavity", max_batch=5, dtype="float32")
    cavity = decorate(lambda drive: drive.sum(-1))
    assert cavity.spec.name == "cavity"
    assert cavity.spec.kind == "measured"
    assert cavity.spec.drive.shape == (2, 3)
    assert cavity.spec.max_batch == 5
    assert cavity.spec.response.dtype == "float32"
    np.testing.assert_array_equal(cavity(np.ones((1, 2, 3))), [[3, 3]])


def test_every_option_reaches_the_spec() -> None:
    system = physnet.system(
        double,
        drives=1,
        responses=1,
        response_unit="W",
        response_dtype="complex64",
        domain="phase",
        stateful=True,
        reproducible=True,
        nonlinearity=frozenset({"detector"}),
        cost=Cost(per_pass=1.0),
        resource="bench",
        array="torch",
        device="cpu",
    )
    spec = system.spec
    assert (spec.response.unit, spec.response.dtype, spec.drive.domain) == ("W", "complex64", "phase")
    assert (spec.stateful, spec.reproducible, spec.repeatable) == (True, True, False)
    assert spec.nonlinearity == frozenset({"detector"})
    assert (spec.cost.per_pass, spec.resource, spec.array) == (1.0, "bench", "torch")


def test_a_function_may_return_lists() -> None:
    system = physnet.system(lambda drive: drive.tolist(), drives=2, responses=2)
    reading = Port(system).measure(torch.ones(3, 2), np.arange(3))
    assert torch.equal(torch.as_tensor(reading.response), torch.ones(3, 2))


def test_a_callable_object_lends_its_class_name() -> None:
    class Bench:
        def __call__(self, drive: Any) -> Any:
            return drive

    assert physnet.system(Bench(), drives=1, responses=1).spec.name == "Bench"


@pytest.mark.parametrize(
    "options",
    [
        {"function": 3},
        {"drives": 0},
        {"responses": ()},
        {"drive_range": (1, 1)},
        {"drive_range": (1, 0)},
        {"max_batch": 0},
        {"dtype": "bool"},
        {"repeatable": True, "stateful": True},
        {"domain": "non_negative", "drive_range": (-1, 1)},
    ],
)
def test_a_description_that_contradicts_itself_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        physnet.system(**{"function": double, "drives": 1, "responses": 1, **options})


def test_sizes_may_be_numpy_integers() -> None:
    channels: Any = np.prod((4, 5))
    pair: Any = (channels, np.int32(2))
    system = physnet.system(double, drives=channels, responses=pair)
    assert system.spec.drive.shape == (20,)
    assert system.spec.response.shape == (20, 2)


@pytest.mark.parametrize("channels", [2.0, "2", None])
def test_sizes_that_are_no_integers_are_refused(channels: Any) -> None:
    with pytest.raises(SpecError):
        physnet.system(double, drives=channels, responses=1)
