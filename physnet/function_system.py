"""A user's first system: any function of arrays."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Required, Self, TypedDict, Unpack, overload

import numpy as np

from .contracts import ArrayKind, Cost, Domain, DriveSpec, Kind, Passes, Reading, ResponseSpec, SystemSpec
from .errors import SpecError

Function = Callable[[Any], Any]
Place = Literal["medium", "detector", "digital"]


class SystemOptions(TypedDict, total=False):
    """Keywords of `system`, for type checkers."""

    drives: Required[int | tuple[int, ...]]
    responses: Required[int | tuple[int, ...]]
    drive_range: tuple[float, float]
    drive_unit: str
    response_unit: str
    domain: Domain
    dtype: str
    response_dtype: str | None
    kind: Kind
    name: str | None
    repeatable: bool
    reproducible: bool
    stateful: bool
    nonlinearity: frozenset[Place]
    cost: Cost | None
    resource: str
    max_batch: int | None
    array: ArrayKind
    device: str


class FunctionSystem:
    """A function of a batch of drives, dressed as a physical system. Made by `physnet.system`."""

    def __init__(self, function: Function, spec: SystemSpec) -> None:
        self._function = function
        self._spec = spec

    @property
    def spec(self) -> SystemSpec:
        """The system's description of itself."""
        return self._spec

    def measure(self, drive: Any, passes: Passes) -> Reading:
        """Call the function on a batch."""
        started = time.time()
        response = self._function(drive)
        if not hasattr(response, "shape"):
            response = np.asarray(response)
        return Reading(response=response, started=started, stopped=time.time())

    def __call__(self, drive: Any) -> Any:
        """Call the plain function: decorating it does not hide it."""
        return self._function(drive)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        return None


@overload
def system(function: Function, **options: Unpack[SystemOptions]) -> FunctionSystem: ...
@overload
def system(function: None = None, **options: Unpack[SystemOptions]) -> Callable[[Function], FunctionSystem]: ...
def system(
    function: Function | None = None,
    *,
    drives: int | tuple[int, ...],
    responses: int | tuple[int, ...],
    drive_range: tuple[float, float] = (0.0, 1.0),
    drive_unit: str = "1",
    response_unit: str = "1",
    domain: Domain = "real",
    dtype: str = "float64",
    response_dtype: str | None = None,
    kind: Kind = "simulated",
    name: str | None = None,
    repeatable: bool = False,
    reproducible: bool = False,
    stateful: bool = False,
    nonlinearity: frozenset[Place] = frozenset({"medium"}),
    cost: Cost | None = None,
    resource: str = "",
    max_batch: int | None = None,
    array: ArrayKind = "numpy",
    device: str = "cpu",
) -> FunctionSystem | Callable[[Function], FunctionSystem]:
    """Make a physical system of a function of arrays.

    Say `kind="measured"` when a real instrument answers: a function can't tell, and the default must not pass a
    simulation off as a measurement.

    Args:
        function: Takes a batch of drives `(n, *drives)` and returns the responses `(n, *responses)`. Leave it out to
            use `system` as a decorator.
        drives: Channels, or shape, of one row of drive.
        responses: Channels, or shape, of one row of response.
        drive_range: Lowest and highest value of a channel, in `drive_unit`. Nothing outside is ever sent.
        drive_unit: Unit of the drive.
        response_unit: Unit of the response.
        domain: See `DriveSpec`.
        dtype: Element type the function receives.
        response_dtype: Element type it returns; `dtype` when None.
        kind: See `SystemSpec`.
        name: Name in sessions and messages; the function's own when None.
        repeatable: See `SystemSpec`.
        reproducible: See `SystemSpec`.
        stateful: See `SystemSpec`.
        nonlinearity: See `SystemSpec`.
        cost: See `SystemSpec`.
        resource: See `SystemSpec`.
        max_batch: Most rows of one call.
        array: `numpy` or `torch`.
        device: torch device, with `array="torch"`.

    Returns:
        A `FunctionSystem`; or, without `function`, a decorator that makes one.

    Raises:
        SpecError: The description contradicts itself.
    """
    if function is None:
        options: Any = {key: value for key, value in locals().items() if key != "function"}
        return lambda decorated: system(decorated, **options)
    if not callable(function):
        raise SpecError(f"function must be callable with a batch of drives, got {type(function).__name__}.")
    low, high = drive_range
    spec = SystemSpec(
        name=name or str(getattr(function, "__name__", type(function).__name__)),
        kind=kind,
        drive=DriveSpec(
            shape=_shape(drives),
            low=float(low),
            high=float(high),
            unit=drive_unit,
            dtype=dtype,
            domain=domain,
        ),
        response=ResponseSpec(shape=_shape(responses), unit=response_unit, dtype=response_dtype or dtype),
        nonlinearity=nonlinearity,
        repeatable=repeatable,
        reproducible=reproducible,
        stateful=stateful,
        cost=cost or Cost(),
        resource=resource,
        max_batch=max_batch,
        array=array,
        device=device,
    )
    return FunctionSystem(function, spec)


def _shape(channels: int | tuple[int, ...]) -> tuple[int, ...]:
    axes = channels if isinstance(channels, tuple | list) else (channels,)
    return tuple(int(n) if isinstance(n, np.integer) else n for n in axes)
