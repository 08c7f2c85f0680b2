from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from physnet.records import SentinelRecord
from physnet.session import Run, Session, open_run


@pytest.fixture(scope="session")
def small_run() -> ModuleType:
    """The module that makes plans, steps and results."""
    path = Path(__file__).parents[1] / "session" / "session_child.py"
    spec = importlib.util.spec_from_file_location("session_child_of_reports", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, small_run: ModuleType) -> Run:
    """A run of 30 steps that was done, with sentinels and events."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with Session.create(folder, small_run.plan()) as session:
        session.responses(small_run.statistics(0))
        for number in range(30):
            session.step(dataclasses.replace(small_run.step(number), digital_seconds=0.125, joules=3.0))
        for number in range(3):
            session.epoch(small_run.epoch(number, 0.5 + 0.1 * number))
            session.sentinel(
                SentinelRecord(
                    epoch=number, step=10 * number, system=0, time=1.7e9, difference=0.01, drift=0.02 * number
                )
            )
        session.event("warning", "detector warm")
        session.event("fault", "cable lost")
        session.finish(small_run.result(), small_run.tensors(2.0))
    return open_run(folder)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, small_run: ModuleType) -> Run:
    """A run that ended after 12 steps without a word."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    session = Session.create(folder, small_run.plan())
    for number in range(12):
        session.step(small_run.step(number))
    session.close()
    return open_run(folder)


@pytest.fixture
def long_run(finished: Run) -> Callable[[int], Run]:
    """Make a run of as many steps as asked for, in memory."""

    def make(count: int) -> Run:
        random = np.random.default_rng(0)
        steps: dict[str, Any] = {}
        for name, values in finished.steps.items():
            shape = (count, *values.shape[1:])
            steps[name] = random.random(shape) if values.dtype.kind == "f" else np.ones(shape, np.int64)
        steps["step"] = np.arange(count)
        steps["epoch"] = np.arange(count) // 100
        return dataclasses.replace(finished, steps=steps)

    return make
