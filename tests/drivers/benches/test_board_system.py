"""A board with DAC and ADC channels on a pseudo-terminal: the answers of the medium between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from physnet.port import Port

from .speckle_board import DRIVES, LSB, VOLTS, bound, direct, line_in, served_board, speckle
from .training import differ, trained


def test_every_response_is_that_of_the_medium_within_quantisation(tmp_path: Path) -> None:
    drive_ND = np.random.default_rng(0).uniform(*VOLTS, (200, DRIVES))
    with served_board(line_in(tmp_path)) as (board, _), board:
        reading = board.measure(drive_ND, np.arange(200))
        assert not any(board.faults.values())
    wanted_NR = direct(drive_ND)
    error_NR = np.abs(reading.response - wanted_NR)
    assert reading.valid is not None and reading.valid.all()
    assert (error_NR < bound()).all()
    # Not by chance: responses differ by many codes; and the bound is no idle one: errors reach half a code and more.
    assert wanted_NR.std(0).min() > 100 * LSB
    assert error_NR.max() > 0.5 * LSB


def test_a_network_learns_through_the_board_what_it_learns_through_the_medium(tmp_path: Path) -> None:
    with served_board(line_in(tmp_path)) as (board, simulated):
        port = Port(board, seed=1)
        through_board, _ = trained(board, seed=1, port=port)
        assert not any(board.faults.values()) and port.count.retries == 0
        assert simulated.rows == port.count.passes
    directly, _ = trained(speckle(), seed=1)
    assert not differ(through_board, directly)
    assert directly.mean() > 0.5 and through_board.mean() > 0.5  # chance is 10 %
