from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.boards.host_board import HostBoard, Plug

FIRMWARE = Path(__file__).parents[3] / "drivers" / "boards" / "firmware"
SOURCES = ("host_main.cpp", "protocol.cpp", "frames.cpp", "simulated_board.cpp")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror", "-fno-exceptions", "-fno-rtti")


@pytest.fixture(scope="session")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware, built for this computer."""
    compiler = shutil.which("g++")
    if compiler is None or os.name != "posix":
        pytest.skip("needs g++ and pseudo-terminals")
    program = tmp_path_factory.mktemp("firmware") / "board"
    sources = [str(FIRMWARE / name) for name in SOURCES]
    subprocess.run([compiler, "-std=c++17", "-O1", *WARNINGS, "-o", str(program), *sources], check=True)
    return program


@pytest.fixture
def plug(firmware: Path, tmp_path: Path) -> Iterator[Plug]:
    """Start a firmware with options and return it."""
    boards: list[HostBoard] = []

    def start(*options: object) -> HostBoard:
        boards.append(HostBoard(firmware, tmp_path / f"outputs-{len(boards)}.txt", tuple(map(str, options))))
        return boards[-1]

    yield start
    for board in boards:
        board.close()
