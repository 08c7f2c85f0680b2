"""A trainer that does nothing but count, and a feed on it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from physnet.live import Connection, LiveFeed, Moment, find_live
from physnet.records import EpochRecord, PassCount, RunResult, StepRecord


class FakeNetwork:
    """Two layers, one measured and one simulated."""

    def __init__(self) -> None:
        self.count = PassCount()
        self.layers = [
            SimpleNamespace(name=name, port=SimpleNamespace(spec=SimpleNamespace(kind=kind)))
            for name, kind in (("lower", "measured"), ("upper", "simulated"))
        ]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


@dataclass
class FakeTrainer:
    """What a feed sees of a trainer."""

    options: Any = field(
        default_factory=lambda: SimpleNamespace(epochs=4, budget_minutes=None, budget_passes=None, batch_size=10)
    )
    steps_per_epoch: int = 5
    steps_done: int = 0
    epochs_done: int = 0
    seed: int = 7
    seconds: float = 3.0
    passes: dict[str, int] = field(default_factory=lambda: {"standardise": 0, "train": 0, "validate": 0})
    network: FakeNetwork = field(default_factory=FakeNetwork)
    stop_reason: str = ""

    @property
    def epochs_planned(self) -> int:
        return int(self.options.epochs)

    def stop(self, reason: str) -> None:
        self.stop_reason = reason

    def step(self, feed: LiveFeed, *, loss: tuple[float, ...] = (0.5, 0.25), passes: int = 20) -> None:
        """Do a step, as the trainer tells it."""
        count = PassCount(passes=passes, retries=1, parameter_writes=2, cache_hits=3)
        self.network.count += count
        self.passes["train"] += passes
        self.steps_done += 1
        feed.on_step(
            self,  # type: ignore[arg-type]
            StepRecord(
                step=self.steps_done - 1,
                epoch=self.epochs_done,
                time=time.time(),
                metrics={"loss": loss},
                count=count,
                seconds=0.1,
            ),
        )

    def epoch(self, feed: LiveFeed, accuracy: float = math.nan) -> None:
        """End an epoch."""
        self.epochs_done += 1
        feed.on_epoch(
            self,  # type: ignore[arg-type]
            EpochRecord(
                epoch=self.epochs_done - 1,
                step=self.steps_done,
                time=time.time(),
                seconds=1.0,
                passes=0,
                validation_accuracy=accuracy,
                layer_accuracy=(accuracy / 2, accuracy),
            ),
        )

    def end(self, feed: LiveFeed) -> None:
        """End the run."""
        feed.on_end(
            self,  # type: ignore[arg-type]
            RunResult(
                status="done",
                test_accuracy=0.9,
                validation_accuracy=0.8,
                layer_accuracy=(0.5, 0.9),
                confusion=np.zeros((2, 2), np.int64),
                physical_passes=sum(self.passes.values()),
                passes=dict(self.passes),
                seconds=4.0,
                epochs=self.epochs_done,
                steps=self.steps_done,
                kept_epoch=0,
                weights_sha256="",
                message="all epochs done",
            ),
        )


@pytest.fixture
def trainer() -> FakeTrainer:
    return FakeTrainer()


@pytest.fixture
def feed(tmp_path: Path, trainer: FakeTrainer) -> Iterator[LiveFeed]:
    """A feed that serves from `tmp_path`."""
    with LiveFeed(title="A run to watch").serve(tmp_path, trainer) as feed:  # type: ignore[arg-type]
        assert not feed.problem
        yield feed


@pytest.fixture
def connection(feed: LiveFeed, tmp_path: Path) -> Iterator[Connection]:
    """A viewer of that feed."""
    ((folder, address),) = find_live(tmp_path)
    with Connection(folder, address) as connection:
        yield connection


@pytest.fixture
def seen() -> Callable[[Connection, Callable[[Moment], bool]], Moment]:
    """Wait until a viewer sees something."""

    def wait(connection: Connection, condition: Callable[[Moment], bool]) -> Moment:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            moment = connection.receive(1)
            if moment is not None and condition(moment):
                return moment
        raise AssertionError("it was not seen within 20 s")

    return wait
