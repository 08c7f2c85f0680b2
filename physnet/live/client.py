"""The viewer's end: finds the runs that go on, and talks to one."""

from __future__ import annotations

import contextlib
import os
import platform
import select
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from ..errors import SessionError
from .protocol import LONGEST_MOMENT, Action, Address, Moment, ProtocolError, greeting, order, read_moment

_CONNECT = 3.0  # seconds for a socket of this machine to open
_PATIENCE = 10.0  # seconds for the first answer: a run may be deep in a driver that lets no other thread work


class Ended(Exception):
    """The other side has closed the connection."""


def find_live(path: Path) -> list[tuple[Path, Address]]:
    """Return the runs that say they go on, newest first. Whether they do, only connecting tells.

    Args:
        path: A run's folder, or a folder of runs.
    """
    folders = [path]
    with contextlib.suppress(OSError):
        folders += [folder for folder in path.iterdir() if not folder.name.startswith(".")]
    found = [(folder, address) for folder in folders if (address := Address.read(folder)) is not None]
    return sorted(found, key=lambda run: run[1].started, reverse=True)


class Connection:
    """A viewer's connection to a run.

    Args:
        folder: The run's folder.
        address: What its `live.json` says.

    Raises:
        Ended: Nobody is there: the process has ended without a word, or the port is another's by now.
        SessionError: The run is on another machine, is too busy to answer, or speaks another version.
    """

    def __init__(self, folder: Path, address: Address) -> None:
        self.folder = folder
        self._data = bytearray()
        if address.machine != platform.node():
            raise SessionError(
                f"{folder} is a run on {address.machine or 'another machine'}, and this is {platform.node()}. Watch it "
                "there, for example through ssh."
            )
        try:
            self._socket = socket.create_connection(("127.0.0.1", address.port), _CONNECT)
        except OSError as error:
            raise Ended(str(error)) from error
        try:
            self._say(greeting(address.token))
            self._first = self._wait(_PATIENCE)
            if self._first is None:
                raise SessionError(
                    f"the run in {folder} (process {address.pid}) has not answered for {_PATIENCE:.0f} s: it may be "
                    "busy in a driver. Try again."
                )
        except BaseException:
            self.close()
            raise

    def receive(self, timeout: float) -> Moment | None:
        """Return the newest moment that has come; None when none came in time.

        Args:
            timeout: How long to wait for one, in s.

        Raises:
            Ended: The run has closed the connection, or its process is gone.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return self._wait(timeout)

    def ask(self, action: Action) -> None:
        """Ask the run for something; what comes of it is in the moments that follow.

        Raises:
            Ended: Nobody is there any more.
        """
        self._say(order(action))

    def close(self) -> None:
        """Look away."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _say(self, line: bytes) -> None:
        try:
            self._socket.sendall(line)
        except OSError as error:
            raise Ended(str(error)) from error

    def _wait(self, timeout: float) -> Moment | None:
        deadline = time.monotonic() + timeout
        while True:
            *lines, rest = self._data.split(b"\n")
            self._data = rest
            if lines:
                return self._read(bytes(lines[-1]))  # what came before it is the past
            if len(rest) > LONGEST_MOMENT:
                raise Ended("what came is no physnet run")
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                return None
            try:
                data = self._socket.recv(1 << 20)
            except OSError as error:
                raise Ended(str(error)) from error
            if not data:
                raise Ended("closed")
            self._data += data

    def _read(self, line: bytes) -> Moment:
        try:
            return read_moment(line)
        except ProtocolError as error:
            if "version" in str(error):
                raise SessionError(f"{self.folder}: {error}. Watch it with the physnet that runs it.") from error
            raise Ended("what came is no physnet run") from error


def quoted(path: Path) -> str:
    """Return a path as one types it."""
    text = os.path.relpath(path) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)
    return f'"{text}"' if " " in text else text
