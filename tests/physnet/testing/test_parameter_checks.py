"""A system whose parameters are not what it says of them is caught, and a sound one passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, Passes, Reading, ResponseSpec, SystemSpec, Tunable
from physnet.errors import DriveError
from physnet.testing import check_system, inspect_system

GAIN = DriveSpec(shape=(3,), low=0.5, high=2.0)
BITS = DriveSpec(shape=(2, 2), domain="binary")
Values = Mapping[str, NDArray[Any]]


class Gains(Tunable):
    """Three channels with a gain each, and switches that do nothing."""

    spec = SystemSpec(
        name="gains",
        kind="simulated",
        drive=DriveSpec(shape=(3,)),
        response=ResponseSpec(shape=(3,)),
        repeatable=True,
        reproducible=True,
    )

    def __init__(self) -> None:
        self._values, self._version = {"gain": np.ones(3), "bits": np.zeros((2, 2))}, 0

    @property
    def parameters(self) -> Mapping[str, DriveSpec]:
        return {"gain": GAIN, "bits": BITS}

    @property
    def values(self) -> Values:
        return {name: value.copy() for name, value in self._values.items()}

    def configure(self, values: Values) -> int:
        for name, spec in self.parameters.items():
            value = np.asarray(values.get(name, self._values[name])).ravel()
            if not ((value >= spec.low_array) & (value <= spec.high_array)).all():
                raise DriveError(f"{name} must be in range")
        self._values |= {name: np.array(value, dtype=np.float64) for name, value in values.items()}
        self._version += 1
        return self._version

    def measure(self, drive: Any, passes: Passes) -> Reading:
        return Reading(response=drive * self._values["gain"])

    def __enter__(self) -> Gains:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class Shared(Gains):
    @property
    def values(self) -> Values:
        return self._values


class Silent(Gains):
    @property
    def values(self) -> Values:
        return {"gain": self._values["gain"].copy()}


class BeginsOutside(Gains):
    def __init__(self) -> None:
        super().__init__()
        self._values["gain"] = np.zeros(3)


class ResetsTheOthers(Gains):
    def configure(self, values: Values) -> int:
        if "bits" in values:
            self._values["gain"] = np.ones(3) * 0.75
        return super().configure(values)


class TakesAll(Gains):
    def configure(self, values: Values) -> int:
        self._values |= {name: np.array(value, dtype=np.float64) for name, value in values.items()}
        self._version += 1
        return self._version


class WritesThenRefuses(Gains):
    def configure(self, values: Values) -> int:
        self._values = {**self._values, **values}
        return super().configure({})


class RefusesOtherwise(Gains):
    def configure(self, values: Values) -> int:
        try:
            return super().configure(values)
        except DriveError as error:
            raise ValueError(str(error)) from error


class DoesNotCount(Gains):
    def configure(self, values: Values) -> int:
        super().configure(values)
        return 1


BROKEN: dict[str, tuple[Callable[[], Gains], str]] = {
    "hands out its own arrays": (Shared, "values must be copies"),
    "tells one of two": (Silent, "values must tell every parameter"),
    "begins out of bounds": (BeginsOutside, "gain beyond 0.5 to 2.0"),
    "changes others": (ResetsTheOthers, "leave the others"),
    "takes everything": (TakesAll, "got it written"),
    "writes, then refuses": (WritesThenRefuses, "must change nothing"),
    "refuses by another error": (RefusesOtherwise, "got ValueError"),
    "does not count": (DoesNotCount, "grows by one"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_parameters_that_are_not_as_told_are_caught(name: str) -> None:
    factory, words = BROKEN[name]
    messages = [finding.message for finding in inspect_system(factory) if finding.check == "parameters"]
    assert any(words in message for message in messages), messages


def test_sound_parameters_pass() -> None:
    check_system(Gains)
