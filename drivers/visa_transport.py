"""Any VISA resource through pyvisa, whatever the library behind it.

pyvisa-py (the backend `@py`) starts its timeout anew with every byte of a socket, spins on one that was closed, and
sends to a stalled peer for ever. So its sockets are watched here: nothing is read that has not come, and nothing is
written that does not fit. `SocketTransport` does the same without pyvisa and is several times faster.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import threading
from typing import Any

import pyvisa
from pyvisa import constants
from pyvisa.resources import MessageBasedResource

from physnet.errors import InputError

from .buffered import BufferedTransport
from .transport import Deadline

_ENDED = (constants.StatusCode.success, constants.StatusCode.success_termination_character_read)
_QUICK = 4096  # bytes that a socket takes without waiting once it is writable
_SLICE = 1 << 16  # bytes of one read

_managers: dict[str, pyvisa.ResourceManager] = {}
_managers_lock = threading.Lock()


def resource_manager(backend: str = "") -> pyvisa.ResourceManager:
    """Return the one resource manager of this process for a backend; never close it, for it closes every resource.

    Args:
        backend: As pyvisa names it: empty for the installed VISA library, `@py` for pyvisa-py, or a path.

    Raises:
        InputError: There is no such library.
    """
    with _managers_lock:
        if backend not in _managers:
            try:
                _managers[backend] = pyvisa.ResourceManager(backend)
            except (OSError, ValueError, pyvisa.Error) as error:
                raise InputError(
                    f"VISA library {backend or 'of the system'!r} must be installed, and can't be loaded ({error}). "
                    "Install your vendor's, or use backend '@py'."
                ) from error
        return _managers[backend]


class VisaTransport(BufferedTransport):
    """A VISA resource.

    It is opened with an exclusive lock where the library has locks; pyvisa-py has none.

    Args:
        resource: VISA name.
        backend: As for `resource_manager`.
        chunk: Most bytes of one write; some sockets of NI-VISA fail above 46 699 and some USB stacks above 512.

    Raises:
        InputError: `chunk` is not >= 1.
    """

    def __init__(self, resource: str, *, backend: str = "", chunk: int = 32768) -> None:
        if chunk < 1:
            raise InputError(f"chunk must be >= 1 byte, got {chunk}.")
        kind = resource.strip().upper()
        super().__init__(resource.strip(), stream=kind.endswith("::SOCKET") or kind.startswith("ASRL"))
        self._backend, self._chunk = backend, chunk
        self._visa: MessageBasedResource | None = None
        self._wire: socket.socket | None = None

    def _connect(self, deadline: Deadline) -> None:
        manager = resource_manager(self._backend)
        try:
            found: Any = manager.open_resource(
                self._resource,
                access_mode=constants.AccessModes.exclusive_lock,
                open_timeout=_milliseconds(deadline),
            )
        except Exception as error:  # pyvisa-py raises bare exceptions
            raise self.fault(
                "refused",
                f"it can't be opened ({error})",
                advice="Check its name with `pyvisa-info`, that it is on, and that no other program holds it.",
            ) from error
        if not isinstance(found, MessageBasedResource):
            found.close()
            raise InputError(f"{self._resource} carries no messages: it can't be used as an instrument.")
        self._visa = found
        try:
            if self._stream:
                found.set_visa_attribute(constants.ResourceAttribute.termchar_enabled, False)
            session: Any = getattr(found.visalib, "sessions", {}).get(found.session)  # pyvisa-py has them
            wire = getattr(session, "interface", None)
            if isinstance(wire, socket.socket) and self._stream:
                self._wire = wire
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # A socket whose connection was refused opens all the same.
                pending = wire.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if pending:
                    raise OSError(pending, "the connection was refused")
                wire.getpeername()
                session.max_recv_size = _SLICE
        except (OSError, pyvisa.Error) as error:
            raise self.fault(
                "refused", f"no connection ({error})", advice="Check that it is on, and its port."
            ) from error

    def _disconnect(self) -> None:
        visa, self._visa, self._wire = self._visa, None, None
        if visa is not None:
            with contextlib.suppress(Exception):  # pyvisa-py raises whatever its sockets do
                visa.close()

    def _send(self, data: bytes, deadline: Deadline) -> None:
        visa = self._visa
        assert visa is not None
        sent, chunk = 0, min(self._chunk, _QUICK) if self._wire is not None else self._chunk
        try:
            while sent < len(data):
                piece = data[sent : sent + chunk]
                last = sent + len(piece) == len(data)
                if not self._stream and len(data) > chunk:
                    visa.send_end = last
                if deadline.passed or not self._ready(deadline, writing=True):
                    raise self.timeout(f"sending ({sent} of {len(data)} bytes are gone)")
                visa.timeout = _milliseconds(deadline)
                count, _ = visa.visalib.write(visa.session, piece)
                sent += count
        except (OSError, pyvisa.Error) as error:
            raise self._translated(error, "sending") from error

    def _receive(self, buffer: memoryview, need: int, deadline: Deadline) -> int:
        visa = self._visa
        assert visa is not None
        try:
            count = need if self._stream else len(buffer)
            if self._wire is not None:
                if not self._ready(deadline):
                    raise self.timeout("the answer")
                count = len(self._wire.recv(min(len(buffer), _SLICE), socket.MSG_PEEK))
                if not count:
                    raise self.disconnected("closed by the instrument")
            elif deadline.passed:
                raise self.timeout("the answer")
            visa.timeout = _milliseconds(deadline)
            with visa.ignore_warning(
                constants.StatusCode.success_device_not_present, constants.StatusCode.success_max_count_read
            ):
                data, status = visa.visalib.read(visa.session, count)
        except (OSError, pyvisa.Error) as error:
            raise self._translated(error, "the answer") from error
        if deadline.passed:
            raise self.timeout("the answer")
        if not data:
            raise self.fault("garbled", "an empty message came")
        buffer[: len(data)] = data
        self._ended = not self._stream and status in _ENDED
        return len(data)

    def _peek(self) -> bytes:
        if self._wire is None or not select.select([self._wire], [], [], 0)[0]:
            return b""
        try:
            found = self._wire.recv(64, socket.MSG_PEEK)
        except OSError as error:
            raise self.disconnected(error) from error
        if not found:
            raise self.disconnected("closed by the instrument")
        return found

    def _clear_device(self, deadline: Deadline) -> None:
        if self._stream or self._visa is None:
            return  # pyvisa-py's clear of a socket never returns once the peer has gone
        try:
            self._visa.timeout = _milliseconds(deadline)
            self._visa.clear()
        except (OSError, pyvisa.Error) as error:
            raise self._translated(error, "the device clear") from error

    def _ready(self, deadline: Deadline, *, writing: bool = False) -> bool:
        """Wait for the socket, where there is one to watch."""
        if self._wire is None:
            return True
        watched = [self._wire]
        return any(select.select([] if writing else watched, watched if writing else [], [], deadline.remaining))

    def _translated(self, error: Exception, doing: str) -> Exception:
        if isinstance(error, pyvisa.VisaIOError) and error.error_code == constants.StatusCode.error_timeout:
            return self.timeout(doing)
        return self.disconnected(error)


def _milliseconds(deadline: Deadline) -> int:
    return max(1, math.ceil(deadline.remaining * 1e3))  # 0 would mean "do not wait"
