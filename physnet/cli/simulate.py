"""`physnet simulate`."""

from __future__ import annotations

import argparse
import importlib
import time
import tomllib
from pathlib import Path
from typing import Any

from ..errors import ExperimentError, Stopped
from ..interrupts import StopRequest
from ..printable import printable

_SERVE = "physnet.simulators.instruments.serve"  # by name: the core imports no simulator
_LOOK = 0.1  # s between two looks at whether to stop
_LARGEST = 1 << 20  # bytes of a bench file


def simulate(arguments: argparse.Namespace) -> int:
    """Serve the instruments of a bench file until Ctrl-C or SIGTERM."""
    path = Path(arguments.bench)
    simulation = importlib.import_module(_SERVE).Simulation(_read(path), base=path.absolute().parent)
    with StopRequest() as stop:
        with simulation:
            for role, resource in simulation.resources.items():
                print(f"{role:<10}{printable(resource)}")
            print("ready", flush=True)
            try:
                while True:
                    stop.check()
                    time.sleep(_LOOK)
            except Stopped:
                pass
        for role, counts in simulation.faults.items():
            if counts:
                told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
                print(f"faults of the {role}: {told}")
    return 0


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ExperimentError(f"{path} must be a bench file that can be read: {error}.") from error
    if len(raw) > _LARGEST:
        raise ExperimentError(f"{path} must be a bench file, and it is larger than {_LARGEST >> 20} MiB.")
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # no UTF-8, or no TOML
        raise ExperimentError(f"{path} must be a bench file in TOML: {error}.") from error
