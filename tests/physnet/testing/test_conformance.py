from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, Passes, PhysicalSystem, Reading, ResponseSpec, SystemSpec
from physnet.testing import SystemConformance, check_system, inspect_system

SPEC = SystemSpec(
    name="probe",
    kind="simulated",
    drive=DriveSpec(shape=(4,), low=-1.0),
    response=ResponseSpec(shape=(3,), full_scale=4.0),
    repeatable=True,
    reproducible=True,
    max_batch=5,
)
TORCH = dataclasses.replace(
    SPEC,
    array="torch",
    drive=dataclasses.replace(SPEC.drive, dtype="float32"),
    response=dataclasses.replace(SPEC.response, dtype="float32"),
)
REMEMBERS = dataclasses.replace(SPEC, repeatable=False, reproducible=False, stateful=True)


class Probe:
    """Sums neighbours, row by row; every broken system below changes one thing."""

    _spec = SPEC

    @property
    def spec(self) -> SystemSpec:
        return self._spec

    def measure(self, drive: Any, passes: Passes) -> Reading:
        assert 0 < len(drive) <= 5
        return Reading(response=drive[:, 1:] + drive[:, :-1], started=1.0, stopped=2.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        return None


class TorchProbe(Probe):
    _spec = TORCH

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        return drive[:, 1:] + drive[:, :-1]


class Counter(Probe):
    """Remembers how many rows it saw."""

    _spec = REMEMBERS

    def __init__(self) -> None:
        self.count = np.zeros(1)

    def measure(self, drive: Any, passes: Passes) -> Reading:
        response = np.zeros((len(drive), 3)) + (self.count[0] + np.arange(len(drive)))[:, None] / 100
        self.count[0] += len(drive)
        return Reading(response=response)

    def state(self) -> Mapping[str, NDArray[Any]]:
        return {"count": self.count.copy()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.count[:] = state["count"]

    def reset(self) -> None:
        self.count[:] = 0


class TestProbe(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Probe()


class TestTorchProbe(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return TorchProbe()


class TestCounter(SystemConformance):
    def make_system(self) -> PhysicalSystem:
        return Counter()


class TestWithinLimits(SystemConformance):
    """A picture in integer codes with joint limits."""

    def make_system(self) -> PhysicalSystem:
        class Codes(Probe):
            _spec = dataclasses.replace(
                SPEC,
                drive=DriveSpec(shape=(2, 2), low=0, high=255, dtype="uint8", max_rms=100, max_slew=90),
                response=ResponseSpec(shape=(2, 2), dtype="uint8"),
            )

            def measure(self, drive: Any, passes: Passes) -> Reading:
                assert np.all(np.sqrt(np.mean(drive.astype(float) ** 2, axis=(1, 2))) <= 100)
                assert np.all(np.abs(np.diff(drive.astype(float), axis=-1)) <= 90)
                return Reading(response=drive.copy())

        return Codes()


class Restless(Probe):
    def __init__(self) -> None:
        self.reads = 0

    @property
    def spec(self) -> SystemSpec:
        self.reads += 1
        return dataclasses.replace(SPEC, name=f"probe {self.reads}")


class UnknownKind(Probe):
    _spec = dataclasses.replace(SPEC, kind="guessed")  # type: ignore[arg-type]


class Swallowing(Probe):
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        return True


class Fumbling(Probe):
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        if error is not None:
            raise RuntimeError("could not switch off")
        return None


class Stranger(Probe):
    def __enter__(self) -> Self:
        return type(self)()


class OnlyOnce(Probe):
    def __init__(self) -> None:
        if "opened" in _ONCE:
            raise OSError("port is busy")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None:
        if error is not None:
            _ONCE.add("opened")
        return None


_ONCE: set[str] = set()


def altered(change: Callable[[Probe, Any, Passes, Reading], Any], spec: SystemSpec = SPEC) -> type[Probe]:
    """Return a probe whose readings `change` spoils; it may return fields to replace, or another answer."""

    class Altered(Probe):
        _spec = spec

        def measure(self, drive: Any, passes: Passes) -> Reading:
            reading = super().measure(drive, passes)
            answer: Any = change(self, drive, passes, reading)
            return dataclasses.replace(reading, **answer) if isinstance(answer, dict) else answer

    return Altered


def overwrite(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> Reading:
    buffer = vars(probe).setdefault("buffer", np.zeros((5, 3)))
    buffer[: len(drive)] = reading.response
    return dataclasses.replace(reading, response=buffer[: len(drive)])


def write_drive(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    if drive.flags.writeable:
        drive *= 0.5
    return {}


def write_passes(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    passes += 1
    return {}


def insist_on_strides(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    if not drive.flags.c_contiguous:
        raise ValueError("array is not contiguous")
    return {}


def misread_strides(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    return {} if drive.flags.c_contiguous else {"response": np.asarray(reading.response)[::-1]}


def need_grad(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    return {"response": reading.response * torch.ones(1, requires_grad=True)}


def draw(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    np.random.random()
    return {}


def draw_torch(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    torch.rand(1)
    return {}


def draw_python(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    random.random()
    return {}


def vary(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    return {"response": np.asarray(reading.response) + (passes[:, None] % 17) / 100}


def vary_in_time(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    vars(probe)["calls"] = vars(probe).get("calls", 0) + 1
    return {"response": np.asarray(reading.response) + vars(probe)["calls"] / 100}


def vary_with_neighbours(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    return {"response": np.asarray(reading.response) + 1e-9 * drive.sum()}


def forget_large(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    if len(drive) > 4:
        raise MemoryError("sequence memory is full")
    return {}


def tensor(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    return {"response": torch.from_numpy(reading.response)}


def few(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    return {"response": reading.response[:, :2]}


def wide_flags(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    return {"flags": np.zeros(len(drive), np.int64)}


def at_limit_nan(probe: Probe, drive: Any, passes: Passes, reading: Reading) -> dict[str, Any]:
    return {"response": np.where(np.abs(reading.response) >= 2, np.nan, reading.response)}


class Forgetful(Counter):
    def state(self) -> Mapping[str, NDArray[Any]]:
        return {"count": np.zeros(1)}


class Sharing(Counter):
    def reset(self) -> None:
        self.count[:] = 1


class Untidy(Probe):
    _spec = REMEMBERS


class OffForward(TorchProbe):
    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        return super().forward(drive, passes) * (1 + 1e-6)


class DetachedForward(TorchProbe):
    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        return super().forward(drive, passes).detach()


class SteepForward(TorchProbe):
    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        return super().forward(drive, passes) + (drive[:, 1:] * 0).abs().sqrt()


BROKEN: dict[str, tuple[Callable[[], Any], str, str]] = {
    "changing spec": (Restless, "spec", "must not change"),
    "unknown kind": (UnknownKind, "spec", "'guessed'"),
    "swallows exceptions": (Swallowing, "entering and leaving", "swallowed"),
    "raises while leaving": (Fumbling, "entering and leaving", "could not switch off"),
    "enters as another": (Stranger, "entering and leaving", "return self"),
    "stays open": (OnlyOnce, "entering and leaving", "port is busy"),
    "no reading": (altered(lambda s, d, p, r: np.asarray(r.response)), "response", "must return"),
    "wrong library": (
        altered(lambda s, d, p, r: {"response": torch.from_numpy(r.response)}),
        "response",
        "array of numpy",
    ),
    "wrong shape": (
        altered(lambda s, d, p, r: {"response": np.asarray(r.response)[:, :2]}),
        "response",
        "shape (5, 3)",
    ),
    "rows missing": (altered(lambda s, d, p, r: {"response": np.asarray(r.response)[1:]}), "batches", "must give"),
    "wrong dtype": (altered(lambda s, d, p, r: {"response": np.float32(r.response)}), "response", "float64"),
    "not finite": (altered(lambda s, d, p, r: {"response": r.response * np.nan}), "response", "in the range"),
    "not finite at a limit": (altered(at_limit_nan), "response", "at a limit"),
    "wrong valid": (altered(lambda s, d, p, r: {"valid": np.ones(len(d))}), "response", "valid must be bool"),
    "wrong flags": (
        altered(lambda s, d, p, r: {"flags": np.zeros(len(d), np.int64)}),
        "response",
        "flags must be uint8",
    ),
    "ends before it starts": (altered(lambda s, d, p, r: {"stopped": 0.5}), "response", "later than stopped"),
    "no shots": (altered(lambda s, d, p, r: {"shots": 0}), "response", "shots"),
    "wrong spread": (altered(lambda s, d, p, r: {"spread": np.zeros(len(d))}), "response", "spread must"),
    "beyond full scale": (altered(lambda s, d, p, r: {"response": 9 * r.response}), "full scale", "full scale of 4"),
    "max_batch too large": (altered(forget_large), "batches", "sequence memory"),
    "writes to the drive": (altered(write_drive), "drive is left alone", "write to the drive"),
    "writes to the passes": (altered(write_passes), "drive is left alone", "write to the pass numbers"),
    "insists on strides": (altered(insist_on_strides), "drive is left alone", "any strides"),
    "misreads strides": (altered(misread_strides), "drive is left alone", "depend on the strides"),
    "reuses its buffer": (altered(overwrite), "reading is kept", "overwritten"),
    "needs grad": (altered(need_grad, TORCH), "no graph", "no_grad"),
    "draws from numpy": (altered(draw), "global random state", "numpy"),
    "draws from torch": (altered(draw_torch), "global random state", "torch"),
    "draws from python": (altered(draw_python), "global random state", "random"),
    "not repeatable": (altered(vary), "repeatable", "repeatable=False"),
    "not reproducible": (altered(vary_in_time), "reproducible", "reproducible=False"),
    "depends on neighbours": (altered(vary_with_neighbours), "reproducible", "order and batch"),
    "no state": (Untidy, "state", "state, restore and reset"),
    "incomplete state": (Forgetful, "state", "restore must"),
    "incomplete reset": (Sharing, "state", "reset must"),
    "forward differs": (OffForward, "forward", "same numbers"),
    "forward detached": (DetachedForward, "forward", "detached"),
    "forward too steep": (SteepForward, "forward", "finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_system_is_caught(name: str) -> None:
    _ONCE.clear()
    factory, check, words = BROKEN[name]
    findings = inspect_system(factory)
    messages = [finding.message for finding in findings if finding.check == check]
    assert any(words in message for message in messages), findings
    with pytest.raises(AssertionError, match="does not keep to"):
        _ONCE.clear()
        check_system(factory)


def test_a_sound_system_passes_without_pytest() -> None:
    for factory in (Probe, TorchProbe, Counter):
        check_system(factory, rows=6, seed=3)


def test_order_needs_two_rows() -> None:
    with pytest.raises(ValueError, match=">= 2"):
        inspect_system(Probe, rows=1)
