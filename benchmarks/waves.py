"""Speed of the 2-D wave solvers beside deepwave's, in one run, and the memory of many rows.

The same discretisation on both sides (leap-frog, order 2 or 4, C-PML of 20 cells), 128 x 128 cells with layers, 500
steps, a batch of 32, float32, forward only. The wave at three microphones is compared first. Then each solver takes its
turn, again and again, so that whatever else the machine does hits all alike; the ratio is the median over the turns.

deepwave is run in two ways: with threads of its own, which meet after every step of every row, and split, where each of
as many callers has a share of the batch and one thread, which is how it is fastest on a batch. Ratios are to the faster
of the two, by its median. Our solvers take as many threads as torch has, and none of OpenMP's. Processor time, of all
threads, shows where other programs had the cores: elsewhere it is about the time times the threads.

    pip install -c constraints.txt -r benchmarks/requirements-waves.txt
    python benchmarks/waves.py [--repeats N] [--output FILE]
    python benchmarks/waves.py --rows 100000       # memory only: a small cavity, in a process of its own
    python benchmarks/waves.py --only cavity       # the programmable microwave cavity only, without deepwave
    python benchmarks/waves.py --only scattering   # the scattering medium only, see benchmarks/scattering.py
    python benchmarks/waves.py --only pulses       # the nonlinear Schroedinger equation only, see waves_pulses.py
    python benchmarks/waves.py --only fibre        # the Kerr term of a multimode fibre only, see waves_fibre.py

The programmable cavity has no peer here: its fast path, which eliminates once what no drive changes, is compared with a
solution of the whole cavity for each row, by LAPACK with one thread and with all. The 64 rows of a turn share one
assembly of the matrix. Ratios are to the faster of the two. "First row" includes the elimination.
"""

from __future__ import annotations

import os

# Only deepwave's own threads read this: they spin while they wait for each other, as OpenMP's do by default. physnet
# would have them sleep sooner (docs/decisions/0006), which was seen to make deepwave three times slower here.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scattering import scattering_table
from turns import in_turns
from waves_fibre import fibre_table
from waves_pulses import pulse_table

from physnet.allowed_drives import random_drives
from physnet.simulators.acoustic import AcousticCavity
from physnet.simulators.acoustic_grid import Grid, Side
from physnet.simulators.acoustic_media import Medium, Scheme
from physnet.simulators.acoustic_numba import NumbaSolver, is_available
from physnet.simulators.acoustic_torch import TorchSolver
from physnet.simulators.programmable_cavity import ProgrammableCavity

CELLS, STEPS, ROWS, LAYER, SPEED = 128, 500, 32, 20, 343.0
PITCH = 1 / CELLS
STEP = 0.4 * PITCH / SPEED  # within deepwave's own limit of 0.42: it would take two steps for one otherwise
FREQUENCY = SPEED / (12 * PITCH)
SOURCE, MICROPHONES = np.array([[40, 50]]), np.array([[64, 90], [80, 30], [64, 64]])

Run = Callable[[], np.ndarray[Any, Any]]


def waves(rows: int = ROWS) -> np.ndarray[Any, Any]:
    """Ricker wavelets, a little louder from row to row, shape (rows, 1, steps)."""
    phase = (np.pi * FREQUENCY * (np.arange(STEPS) * STEP - 1.5 / FREQUENCY)) ** 2
    wave = (1 - 2 * phase) * np.exp(-phase)
    return (wave * np.linspace(1, 2, rows)[:, None, None]).astype(np.float32)


def peer(order: int, layer: int, wave: np.ndarray[Any, Any]) -> Run:
    run = peer_on(torch.device("cpu"), order, layer, wave)
    return lambda: run().numpy()


def peer_on(device: torch.device, order: int, layer: int, wave: np.ndarray[Any, Any]) -> Callable[[], torch.Tensor]:
    """Return a run of deepwave whose arrays are, and stay, on a device."""
    import deepwave

    rows = len(wave)
    speed = torch.full((CELLS - 2 * layer,) * 2, SPEED, device=device)
    source = torch.from_numpy(SOURCE - layer).to(device).expand(rows, -1, -1).contiguous()
    microphones = torch.from_numpy(MICROPHONES - layer).to(device).expand(rows, -1, -1).contiguous()
    amplitudes = torch.from_numpy(wave).to(device)

    def run() -> torch.Tensor:
        with torch.no_grad():
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
        return heard[..., 1:] / -(PITCH**2)

    return run


@contextmanager
def split_peer(order: int, layer: int, wave: np.ndarray[Any, Any]) -> Iterator[Run]:
    """Share the batch among callers, each with one thread."""
    threads = torch.get_num_threads()
    runs = [peer(order, layer, np.ascontiguousarray(part)) for part in np.array_split(wave, threads)]

    def begin() -> None:
        torch.get_num_threads()  # a thread's number is set when it is first asked for, and would be that of others
        torch.set_num_threads(1)

    with ThreadPoolExecutor(threads, initializer=begin) as pool:
        numbers = list(pool.map(lambda _: (time.sleep(0.1), torch.get_num_threads())[1], range(threads)))
        torch.set_num_threads(threads)  # of this thread, and of those to come
        assert numbers == [1] * threads
        yield lambda: np.concatenate(list(pool.map(lambda run: run(), runs)))


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
    wave, layer = waves(), LAYER if side == "absorbing" else 0
    with warnings.catch_warnings(), split_peer(order, layer, wave) as split:
        warnings.simplefilter("ignore")  # deepwave's, about sides without a layer
        runs = {"deepwave": peer(order, layer, wave), "deepwave, split": split, **solvers(order, side, wave)}
        heard = {name: run() for name, run in runs.items()}  # and warm up
        seconds, busy = in_turns(runs, repeats)
    lines = []
    fastest = np.array(min((seconds["deepwave"], seconds["deepwave, split"]), key=np.median))
    for name in runs:
        times = np.array(seconds[name])
        ratio, lowest, highest = (np.quantile(fastest / times, part) for part in (0.5, 0, 1))
        error = np.abs(heard[name] - heard["deepwave"]).max() / np.abs(heard["deepwave"]).max()
        rate = CELLS**2 * STEPS * ROWS / np.median(times) / 1e9
        lines.append(
            f"| {order} | {side} | {name} | {np.median(times) * 1e3:.0f} | {times.min() * 1e3:.0f} to "
            f"{times.max() * 1e3:.0f} | {np.median(busy[name]) * 1e3:.0f} | {rate:.2f} | {ratio:.2f} "
            f"| {lowest:.2f} to {highest:.2f} | {error:.1e} |"
        )
    return lines


def compare_cavity(control: Any, repeats: int) -> list[str]:
    """Time the two paths of a programmable cavity in turn and return the lines of the table."""
    from threadpoolctl import threadpool_limits

    elements, rows = 64, {"fast": 512, "full": 64, "full, one thread": 64}
    options: dict[str, Any] = {
        "drives": 2 * elements if control == "2-bit" else elements, "responses": 8, "frequencies": (2.45e9,),
        "control": control,
    }  # fmt: skip
    fast, full = ProgrammableCavity(**options), ProgrammableCavity(**options, route="full")
    drive: Any = random_drives(fast.spec, rows=max(rows.values()))
    begun = time.perf_counter()
    fast.measure(drive[:1], np.arange(1))
    eliminated = time.perf_counter() - begun
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    heard: dict[str, Any] = {}
    for _ in range(repeats):
        for name, count in rows.items():
            cavity = fast if name == "fast" else full
            with threadpool_limits(1 if "one" in name else None):
                begun = time.perf_counter()
                heard[name] = cavity.measure(drive[:count], np.arange(count)).response
                seconds[name].append((time.perf_counter() - begun) / count)
    plain = np.array(min((seconds["full"], seconds["full, one thread"]), key=np.median))
    lines = []
    for name, count in rows.items():
        times = np.array(seconds[name])
        ratio, lowest, highest = (np.quantile(plain / times, part) for part in (0.5, 0, 1))
        shared = slice(0, min(count, rows["full"]))
        error = np.abs(heard[name][shared] - heard["full"][shared]).max() / np.abs(heard["full"]).max()
        first = f"{eliminated * 1e3:.0f}" if name == "fast" else "-"
        lines.append(
            f"| {control} | {name} | {np.median(times) * 1e6:.0f} | {times.min() * 1e6:.0f} to {times.max() * 1e6:.0f} "
            f"| {first} | {ratio:.3g} | {lowest:.3g} to {highest:.3g} | {error:.1e} |"
        )
    return lines


def cavity_table(repeats: int) -> list[str]:
    """Print and return the table of the programmable cavity."""
    lines = [
        "programmable cavity: 64 elements, 304 dipoles of environment, 6 antennas, one frequency, complex128; us a row",
        "",
        "| control | path | median / us | range / us | first row / ms | times full | range | largest difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for control in ("1-bit", "2-bit", "continuous"):
        rows = compare_cavity(control, repeats)
        lines += rows
        print("\n".join(rows), flush=True)
    return lines


def first_call() -> float:
    """Seconds of the compiled solver's first call, which compiles its loops or finds them in numba's cache."""
    grid = Grid(shape=(64, 64), pitch=PITCH, sides=("absorbing",) * 4, layer=10)
    scheme = Scheme(grid=grid, medium=Medium.uniform(grid, speed=SPEED), time_step=STEP, frequency=FREQUENCY)
    solver = NumbaSolver(scheme, sources=np.array([[30, 30]]), microphones=np.array([[32, 32]]))
    begun = time.perf_counter()
    solver.propagate(np.zeros((1, 1, 4)))
    return time.perf_counter() - begun


def peak() -> float:
    """Largest memory of this process so far, MB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells of a child counts its parent's memory
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024
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
    tables = {"cavity": cavity_table, "scattering": scattering_table, "pulses": pulse_table, "fibre": fibre_table}
    parser.add_argument("--only", choices=sorted(tables), help="one of the other tables alone")
    parser.add_argument("--output", type=Path, help="also append the table to this file")
    arguments = parser.parse_args()
    if arguments.route:
        measure_rows(arguments.rows, arguments.route)
        return
    if arguments.only:
        machine = (
            f"{datetime.date.today().isoformat()}, {platform.machine()}, {os.cpu_count()} cores, numpy "
            f"{np.__version__}, torch {torch.__version__}, {arguments.repeats} turns"
        )
        print(machine)
        lines = tables[arguments.only](arguments.repeats)
        load = f"load of the machine over the last minute: {os.getloadavg()[0]:.1f}"
        print(load)
        write(arguments.output, [machine, "", *lines, "", load])
        return
    import deepwave

    lines = [
        f"{datetime.date.today().isoformat()}, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__} "
        f"with {torch.get_num_threads()} threads, deepwave {deepwave.__version__}, {CELLS} x {CELLS} cells, {STEPS} "
        f"steps, {ROWS} rows, float32, {arguments.repeats} turns",
        "",
    ]
    if is_available():
        lines += [f"numba's first call, loops compiled or found in its cache: {first_call():.1f} s", ""]
    lines += [
        "| order | sides | solver | median / ms | range / ms | processor / ms | Gcell/s | times deepwave | range "
        "| largest difference |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    sides: tuple[Side, ...] = ("soft", "absorbing")
    for order in (2, 4):
        for side in sides:
            rows = compare(order, side, arguments.repeats)
            lines += rows
            print("\n".join(rows), flush=True)
    lines += ["", *cavity_table(arguments.repeats)]
    lines += ["", *scattering_table(arguments.repeats)]
    lines += ["", *pulse_table(arguments.repeats)]
    lines += ["", *fibre_table(arguments.repeats)]
    lines += ["", f"load of the machine over the last minute: {os.getloadavg()[0]:.1f}", ""]
    print("\n".join(lines[-3:]), flush=True)
    for route in ("field", "transfer"):
        command = [sys.executable, __file__, "--rows", str(arguments.rows), "--route", route]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        lines.append(
            f"{found['rows']} rows by {route}: the peak of the process grew by {found['MB']:.0f} MB to "
            f"{found['peak_MB']:.0f} MB, responses and their copy are {found['responses_MB']:.0f} MB; "
            f"{found['seconds'] / found['rows'] * 1e6:.2g} us a row"
        )
        print(lines[-1], flush=True)
    write(arguments.output, lines)


def write(output: Path | None, lines: list[str]) -> None:
    if output:
        with output.open("a", encoding="utf-8") as file:
            file.write("\n".join([*lines, "", ""]))


if __name__ == "__main__":
    main()
