"""Trainings in processes beside each other: started afresh, never forked, each with its share of the threads."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Self

import torch

from ..errors import FaultError, InputError, PhysnetError, Stopped
from .store import Outcome
from .tasks import Task
from .training import perform

Check = Callable[[], None]
_GLANCE = 0.1  # s between two looks at whether a stop was asked for
_GRACE = 5.0  # s in which a worker that is told to end has ended
# What the libraries under torch and numba read when they are imported.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Workers:
    """Does tasks, several at once, and hands over what came of them in the order in which they end.

    With one job everything happens in this process, at the next call of `next`: so it is where systems are measured,
    whose outputs this process must be able to make safe.

    Args:
        jobs: Tasks at once.
        device: torch device of the digital part.
    """

    def __init__(self, jobs: int, *, device: str = "cpu") -> None:
        if jobs < 1:
            raise InputError(f"jobs must be >= 1, got {jobs}.")
        self.jobs, self.device = jobs, device
        self._waiting: deque[Task] = deque()
        self._workers: list[_Worker] = []

    def submit(self, task: Task) -> None:
        """Have a task done."""
        self._waiting.append(task)
        self._hand_out()

    @property
    def busy(self) -> bool:
        """Whether a task is waiting or under way."""
        return bool(self._waiting) or any(worker.task is not None for worker in self._workers)

    def next(self, interrupted: Check) -> tuple[Task, Outcome]:
        """Return a task that is done, and what came of it; wait for it if need be.

        Args:
            interrupted: Called all the time; raises to end.

        Raises:
            PhysnetError: What ended the task; or a worker ended by itself.
        """
        if self.jobs == 1:
            task = self._waiting.popleft()
            with _naming(task):
                return task, perform(task, device=self.device, interrupted=interrupted)
        while True:
            interrupted()
            under_way = {worker.pipe: worker for worker in self._workers if worker.task is not None}
            for pipe in wait(list(under_way), timeout=_GLANCE):
                worker = under_way[pipe]  # type: ignore[index]
                task, outcome = worker.result()
                self._hand_out()
                return task, outcome

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _hand_out(self) -> None:
        if self.jobs == 1:
            return
        free = [worker for worker in self._workers if worker.task is None]
        while self._waiting and (free or len(self._workers) < self.jobs):
            if not free:
                free.append(_Worker(threads=max(1, (os.cpu_count() or 1) // self.jobs), device=self.device))
                self._workers.append(free[-1])
            free.pop().begin(self._waiting.popleft())


class _Worker:
    """A process that does one task after another."""

    def __init__(self, *, threads: int, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_serve, args=(theirs, threads, device), daemon=True)
        with _environment({name: str(threads) for name in _THREADS}), _held_back():
            self.process.start()
        theirs.close()  # so that its death is the end of the pipe
        self.task: Task | None = None

    def begin(self, task: Task) -> None:
        self.task = task
        with contextlib.suppress(OSError):  # it has died: the pipe tells when it is read
            self.pipe.send_bytes(task.as_json().encode())

    def result(self) -> tuple[Task, Outcome]:
        task, self.task = self.task, None
        assert task is not None
        try:
            answer = json.loads(self.pipe.recv_bytes())
        except (EOFError, OSError) as error:
            self.process.join(_GRACE)
            raise FaultError(
                f"the process that trained {task.name}, seed {task.seed}, ended with code {self.process.exitcode}. Run "
                "the command again to go on, with fewer jobs if memory was short."
            ) from error
        if "outcome" in answer:
            return task, Outcome.from_json(answer["outcome"])
        with _naming(task):
            raise _fault(answer)

    def end(self) -> None:
        """End it, whatever it does: nothing of what is simulated needs to be made safe."""
        self.process.terminate()
        self.process.join(_GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()
        self.process.close()


def _serve(pipe: Connection, threads: int, device: str) -> None:
    """Be a worker: do tasks until the pipe ends, or whoever started this process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; whoever started this ends it
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def orphaned() -> None:
        if parent is not None and not parent.is_alive():
            raise Stopped(signal.SIGTERM)

    with contextlib.suppress(EOFError, OSError, Stopped):
        while True:
            task = Task.from_json(pipe.recv_bytes())
            pipe.send_bytes(json.dumps(_answer(task, device, orphaned)).encode())


def _answer(task: Task, device: str, orphaned: Check) -> dict[str, Any]:
    try:
        outcome = perform(task, device=device, interrupted=orphaned, alone=False)
        return {"outcome": outcome.as_json()}
    except Stopped:
        raise
    except PhysnetError as error:
        return {"error": str(error), "code": error.exit_code}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "code": 1, "trace": traceback.format_exc()}


def _fault(answer: dict[str, Any]) -> Exception:
    """Make again what ended a task in another process."""
    message = str(answer["error"])
    if answer["code"] == InputError.exit_code:
        return InputError(message)
    if answer["code"] == FaultError.exit_code:
        return FaultError(message)
    return RuntimeError(f"{message}\n\nIn the process that trained:\n{answer.get('trace', '')}")


@contextlib.contextmanager
def _naming(task: Task) -> Iterator[None]:
    """Say in an error which training it ended."""
    try:
        yield
    except Stopped:
        raise
    except PhysnetError as error:
        error.add_note(f"This ended the training of {task.name}, seed {task.seed}.")
        raise


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """Have a process that is started here never hear Ctrl-C, and this one hear it afterwards, not in between."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: what is started there says so itself
        yield
        return
    resource_tracker.ensure_running()  # what starts it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables that a process which is started here inherits."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
