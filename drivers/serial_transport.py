"""A serial port through pyserial."""

from __future__ import annotations

import contextlib
import os
import select
from dataclasses import dataclass
from typing import Literal

import serial

from physnet.errors import InputError

from .buffered import BufferedTransport
from .transport import Deadline

_POSIX = os.name == "posix"
_SLICE = 0.02  # s: a read looks at its deadline this often, for a port's own timeout must not change while it is open
_WRITE_TIMEOUT = 5.0  # s, on Windows only: elsewhere each write has its deadline


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


class SerialTransport(BufferedTransport):
    """A serial port, held exclusively where the system can (POSIX; on Windows it always is).

    Args:
        port: `COM3`, `/dev/ttyUSB0`, or a URL that pyserial knows, such as `hwgrep://`.
        options: How it is set up.
    """

    def __init__(self, port: str, options: SerialOptions | None = None) -> None:
        super().__init__(port, stream=True)
        self._options = options or SerialOptions()
        self._port: serial.Serial | None = None

    def _connect(self, deadline: Deadline) -> None:
        options = self._options
        try:
            port = serial.serial_for_url(
                self._resource,
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
                port.dtr = False
            port.open()
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise self.fault(
                "refused",
                f"the port can't be opened ({error})",
                advice="Check its name, that it is plugged in, your rights on it, and that no other program holds it.",
            ) from error
        self._port = port
        if options.banner:
            self._await_banner(deadline)

    def _disconnect(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(Exception):  # a port that went away raises whatever the system does
                port.close()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        port = self._port
        assert port is not None
        sent = 0
        try:
            while sent < len(data):
                if deadline.passed or (_POSIX and not _writable(port, deadline)):
                    raise self.timeout(f"sending ({sent} of {len(data)} bytes are gone)")
                sent += port.write(data[sent : sent + 4096])
        except serial.SerialTimeoutException as error:
            raise self.timeout(f"sending ({sent} of {len(data)} bytes are gone, or more)") from error
        except (OSError, ValueError, TypeError) as error:  # pyserial lets the last two out of a port that went away
            raise self.disconnected(error) from error

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        port = self._port
        assert port is not None
        try:
            wanted = min(len(buffer), max(need, port.in_waiting))
            while not (data := port.read(wanted)):
                if deadline.passed:
                    raise self.timeout("the answer")
        except (OSError, ValueError, TypeError) as error:
            raise self.disconnected(error) from error
        if deadline.passed:
            raise self.timeout("the answer")
        buffer[: len(data)] = data
        return len(data)

    def _peek(self) -> bytes:
        port = self._port
        if port is None:
            return b""
        try:
            count = min(port.in_waiting, 64)
            if not count:
                return b""
            # A port can't be peeked into: what is read now is kept.
            data: bytes = port.read(count)
        except (OSError, ValueError, TypeError) as error:
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


def _writable(port: serial.Serial, deadline: Deadline) -> bool:
    """Wait until the port takes a byte: pyserial's own non-blocking write spins when it doesn't."""
    try:
        number = port.fileno()
    except (AttributeError, OSError):
        return True  # `loop://` and its like have no file
    return bool(select.select([], [number], [], deadline.remaining)[1])
