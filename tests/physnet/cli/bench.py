"""Systems as users write them, good and bad: what the tests' experiments name as `bench.py:NAME`."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import physnet

Array = NDArray[np.float64]

DRIVES, RESPONSES = 64, 30
MATRIX = np.random.default_rng(7).standard_normal((DRIVES, RESPONSES)) / 8
FAILS_FOR_GOOD_AT = 8  # calls; standardisation takes one

Decorator = Callable[[Callable[..., Any]], Any]
wrapped: Decorator = physnet.system(drives=DRIVES, responses=RESPONSES)
in_torch: Decorator = physnet.system(drives=DRIVES, responses=RESPONSES, array="torch", dtype="float32")
on_the_bench: Decorator = physnet.system(drives=DRIVES, responses=RESPONSES, kind="measured", max_batch=16)
too_wide: Decorator = physnet.system(drives=DRIVES + 1, responses=RESPONSES)


def speckle(drive: Array) -> Array:
    return np.abs(drive @ MATRIX)


@wrapped
def plain(drive: Array) -> Array:
    """One in plain NumPy, on float64."""
    if not isinstance(drive, np.ndarray) or drive.dtype != np.float64:
        raise TypeError(f"this bench takes float64, got {type(drive).__name__} {drive.dtype}")
    return speckle(drive)


@in_torch
def no_grad(drive: torch.Tensor) -> torch.Tensor:
    """One that a graph must never reach."""
    if drive.requires_grad:
        raise RuntimeError("a graph reached the physics")
    return (drive @ torch.from_numpy(MATRIX.astype(np.float32))).abs()


@on_the_bench
def instrument(drive: Array) -> Array:
    """One that says it is real, in small portions."""
    return speckle(drive)


class Flaky:
    """One whose cable fails in the middle of every third batch, after some of its rows were measured."""

    def __init__(self) -> None:
        self._inner = physnet.system(speckle, drives=DRIVES, responses=RESPONSES, max_batch=32)
        self._calls = itertools.count()
        self.spec = self._inner.spec

    def __enter__(self) -> Flaky:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def measure(self, drive: Array, passes: NDArray[np.int64]) -> physnet.Reading:
        """Answer, or fail: sometimes with what was measured, sometimes without."""
        call = next(self._calls)
        reading: physnet.Reading = self._inner.measure(drive, passes)
        if call % 6 == 2 and len(drive) > 1:
            half = physnet.Reading(response=reading.response[: len(drive) // 2])
            raise physnet.MeasurementError("the trigger was lost", reading=half)
        if call % 6 == 5:
            raise OSError("the cable was pulled")
        return reading


def _counted(failure: Exception) -> Any:
    calls = itertools.count()

    def function(drive: Array) -> Array:
        if next(calls) >= FAILS_FOR_GOOD_AT:
            raise failure
        return speckle(drive)

    return physnet.system(function, drives=DRIVES, responses=RESPONSES, name="short_lived")


def dies() -> Any:
    """One that stops answering for good in the middle of the run."""
    return _counted(OSError("VISA: no answer from TCPIP0::10.0.0.5"))


def mistaken() -> Any:
    """One with a mistake of its own that shows in the middle of the run."""
    return _counted(TypeError("unsupported operand: 'NoneType'"))


def absent() -> Any:
    """One that nobody switched on."""
    raise ConnectionRefusedError("no instrument at 10.0.0.5")


class Unplugged(Flaky):
    """One whose instrument can't be opened."""

    def __enter__(self) -> Flaky:
        raise OSError("no instrument at 10.0.0.5")


def killer() -> Any:
    """One that takes its process with it at the first training step."""
    calls = itertools.count()

    def function(drive: Array) -> Array:
        if next(calls) >= 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return speckle(drive)

    return physnet.system(function, drives=DRIVES, responses=RESPONSES)


def hog(folder: str = "") -> Any:
    """One whose raw data fill the disk in the middle of the run."""
    calls = itertools.count()

    def function(drive: Array) -> Array:
        if next(calls) == FAILS_FOR_GOOD_AT:
            try:
                with open(Path(folder) / "raw", "wb", buffering=0) as stream:
                    while stream.write(bytes(1 << 12)):
                        pass
            except OSError:
                pass
        return speckle(drive)

    return physnet.system(function, drives=DRIVES, responses=RESPONSES)


class Tidy:
    """One whose raw data fill the disk in the middle of the run, and that makes room when it is left."""

    def __init__(self, folder: str = "") -> None:
        self._inner = hog(folder)
        self._filler = Path(folder) / "raw"
        self.spec = self._inner.spec

    def __enter__(self) -> Tidy:
        return self

    def __exit__(self, *error: object) -> None:
        self._filler.unlink(missing_ok=True)

    def measure(self, drive: Array, passes: NDArray[np.int64]) -> physnet.Reading:
        """Answer."""
        reading: physnet.Reading = self._inner.measure(drive, passes)
        return reading


@wrapped
def nan(drive: Array) -> Array:
    """One that answers with NaN."""
    return np.full((len(drive), RESPONSES), np.nan)


@wrapped
def wrong_shape(drive: Array) -> Array:
    """One that answers with one channel less than it declares."""
    return speckle(drive)[:, 1:]


@wrapped
def rows_lost(drive: Array) -> Array:
    """One that loses a row."""
    return speckle(drive)[1:]


@wrapped
def scalar(drive: Array) -> float:
    """One that answers with one number."""
    return float(speckle(drive).mean())


@wrapped
def nothing(drive: Array) -> None:
    """One that forgot to return."""


@wrapped
def objects(drive: Array) -> NDArray[np.object_]:
    """One that answers with Python objects."""
    return speckle(drive).astype(object)


@wrapped
def text(drive: Array) -> NDArray[np.str_]:
    """One that answers with text."""
    return speckle(drive).astype(str)


@wrapped
def complex_numbers(drive: Array) -> NDArray[Any]:
    """One that answers with complex numbers and declares real ones."""
    return drive @ MATRIX + 1j


@too_wide
def other_width(drive: Array) -> Array:
    """One with more channels than digits have pixels."""
    return speckle(drive[:, :DRIVES])


not_a_system = 3
