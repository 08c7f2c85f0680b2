"""A serial port as a transport."""

from __future__ import annotations

from .buffered import BufferedTransport
from .serial_port import SerialOptions, SerialPort
from .transport import Deadline

__all__ = ["SerialOptions", "SerialTransport"]


class SerialTransport(BufferedTransport):
    """A serial port, held exclusively where the system can (POSIX; on Windows it always is).

    Args:
        port: `COM3`, `/dev/ttyUSB0`, or a URL that pyserial knows, such as `hwgrep://`.
        options: How it is set up.
    """

    def __init__(self, port: str, options: SerialOptions | None = None) -> None:
        super().__init__(port, stream=True)
        self._options = options or SerialOptions()
        self._port: SerialPort | None = None

    def _connect(self, deadline: Deadline) -> None:
        try:
            self._port = SerialPort(self._resource, self._options)
        except OSError as error:  # SerialException is an OSError
            raise self.fault(
                "refused",
                f"the port can't be opened ({error})",
                advice="Check its name, that it is plugged in, your rights on it, and that no other program holds it.",
            ) from error
        if self._options.banner:
            self._await_banner(deadline)

    def _disconnect(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        port = self._port
        assert port is not None
        try:
            sent = port.write(data, deadline.moment)
        except OSError as error:
            raise self.disconnected(error) from error
        if sent < len(data):
            raise self.timeout(f"sending ({sent} of {len(data)} bytes are gone)")

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        port = self._port
        assert port is not None
        try:
            count = port.read_into(buffer, need, deadline.remaining)
        except OSError as error:
            raise self.disconnected(error) from error
        if not count or deadline.passed:
            raise self.timeout("the answer")
        return count

    def _peek(self) -> bytes:
        port = self._port
        if port is None:
            return b""
        try:
            count = min(port.waiting(), 64)
            if not count:
                return b""
            # A port can't be peeked into: what is read now is kept.
            data = port.read(count, 0.0)
        except OSError as error:
            raise self.disconnected(error) from error
        self._buffer[: len(data)] = data
        self._start, self._stop = 0, len(data)
        return data

    def _await_banner(self, deadline: Deadline) -> None:
        banner, seen = self._options.banner, bytearray()
        while banner not in seen:
            one = bytearray(1)
            with memoryview(one) as view:
                self._receive(view, 1, deadline)
            seen += one
            del seen[: -4 * len(banner)]  # a device that talks on must not fill the memory
