"""A tiny experiment, and tasks made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from physnet.assembly import load_samples
from physnet.comparison.contestants import contestants
from physnet.comparison.preparing import prepare
from physnet.comparison.store import Outcome
from physnet.comparison.tasks import Task
from physnet.experiment import Experiment

TINY = """\
title = "Tiny digits"

[data]
name = "digits"
train_limit = 150
test_limit = 40

[systems.lower]
type = "scattering"
responses = 30

[systems.lower.impairments]
noise = 0.02

[[layers]]
system = "lower"
width = 12

[rule]
name = "mono_forward"
learning_rate = 1e-2

[training]
epochs = 3
batch_size = 50
"""

MakeTask = Callable[..., Task]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take ten times as long on layers this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The tiny experiment in a file."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def rules(tiny: Path) -> Callable[..., dict[str, Experiment]]:
    """The tiny experiment with each of some rules, with overrides."""

    def make(*names: str, overrides: tuple[str, ...] = ()) -> dict[str, Experiment]:
        return contestants(tiny, names, overrides=overrides)

    return make


@pytest.fixture
def task(rules: Callable[..., dict[str, Experiment]]) -> MakeTask:
    """A training of one rule on the tiny experiment, validated after every epoch."""

    def make(rule: str = "mono_forward", *overrides: str, **changes: Any) -> Task:
        experiment = rules(rule, overrides=overrides)[rule]
        prepared = prepare(experiment, load_samples(experiment))
        fields: dict[str, Any] = {
            "kind": "rule",
            "name": rule,
            "experiment": experiment.as_dict(),
            "passes_per_sample": prepared.passes_per_sample,
            "every": prepared.passes_per_sample * prepared.samples,
        }
        return Task(**{**fields, **changes})

    return make


def outcome(accuracy: float = 0.5, **changes: Any) -> Outcome:
    """An outcome as a training might have had it."""
    fields: dict[str, Any] = {
        "test_accuracy": accuracy,
        "validation_accuracy": 0.6,
        "seconds": 0.1,
        "train_rows": 800,
        "test_rows": 200,
        "test_sha256": "aa",
        "curve": ((100, 0.4), (200, 0.6)),
        "passes": {"train": 200, "test": 40},
        "passes_per_inference": 1,
        "inference_work": 10,
        "training_work": 100,
        "physics": ("simulated",),
        "drives": (4,),
    }
    return Outcome(**{**fields, **changes})
