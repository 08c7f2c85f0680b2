"""Trainings beside each other give what they give one after the other, and end with who started them."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from collections.abc import Callable

import pytest

from physnet.comparison.store import Outcome
from physnet.comparison.tasks import Task
from physnet.comparison.workers import Workers
from physnet.errors import FaultError, InputError, Stopped

MakeTask = Callable[..., Task]


def numbers(outcome: Outcome) -> tuple[object, ...]:
    """What does not depend on the clock."""
    return outcome.test_accuracy, outcome.curve, dict(outcome.passes), outcome.training_work


def results(jobs: int, tasks: list[Task]) -> dict[str, tuple[object, ...]]:
    found = {}
    with Workers(jobs) as workers:
        for task in tasks:
            workers.submit(task)
        while workers.busy:
            task, outcome = workers.next(lambda: None)
            found[task.name] = numbers(outcome)
    return found


def test_two_at_once_give_the_same_to_the_digit(task: MakeTask) -> None:
    tasks = [task("mono_forward"), task("phyll"), task("mono_forward", "seed=1", name="another seed")]
    # A worker has its share of the cores: one thread where there are two, as here.
    if (os.cpu_count() or 1) // 2 > 1:
        pytest.skip("more threads may add up in another order")
    assert results(2, tasks) == results(1, tasks)


@pytest.mark.skipif(sys.platform == "win32", reason="an ended process has no signal there")
def test_a_worker_tells_of_errors_and_of_its_death(task: MakeTask) -> None:
    refused = dataclasses.replace(task("phyll"), budget=1)
    with Workers(2) as workers:
        workers.submit(refused)
        with pytest.raises(InputError, match="budget_passes must be at least") as error:
            workers.next(lambda: None)
        assert "phyll, seed 0" in error.value.__notes__[0]
        workers.submit(task(budget=10**6))
        (worker,) = workers._workers
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGTERM)
        with pytest.raises(FaultError, match="ended with code -15"):
            workers.next(lambda: None)


def test_a_stop_ends_them(task: MakeTask) -> None:
    def stop() -> None:
        raise Stopped(signal.SIGINT)

    with pytest.raises(Stopped), Workers(2) as workers:
        workers.submit(task(budget=10**6))
        process = workers._workers[0].process
        workers.next(stop)
    with pytest.raises(ValueError, match="closed"):
        process.is_alive()


def test_no_job_is_refused() -> None:
    with pytest.raises(InputError, match="jobs must be >= 1, got 0"):
        Workers(0)
