"""The driver of metasurfaces against the firmware that a board runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physnet.drivers.boards import MetasurfaceBoard
from physnet.errors import DriveError, InputError, MeasurementError
from physnet.passes import Purpose, pass_numbers
from physnet.testing import check_system
from tests.drivers.boards.host_board import HostBoard, Plug, transfer


def make(board: HostBoard, **options: Any) -> MetasurfaceBoard:
    return MetasurfaceBoard(port=board.port, **{"elements": 77, "responses": 4, "simulated": True, **options})


def patterns(rows: int, elements: int = 77) -> NDArray[np.uint8]:
    return np.random.default_rng(rows).integers(0, 2, (rows, elements), np.uint8)


def passes(rows: int) -> NDArray[np.int64]:
    return pass_numbers(Purpose.CALIBRATE, rows=rows)


@pytest.mark.parametrize(("elements", "rows"), [(1, 3), (8, 9), (77, 100), (4096, 20)])
def test_each_pattern_is_latched_triggered_and_answered_to_the_bit(plug: Plug, elements: int, rows: int) -> None:
    board = plug("--bits", elements)
    drive = patterns(rows, elements)
    with make(board, elements=elements, trigger=True) as system:
        reading = system.measure(drive, passes(rows))
    assert np.array_equal(reading.response, transfer(128 * drive.astype(np.int64) - 64))
    packed = [np.packbits(row, bitorder="little").tobytes().hex() for row in drive]
    played = [event for event in board.events() if event != "safe"]
    assert played == [event for row in packed for event in (f"pattern {row}", "trigger")]
    assert board.events()[-1] == "safe"


def test_it_keeps_to_the_contract(plug: Plug) -> None:
    board = plug("--bits", 77)
    check_system(lambda: make(board))


def test_an_element_that_is_stuck_is_told_and_its_row_never_used(plug: Plug) -> None:
    board = plug("--bits", 77, "--stuck", 5)
    with (
        make(board) as system,
        pytest.raises(MeasurementError, match="an output or a shift register is stuck") as caught,
    ):
        system.measure(patterns(10), passes(10))
    assert caught.value.reading is None
    assert board.events()[-1] == "safe"


def test_a_pattern_that_is_not_binary_is_never_sent(plug: Plug) -> None:
    board = plug("--bits", 77)
    with make(board) as system, pytest.raises(DriveError, match="must be 0 to 1"):
        system.measure(2 * np.ones((1, 77), np.uint8), passes(1))
    assert set(board.events()) == {"safe"}


def test_a_board_with_other_elements_is_refused(plug: Plug) -> None:
    with (
        pytest.raises(InputError, match="elements of metasurface_board must be 77"),
        make(plug("--bits", 77), elements=76),
    ):
        pass
