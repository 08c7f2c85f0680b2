"""Turns on a CUDA device: what is compared first, then timed by events of the device, for `gpu.py`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

HEAD = "| task | what | median / ms | range / ms | {rate} | times {peer} | range | error |"

_CYCLES = 20_000_000  # of the device's clock


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One way of doing a task.

    Args:
        name: In the table.
        run: Does it, with what it works on in the device's memory, and returns the result.
        is_peer: Whether ratios are to the fastest of such.
        seconds: Does it and tells how long it took; None for the time between two events around `run`.
    """

    name: str
    run: Callable[[], Any]
    is_peer: bool = False
    seconds: Callable[[], float] | None = None


def between_events(run: Callable[[], Any]) -> float:
    """Return how long the device takes from the beginning to the end of what a function launches, s."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def device_alone(run: Callable[[], Any]) -> float:
    """Return how long the device takes for what a function launches, without the host's time to launch it, s.

    The device is kept busy meanwhile, for some 10 ms.
    """
    torch.cuda._sleep(_CYCLES)
    return between_events(run)


def compared(entrants: list[Entrant], exact: Callable[[Any], float], tolerance: float) -> dict[str, float]:
    """Return the error of each, which is told by `exact`.

    Raises:
        SystemExit: One is wrong: then nothing is timed.
    """
    errors = {entrant.name: exact(entrant.run()) for entrant in entrants}
    wrong = [f"{name} by {error:.1e}" for name, error in errors.items() if not error <= tolerance]
    if wrong:
        raise SystemExit(
            f"off the answer of the CPU in double precision, more than {tolerance:.1e}: {', '.join(wrong)}"
        )
    return errors


def timed(
    task: str, entrants: list[Entrant], errors: dict[str, float], *, work: float, repeats: int, seed: int = 0
) -> list[str]:
    """Let all take turns, in another order each time, and return the lines of the table.

    Args:
        task: In the table.
        entrants: Who is timed.
        errors: Of each.
        work: Done in a run, in billions of cells or of operations.
        repeats: Turns of each; one more, which warms up, is not counted.
        seed: Of the order.
    """
    seconds: dict[str, list[float]] = {entrant.name: [] for entrant in entrants}
    order = random.Random(seed)
    for turn in range(repeats + 1):
        for entrant in order.sample(entrants, len(entrants)):
            taken = between_events(entrant.run) if entrant.seconds is None else entrant.seconds()
            if turn:
                seconds[entrant.name].append(taken)
    peers = [seconds[entrant.name] for entrant in entrants if entrant.is_peer]
    fastest = np.array(min(peers, key=np.median)) if peers else None
    lines = []
    for name, taken in seconds.items():
        times = np.array(taken)
        ratios = "- | -"
        if fastest is not None:
            ratio, lowest, highest = (np.quantile(fastest / times, part) for part in (0.5, 0, 1))
            ratios = f"{ratio:.2f} | {lowest:.2f} to {highest:.2f}"
        lines.append(
            f"| {task} | {name} | {np.median(times) * 1e3:.3f} | {times.min() * 1e3:.3f} to {times.max() * 1e3:.3f} "
            f"| {work / np.median(times):.1f} | {ratios} | {errors[name]:.1e} |"
        )
    return lines
