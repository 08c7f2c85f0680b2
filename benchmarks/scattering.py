"""Speed of the scattering medium beside one real matrix product of the same size, in one run.

The product is of 1 024 rows with the transfer matrix as [Re | Im], 784 x 8 192, `float32`, by torch and by NumPy, each
into memory that is there already; ratios are to the faster of the two, by its median. The medium does the same product,
then detects: modulus, intensity, or moduli averaged over four pixels.

Run by `python benchmarks/waves.py --only scattering`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from physnet.simulators.scattering import ScatteringMedium

ROWS, DRIVES, PIXELS = 1024, 784, 4096


def scattering_table(repeats: int) -> list[str]:
    """Print and return the table, with one thread and with all."""
    lines = [
        f"scattering medium: {DRIVES} -> {PIXELS}, {ROWS} rows, float32, beside one real product with [Re | Im]",
        "",
        "| threads | what | median / ms | range / ms | processor / ms | GFLOP/s | times the product | range "
        "| by processor time |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    threads = torch.get_num_threads()
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        with threadpool_limits(count):
            rows = _compare(count, repeats)
        lines += rows
        print("\n".join(rows), flush=True)
    torch.set_num_threads(threads)
    return lines


def _compare(threads: int, repeats: int) -> list[str]:
    drive, passes = torch.rand(ROWS, DRIVES), np.arange(ROWS, dtype=np.int64)
    medium = ScatteringMedium(drives=DRIVES, responses=PIXELS)
    intensity = ScatteringMedium(drives=DRIVES, responses=PIXELS, camera="intensity")
    pooled = ScatteringMedium(drives=DRIVES, responses=PIXELS // 4, pooling=4)
    matrix = torch.cat((medium.matrix.real.T, medium.matrix.imag.T), dim=1).contiguous()
    out = torch.empty(ROWS, 2 * PIXELS)
    runs: dict[str, Callable[[], object]] = {
        "product, torch": lambda: torch.mm(drive, matrix, out=out),
        "product, NumPy": lambda: np.matmul(drive.numpy(), matrix.numpy(), out=out.numpy()),
        "modulus": lambda: medium.measure(drive, passes),
        "intensity": lambda: intensity.measure(drive, passes),
        "modulus, pooled by 4": lambda: pooled.measure(drive, passes),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    busy: dict[str, list[float]] = {name: [] for name in runs}
    names, order = list(runs), np.random.default_rng(0)
    for turn in range(repeats + 1):
        # Another order every turn: OpenBLAS's threads go on spinning for a while after NumPy's product.
        for name in order.permutation(names):
            run = runs[name]
            begun, used = time.perf_counter(), time.process_time()
            run()
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - begun)
                busy[name].append(time.process_time() - used)
    peers = ("product, torch", "product, NumPy")
    fastest = np.array(min((seconds[name] for name in peers), key=np.median))
    least = min(float(np.median(busy[name])) for name in peers)
    lines = []
    for name in runs:
        times = np.array(seconds[name])
        ratio, lowest, highest = (np.quantile(fastest / times, part) for part in (0.5, 0, 1))
        rate = 4 * ROWS * DRIVES * PIXELS / np.median(times) / 1e9
        lines.append(
            f"| {threads} | {name} | {np.median(times) * 1e3:.1f} | {times.min() * 1e3:.1f} to {times.max() * 1e3:.1f} "
            f"| {np.median(busy[name]) * 1e3:.1f} | {rate:.0f} | {ratio:.2f} | {lowest:.2f} to {highest:.2f} "
            f"| {least / np.median(busy[name]):.2f} |"
        )
    return lines
