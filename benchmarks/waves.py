"""Speed of the 2-D wave solvers beside deepwave's, in one run, and the memory of many rows.

The same discretisation on both sides (leap-frog, order 2 or 4, C-PML of 20 cells), 128 x 128 cells with layers, 500
steps, a batch of 32, float32, forward only. The wave at three microphones is compared first. Then each solver takes its
turn, again and again, so that whatever else the machine does hits all alike; the ratio is the median over the turns.

    pip install -c constraints.txt -r benchmarks/requirements-waves.txt
    python benchmarks/waves.py [--repeats N] [--output FILE]
    python benchmarks/waves.py --rows 100000       # memory only: a small cavity, in a process of its own
"""

from __future__ import annotations

import os

# Threads of OpenMP spin for a moment before they sleep, as they do by default: deepwave's would take ten times as long
# to wake up otherwise, and the comparison would flatter us.
os.environ.setdefault("GOMP_SPINCOUNT", "300000")

import physnet  # isort: skip  # noqa: F401  # before torch: docs/decisions/0006

import argparse
import datetime
import json
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.acoustic_grid import Grid, Side
from physnet.simulators.acoustic_media import Medium, Scheme
from physnet.simulators.acoustic_numba import NumbaSolver, is_available
from physnet.simulators.acoustic_torch import TorchSolver

CELLS, STEPS, ROWS, LAYER, SPEED = 128, 500, 32, 20, 343.0
PITCH = 1 / CELLS
STEP = 0.4 * PITCH / SPEED  # within deepwave's own limit of 0.42: it would take two steps for one otherwise
FREQUENCY = SPEED / (12 * PITCH)
SOURCE, MICROPHONES = np.array([[40, 50]]), np.array([[64, 90], [80, 30], [64, 64]])

Run = Callable[[], np.ndarray[Any, Any]]


def waves() -> np.ndarray[Any, Any]:
    """Ricker wavelets, a little louder from row to row, shape (rows, 1, steps)."""
    phase = (np.pi * FREQUENCY * (np.arange(STEPS) * STEP - 1.5 / FREQUENCY)) ** 2
    wave = (1 - 2 * phase) * np.exp(-phase)
    return (wave * np.linspace(1, 2, ROWS)[:, None, None]).astype(np.float32)


def peer(order: int, layer: int, wave: np.ndarray[Any, Any]) -> Run:
    import deepwave

    speed = torch.full((CELLS - 2 * layer,) * 2, SPEED)
    source = torch.from_numpy(SOURCE - layer).expand(ROWS, -1, -1).contiguous()
    microphones = torch.from_numpy(MICROPHONES - layer).expand(ROWS, -1, -1).contiguous()
    amplitudes = torch.from_numpy(wave)

    def run() -> np.ndarray[Any, Any]:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sides without a layer
            heard = deepwave.scalar(
                speed,
                PITCH,
                STEP,
                source_amplitudes=amplitudes,
                source_locations=source,
                receiver_locations=microphones,
                accuracy=order,
                pml_width=layer,
                pml_freq=FREQUENCY,
            )[-1]
        # deepwave's source is -h^2 of ours, and its microphones are read before the step.
        return heard.numpy()[..., 1:] / -(PITCH**2)

    return run


def solvers(order: Any, side: Side, wave: np.ndarray[Any, Any]) -> dict[str, Run]:
    grid = Grid(shape=(CELLS, CELLS), pitch=PITCH, order=order, sides=(side,) * 4, layer=LAYER)
    medium = Medium.uniform(grid, speed=SPEED)
    scheme = Scheme(grid=grid, medium=medium, time_step=STEP, frequency=FREQUENCY)
    found: dict[str, Run] = {}
    kinds: list[type] = [NumbaSolver, TorchSolver] if is_available() else [TorchSolver]
    for kind in kinds:
        solver = kind(scheme, sources=SOURCE, microphones=MICROPHONES)
        found[kind.__name__.removesuffix("Solver").lower()] = lambda s=solver: s.propagate(wave)[0][..., :-1]
    return found


def compare(order: int, side: Side, repeats: int) -> list[str]:
    """Time the solvers in turn and return the lines of the table."""
    wave = waves()
    runs = {"deepwave": peer(order, LAYER if side == "absorbing" else 0, wave), **solvers(order, side, wave)}
    heard = {name: run() for name, run in runs.items()}  # and warm up
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            begun = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - begun)
    lines = []
    for name in runs:
        ratio = np.median(np.array(seconds["deepwave"]) / np.array(seconds[name]))
        error = np.abs(heard[name] - heard["deepwave"]).max() / np.abs(heard["deepwave"]).max()
        middle = float(np.median(seconds[name]))
        rate = CELLS**2 * STEPS * ROWS / middle / 1e9
        lines.append(
            f"| {order} | {side} | {name} | {middle * 1e3:.0f} | {min(seconds[name]) * 1e3:.0f} | {rate:.2f} "
            f"| {ratio:.2f} | {error:.1e} |"
        )
    return lines


def peak() -> float:
    """Largest memory of this process so far, MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_rows(rows: int, route: Any) -> None:
    """Present many rows to a small cavity and print by how much memory grew beyond drives and responses."""
    cavity = AcousticCavity(
        drives=20, responses=20, size=(0.3, 0.3), pitch=0.03, scatterers=1, sources=4, slots=5, slot_spacing=1e-3,
        slot=2e-3, tones=(1000.0,), route=route,
    )  # fmt: skip
    drive = torch.rand(rows, 20)
    cavity.measure(drive[:256], np.arange(256))
    before = peak()
    begun = time.perf_counter()
    response = cavity.measure(drive, np.arange(rows)).response
    seconds = time.perf_counter() - begun
    both = 2 * response.nbytes / 1e6  # the parts, and all of them together
    print(
        json.dumps(
            {
                "route": route,
                "rows": rows,
                "MB": peak() - before,
                "responses_MB": both,
                "peak_MB": peak(),
                "seconds": seconds,
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the memory test")
    parser.add_argument("--route", choices=["field", "transfer"], help="the memory test alone, in this process")
    parser.add_argument("--output", type=Path, help="also append the table to this file")
    arguments = parser.parse_args()
    if arguments.route:
        measure_rows(arguments.rows, arguments.route)
        return
    import deepwave

    lines = [
        f"{datetime.date.today().isoformat()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__} "
        f"with {torch.get_num_threads()} threads, deepwave {deepwave.__version__}, {CELLS} x {CELLS} cells, {STEPS} "
        f"steps, {ROWS} rows, float32, {arguments.repeats} turns",
        "",
        "| order | sides | solver | median / ms | best / ms | Gcell/s | times deepwave | largest difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    sides: tuple[Side, ...] = ("soft", "absorbing")
    for order in (2, 4):
        for side in sides:
            rows = compare(order, side, arguments.repeats)
            lines += rows
            print("\n".join(rows), flush=True)
    for route in ("field", "transfer"):
        command = [sys.executable, __file__, "--rows", str(arguments.rows), "--route", route]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        lines.append(
            f"{found['rows']} rows by {route}: the peak of the process grew by {found['MB']:.0f} MB to "
            f"{found['peak_MB']:.0f} MB, responses and their copy are {found['responses_MB']:.0f} MB; "
            f"{found['seconds'] / found['rows'] * 1e6:.0f} us a row"
        )
        print(lines[-1], flush=True)
    if arguments.output:
        with arguments.output.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, "", ""]))


if __name__ == "__main__":
    main()
