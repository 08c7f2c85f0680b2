"""Rows of a session's tables, made of what a run tells: values in the order of the columns."""

from __future__ import annotations

import platform
import time
from typing import Any

from ..errors import SessionError
from ..records import EpochRecord, RunPlan, SentinelRecord, StepRecord
from . import environment
from .layout import text


def of_step(record: StepRecord, plan: RunPlan, *, attempt: int) -> list[Any]:
    """Return the row of a step.

    Raises:
        SessionError: The metrics are not those of the plan.
    """
    layers = len(plan.layers)
    if record.metrics.keys() != plan.metrics.keys() or any(len(v) != layers for v in record.metrics.values()):
        found = {name: len(values) for name, values in record.metrics.items()}
        raise SessionError(
            f"metrics of step {record.step} must be {sorted(plan.metrics)} with {layers} values each, got "
            f"{found}. The rule must record what it declared."
        )
    count = record.count
    return [
        *(record.step, attempt, record.epoch, record.time, record.seconds),
        *(record.metrics[name] for name in plan.metrics),
        *(count.passes, count.retries, count.invalid, count.clipped_drive, count.clipped_response),
        *(count.parameter_writes, count.cache_hits),
        *(count.seconds, record.digital_seconds, record.log_seconds, record.idle_seconds, record.joules),
    ]


def of_epoch(record: EpochRecord, plan: RunPlan, *, attempt: int) -> list[Any]:
    """Return the row of an epoch.

    Raises:
        SessionError: It has not one accuracy per layer.
    """
    layers = len(plan.layers)
    if len(record.layer_accuracy) != layers:
        raise SessionError(f"layer_accuracy must have {layers} values, got {len(record.layer_accuracy)}.")
    head = [record.epoch, attempt, record.step, record.time, record.seconds, record.passes]
    return [*head, record.validation_accuracy, record.layer_accuracy]


def of_sentinel(record: SentinelRecord, *, attempt: int) -> list[Any]:
    """Return the row of a look at a system's sentinels."""
    head = [record.epoch, record.step, attempt, record.system, record.time]
    return [*head, record.difference, record.drift]


def of_attempt(attempt: int, *, step: int, changes: str) -> list[Any]:
    """Return the row of a run that is gone on with, here and now.

    Args:
        attempt: How many times it was resumed, this one included.
        step: Steps done at the checkpoint that it goes on from.
        changes: What is not as it was.
    """
    commit = str(environment.describe()["git_commit"])
    head = [attempt, step, time.time(), text(environment.version("physnet"), 32), text(commit, 40)]
    return [*head, text(platform.platform(), 64), text(changes)]
