"""A bare socket to a simulated instrument, written for these tests: it shares no code with the drivers."""

from __future__ import annotations

import socket
import time
from types import TracebackType
from typing import Self


class RawLine:
    """Sends bytes and reads exactly what is asked for, within a deadline."""

    def __init__(self, port: int, *, seconds: float = 5.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seconds = seconds
        self._rest = b""

    def send(self, *lines: str) -> None:
        self.socket.sendall(b"".join(line.encode() + b"\n" for line in lines))

    def ask(self, text: str) -> str:
        self.send(text)
        return self.line()

    def line(self) -> str:
        until = time.monotonic() + self._seconds
        while b"\n" not in self._rest:
            self._receive(until)
        answer, _, self._rest = self._rest.partition(b"\n")
        return answer.decode()

    def exactly(self, count: int) -> bytes:
        until = time.monotonic() + self._seconds
        while len(self._rest) < count:
            self._receive(until)
        found, self._rest = self._rest[:count], self._rest[count:]
        return found

    def block(self, text: str) -> bytes:
        self.send(text)
        start = self.exactly(2)
        assert start[:1] == b"#"
        data = self.exactly(int(self.exactly(int(start[1:]))))
        assert self.exactly(1) == b"\n"
        return data

    def quiet(self, seconds: float) -> bool:
        """Whether nothing comes for some time."""
        self.socket.settimeout(seconds)
        try:
            self._rest += self.socket.recv(1)
        except TimeoutError:
            return not self._rest
        finally:
            self.socket.settimeout(self._seconds)
        return False

    def closed(self) -> bool:
        """Whether the other side drops the connection within the deadline."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        return True

    def _receive(self, until: float) -> None:
        self.socket.settimeout(max(1e-3, until - time.monotonic()))
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed")
        self._rest += data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
