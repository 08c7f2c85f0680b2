"""The sockets of a feed: one thread, which neither waits for a viewer nor believes one.

A viewer that does not know the token hears nothing. Whoever says nothing, too much, or something else is dropped. A
viewer that reads slowly misses some; nothing is queued for it but the one it is reading.
"""

from __future__ import annotations

import contextlib
import hmac
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .protocol import LONGEST_ORDER, VERSION, Action, ProtocolError, read_greeting, read_order, refusal

_GREETING = 2.0  # seconds to say who one is
_STALLED = 30.0  # seconds without reading
_PACE = 0.25  # seconds between two moments
_PULSE = 1.0  # the same while nothing happens
_FAREWELL = 1.0  # seconds for the last moment to get through
_VIEWERS = 16
_ORDERS = 1 << 16  # bytes that one viewer may send altogether: thousands of key presses


@dataclass(eq=False)
class _Viewer:
    """One connection.

    Args:
        socket: Its socket, not blocking.
        until: When it is dropped, unless it greets or reads before.
        known: Whether it gave the token.
        leaving: Whether it is dropped once it has read what there is.
        heard: What it sent of a line that is not complete.
        total: Bytes that it sent altogether.
        out: What it has not read yet.
        revision: Of the last moment it was sent.
        sent: When that was.
    """

    socket: socket.socket
    until: float
    known: bool = False
    leaving: bool = False
    heard: bytearray = field(default_factory=bytearray)
    total: int = 0
    out: memoryview = field(default_factory=lambda: memoryview(b""))
    revision: int = -1
    sent: float = 0.0


class Server:
    """Serves moments of a run on 127.0.0.1 from a thread of its own.

    Args:
        token: What a viewer must know.
        line: Returns the line to send. Called in the server's thread, at most four times a second.
        revision: Returns a number that changes whenever the line would.
        order: Takes what a viewer asks for. Called in the server's thread.

    Raises:
        OSError: There is no socket to be had.
    """

    def __init__(
        self, token: str, line: Callable[[], bytes], revision: Callable[[], int], order: Callable[[Action], None]
    ) -> None:
        self._token, self._line, self._revision, self._order = token.encode(), line, revision, order
        self._closing = False
        self._viewers: set[_Viewer] = set()
        with contextlib.ExitStack() as opened:
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._listener = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=_VIEWERS))
            self.port: int = self._listener.getsockname()[1]
            self._listener.setblocking(False)
            woken, self._waker = socket.socketpair()
            opened.enter_context(woken)
            opened.enter_context(self._waker)
            self._selector.register(self._listener, selectors.EVENT_READ)
            self._selector.register(woken, selectors.EVENT_READ)
            self._opened = opened.pop_all()
        self._thread = threading.Thread(target=self._serve, name="physnet live", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send the last moment to those who read, and end. Takes a second at most."""
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(OSError):  # the thread has ended by itself
            self._waker.send(b".")
        self._thread.join()

    def _serve(self) -> None:
        with self._opened:
            try:
                while not self._closing:
                    self._turn(self._timeout())
                self._say_farewell()
            finally:
                for viewer in tuple(self._viewers):
                    self._drop(viewer)

    def _turn(self, timeout: float | None) -> None:
        """Hear and tell whoever is ready."""
        for key, events in self._selector.select(timeout):
            viewer: _Viewer | None = key.data
            if viewer is None:
                if key.fileobj is self._listener:
                    self._accept()
                continue
            try:
                if events & selectors.EVENT_READ:
                    self._hear(viewer)
                if events & selectors.EVENT_WRITE and viewer in self._viewers:
                    self._tell(viewer)
            except (OSError, ProtocolError):
                self._drop(viewer)
        now = time.monotonic()
        for viewer in [viewer for viewer in self._viewers if now >= viewer.until and (viewer.out or not viewer.known)]:
            self._drop(viewer)
        due = [viewer for viewer in self._viewers if self._due(viewer) <= now]
        if due and not self._closing:
            revision, line = self._revision(), self._line()
            for viewer in due:
                viewer.revision, viewer.sent = revision, now
                self._send(viewer, line)

    def _timeout(self) -> float | None:
        """How long nothing has to be done; None, without any viewer, for ever."""
        moments = [viewer.until if viewer.out or not viewer.known else self._due(viewer) for viewer in self._viewers]
        # Whether something changed is looked up once a pace: a run does not wake this thread.
        return None if not moments else min(max(0.01, min(moments) - time.monotonic()), _PACE)

    def _due(self, viewer: _Viewer) -> float:
        if not viewer.known or viewer.out or viewer.leaving:
            return float("inf")
        return viewer.sent + (_PULSE if viewer.revision == self._revision() else _PACE)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:  # it has gone already
            return
        if len(self._viewers) >= _VIEWERS:
            accepted.close()
            return
        accepted.setblocking(False)
        viewer = _Viewer(accepted, time.monotonic() + _GREETING)
        self._viewers.add(viewer)
        self._selector.register(accepted, selectors.EVENT_READ, viewer)

    def _hear(self, viewer: _Viewer) -> None:
        try:
            data = viewer.socket.recv(LONGEST_ORDER)
        except BlockingIOError:
            return
        viewer.total += len(data)
        viewer.heard += data
        if not data or viewer.total > _ORDERS:
            self._drop(viewer)
            return
        *lines, rest = viewer.heard.split(b"\n")
        viewer.heard = rest
        if len(rest) > LONGEST_ORDER:
            raise ProtocolError("too long")
        for line in lines:
            if viewer.known:
                self._order(read_order(bytes(line)))
            else:
                self._greet(viewer, bytes(line))

    def _greet(self, viewer: _Viewer, line: bytes) -> None:
        version, token = read_greeting(line)
        if not hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token):
            raise ProtocolError("wrong token")
        viewer.known = True
        if version != VERSION:
            viewer.leaving = True
            self._send(viewer, refusal(f"this run speaks version {VERSION} of the live protocol, not {version}"))

    def _send(self, viewer: _Viewer, line: bytes) -> None:
        viewer.out, viewer.until = memoryview(line), time.monotonic() + _STALLED
        try:
            self._tell(viewer)
        except OSError:
            self._drop(viewer)

    def _tell(self, viewer: _Viewer) -> None:
        with contextlib.suppress(BlockingIOError):
            while viewer.out and (sent := viewer.socket.send(viewer.out)):
                viewer.out, viewer.until = viewer.out[sent:], time.monotonic() + _STALLED
        if viewer.leaving and not viewer.out:
            self._drop(viewer)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if viewer.out else 0)
        self._selector.modify(viewer.socket, events, viewer)

    def _drop(self, viewer: _Viewer) -> None:
        if viewer in self._viewers:
            self._viewers.discard(viewer)
            self._selector.unregister(viewer.socket)
            viewer.socket.close()

    def _say_farewell(self) -> None:
        """Send how the run ended to everybody who still reads."""
        deadline = time.monotonic() + _FAREWELL
        line, told = self._line(), set[_Viewer]()
        while time.monotonic() < deadline:
            for viewer in [viewer for viewer in self._viewers if viewer.known and viewer not in told]:
                if not viewer.out:
                    told.add(viewer)
                    self._send(viewer, line)
            if not any(viewer.known and (viewer.out or viewer not in told) for viewer in self._viewers):
                return
            self._turn(0.02)
