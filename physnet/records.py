"""What a run tells about itself: the plain values that pass from the trainer to whoever keeps or shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Status = Literal["running", "done", "fault", "interrupted", "terminated", "killed"]
Level = Literal["info", "warning", "fault"]
Tensors = Mapping[str, NDArray[Any]]
"""Named arrays in the machine's byte order: weights, rule tensors, statistics."""


@dataclass(frozen=True, kw_only=True)
class PassCount:
    """Rows presented, and what became of them.

    Args:
        passes: Rows presented, retries included.
        retries: Rows of those that had been presented before.
        invalid: Rows that came back unusable (invalid, NaN, or lost in a batch that broke).
        clipped_drive: Values that an encoder clipped because it was asked to.
        clipped_response: Rows flagged as clipped by the system.
        parameter_writes: Times that parameters of the system were written. A write presents nothing.
        cache_hits: Rows answered from a cache. They are not passes.
        dark: Rows of those presented that the port placed among the others, without drive.
        reference: The same of its reference drives.
        seconds: Time spent inside the system, in s.
    """

    passes: int = 0
    retries: int = 0
    invalid: int = 0
    clipped_drive: int = 0
    clipped_response: int = 0
    parameter_writes: int = 0
    cache_hits: int = 0
    dark: int = 0
    reference: int = 0
    seconds: float = 0.0

    @property
    def asked(self) -> int:
        """Rows presented because somebody asked for their responses: all but those that the port placed."""
        return self.passes - self.dark - self.reference

    def __add__(self, other: PassCount) -> PassCount:
        return PassCount(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})

    def __sub__(self, other: PassCount) -> PassCount:
        return PassCount(**{name: getattr(self, name) - getattr(other, name) for name in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """One training step: one minibatch through every layer.

    Args:
        step: Number of the step since the run began, from 0.
        attempt: 0; above it for a step that is done again.
        epoch: Epoch it belongs to, from 0.
        time: POSIX time at its end, in s.
        metrics: For each metric that the rule declared, one value per layer.
        count: Passes of this step alone.
        seconds: Duration of the step, in s; `count.seconds` of it were spent inside the system.
        digital_seconds: What the rule and the layers took of it, in s.
        log_seconds: Time spent on keeping the record since the step before, in s; what raw data took in the middle of
            this step is part of it.
        idle_seconds: Time paused since the step before, in s.
        joules: Energy drawn since the last step that has a number here, in J; NaN where nothing tells.
    """

    step: int
    attempt: int = 0
    epoch: int
    time: float
    metrics: Mapping[str, tuple[float, ...]]
    count: PassCount
    seconds: float
    digital_seconds: float = math.nan
    log_seconds: float = math.nan
    idle_seconds: float = math.nan
    joules: float = math.nan


@dataclass(frozen=True, kw_only=True)
class SentinelRecord:
    """How a system answered the same few drives as before.

    Args:
        epoch: Epochs done.
        step: Steps done.
        system: Number of the system, from 0.
        time: POSIX time, in s.
        difference: Root mean square change since the last look, as a fraction of how much the responses to the
            sentinel drives differ from each other; NaN at the first look.
        drift: The same since the first look.
    """

    epoch: int
    step: int
    system: int
    time: float
    difference: float
    drift: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """All that a run needs to go on from where it stands, between two steps. Copies, which nobody changes any more.

    Args:
        epoch: Epochs done.
        step: Steps done.
        complete: Whether an epoch ended with this step.
        tensors: Every weight and rule tensor, by name.
        state: Counters and choices: plain values.
        arrays: What else the run remembers: the best weights, memories of systems, answers to sentinels.
    """

    epoch: int
    step: int
    complete: bool
    tensors: Tensors
    state: Mapping[str, Any]
    arrays: Tensors


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch, and the validation after it.

    Args:
        epoch: From 0.
        step: Steps done since the run began.
        time: POSIX time at its end, in s.
        seconds: Duration, validation included, in s.
        passes: Passes since the run began, standardisation and validation included.
        validation_accuracy: 0 to 1; NaN when this epoch was not validated.
        layer_accuracy: The same for each layer's own read-out.
    """

    epoch: int
    step: int
    time: float
    seconds: float
    passes: int
    validation_accuracy: float
    layer_accuracy: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ResponseStatistics:
    """What a layer's physics answered to the standardisation sample.

    Args:
        layer: Number of the layer, from 0.
        unit: Unit of the response.
        mean, deviation, minimum, maximum: One value per response channel, in `unit`.
        histogram: Counts over all channels and rows, shape `(bins,)`.
        edges: Edges of the bins, shape `(bins + 1,)`, in `unit`.
        rows: Rows measured.
        dead_channels: Channels that never changed.
        clipped_rows: Rows flagged as clipped.
    """

    layer: int
    unit: str
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    histogram: NDArray[np.int64]
    edges: NDArray[np.float64]
    rows: int
    dead_channels: int
    clipped_rows: int


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended.

    Args:
        status: Why it ended.
        test_accuracy: 0 to 1; NaN when the test split was not measured.
        validation_accuracy: That of the weights kept, 0 to 1; NaN when there is no validation split.
        layer_accuracy: Test accuracy of each layer's own read-out.
        confusion: Test samples by (true class, predicted class), shape `(classes, classes)`.
        physical_passes: Every row presented, whatever for, retries included.
        passes: The same by purpose: `standardise`, `train`, `validate`, `test`, ...; `repeated` are those of steps that
            were lost and done again.
        seconds: Duration of the run, in s.
        epochs: Epochs completed.
        steps: Steps completed.
        kept_epoch: Epoch whose weights were kept; -1 when none was completed.
        weights_sha256: Hash of the weights kept (`physnet.weights.sha256`).
        baselines: Test accuracy of digital neighbours on the same split, for example `raw_logistic_regression`.
        message: One line that says why the run ended.
    """

    status: Status
    test_accuracy: float
    validation_accuracy: float
    layer_accuracy: tuple[float, ...]
    confusion: NDArray[np.int64]
    physical_passes: int
    passes: Mapping[str, int]
    seconds: float
    epochs: int
    steps: int
    kept_epoch: int
    weights_sha256: str
    baselines: Mapping[str, float] = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Everything about a run that is known before its first step. A session creates all its datasets from it.

    Args:
        title: One line.
        configuration: The whole experiment, defaults filled in: nested plain values that JSON and TOML can hold.
        seed: The run's seed.
        layers: Name of each layer, bottom up.
        metrics: Unit of each per-layer metric that the rule records at every step, by name.
        classes: Name of each class.
        systems: For each system, by name: its spec as nested plain values.
        layer_systems: Name of each layer's system.
        response_channels: Response channels of each layer.
        tensors: Name, shape and dtype of every weight and rule tensor, as zeros or initial values.
        data: What the data is: name, source, checksum, rows of each split, split rule: plain values.
        code: Hash of each piece of code that decides the numbers, by name.
    """

    title: str
    configuration: Mapping[str, Any]
    seed: int
    layers: tuple[str, ...]
    metrics: Mapping[str, str]
    classes: tuple[str, ...]
    systems: Mapping[str, Mapping[str, Any]]
    layer_systems: tuple[str, ...]
    response_channels: tuple[int, ...]
    tensors: Tensors
    data: Mapping[str, Any]
    code: Mapping[str, str] = field(default_factory=dict)


class Recorder(Protocol):
    """Whoever keeps the record of a run. A session does; a notebook may do without."""

    def step(self, record: StepRecord) -> None:
        """Keep a step. After it returns, a killed process no longer loses it."""
        ...

    def epoch(self, record: EpochRecord) -> None:
        """Keep an epoch."""
        ...

    def event(self, level: Level, message: str) -> None:
        """Keep a line of text with the time."""
        ...

    def responses(self, *statistics: ResponseStatistics) -> None:
        """Keep what the physics of layers answered before step 0."""
        ...

    def describe(self, systems: Sequence[Mapping[str, Any]]) -> None:
        """Keep what systems say of themselves once they are open, in the order of the network's ports."""
        ...

    def sentinel(self, record: SentinelRecord) -> None:
        """Keep how a system answered its sentinels."""
        ...

    def checkpoint(self, snapshot: Snapshot) -> None:
        """Keep all that the run needs to go on from here. It may be written while the run goes on."""
        ...

    @property
    def checkpoint_seconds(self) -> float:
        """Time that checkpoints took so far, whether the run waited for them or not, in s."""
        ...

    def finish(self, result: RunResult, tensors: Tensors) -> None:
        """Keep the weights of the run and how it ended."""
        ...
