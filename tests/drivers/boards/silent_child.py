"""Plays a long batch until it is killed."""

from __future__ import annotations

import sys

import physnet  # isort: skip  # noqa: F401  # before torch: docs/decisions/0006

import numpy as np

from physnet.drivers.boards import DacAdcBoard
from physnet.interrupts import StopRequest
from physnet.passes import Purpose, pass_numbers
from physnet.port import Port

ROWS = 10_000


def main(port: str) -> None:
    system = DacAdcBoard(
        port=port, drives=8, responses=4, drive_range=(0.0, 3.3), simulated=True, settle=0.01, max_batch=ROWS
    )
    # short chunks: a stop is obeyed between two of them
    with StopRequest() as stop, Port(system, chunk=20) as bench:
        bench.interrupted = stop.check
        bench.measure(np.ones((ROWS, 8)), pass_numbers(Purpose.CALIBRATE, rows=ROWS))


if __name__ == "__main__":
    main(sys.argv[1])
