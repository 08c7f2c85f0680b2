"""Speed on a CUDA device beside peers on the same device, in one run: acoustics, the Schroedinger equation, scattering.

Every way is first held against the answer of the CPU in double precision; if one is wrong nothing is timed. Then all
take turns, in another order each time, timed by events of the device; ratios are medians over the turns.

    python benchmarks/gpu.py [--repeats N] [--only acoustic] [--output FILE]
    python benchmarks/gpu.py --interpreter   # without a device: the kernels at small size, compared and not timed

Needs torch's build for CUDA and `pip install 'physnet[cuda]'`; deepwave, if it is there (`pip install -r
benchmarks/requirements-waves.txt`), is timed as well. Without a device it says so and exits with 2.
"""

from __future__ import annotations

import os
import sys

# Numba chooses between compiler and interpreter when it is imported.
os.environ["NUMBA_ENABLE_CUDASIM"] = str(int("--interpreter" in sys.argv))

import physnet  # isort: skip  # noqa: F401  # before torch: docs/decisions/0006

import argparse
import datetime
import shutil
import subprocess
import warnings
from pathlib import Path

import torch
from gpu_acoustic import acoustic_check, acoustic_table
from gpu_pulses import pulse_check, pulse_table
from gpu_scattering import scattering_table
from waves import write

_ASKED = "driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu"


def machine(device: torch.device) -> str:
    """Return date, chip and versions."""
    chip = torch.cuda.get_device_properties(device)
    return (
        f"{datetime.date.today().isoformat()}, {chip.name}, {chip.multi_processor_count} multiprocessors, "
        f"{chip.total_memory / 2**30:.0f} GiB, torch {torch.__version__}, CUDA {torch.version.cuda}"
    )


def clocks(device: torch.device) -> str:
    """Return what the driver tells of itself and of the clocks now, where it does."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return "driver and clocks: no nvidia-smi"
    index = torch.cuda.current_device() if device.index is None else device.index
    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    chosen = str(index) if uuid is None else f"GPU-{uuid}"
    asked = [command, f"--id={chosen}", f"--query-gpu={_ASKED}", "--format=csv,noheader"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    return f"{_ASKED.replace(',', ', ')}: {told.stdout.strip() or told.stderr.strip() or 'not told'}"


def check() -> None:
    """Compare the kernels in the interpreter."""
    for name, error in {**acoustic_check(), **pulse_check()}.items():
        print(f"{name}: off the answer of the CPU in double precision by {error:.1e}, as it should be")
    print("interpreted on the CPU: nothing was timed")


def main() -> int:
    """Run the benchmark and return the exit code."""
    tables = {"acoustic": acoustic_table, "pulses": pulse_table, "scattering": scattering_table}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", choices=sorted(tables), help="one of the tables alone")
    parser.add_argument("--output", type=Path, help="also append the tables to this file")
    parser.add_argument("--device", default="cuda", help="which CUDA device")
    parser.add_argument("--interpreter", action="store_true", help="compare the kernels on the CPU, time nothing")
    arguments = parser.parse_args()
    if arguments.interpreter:
        check()
        return 0
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was compared or timed. --interpreter compares on the CPU.", file=sys.stderr)
        return 2
    device = torch.device(arguments.device)
    torch.cuda.set_device(device)
    warnings.simplefilter("ignore")  # deepwave's
    lines = [machine(device), clocks(device) + " (before)", ""]
    print("\n".join(lines), flush=True)
    for name, table in tables.items():
        if arguments.only in (None, name):
            lines += [*table(device, arguments.repeats), ""]
    lines += [clocks(device) + " (after)"]
    print(lines[-1], flush=True)
    write(arguments.output, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
