"""Bring a bench up step by step: read its file, find its instruments, make it safe, calibrate it, play a few rows.

python lab_scripts/bring_up_bench.py lab_scripts/benches/cavity.toml --simulated

Without --simulated it talks to the real instruments that the file names. With --dry-run it prints every line that would
be sent, and sends it to simulated instruments only.
"""

import argparse
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from physnet.allowed_drives import random_drives
from physnet.drivers.benches.bench import Bench
from physnet.drivers.benches.config import BenchFile, load_bench
from physnet.drivers.benches.make import build
from physnet.drivers.transport import Transport
from physnet.drivers.watched import WatchedTransport
from physnet.errors import PhysnetError
from physnet.passes import Purpose, pass_numbers
from physnet.simulators.instruments.serve import Simulation


def main() -> None:
    """Take the steps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("bench", type=Path, help="a bench file")
    parser.add_argument("--simulated", action="store_true", help="serve simulated instruments, and use them")
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent; implies --simulated")
    parser.add_argument("--rows", type=int, default=20)
    arguments = parser.parse_args()
    file = load_bench(arguments.bench)
    with ExitStack() as stack:
        lines = None
        if arguments.simulated or arguments.dry_run:
            table = tomllib.loads(arguments.bench.read_text(encoding="utf-8"))
            lines = stack.enter_context(Simulation(table, resources="ephemeral")).resources
        bench = build(file, simulated=lines is not None, resources=lines, wrap=printer if arguments.dry_run else None)
        describe(file, bench)
        with bench:
            report(bench)
            play(bench, rows=min(arguments.rows, bench.spec.max_batch or arguments.rows))


def describe(file: BenchFile, bench: Bench) -> None:
    """Say what the file asks for; nothing is open yet."""
    spec = bench.spec
    print(f"bench      {spec.name}: {file.description} ({spec.kind})")
    print(f"drives     {spec.drive.channels}, {spec.drive.domain}, joint limit {spec.drive.max_sum or 'none needed'}")
    print(f"responses  {spec.response.channels} of {spec.response.dtype} in {spec.response.unit}")
    print(f"a row      {spec.cost.per_pass:.3g} s at most, {spec.max_batch} rows a burst")


def report(bench: Bench) -> None:
    """Say who answered, and what the calibration found. All outputs were made safe before anything was set."""
    found = bench.spec.identity["found"]
    for role, identity in found["instruments"].items():
        print(f"{role:<10} {identity}")
    for name, value in found.get("calibration", {}).items():
        print(f"  {name:<16} {value}")


def play(bench: Bench, *, rows: int) -> None:
    """Play the same rows twice, and compare."""
    drive = np.asarray(random_drives(bench.spec, rows=rows, seed=0))
    passes = pass_numbers(Purpose.CALIBRATE, rows=rows)
    first, second = (np.asarray(bench.measure(drive, passes).response) for _ in range(2))
    spread = np.sqrt(np.mean(np.abs(first - first.mean(0)) ** 2))
    noise = np.sqrt(np.mean(np.abs(first - second) ** 2) / 2)
    print(f"rows       {rows} twice: they differ by {spread:.3g}, repetitions by {noise:.3g} ({noise / spread:.2%})")
    print(f"faults     {dict(bench.faults) or 'none'}")


def printer(role: str, line: Transport) -> Transport:
    """Print what is sent to an instrument."""
    tell: Callable[[str], None] = lambda text: print(f"  {role:<9} > {text}")  # noqa: E731
    return WatchedTransport(line, tell)


if __name__ == "__main__":
    try:
        main()
    except PhysnetError as error:  # it says what was wrong and the way out
        raise SystemExit(f"stopped: {error}") from None
