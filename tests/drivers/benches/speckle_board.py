"""A board with DAC and ADC channels and a scattering medium between its converters, and that medium driven directly.

Axis letters: N rows; D drives; R responses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from physnet.drivers.boards import DacAdcBoard
from physnet.simulators.instruments.board import SimulatedBoard
from physnet.simulators.instruments.board_making import make_dac_adc_board
from physnet.simulators.instruments.faults import FaultPlan
from physnet.simulators.instruments.serial_line import open_line
from physnet.simulators.instruments.shared_system import SharedSystem
from physnet.simulators.scattering import ScatteringMedium

DRIVES, RESPONSES, BITS, SEED = 64, 30, 12, 3
VOLTS = (0.0, 3.3)
LSB = (VOLTS[1] - VOLTS[0]) / (2**BITS - 1)


def speckle() -> ScatteringMedium:
    """The medium; 1 V is one unit of its response, and VOLTS the range of its drive."""
    return ScatteringMedium(drives=DRIVES, responses=RESPONSES, seed=SEED)


def direct(drive_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the medium answers to drives in V, in V."""
    unit_ND = torch.from_numpy(((drive_ND - VOLTS[0]) / (VOLTS[1] - VOLTS[0])).astype(np.float32))
    return np.asarray(speckle().measure(unit_ND, np.arange(len(unit_ND))).response, np.float64)


def bound() -> NDArray[np.float64]:
    """How far each response of the board may be from the medium's, in V, shape `(responses,)`.

    A drive is off by at most half of one of 4095 steps. The medium is |M d|, so that its response is off by at most
    that times the sum of a row of |M|. The response is rounded in turn, by half a step of the ADC. The medium computes
    in float32: the sum of 64 products is off by at most 64 times 2^-24 of the sum of their sizes, twice.
    """
    sum_R = np.asarray(speckle().matrix.abs().sum(1), np.float64)
    return np.asarray(0.5 / (2**BITS - 1) * sum_R + LSB / 2 + 2 * DRIVES * 2.0**-24 * sum_R)


def line_in(folder: Path) -> str:
    """A pseudo-terminal where there are any, or any free port."""
    return str(folder / "board.pty") if os.name == "posix" else "socket://127.0.0.1:0"


@contextmanager
def served_board(
    line: str, *, faults: FaultPlan | None = None, **options: Any
) -> Iterator[tuple[DacAdcBoard, SimulatedBoard]]:
    """Serve the board, and make its driver; it is not open yet.

    Args:
        line: Where it is served.
        faults: What goes wrong on the line.
        options: Of the driver.
    """
    shared = SharedSystem(speckle())
    channels: dict[str, Any] = {"drives": DRIVES, "responses": RESPONSES, "adc_bits": BITS}
    with make_dac_adc_board(
        shared, open_line(line), **channels, dac_bits=BITS, dac_range=VOLTS, adc_range=VOLTS, faults=faults
    ) as simulated:
        board = DacAdcBoard(
            port=simulated.port, **channels, drive_range=VOLTS, response_unit="V", simulated=True, **options
        )
        yield board, simulated
