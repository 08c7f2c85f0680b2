"""The simulated board answers every request as the reference firmware does, built for this computer."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from cobs import cobs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physnet.simulators.instruments.board_hardware import SimulatedHardware
from physnet.simulators.instruments.board_messages import Abilities
from physnet.simulators.instruments.board_protocol import BoardProtocol
from physnet.simulators.instruments.frames import encode
from tests.drivers.boards.host_board import HostBoard

FIRMWARE = Path(__file__).parents[3] / "drivers" / "boards" / "firmware"
DACS, ADCS, BITS = 8, 4, 77
FULL = 4095  # 12 bits, both ways
WATCHDOG = 100.0  # s: no pause of this computer trips it
IDENTIFY, STATUS, ARM, SAFE, PLAY, PATTERN, READ_BACK = range(1, 8)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++")
    if compiler is None or os.name != "posix":
        pytest.skip("needs g++ and pseudo-terminals")
    target = tmp_path_factory.mktemp("firmware") / "board"
    sources = [str(FIRMWARE / f"{name}.cpp") for name in ("host_main", "protocol", "frames", "simulated_board")]
    subprocess.run([compiler, "-std=c++17", "-O1", "-o", str(target), *sources], check=True)
    return target


def transfer(values_D: NDArray[np.int64]) -> NDArray[np.float64]:
    """The host build's inputs, in V before they clip; codes are taken from their middle, bits are -64 and 64."""
    i, j = np.arange(len(values_D))[:, None], np.arange(ADCS)
    total_R = (values_D[:, None] * ((7 * i + 13 * j + i * j) % 17 - 8)).sum(0)
    codes_R: NDArray[np.int64] = FULL // 2 + (total_R >> 3) + (((total_R >> 6) ** 2) >> 4)
    return np.asarray(codes_R * (3.3 / FULL))


class Twin:
    """The simulated board without a line, its inputs those of the host build."""

    def __init__(self) -> None:
        hardware = SimulatedHardware(
            Abilities(name="host", unique_id=bytes(8), dac_channels=DACS, elements=BITS, watchdog=WATCHDOG),
            voltages=lambda out_D: transfer(np.rint(out_D * FULL).astype(np.int64) - 2048),
            elements=lambda out_D: transfer(128 * out_D.astype(np.int64) - 64),
        )
        self.hardware = hardware
        self.answers = b""
        self.protocol = BoardProtocol(hardware, self._take)

    def ask(self, line: bytes) -> bytes:
        self.answers = b""
        self.protocol.receive(line)
        while not self.protocol.idle:
            self.protocol.poll()
        return self.answers

    def events(self) -> list[str]:
        """As the host build logs them."""
        lines = []
        for event in self.hardware.record:
            text = bytes(event.value).hex() if event.kind == "pattern" else " ".join(map(str, event.value))
            lines.append(f"{event.kind} {text}".strip())
        return lines

    def _take(self, answer: bytes) -> None:
        self.answers += answer


def ask(board: HostBoard, line: bytes, size: int) -> bytes:
    """Write to the firmware and read as many bytes as must come, 5 s at most."""
    file = os.open(board.port, os.O_RDWR | os.O_NOCTTY)
    try:
        os.write(file, line)
        got, deadline = b"", time.monotonic() + 5
        while len(got) < size and time.monotonic() < deadline:
            if select.select([file], [], [], 0.05)[0]:
                got += os.read(file, 65536)
        return got
    finally:
        os.close(file)


def told(line: bytes) -> list[bytes]:
    """The frames of a line, as bytes; of a status without its clock, which no two boards share."""
    bodies = [cobs.decode(part) for part in line.split(b"\0") if part]
    return [body[:-8] if body[1] == STATUS | 0x80 else body[:-4] for body in bodies]


@dataclass(frozen=True)
class Request:
    """A frame, and what the line does to it."""

    kind: int
    step: int
    payload: bytes
    version: int
    damage: Callable[[bytes], bytes] = lambda line: line


def arming(settle_us: int, watchdog_ms: int) -> bytes:
    return settle_us.to_bytes(4, "little") + watchdog_ms.to_bytes(4, "little")


payloads = {
    ARM: st.builds(arming, st.sampled_from([0, 0, 0, 10, 100_001]), st.sampled_from([50_000, 100_000, 100_001, 0])),
    PLAY: st.lists(st.integers(0, FULL), min_size=DACS, max_size=DACS).map(
        lambda codes: np.array(codes, "<u2").tobytes()
    ),
    PATTERN: st.binary(min_size=10, max_size=10),
}


@st.composite
def requests(draw: st.DrawFn) -> Request:
    kind = draw(st.sampled_from([IDENTIFY, STATUS, ARM, ARM, SAFE, PLAY, PLAY, PATTERN, PATTERN, READ_BACK, 0, 99]))
    usual = payloads.get(kind, st.just(b""))
    payload = draw(st.one_of(usual, usual, usual, st.binary(max_size=20), st.just(bytes(512))))
    place, bit = draw(st.integers(0, 600)), 1 << draw(st.integers(0, 7))

    def flip(line: bytes) -> bytes:
        at = place % len(line)
        return line[:at] + bytes([line[at] ^ bit]) + line[at + 1 :]

    damage = draw(st.sampled_from([None, None, None, None, flip, lambda line: line[: len(line) // 2]]))
    whole = Request(kind, draw(st.sampled_from([1, 1, 1, 2, 0, -1])), payload, draw(st.sampled_from([1, 1, 1, 2])))
    return whole if damage is None else Request(whole.kind, whole.step, payload, whole.version, damage)


@given(asked=st.lists(requests(), min_size=1, max_size=12), first=st.sampled_from([0, 2**32 - 4, 2**31 - 3]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_requests_get_the_same_answers(
    program: Path, tmp_path: Path, asked: list[Request], first: int
) -> None:
    log = tmp_path / "outputs.txt"
    log.unlink(missing_ok=True)
    twin = Twin()
    board = HostBoard(program, log, ("--bits", str(BITS), "--watchdog", str(int(WATCHDOG * 1e3))))
    try:
        sequence = first
        opening = [Request(IDENTIFY, 0, b"", 1), Request(ARM, 1, arming(0, 100_000), 1)]
        for request in [*opening, *asked, Request(STATUS, 1, b"", 1)]:
            sequence = (sequence + request.step) % 2**32
            line = b"\0" + request.damage(encode(request.kind, sequence, request.payload, version=request.version))
            expected = twin.ask(line)
            assert told(ask(board, line, len(expected))) == told(expected)
        assert board.events() == twin.events()
    finally:
        board.close()


@given(rubbish=st.lists(st.binary(max_size=700), min_size=1, max_size=6))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rubbish_is_counted_alike(program: Path, tmp_path: Path, rubbish: list[bytes]) -> None:
    twin = Twin()
    board = HostBoard(program, tmp_path / "outputs.txt", ("--bits", str(BITS), "--watchdog", "100000"))
    try:
        for piece in [*rubbish, b"\x01" * 527, b"\xff" + b"a" * 254 + b"\x03ab", b"\xff" * 527, b"\xff" * 528]:
            line = piece + b"\0" + encode(STATUS, 1, b"")
            expected = twin.ask(line)
            assert told(ask(board, line, len(expected))) == told(expected)
    finally:
        board.close()
