"""A board behind a serial port says who it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from physnet.drivers.finding import Found
from physnet.drivers.identifying import identify
from tests.drivers.boards.host_board import Plug


def test_a_board_answers_where_no_instrument_does(plug: Plug, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    board = plug()
    found = identify(Found(kind="serial", name=board.port), seconds=0.5)
    name, number, version, simulated = found.identity.split(",")
    assert name and len(number) == 16 and version.count(".") == 2 and simulated == "SIMULATED"
    assert set(board.events()) == {"safe"}
