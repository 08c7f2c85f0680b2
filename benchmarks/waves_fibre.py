"""The Kerr term of a multimode fibre: in real space beside the dense tensor, for `waves.py`.

Columns (rows of a batch, or samples of pulses) of random amplitudes of a graded fibre, in single precision, one thread
each. The peer is the sum over all quadruples of modes as one real matrix product over pairs of modes, which uses that
the tensor is symmetric and real: 2 flop for every pair of pairs, a fourth of those of the plain sum. In real space the
same sum is two products with the modes at the nodes (torch), or sums over one coordinate at a time (compiled). All ways
go through the columns in portions that stay in the cache, and take turns; ratios are medians over the turns. The
difference is that to the tensor in double precision, over the largest term.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from physnet.simulators.acoustic_numba import is_available
from physnet.simulators.fibre_kerr import Kerr, QuadratureKerr, TensorKerr
from physnet.simulators.fibre_mode_solver import solve_modes
from physnet.simulators.fibre_modes import Modes
from physnet.simulators.fibre_numba import make_room, make_tables
from physnet.simulators.fibre_profile import Fibre

COLUMNS, PORTION = 1024, 128
CPU = torch.device("cpu")
Run = Callable[[], torch.Tensor]


def portions(kerr: Kerr, amplitude_M2X: torch.Tensor) -> Run:
    parts = [part.contiguous() for part in amplitude_M2X.split(PORTION, dim=2)]

    def run() -> torch.Tensor:
        terms = [kerr.term(part) for part in parts]
        return terms[0]

    return run


def compiled(modes: Modes, amplitude_M2X: torch.Tensor) -> Run:
    from physnet.simulators import fibre_kernels

    factors = modes.factors()
    order_M, tables = make_tables(factors)
    groups = COLUMNS // 16  # as many samples, of sixteen rows
    wave, fields, sums, nodes = make_room(len(factors.even_G), tables[5], len(order_M), groups)
    ordered_M2X = amplitude_M2X.numpy()[order_M]
    wave.reshape(groups, -1, 2, 16)[:] = ordered_M2X.reshape(*ordered_M2X.shape[:2], groups, 16).transpose(2, 0, 1, 3)
    term = fields[0]

    def run() -> torch.Tensor:
        fibre_kernels.change(wave, term, np.float32(1.0), len(order_M), groups, tables, sums, nodes)
        first = term.reshape(groups, -1, 2, 16)[: PORTION // 16].transpose(1, 2, 0, 3).reshape(-1, 2, PORTION)
        back = first[np.argsort(order_M)]
        return torch.from_numpy(np.stack((back[:, 1], -back[:, 0]), axis=1))  # the kernel multiplies with i

    return run


def ways(modes: Modes, amplitude_M2X: torch.Tensor) -> dict[str, Run]:
    options = {"dtype": torch.float32, "device": CPU}
    found = {
        "tensor": portions(TensorKerr(modes, **options), amplitude_M2X),
        "real space, torch": portions(QuadratureKerr(modes.factors(), **options), amplitude_M2X),
    }
    if is_available():
        found["real space, compiled"] = compiled(modes, amplitude_M2X)
    return found


def compare(count: int, repeats: int) -> list[str]:
    """Time the ways in turn and return the lines of the table."""
    fibre = Fibre(profile="graded", radius=25e-6, numerical_aperture=0.2, wavelength=1.55e-6)
    modes = solve_modes(fibre, modes=count)
    amplitude = torch.randn(count, 2, COLUMNS, generator=torch.Generator().manual_seed(0))
    exact = TensorKerr(modes, dtype=torch.float64, device=CPU).term(amplitude[..., :PORTION].double())
    runs = ways(modes, amplitude)
    heard = {name: run() for name, run in runs.items()}  # and warm up
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    busy: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            begun, used = time.perf_counter(), time.thread_time()
            run()
            seconds[name].append(time.perf_counter() - begun)
            busy[name].append(time.thread_time() - used)
    lines = []
    for name in runs:
        times, work = (np.array(part[name]) / COLUMNS * 1e9 for part in (seconds, busy))
        ratio, lowest, highest = (
            np.quantile(np.array(seconds["tensor"]) / np.array(seconds[name]), part) for part in (0.5, 0, 1)
        )
        by_work = np.median(np.array(busy["tensor"]) / np.array(busy[name]))
        error = float((heard[name] - exact).abs().max() / exact.abs().max())
        lines.append(
            f"| {count} | {name} | {np.median(times):.3g} | {times.min():.3g} to {times.max():.3g} "
            f"| {np.median(work):.3g} | {ratio:.3g} | {lowest:.3g} to {highest:.3g} | {by_work:.3g} | {error:.1e} |"
        )
    return lines


def fibre_table(repeats: int) -> list[str]:
    """Print and return the table of the Kerr term."""
    lines = [
        f"Kerr term of a graded fibre, {COLUMNS} columns, float32, one thread; ns a column",
        "",
        "| modes | way | median / ns | range / ns | processor / ns | times tensor | range | by processor time "
        "| largest difference |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for count in (10, 21, 55):
        rows = compare(count, repeats)
        lines += rows
        print("\n".join(rows), flush=True)
    torch.set_num_threads(threads)
    return lines
