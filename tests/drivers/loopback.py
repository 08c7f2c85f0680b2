"""Servers of the tests' own on loopback, and a device behind a pseudo terminal. They share no code with the drivers.

A server is a function that talks on one accepted connection; it ends when the connection does. Everything is bounded:
a connection that nobody closes is closed after ten seconds.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

IDENTITY = b"PHYS,LOOPBACK,1,0"
Answer = bytes | Callable[["Line"], None] | None


class Line:
    """One connection, seen from the instrument."""

    def __init__(self, receive: Callable[[], bytes], send: Callable[[bytes], None], stopped: threading.Event) -> None:
        self.receive, self.send, self.stopped = receive, send, stopped

    def dribble(self, data: bytes, seconds: float) -> None:
        for index in range(len(data)):
            if self.stopped.wait(seconds):
                return
            self.send(data[index : index + 1])

    def wait(self, seconds: float) -> None:
        self.stopped.wait(seconds)


class Hangup(Exception):
    """Raised by an answer to drop the connection."""


class Instrument:
    """Answers line by line, from a table; what it has no answer to is remembered and gets none.

    `answers` may be changed while it runs. A list is used up one entry a time, the last one stays.
    """

    def __init__(self, **answers: Answer | list[Answer]) -> None:
        self.answers: dict[bytes, Answer | list[Answer]] = {b"*IDN?": IDENTITY + b"\n"}
        self.answers.update({name.encode(): answer for name, answer in answers.items()})
        self.seen: list[bytes] = []

    def talk(self, line: Line) -> None:
        rest = b""
        while not line.stopped.is_set():
            try:
                data = line.receive()
            except OSError:
                return
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for text in lines:
                self.seen.append(text)
                answer = self.answers.get(text)
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                try:
                    if callable(answer):
                        answer(line)
                    elif answer:
                        line.send(answer)
                except (OSError, Hangup):
                    return


class Server:
    """A TCP server on a free port of loopback."""

    def __init__(self, talk: Callable[[Line], None]) -> None:
        self._talk = talk
        self.stopped = threading.Event()
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]

    @property
    def resource(self) -> str:
        return f"TCPIP::127.0.0.1::{self.port}::SOCKET"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self.refuse()
        for connection in list(self._open):
            shut_down(connection)
        for thread in self._threads:
            thread.join(10)

    def refuse(self) -> None:
        """Accept nobody from now on."""
        shut_down(self._listener)
        self._listener.close()

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            connection.settimeout(10)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(connection)
            self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the other side may go at any moment
            self._talk(Line(lambda: connection.recv(65536), connection.sendall, self.stopped))
            # A close with unread bytes resets the line: read what is there first.
            connection.setblocking(False)
            while connection.recv(65536):
                pass
        self._open.discard(connection)


class Terminal:
    """A device behind a pseudo terminal: `port` is the name to open."""

    def __init__(self, talk: Callable[[Line], None]) -> None:
        import tty

        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self.stopped = threading.Event()
        line = Line(self._receive, self._send, self.stopped)
        self._thread = threading.Thread(target=lambda: talk(line))

    def __enter__(self) -> Self:
        os.set_blocking(self._master, False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._thread.join(10)
        os.close(self._slave)
        os.close(self._master)

    def _receive(self) -> bytes:
        import select

        while not self.stopped.is_set():
            if select.select([self._master], [], [], 0.02)[0]:
                return os.read(self._master, 65536)
        return b""

    def _send(self, data: bytes) -> None:
        import select

        while data and not self.stopped.is_set():
            if select.select([], [self._master], [], 0.02)[1]:
                data = data[os.write(self._master, data) :]


def shut_down(connection: socket.socket) -> None:
    """Wake whoever waits on a socket."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def block(values: list[float]) -> bytes:
    """A block of little-endian float32, built by hand, with the line end behind it."""
    payload = b"".join(struct.pack("<f", value) for value in values)
    length = str(len(payload))
    return f"#{len(length)}{length}".encode() + payload + b"\n"


def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Poll for a condition; fail when it does not come."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.001)
