"""The seam: what a physical system is to everything above it.

A system has a frozen `spec` and one verb, `measure`. Nothing below this contract is visible above it, and nothing above
it is visible below.

Axis letters: none here; a batch is always the first axis, `n` rows.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import ResponseError, SpecError

Array = NDArray[Any] | torch.Tensor
Passes = NDArray[np.int64]
Kind = Literal["measured", "simulated", "replay", "twin"]
Domain = Literal["real", "non_negative", "phase", "binary"]
ArrayKind = Literal["numpy", "torch"]


@dataclass(frozen=True, kw_only=True)
class DriveSpec:
    """What may be played into a system.

    Args:
        shape: Shape of one row, for example `(20,)` or `(32, 32)`.
        low: Lowest value of a channel, in `unit`: one number for all, or one per channel (row-major over `shape`). For
            a complex dtype the range is that of the modulus.
        high: Highest value of a channel, in `unit`.
        unit: UDUNITS string, `"1"` when dimensionless.
        dtype: NumPy name of the element type that `measure` receives.
        domain: `real`; `non_negative`; `phase` (rad, periodic); `binary` (only `low` and `high` themselves).
        axes: A name for each axis of `shape`.
        max_rms: Highest root mean square over the channels of a row, in `unit`.
        max_sum: Highest sum of absolute values over the channels of a row, in `unit`: the joint peak of tones that may
            add up in phase.
        max_slew: Highest change between neighbours along the last axis, in `unit`.

    Raises:
        SpecError: The fields contradict each other.
    """

    shape: tuple[int, ...]
    low: float | tuple[float, ...] = 0.0
    high: float | tuple[float, ...] = 1.0
    unit: str = "1"
    dtype: str = "float64"
    domain: Domain = "real"
    axes: tuple[str, ...] = ()
    max_rms: float | None = None
    max_sum: float | None = None
    max_slew: float | None = None

    def __post_init__(self) -> None:
        _check_shape("drive", self.shape, self.axes)
        _check_dtype("drive", self.dtype)
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.channels:
                raise SpecError(
                    f"drive {name} must be one number or one per channel, got {len(value)} numbers for "
                    f"{self.channels} channels of shape {self.shape}. Repeat or trim them."
                )
        low, high = self.low_array, self.high_array
        if not bool(np.all(np.isfinite(low) & np.isfinite(high) & (low < high))):
            raise SpecError(
                f"drive range must be finite with low < high in every channel, got low {self.low} {self.unit}, "
                f"high {self.high} {self.unit}. A black box without a stated range can't be driven safely."
            )
        if self.domain == "non_negative" and bool(np.any(low < 0)):
            raise SpecError(f"drive low must be >= 0 in domain 'non_negative', got {low.min():g} {self.unit}.")
        for name in ("max_rms", "max_sum", "max_slew"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise SpecError(f"drive {name} must be > 0 {self.unit}, got {value}. Leave it out for no limit.")

    @property
    def channels(self) -> int:
        """Number of values in one row."""
        return math.prod(self.shape)

    @property
    def low_array(self) -> NDArray[np.float64]:
        """Lowest value per channel, shape `(channels,)`, in `unit`."""
        return np.broadcast_to(np.asarray(self.low, dtype=np.float64), (self.channels,))

    @property
    def high_array(self) -> NDArray[np.float64]:
        """Highest value per channel, shape `(channels,)`, in `unit`."""
        return np.broadcast_to(np.asarray(self.high, dtype=np.float64), (self.channels,))


@dataclass(frozen=True, kw_only=True)
class ResponseSpec:
    """What comes back from a system.

    Args:
        shape: Shape of one row.
        unit: UDUNITS string, `"1"` when dimensionless.
        dtype: NumPy name of the element type; may be complex.
        axes: A name for each axis of `shape`.
        full_scale: Largest absolute value the detector can tell apart, in `unit`; None when there is no such limit.

    Raises:
        SpecError: The fields contradict each other.
    """

    shape: tuple[int, ...]
    unit: str = "1"
    dtype: str = "float64"
    axes: tuple[str, ...] = ()
    full_scale: float | None = None

    def __post_init__(self) -> None:
        _check_shape("response", self.shape, self.axes)
        _check_dtype("response", self.dtype)
        if self.full_scale is not None and not 0 < self.full_scale < math.inf:
            raise SpecError(f"response full_scale must be > 0 {self.unit}, got {self.full_scale}.")

    @property
    def channels(self) -> int:
        """Number of values in one row."""
        return math.prod(self.shape)

    @property
    def complex(self) -> bool:
        """Whether the response has a phase."""
        return np.dtype(self.dtype).kind == "c"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a measurement costs, in s. Zero where unknown.

    Args:
        per_pass: One row presented.
        per_batch: One call of `measure`, beside its rows.
        settle: From a drive to a response that can be read.
        parameter_write: One call of `configure`.
    """

    per_pass: float = 0.0
    per_batch: float = 0.0
    settle: float = 0.0
    parameter_write: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SystemSpec:
    """A system's description of itself. What is not declared here is not assumed.

    Args:
        name: Short name, as sessions and messages show it.
        kind: `measured` on a real instrument, `simulated`, `replay` of a session, or `twin`, fitted to one.
        drive: What may be played.
        response: What comes back.
        nonlinearity: Where the system is nonlinear: any of `medium`, `detector`, `digital`. Empty for a linear system.
        repeatable: The same drive gives the same response, so that it may be cached.
        reproducible: The same drive and pass number give the same response, so that a run can be resumed to the bit.
        stateful: A response depends on earlier rows, or on when it was taken.
        cost: What a measurement costs.
        resource: Two systems with the same resource can't measure at once. Empty: the system is its own resource.
        max_batch: Most rows of one call; None for no limit.
        array: Array library that `measure` takes and returns.
        device: torch device of a system with `array="torch"`.
        identity: Whatever tells this unit from another of its kind: an `*IDN?` answer, seeds, parameters. Plain values.
            What is known only once the system is open stands in a dictionary `found`, which it fills then: who
            answered (`instruments`), how it was calibrated (`calibration`), and its faults so far by kind (`faults`).

    Raises:
        SpecError: The fields contradict each other.
    """

    name: str
    kind: Kind
    drive: DriveSpec
    response: ResponseSpec
    nonlinearity: frozenset[Literal["medium", "detector", "digital"]] = frozenset()
    repeatable: bool = False
    reproducible: bool = False
    stateful: bool = False
    cost: Cost = field(default_factory=Cost)
    resource: str = ""
    max_batch: int | None = None
    array: ArrayKind = "numpy"
    device: str = "cpu"
    identity: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if not self.name:
            raise SpecError("a system's name must not be empty: sessions and messages refer to it.")
        if self.max_batch is not None and self.max_batch < 1:
            raise SpecError(f"max_batch of {self.name} must be >= 1 row, got {self.max_batch}.")
        if self.repeatable and self.stateful:
            raise SpecError(
                f"{self.name} declares itself repeatable and stateful. A system that remembers does not repeat itself: "
                "drop one of the two."
            )

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, for a session or JSON."""
        values = dataclasses.asdict(self)
        values["nonlinearity"] = sorted(self.nonlinearity)
        values["identity"] = dict(self.identity)
        return values

    @property
    def found(self) -> Mapping[str, Any]:
        """What the system found out when it was opened; empty before, and where it looks for nothing."""
        found = self.identity.get("found")
        return found if isinstance(found, Mapping) else {}


class Flag(enum.IntFlag):
    """What happened to a row, beside its response."""

    NONE = 0
    CLIPPED = 1
    """A detector or a converter reached its limit."""
    LOW_SIGNAL = 2
    """The signal was too weak to mean much."""
    UNSETTLED = 4
    """The response was read before it settled."""
    RETRIED = 8
    """The row was presented more than once."""
    MISTIMED = 16
    """The trigger or the capture came at the wrong time."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a system answered to `n` rows of drive.

    Args:
        response: Shape `(n, *response_shape)`, in the response's unit.
        valid: Shape `(n,)`; False where the row must be measured again. None: all are valid.
        flags: Shape `(n,)`, `uint8`, bits of `Flag`. None: nothing to flag.
        started: POSIX time at which the first row was played, in s; 0 where unknown.
        stopped: POSIX time at which the last row was read, in s; 0 where unknown.
        shots: Repetitions averaged into one row; they are not passes.
        spread: Standard deviation over the shots, shape of `response`, in its unit. None where unknown.

    Raises:
        ResponseError: The arrays don't agree on the number of rows.
    """

    response: Array
    valid: NDArray[np.bool_] | None = None
    flags: NDArray[np.uint8] | None = None
    started: float = 0.0
    stopped: float = 0.0
    shots: int = 1
    spread: Array | None = None

    def __post_init__(self) -> None:
        rows = len(self)
        for name in ("valid", "flags", "spread"):
            array = getattr(self, name)
            expected = tuple(self.response.shape) if name == "spread" else (rows,)
            if array is not None and tuple(array.shape) != expected:
                raise ResponseError(
                    f"a reading's {name} must have shape {expected} to go with its response, got {tuple(array.shape)}."
                )

    def __len__(self) -> int:
        if self.response.ndim == 0:
            raise ResponseError("a reading's response must have a row axis first, got a single number.")
        return len(self.response)


@runtime_checkable
class PhysicalSystem(Protocol):
    """The black box: a drive goes in, a response comes out.

    Entering it opens whatever there is to open; leaving it runs the system's own safe-state sequence, whatever
    happened.
    """

    @property
    def spec(self) -> SystemSpec:
        """The system's description of itself; never changes while the system is open."""
        ...

    def measure(self, drive: Any, passes: Passes) -> Reading:
        """Play `n` rows and return what came back.

        Args:
            drive: Shape `(n, *spec.drive.shape)`, `spec.drive.dtype`, within the declared range. NumPy, or torch on
                `spec.device`, as `spec.array` says.
            passes: Shape `(n,)`: the number of each row's pass. It is not a counter: it keys whatever must not depend
                on chunking or order, such as simulated noise. A row measured again keeps its number.

        Returns:
            The responses, row for row.

        Raises:
            MeasurementError: Some rows could not be measured; it carries the ones that were.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool | None: ...


@runtime_checkable
class Tunable(Protocol):
    """A system with parameters that can be written: phases of a mesh, bits of a metasurface."""

    @property
    def parameters(self) -> Mapping[str, DriveSpec]:
        """Shape, bounds and unit of each parameter."""
        ...

    @property
    def values(self) -> Mapping[str, NDArray[Any]]:
        """Copies of the parameters as they are; before the first write, what the system starts with.

        Known before the system is opened: training begins from here.
        """
        ...

    def configure(self, values: Mapping[str, NDArray[Any]]) -> int:
        """Write parameters and return the version of the configuration, which grows by one at every write.

        Parameters that are not named stay as they are.

        Raises:
            DriveError: A value is out of its bounds. Nothing was written.
        """
        ...


@runtime_checkable
class Stateful(Protocol):
    """A system whose memory can be saved and put back: simulators, and benches that can be reset."""

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Everything the next response depends on beside the drive, as named arrays."""
        ...

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Put back what `state` returned."""
        ...

    def reset(self) -> None:
        """Forget every earlier row."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A system that tells how much energy it has drawn, by a counter of its own."""

    def joules(self) -> float:
        """Energy drawn since the system was opened, in J. It must not disturb a measurement."""
        ...


@runtime_checkable
class Differentiable(Protocol):
    """A simulator that autograd can see through. Only the baselines use it: training never does."""

    def forward(self, drive: torch.Tensor, passes: Passes) -> torch.Tensor:
        """Return the response with its graph: the same numbers as `measure`."""
        ...


def _check_shape(what: str, shape: tuple[int, ...], axes: tuple[str, ...]) -> None:
    if not shape or any(not isinstance(n, int) or n < 1 for n in shape):
        raise SpecError(f"{what} shape must hold at least one axis of length >= 1, got {shape}.")
    if axes and len(axes) != len(shape):
        raise SpecError(f"{what} axes must name each axis of shape {shape}, got {axes}.")


def _check_dtype(what: str, dtype: str) -> None:
    try:
        kind = np.dtype(dtype).kind
    except TypeError as error:
        raise SpecError(f"{what} dtype must be a NumPy type name such as 'float32', got {dtype!r}.") from error
    if kind not in "iufc":
        raise SpecError(f"{what} dtype must be an integer, real or complex type, got {dtype!r}.")
