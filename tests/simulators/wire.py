"""A system that adds nothing, for tests of what is added to systems."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from physnet.contracts import DriveSpec, Passes, PhysicalSystem, Reading, ResponseSpec, SystemSpec


class Wire(PhysicalSystem):
    """A system that gives its drive back: whatever else is seen was added."""

    def __init__(
        self,
        *,
        shape: tuple[int, ...] = (6,),
        dtype: str = "float64",
        low: float = -1.0,
        function: Callable[[Any], Any] = lambda drive: drive,
        response: str = "",
        **spec: Any,
    ) -> None:
        limits = {name: spec.pop(name) for name in ("max_rms", "max_sum", "max_slew", "domain") if name in spec}
        self._function = function
        fixed: dict[str, Any] = {"name": "wire", "kind": "simulated", "repeatable": True, "reproducible": True}
        self._spec = SystemSpec(
            **fixed | spec,
            drive=DriveSpec(shape=shape, low=low, dtype=dtype, **limits),
            response=ResponseSpec(shape=shape, dtype=response or dtype),
        )
        self.open = False
        self.played: Any = None

    @property
    def spec(self) -> SystemSpec:
        return self._spec

    def measure(self, drive: Any, passes: Passes) -> Reading:
        self.played = drive
        response = self._function(drive)
        return Reading(response=response.astype(self._spec.response.dtype) if self._spec.array == "numpy" else response)

    def __enter__(self) -> Self:
        self.open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.open = False


def rows(count: int) -> Passes:
    return np.arange(count, dtype=np.int64)


def answer(system: PhysicalSystem, drive: Any) -> NDArray[Any]:
    return np.asarray(system.measure(drive, rows(len(drive))).response)
