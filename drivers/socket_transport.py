"""A TCP socket, for instruments that speak SCPI on a port of their own (`TCPIP::host::5025::SOCKET`)."""

from __future__ import annotations

import math
import re
import select
import socket

from physnet.errors import InputError

from .buffered import BufferedTransport
from .transport import Deadline

_NAME = re.compile(r"TCPIP\d*::([^:\s]+|\[[0-9a-fA-F:.]+\])::(\d{1,5})::SOCKET", re.IGNORECASE)


def parse_socket_resource(resource: str) -> tuple[str, int] | None:
    """Return host and port of a VISA name such as `TCPIP::192.0.2.5::5025::SOCKET`; None when it is none."""
    found = _NAME.fullmatch(resource.strip())
    if not found or not 1 <= int(found[2]) <= 65535:
        return None
    return found[1].strip("[]"), int(found[2])


_SCATTERS = hasattr(socket.socket, "recvmsg_into")  # not on Windows
_LATE = 1e-3  # s by which a wait may pass the deadline, so that not each needs another limit
_LONGEST = 1e6  # s; no answer takes as long, and it fits where milliseconds have 32 bits


class SocketTransport(BufferedTransport):
    """A TCP socket: no Nagle delay, received straight into the caller's array, deadlines on writes too.

    Args:
        resource: VISA name of the socket.
        chunk: Most bytes of one call to the system; None for no limit. For instruments whose network chip drops what
            comes too fast.

    Raises:
        InputError: `resource` is no such name, or `chunk` is not >= 1.
    """

    def __init__(self, resource: str, *, chunk: int | None = None) -> None:
        address = parse_socket_resource(resource)
        if address is None:
            raise InputError(
                f"resource must be a name such as 'TCPIP::192.0.2.5::5025::SOCKET' with a port of 1 to 65535, got "
                f"{resource!r}. The port is in the instrument's manual; 5025 is usual for SCPI."
            )
        if chunk is not None and chunk < 1:
            raise InputError(f"chunk must be >= 1 byte, got {chunk}. Leave it out for no limit.")
        super().__init__(resource.strip(), stream=True)
        self._address = address
        self._chunk = chunk
        self._socket: socket.socket | None = None  # receives, and waits for what comes
        self._sender: socket.socket | None = None  # the same, and waits for nothing
        self._watch: _Watch | None = None
        self._limit = 0.0  # longest wait of a receiving call, in s; 0 while none is set

    def _connect(self, deadline: Deadline) -> None:
        host, port = self._address
        try:
            connection = socket.create_connection((host, port), timeout=max(deadline.remaining, 1e-3))
        except (OSError, UnicodeError) as error:
            raise self.fault(
                "refused",
                f"no connection to {host} port {port} ({error})",
                advice="Check that it is on, its address and port, and that no other program holds it.",
            ) from error
        self._socket = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._sender = connection.dup()
            self._sender.setblocking(False)
            self._limit = 0.0
            self._watch = _Watch(connection)
        except OSError as error:
            raise self.disconnected(error) from error

    def _disconnect(self) -> None:
        for one in (self._socket, self._sender):
            if one is not None:
                one.close()
        self._socket = self._sender = self._watch = None

    def _send(self, data: bytes, deadline: Deadline) -> None:
        connection = self._sender
        assert connection is not None
        length = len(data)
        chunk = self._chunk or length
        sent = 0
        with memoryview(data) as view:
            while sent < length:
                try:
                    sent += connection.send(view[sent : sent + chunk])
                except BlockingIOError:
                    left = deadline.remaining
                    if not left or not _writable(connection, min(left, _LONGEST)):
                        raise self.timeout(f"sending ({sent} of {length} bytes are gone)") from None
                except OSError as error:
                    raise self.disconnected(error) from error

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        return self._received([buffer], deadline)

    def _receive_long(self, buffer: memoryview, deadline: Deadline) -> int:
        count = self._received([buffer, self._buffer], deadline)
        self._start, self._stop = 0, max(0, count - len(buffer))
        return min(count, len(buffer))

    def _received(self, buffers: list[memoryview], deadline: Deadline) -> int:
        connection = self._socket
        assert connection is not None
        while True:
            self._bound(connection, deadline)
            try:
                count = connection.recvmsg_into(buffers)[0] if _SCATTERS else connection.recv_into(buffers[0])
            except OSError as error:
                if isinstance(error, TimeoutError) and error.errno is None:
                    continue  # the limit was too short; with a number, the system gave the line up
                raise self.disconnected(error) from error
            if not count:
                raise self.disconnected("closed by the instrument")
            return count

    def _bound(self, connection: socket.socket, deadline: Deadline) -> None:
        """Have the next receiving call wait to the deadline and no longer. One that gives up too early is made again.

        A signal that comes meanwhile does not lengthen the wait. With SO_RCVTIMEO, which would save a call to the
        system for each piece, it begins anew after every signal: never to end beside a timer.

        Raises:
            TransportError: The deadline has passed.
        """
        left = deadline.remaining
        if not left:
            raise self.timeout("the answer")
        if not left / 2 <= self._limit <= left + _LATE:
            self._limit = min(left, _LONGEST)
            connection.settimeout(self._limit)

    def _peek(self) -> bytes:
        connection, watch = self._socket, self._watch
        if connection is None or watch is None or not watch.readable():
            return b""
        try:
            found = connection.recv(64, socket.MSG_PEEK)
        except TimeoutError:
            return b""
        except OSError as error:
            raise self.disconnected(error) from error
        if not found:
            raise self.disconnected("closed by the instrument")
        return found


class _Watch:
    """Looks whether a socket can be read. Made once a connection, for each exchange looks.

    It polls where the system can: `select` refuses a process with a thousand files.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._watched = [connection]
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(connection, select.POLLIN)

    def readable(self) -> bool:
        """Tell whether it can be read now."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(select.select(self._watched, [], [], 0)[0])


def _writable(connection: socket.socket, seconds: float) -> bool:
    """Tell whether a socket takes a byte within some seconds."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(connection, select.POLLOUT)
        return bool(poll.poll(math.ceil(seconds * 1e3)))
    return bool(select.select([], [connection], [], seconds)[1])
