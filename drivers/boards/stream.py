"""The byte stream under a board's link, and the one that a serial port gives."""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Protocol

import serial

_POSIX = os.name == "posix"
# How often a read without a file looks at its deadline, in s. Set once: on Windows every change reconfigures the port.
_SLICE = 0.02
# What pyserial lets out of a port that went away; its own exceptions are OSErrors.
_GONE = (ValueError, TypeError)


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
        write_timeout: Longest wait for a stalled peer in one write, in s.

    Raises:
        OSError: The port can't be opened.
    """

    def __init__(self, port: str, *, baud: int = 115200, write_timeout: float = 1.0) -> None:
        try:
            self._serial = serial.serial_for_url(
                port,
                baudrate=baud,
                timeout=_SLICE,
                write_timeout=write_timeout,
                exclusive=True if _POSIX else None,
            )
        except ValueError as error:  # a rate or a URL that pyserial does not know
            raise OSError(f"{port} can't be opened at {baud} bit/s: {error}") from error
        self._file: int | None = None
        if _POSIX:
            with contextlib.suppress(OSError, AttributeError):  # `loop://` has no file
                self._file = self._serial.fileno()

    def read(self, limit: int, deadline: float) -> bytes:
        """See `ByteStream`."""
        if self._file is not None:
            return self._read_file(self._file, limit, deadline)
        while True:
            try:
                # Only how much to take at once: where a message ends is the frames' business.
                data = bytes(self._serial.read(min(limit, self._serial.in_waiting or 1)))
            except _GONE as error:
                raise OSError("the port went away") from error
            if data or time.monotonic() >= deadline:
                return data

    def write(self, data: bytes, deadline: float) -> None:
        """See `ByteStream`."""
        if time.monotonic() >= deadline:
            raise TimeoutError("no time was left to write")
        try:
            self._serial.write(data)
        except serial.SerialTimeoutException as error:
            raise TimeoutError("the board takes no more bytes") from error
        except _GONE as error:
            raise OSError("the port went away") from error

    def close(self) -> None:
        """See `ByteStream`."""
        self._file = None
        # pyserial lets go of a `socket://` without closing it when its peer went away first.
        line = getattr(self._serial, "_socket", None)
        with contextlib.suppress(OSError):
            self._serial.close()
        if line is not None:
            line.close()

    def _read_file(self, file: int, limit: int, deadline: float) -> bytes:
        """Take what there is in one go: pyserial must be asked for a number of bytes, and waits for all of them."""
        if not select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return b""
        data = os.read(file, limit)
        if not data:
            raise OSError("the device at the other end is gone")
        return data
