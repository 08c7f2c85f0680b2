"""Runs that take turns, so that whatever else the machine does falls on all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

Seconds = dict[str, list[float]]


def in_turns(runs: Mapping[str, Callable[[], Any]], repeats: int) -> tuple[Seconds, Seconds]:
    """Time each run `repeats` times, one after the other in every turn.

    Returns:
        By name, the seconds of each turn, and the processor's seconds.
    """
    seconds: Seconds = {name: [] for name in runs}
    busy: Seconds = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            begun, used = time.perf_counter(), time.process_time()
            run()
            seconds[name].append(time.perf_counter() - begun)
            busy[name].append(time.process_time() - used)
    return seconds, busy
