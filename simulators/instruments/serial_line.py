"""The board's end of a serial line: a pseudo-terminal, or a TCP port that pyserial's `socket://` URL reaches.

Bytes that nobody takes are dropped, as a board drops them. A host that went away is a silent host.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import time
from pathlib import Path
from typing import Protocol

from physnet.errors import InputError

_LIMIT = 65536
_PATIENCE = 0.1  # s: longest wait for a host that takes no bytes
_URL = re.compile(r"socket://(127\.0\.0\.1|localhost):(\d{1,5})/?", re.IGNORECASE)
_ASRL = re.compile(r"ASRL(.+?)(::INSTR)?", re.IGNORECASE)


class Line(Protocol):
    """Bytes both ways."""

    @property
    def port(self) -> str:
        """What a host opens."""
        ...

    def read(self, wait: float) -> bytes:
        """Return what came; nothing if `wait` s pass before anything does."""
        ...

    def write(self, data: bytes) -> None:
        """Hand over what a host takes."""
        ...

    def drop(self, away: float) -> None:
        """Go away, as when a cable is pulled, and come back after a time in s."""
        ...

    def close(self) -> None:
        """Give the line back; closing twice does nothing."""
        ...


def open_line(resource: str, *, base: Path | None = None) -> Line:
    """Open the board's end of a line.

    Args:
        resource: `socket://127.0.0.1:port`, port 0 for a free one; or the path of a pseudo-terminal that is made, with
            or without `ASRL` before it and `::INSTR` behind.
        base: Folder that a relative path starts from; the current one when None.

    Raises:
        InputError: It can't be opened here.
    """
    found = _URL.fullmatch(resource.strip())
    if found and int(found[2]) <= 65535:
        return TcpLine(int(found[2]))
    asrl = _ASRL.fullmatch(resource.strip())
    path = asrl[1] if asrl else resource.strip()
    if "://" in path or not path or path.isdigit():
        raise InputError(
            f"resource of a simulated board must be 'socket://127.0.0.1:port' or a path such as 'ASRL./board.pty', got "
            f"{resource!r}. It is served on this computer only."
        )
    return PtyLine(Path(base or ".", path))


class TcpLine:
    """A TCP port on loopback that takes one host at a time.

    Args:
        port: Its number; 0 for a free one.

    Raises:
        InputError: Another program has it.
    """

    def __init__(self, port: int = 0) -> None:
        self._host: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._back_at = 0.0
        self._port = port
        try:
            self._listen()
        except OSError as error:
            raise InputError(f"port {port} of 127.0.0.1 can't be served: {error}. Choose another one.") from error

    @property
    def port(self) -> str:
        """The URL that pyserial opens."""
        return f"socket://127.0.0.1:{self._port}"

    def read(self, wait: float) -> bytes:
        """See `Line`."""
        waiting = self._host or self._listener
        if waiting is None:
            time.sleep(max(0.0, min(wait, self._back_at - time.monotonic())))
            if time.monotonic() >= self._back_at:
                with contextlib.suppress(OSError):  # taken by another program: tried again
                    self._listen()
        elif select.select([waiting], [], [], wait)[0]:
            return self._receive(self._host) if self._host else self._accept(waiting)
        return b""

    def write(self, data: bytes) -> None:
        """See `Line`."""
        try:
            if self._host is not None:
                self._host.sendall(data)
        except OSError:
            self._hang_up()

    def drop(self, away: float) -> None:
        """See `Line`. Until it is back, connections are refused."""
        self._hang_up()
        if away > 0 and self._listener is not None:
            self._listener.close()
            self._listener = None
            self._back_at = time.monotonic() + away

    def close(self) -> None:
        """See `Line`."""
        self._hang_up()
        if self._listener is not None:
            self._listener.close()

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=1)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]

    def _accept(self, listener: socket.socket) -> bytes:
        try:
            self._host, _ = listener.accept()
        except OSError:
            return b""  # it went away in the meantime
        self._host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host.settimeout(_PATIENCE)
        return b""

    def _receive(self, host: socket.socket) -> bytes:
        try:
            data = host.recv(_LIMIT)
        except OSError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def _hang_up(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None


class PtyLine:
    """A pseudo-terminal, with a link at a path of one's choice that leads to it. POSIX only.

    Args:
        path: The link. One that is there already is replaced; anything else is left alone.

    Raises:
        InputError: There are no pseudo-terminals here, or something else is at `path`.
    """

    def __init__(self, path: Path) -> None:
        if os.name != "posix":
            raise InputError(
                f"{path} can't be a pseudo-terminal on this system. Serve the board at 'socket://127.0.0.1:port'."
            )
        if path.exists() and not path.is_symlink():
            raise InputError(f"{path} must be free for the link to a pseudo-terminal, got something that is none.")
        self._path = path
        self._files: tuple[int, ...] = ()
        self._terminal = ""
        self._back_at = 0.0
        self._plug_in()

    @property
    def port(self) -> str:
        """The link."""
        return str(self._path)

    def read(self, wait: float) -> bytes:
        """See `Line`."""
        if not self._files:
            time.sleep(max(0.0, min(wait, self._back_at - time.monotonic())))
            if time.monotonic() >= self._back_at:
                self._plug_in()
            return b""
        if not select.select([self._files[0]], [], [], wait)[0]:
            return b""
        return os.read(self._files[0], _LIMIT)

    def write(self, data: bytes) -> None:
        """See `Line`."""
        while data and self._files:
            try:
                data = data[os.write(self._files[0], data) :]
            except BlockingIOError:
                if not select.select([], [self._files[0]], [], _PATIENCE)[1]:
                    return  # nobody reads

    def drop(self, away: float) -> None:
        """See `Line`. The link leads to another terminal when it is back."""
        self._unplug()
        self._back_at = time.monotonic() + away

    def close(self) -> None:
        """See `Line`. The link is removed."""
        self._unplug()

    def _plug_in(self) -> None:
        import tty

        # The board holds both ends: without a host, the line is quiet, not gone.
        self._files = os.openpty()
        master, slave = self._files
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._terminal = os.ttyname(slave)
        link = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(self._terminal)
            os.replace(link, self._path)
        except OSError as error:
            self._unplug()
            raise InputError(f"{self._path} can't be made: {error}.") from error

    def _unplug(self) -> None:
        files, self._files = self._files, ()
        with contextlib.suppress(OSError):
            if files and os.readlink(self._path) == self._terminal:
                self._path.unlink()
        for file in files:
            os.close(file)
