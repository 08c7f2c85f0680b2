"""A TCP socket, for instruments that speak SCPI on a port of their own (`TCPIP::host::5025::SOCKET`)."""

from __future__ import annotations

import math
import os
import re
import select
import socket
import struct

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
_WAITS = os.name == "posix" and struct.calcsize("@l") == 8
"""Whether a call that receives can be told how long to wait: one call instead of two for each piece. Where a long has
32 bits, the time may be of 64 or not."""
_NOW = socket.MSG_DONTWAIT if _WAITS else 0
_TIME = struct.Struct("@ll")  # of `struct timeval`
_LATE = 1e-3  # s by which a wait may pass the deadline, so that not each needs another limit
_LONGEST = 1e6  # s; no answer takes as long, and it fits where a time has 32 bits


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
        self._socket: socket.socket | None = None
        self._watch: _Watch | None = None
        self._limit = 0.0  # longest wait of a receiving call, in s; 0 while none is set
        self._more = False  # the last answer filled its buffer: the next piece need not be waited for

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
        self._socket, self._more = connection, False
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setblocking(_WAITS)
            self._limit = 0.0
            self._watch = _Watch(connection)
        except OSError as error:
            raise self.disconnected(error) from error

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = self._watch = None

    def _send(self, data: bytes, deadline: Deadline) -> None:
        connection = self._socket
        assert connection is not None
        length = len(data)
        chunk = self._chunk or length
        sent = 0
        with memoryview(data) as view:
            while sent < length:
                try:
                    sent += connection.send(view[sent : sent + chunk], _NOW)
                except (BlockingIOError, InterruptedError):
                    if deadline.passed or not _writable(connection, deadline.remaining):
                        raise self.timeout(f"sending ({sent} of {length} bytes are gone)") from None
                except OSError as error:
                    raise self.disconnected(error) from error

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        return self._received([buffer], len(buffer), deadline)

    def _receive_long(self, buffer: memoryview, deadline: Deadline) -> int:
        count = self._received([buffer, self._buffer], len(buffer), deadline)
        self._start, self._stop = 0, max(0, count - len(buffer))
        return min(count, len(buffer))

    def _received(self, buffers: list[memoryview], length: int, deadline: Deadline) -> int:
        connection, watch = self._socket, self._watch
        assert connection is not None and watch is not None
        ready = self._more
        while True:
            left = deadline.remaining
            if not left or not (_WAITS or ready or watch.readable(left)):
                raise self.timeout("the answer")
            ready = False
            try:
                if _WAITS and not left / 2 <= self._limit <= left + _LATE:
                    self._wait_at_most(connection, left)
                count = connection.recvmsg_into(buffers)[0] if _SCATTERS else connection.recv_into(buffers[0])
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                raise self.disconnected(error) from error
            if not count:
                raise self.disconnected("closed by the instrument")
            self._more = count >= length
            return count

    def _wait_at_most(self, connection: socket.socket, seconds: float) -> None:
        """Have a call that receives wait so long and no longer. It is asked again when that was too short."""
        self._limit = min(seconds, _LONGEST)
        whole, rest = divmod(math.ceil(self._limit * 1e6), 1_000_000)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIME.pack(whole, rest))

    def _peek(self) -> bytes:
        connection, watch = self._socket, self._watch
        if connection is None or watch is None or not watch.readable(0):
            return b""
        try:
            found = connection.recv(64, socket.MSG_PEEK | _NOW)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:
            raise self.disconnected(error) from error
        if not found:
            raise self.disconnected("closed by the instrument")
        return found


class _Watch:
    """Waits until a socket can be read. Made once a connection, for an exchange waits twice.

    It polls where the system can: `select` refuses a process with a thousand files.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._watched = [connection]
        self._poll = select.poll() if hasattr(select, "poll") else None
        if self._poll is not None:
            self._poll.register(connection, select.POLLIN)

    def readable(self, seconds: float) -> bool:
        """Tell whether it can be read within some seconds."""
        if self._poll is not None:
            return bool(self._poll.poll(math.ceil(seconds * 1e3)))
        return bool(select.select(self._watched, [], [], seconds)[0])


def _writable(connection: socket.socket, seconds: float) -> bool:
    """Tell whether a socket takes a byte within some seconds."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(connection, select.POLLOUT)
        return bool(poll.poll(math.ceil(seconds * 1e3)))
    return bool(select.select([], [connection], [], seconds)[1])
