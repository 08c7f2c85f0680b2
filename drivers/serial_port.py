"""A serial port that keeps deadlines: pyserial opens and sets it up, and the system's own calls move the bytes.

pyserial's `read` waits for as many bytes as were asked for, and on Windows each change of its time-out reconfigures the
port. Where a port has a file descriptor it is watched and read directly; elsewhere pyserial is asked in short slices.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
from dataclasses import dataclass
from typing import Any, Literal

import serial

from physnet.errors import InputError

_POSIX = os.name == "posix"
_SLICE = 0.02  # s: how often a read without a file looks at its deadline
_WRITE_TIMEOUT = 5.0  # s, where a write can't be given a deadline of its own
_PIECE = 4096  # bytes of one write
_LONGEST = 1e6  # s that the system is asked to wait: it counts milliseconds in 32 bits
_GONE = (ValueError, TypeError)  # what pyserial lets out of a port that went away; its own exceptions are OSErrors


@dataclass(frozen=True, kw_only=True)
class SerialOptions:
    """How a serial port is set up.

    Args:
        baud: Bits per second.
        parity: None, even, or odd.
        stop_bits: 1 or 2.
        handshake: What holds the other side back. `xon_xoff` takes two byte values out of binary blocks.
        raise_dtr: Raise DTR when the port is opened. It resets most Arduino boards, and some instruments need it.
        banner: What the device says when it has started, up to and with the last byte waited for. Empty: it says
            nothing.

    Raises:
        InputError: `baud` or `stop_bits` is not one that exists.
    """

    baud: int = 115200
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    handshake: Literal["none", "rts_cts", "xon_xoff"] = "none"
    raise_dtr: bool = True
    banner: bytes = b""

    def __post_init__(self) -> None:
        if not 1 <= self.baud <= 20_000_000:
            raise InputError(f"baud must be 1 to 20000000 bit/s, got {self.baud}.")
        if self.stop_bits not in (1, 2) or self.parity not in ("N", "E", "O"):
            raise InputError(f"stop_bits must be 1 or 2 and parity N, E or O, got {self.stop_bits}, {self.parity}.")


class SerialPort:
    """A serial port, held exclusively where the system can (POSIX; on Windows it always is).

    Every method raises OSError when the port is gone.

    Args:
        port: `COM3`, `/dev/ttyACM0`, or a URL that pyserial knows, such as `socket://127.0.0.1:15027`.
        options: How it is set up.

    Raises:
        OSError: It can't be opened so.
    """

    def __init__(self, port: str, options: SerialOptions) -> None:
        try:
            made = serial.serial_for_url(
                port,
                do_not_open=True,
                baudrate=options.baud,
                parity=options.parity,
                stopbits=options.stop_bits,
                rtscts=options.handshake == "rts_cts",
                xonxoff=options.handshake == "xon_xoff",
                timeout=_SLICE,
                write_timeout=0 if _POSIX else _WRITE_TIMEOUT,
                exclusive=True if _POSIX else None,
            )
            if not options.raise_dtr:
                made.dtr = False
            made.open()
        except ValueError as error:  # a rate or a URL that pyserial does not know
            raise OSError(f"{port} can't be opened at {options.baud} bit/s: {error}") from error
        self._serial: Any = made
        self._file: int | None = None
        self._poll: Any = None
        if _POSIX:
            with contextlib.suppress(OSError, AttributeError):  # `loop://` has no file
                self._file = made.fileno()
        if self._file is not None:
            self._poll = select.poll()  # `select` refuses a process with a thousand files
            self._poll.register(self._file, select.POLLIN)

    def read_into(self, buffer: memoryview, need: int, seconds: float) -> int:
        """Take what there is, to the beginning of a buffer, once there is something.

        Args:
            buffer: Where it goes.
            need: Bytes that are needed at least: more are asked for only where they are there already.
            seconds: Longest wait in s.

        Returns:
            How many bytes came; 0 when none came in time.
        """
        if self._file is not None:
            if not self._poll.poll(_milliseconds(seconds)):
                return 0
            count = os.readv(self._file, [buffer])
            if not count:
                raise OSError("the device at the other end is gone")
            return count
        data = self._read_slices(min(len(buffer), max(need, self.waiting())), seconds)
        buffer[: len(data)] = data
        return len(data)

    def read(self, limit: int, seconds: float) -> bytes:
        """Return 1 to `limit` bytes as soon as there are any; none when none came in time."""
        if self._file is not None:
            if not self._poll.poll(_milliseconds(seconds)):
                return b""
            data = os.read(self._file, limit)
            if not data:
                raise OSError("the device at the other end is gone")
            return data
        return self._read_slices(min(limit, self.waiting() or 1), seconds)

    def waiting(self) -> int:
        """Return how many bytes have come and were not read."""
        try:
            return int(self._serial.in_waiting)
        except _GONE as error:
            raise OSError("the port went away") from error

    def write(self, data: bytes, until: float) -> int:
        """Send all of it.

        Args:
            data: What to send.
            until: A time of `time.monotonic`, in s.

        Returns:
            How many bytes were sent: fewer than all when the deadline passed.
        """
        sent = 0
        while sent < len(data):
            left = until - time.monotonic()
            if left <= 0 or not self._writable(left):
                return sent
            try:
                sent += self._serial.write(data[sent : sent + _PIECE])
            except serial.SerialTimeoutException:
                return sent
            except _GONE as error:
                raise OSError("the port went away") from error
        return sent

    def close(self) -> None:
        """Give the port back; never raises, and may be called twice."""
        self._file = None
        # pyserial lets go of a `socket://` without closing it when its peer went away first.
        line = getattr(self._serial, "_socket", None)
        with contextlib.suppress(Exception):  # a port that went away raises whatever the system does
            self._serial.close()
        if line is not None:
            with contextlib.suppress(OSError):
                line.close()

    def _read_slices(self, count: int, seconds: float) -> bytes:
        until = time.monotonic() + seconds
        while True:
            try:
                data = bytes(self._serial.read(count))
            except _GONE as error:
                raise OSError("the port went away") from error
            if data or time.monotonic() >= until:
                return data

    def _writable(self, seconds: float) -> bool:
        """Wait until the port takes a byte: pyserial's own non-blocking write spins when it doesn't."""
        if self._file is None:
            return True
        watch = select.poll()
        watch.register(self._file, select.POLLOUT)
        return bool(watch.poll(_milliseconds(seconds)))


def _milliseconds(seconds: float) -> int:
    return math.ceil(min(seconds, _LONGEST) * 1e3)
