"""Tells in the interpreter which threads of a CUDA block get into each other's way in shared memory.

The interpreter runs threads in an order that hardly changes, so that a missing barrier may go unnoticed. Here every
access is noted with the number of barriers that its thread has passed.
"""

from __future__ import annotations

import importlib
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from unittest import mock


class _Watched:
    """Shared memory that notes who read and who wrote a place between two barriers."""

    def __init__(self, memory: Any) -> None:
        self._memory, self.seen = memory, defaultdict[tuple[int, int], set[tuple[int, bool]]](set)

    def _note(self, place: Any, is_written: bool) -> None:
        thread: Any = threading.current_thread()
        self.seen[getattr(thread, "barriers", 0), int(place)].add((thread.thread_id, is_written))

    def __getitem__(self, place: Any) -> Any:
        self._note(place, False)
        return self._memory[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        self._note(place, True)
        self._memory[place] = value

    def conflicts(self) -> list[tuple[int, int]]:
        """Return barrier and place where one thread wrote what another one read or wrote."""
        return [
            where
            for where, accesses in self.seen.items()
            if len({thread for thread, _ in accesses}) > 1 and any(is_written for _, is_written in accesses)
        ]


def conflicts(function: Callable[..., Any], *arguments: Any) -> tuple[int, list[tuple[int, int]]]:
    """Call a function that launches kernels; return how many places were used, and barrier and place of conflicts."""
    simulator: Any = importlib.import_module("numba.cuda.simulator.kernelapi")
    kernel: Any = importlib.import_module("numba.cuda.simulator.kernel")
    shared: dict[int, _Watched] = {}
    make, wait, lock = simulator.FakeCUDAShared.array, kernel.BlockThread.syncthreads, threading.Lock()

    def array(self: Any, shape: Any, dtype: Any, alignment: Any = None) -> _Watched:
        with lock:  # one for all threads of a block
            return shared.setdefault(id(self), _Watched(make(self, shape, dtype, alignment)))

    def syncthreads(self: Any) -> None:
        wait(self)
        self.barriers = getattr(self, "barriers", 0) + 1

    with (
        mock.patch.object(simulator.FakeCUDAShared, "array", array),
        mock.patch.object(kernel.BlockThread, "syncthreads", syncthreads),
    ):
        function(*arguments)
    found = list(shared.values())
    return sum(len(watched.seen) for watched in found), [where for watched in found for where in watched.conflicts()]
