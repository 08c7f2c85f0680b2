"""The board's end of a serial line."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from physnet.errors import InputError
from physnet.simulators.instruments.serial_line import Line, open_line

posix = pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")


def until(condition: Callable[[], object]) -> None:
    """Poll for a condition, 10 s at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline


def connect(line: Line) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(line.port.rpartition(":")[2])), timeout=5)


def test_tcp_takes_one_host_after_the_other() -> None:
    line = open_line("socket://localhost:0")
    try:
        for word in (b"one", b"two"):
            with connect(line) as host:
                host.sendall(word)
                got = b""
                while got != word:
                    got += line.read(5)
                line.write(b"to " + word)
                assert host.recv(64) == b"to " + word
        line.write(b"to nobody")
    finally:
        line.close()
        line.close()


def test_tcp_refuses_while_it_is_away_and_comes_back() -> None:
    line = open_line("socket://127.0.0.1:0")
    try:
        port = line.port
        line.drop(0.02)
        with pytest.raises(ConnectionRefusedError), connect(line):
            pass
        # It looks at its clock when it is read.
        back: list[socket.socket] = []

        def connected() -> bool:
            line.read(0.005)
            try:
                back.append(connect(line))
            except ConnectionRefusedError:
                return False
            return True

        until(connected)
        back[0].close()
        assert line.port == port
    finally:
        line.close()


@posix
def test_the_link_follows_the_terminal_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "board.pty"
    line = open_line("./board.pty", base=tmp_path)
    first = path.readlink()
    line.drop(0.0)
    assert not path.exists()
    until(lambda: line.read(0.01) == b"" and path.is_symlink())
    assert path.exists()
    line.close()
    line.close()
    assert not path.is_symlink()
    path.symlink_to(first)  # left over from a process that was killed
    open_line(f"ASRL{path}::INSTR").close()
    path.write_text("a file of somebody's")
    with pytest.raises(InputError, match="must be free for the link"):
        open_line(str(path))
    assert path.read_text() == "a file of somebody's"


@pytest.mark.parametrize(
    "resource", ["socket://192.0.2.1:5025", "COM3://", "", "ASRL3::INSTR", "socket://127.0.0.1:70000"]
)
def test_a_line_that_can_not_be_served_here_is_refused(resource: str) -> None:
    with pytest.raises(InputError, match=r"must be 'socket://127\.0\.0\.1:port' or a path"):
        open_line(resource)
