"""The byte stream under a board's link, and the one that a serial port gives."""

from __future__ import annotations

import time
from typing import Protocol

from physnet.errors import InputError

from ..serial_port import SerialOptions, SerialPort


class ByteStream(Protocol):
    """Bytes both ways. `deadline` is a time of `time.monotonic`, in s.

    Every method raises OSError when the line is gone.
    """

    def read(self, limit: int, deadline: float) -> bytes:
        """Return 1 to `limit` bytes as soon as there are any; none when the deadline passed."""
        ...

    def write(self, data: bytes, deadline: float) -> None:
        """Hand over all of `data`.

        Raises:
            TimeoutError: The deadline passed; an unknown part was sent.
        """
        ...

    def close(self) -> None:
        """Give the line back; closing twice does nothing."""
        ...


class SerialStream:
    """A serial port, opened for this process alone.

    Args:
        port: `COM3`, `/dev/ttyACM0`, or a URL of pyserial.
        baud: Line rate in bit/s. A USB port of a board ignores it.

    Raises:
        OSError: The port can't be opened.
    """

    def __init__(self, port: str, *, baud: int = 115200) -> None:
        try:
            options = SerialOptions(baud=baud)
        except InputError as error:
            raise OSError(str(error)) from error
        self._port = SerialPort(port, options)

    def read(self, limit: int, deadline: float) -> bytes:
        """See `ByteStream`."""
        return self._port.read(limit, max(0.0, deadline - time.monotonic()))

    def write(self, data: bytes, deadline: float) -> None:
        """See `ByteStream`."""
        if self._port.write(data, deadline) < len(data):
            raise TimeoutError("the board takes no more bytes, or no time was left to write")

    def close(self) -> None:
        """See `ByteStream`."""
        self._port.close()
