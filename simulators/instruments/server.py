"""A simulated instrument on a TCP port of this computer, as instruments have one for SCPI.

An instrument is a table of commands and the state behind them::

    class Lamp(ScpiDevice):
        IDENTITY = "Physnet,L1,SIMULATED,1.0"
        SUFFIXES = {"OUTP": 2}
        COMMANDS = (
            number_setting("[SOURce]:CURRent[:LEVel]", "current", default=0, low=0, high=0.5),   # A
            switch_setting("OUTPut#[:STATe]", "output", default=False),
            Command("MEASure:LIGHt", ask=lambda lamp, call: lamp.format_number(lamp.light())),
        )

        def light(self) -> float:
            return 100 * self.value("current") * self.value("output", 1)

    with InstrumentServer(Lamp(), faults=FaultPlan(rates={"delay": 0.1})) as server:
        print(server.resource)                        # TCPIP::127.0.0.1::43121::SOCKET

A handler gets the instrument and a `Call`; it reads its parameters with `call.number(low=..., high=...)`,
`call.word("ASCii", "BYTE")`, `call.boolean()`, `call.string()`, `call.block()`, and raises `Refusal(-221)` for what the
error queue is to hold. A query returns text, or `bytes` for a binary block. What goes on after a command has returned
(a burst, a sweep) is told by `busy`; whoever ends it calls `changed`. Handlers hold `lock` and never wait, except by
`wait_for`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from physnet.errors import InputError

from .codes import Refusal
from .commands import Answer
from .device import ScpiDevice
from .faults import FaultKind, FaultPlan
from .messages import Message, MessageReader
from .wire import Reply, possible, spoil

_HOST = "127.0.0.1"
_CHUNK = 1 << 16
_GRACE = 0.5  # s in which a connection that ends makes room for one that begins


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How an instrument's port behaves.

    Args:
        connections: Most connections at once; one too many is closed as soon as it is made.
        terminator: What ends an answer.
        text_limit: Most bytes of a message, its blocks not counted.
        block_limit: Most bytes of the blocks of a message.
        send_timeout: Time after which an answer that nobody reads is given up, in s.
    """

    connections: int = 4
    terminator: bytes = b"\n"
    text_limit: int = 1 << 20
    block_limit: int = 1 << 26
    send_timeout: float = 10.0


class InstrumentServer:
    """Serves one instrument on 127.0.0.1, and nowhere else.

    A message that is answered is an exchange, together with what came before it: they are counted from 0, whatever
    connection they come from. A fault acts on the answer, after the message was carried out. A line or a block beyond
    its limit ends in the error queue, and the connection is dropped: where the next message begins is not known.

    Args:
        device: The instrument. The server owns it: it is closed with it.
        port: 0 for any free one.
        faults: What goes wrong.
        options: How its port behaves.
    """

    def __init__(
        self,
        device: ScpiDevice,
        *,
        port: int = 0,
        faults: FaultPlan | None = None,
        options: ServerOptions | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise InputError(f"port must be 0 to 65535, got {port}.")
        self.device, self.faults, self.options = device, faults or FaultPlan(), options or ServerOptions()
        self.failures = device.mistakes
        """Mistakes in the instrument itself. They are queued as -310, and raised when the server stops."""
        self._port = port
        self._listener: socket.socket | None = None
        self._wake: socket.socket | None = None
        self._woken: socket.socket | None = None
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._exchanges = 0
        self._refused_until, self._refusals = 0.0, 0
        self._noticed = threading.Event()  # the port is as `_refused_until` says
        self._previous = b""
        self._acceptor: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Its port; 0 before it was started, unless one was given."""
        return self._port

    @property
    def resource(self) -> str:
        """VISA name under which it is reached."""
        return f"TCPIP::{_HOST}::{self._port}::SOCKET"

    @property
    def exchanges(self) -> int:
        """Messages that were answered so far."""
        return self._exchanges

    def start(self) -> None:
        """Listen.

        Raises:
            InputError: The port is taken.
        """
        self._listener = self._listen()
        self._port = int(self._listener.getsockname()[1])
        self._wake, self._woken = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept_all, name=f"accept {self._port}")
        self._acceptor.start()

    def stop(self) -> None:
        """Drop all connections and wait until no thread is left.

        Raises:
            Exception: What went wrong within the instrument while it ran.
        """
        if self._acceptor is None:
            return
        self._stopping.set()
        self.device.close()
        assert self._wake is not None and self._woken is not None
        self._wake.send(b"x")
        self._acceptor.join()
        self._acceptor = None
        with self._lock:
            running = dict(self._threads)
        for connection in running.values():
            _shut(connection)
        for thread in running:
            thread.join()
        self._wake.close()
        self._woken.close()
        if self.failures:
            raise self.failures[0]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if os.name == "posix":  # elsewhere the option lets two programs share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((_HOST, self._port))
            listener.listen()
        except OSError as error:
            listener.close()
            raise InputError(
                f"port {self._port} of {_HOST} can't be listened on ({error}). Another program may use it: choose "
                "another port, or 0 for any."
            ) from error
        listener.setblocking(False)
        return listener

    def _accept_all(self) -> None:
        assert self._woken is not None
        while not self._stopping.is_set():
            with selectors.DefaultSelector() as selector:
                selector.register(self._woken, selectors.EVENT_READ)
                if self._listener is not None:
                    selector.register(self._listener, selectors.EVENT_READ)
                ready = {key.fileobj for key, _ in selector.select(self._until_open())}
            if self._woken in ready:
                self._woken.recv(64)
            with self._lock:
                self._open_or_close()
                self._noticed.set()
            if self._listener in ready:
                with contextlib.suppress(OSError):
                    self._accept()
        if self._listener is not None:
            self._listener.close()

    def _until_open(self) -> float | None:
        return None if self._listener is not None else max(0.0, self._refused_until - time.monotonic())

    def _open_or_close(self) -> None:
        """Close the port while connections are refused, and open it afterwards."""
        refused = time.monotonic() < self._refused_until
        if refused and self._listener is not None:
            self._listener.close()
            self._listener = None
        elif not refused and self._listener is None:
            try:
                self._listener = self._listen()
            except InputError:  # still taken: once more
                self._refused_until = time.monotonic() + 0.05

    def _accept(self) -> None:
        assert self._listener is not None
        connection, _ = self._listener.accept()
        with self._lock:
            refused = self._refusals > 0
            self._refusals -= refused
        if refused or not self._has_room():
            _reset(connection)
            return
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(target=self._serve, args=(connection,), name=f"instrument {self._port}")
        with self._lock:
            self._threads[thread] = connection
        thread.start()

    def _has_room(self) -> bool:
        until = time.monotonic() + _GRACE
        while True:
            with self._lock:
                if len(self._threads) < self.options.connections:
                    return True
            if time.monotonic() > until or self._stopping.wait(0.005):
                return False

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the other side has gone
            self._talk(connection)
        connection.close()
        with self._lock:
            del self._threads[threading.current_thread()]

    def _talk(self, connection: socket.socket) -> None:
        reader = MessageReader(text_limit=self.options.text_limit, block_limit=self.options.block_limit)
        while not self._stopping.is_set():
            data = connection.recv(_CHUNK)
            if not data:
                return
            try:
                for message in reader.feed(data):
                    if not self._answer(connection, message):
                        return
            except Refusal as refusal:
                self.device.report(refusal)
                return

    def _answer(self, connection: socket.socket, message: Message) -> bool:
        """Carry out a message and send its answers; return whether the connection stays."""
        answers = self._carry_out(message)
        if not answers:
            return True
        with self._lock:
            exchange, self._exchanges = self._exchanges, self._exchanges + 1
        previous = self._previous
        overloaded = self._overloaded(answers)
        kind = self.faults.draw(exchange, among=possible(answers, previous, overloaded))
        if kind is FaultKind.QUEUED_ERROR:
            self.device.report(Refusal(-310, "simulated fault"))
        if kind is FaultKind.OVERLOAD and overloaded is not None:
            answers = overloaded
        reply = spoil(
            kind,
            answers,
            previous=previous,
            terminator=self.options.terminator,
            digits=self.device.BLOCK_DIGITS,
            plan=self.faults,
            exchange=exchange,
        )
        if reply.data:
            self._previous = reply.data
        return self._send(connection, reply)

    def _carry_out(self, message: Message) -> list[Answer]:
        try:
            return self.device.execute(message)
        except Exception as error:  # a mistake in the instrument must not end its port
            self.device.blame(error)
            return []

    def _overloaded(self, answers: list[Answer]) -> list[Answer] | None:
        changed = [self.device.overloaded(answer) for answer in answers]
        if all(answer is None for answer in changed):
            return None
        return [old if new is None else new for old, new in zip(answers, changed, strict=True)]

    def _send(self, connection: socket.socket, reply: Reply) -> bool:
        if reply.delay and self._stopping.wait(reply.delay):
            return False
        if reply.refuse:
            self._refuse()
        if reply.hang_up:
            return False
        connection.settimeout(self.options.send_timeout)
        try:
            if reply.pause:
                for index in range(len(reply.data)):
                    connection.sendall(reply.data[index : index + 1])
                    if self._stopping.wait(reply.pause):
                        return False
            elif reply.data:
                connection.sendall(reply.data)
        except TimeoutError:
            self.device.report(Refusal(-410, "nobody reads the answer"))
            return False
        connection.settimeout(None)
        return True

    def _refuse(self) -> None:
        with self._lock:
            self._refusals = self.faults.refusals
            self._refused_until = time.monotonic() + self.faults.refuse_for
            self._noticed.clear()
        assert self._wake is not None
        self._wake.send(b"x")
        self._noticed.wait(1.0)  # whoever is hung up on must find the port closed


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket) -> None:
    """Close a connection so that the other side sees an error."""
    linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.close()
