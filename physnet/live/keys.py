"""Single keys from a terminal, without waiting and without the Enter key."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from typing import Protocol


class Keys(Protocol):
    """Gives the keys that were pressed."""

    def pressed(self) -> str:
        """Return what was pressed since the last call, in order; empty for nothing."""
        ...


class NoKeys:
    """For when there is no keyboard."""

    def pressed(self) -> str:
        """Return nothing."""
        return ""


if sys.platform == "win32":
    import msvcrt

    class _Console:
        """The console of Windows, which hands out keys as they come."""

        def pressed(self) -> str:
            found = ""
            while msvcrt.kbhit():
                key = msvcrt.getwch()
                if key in ("\x00", "\xe0"):  # a function key: its second half is no letter of ours
                    msvcrt.getwch()
                elif key == "\x03":
                    raise KeyboardInterrupt
                else:
                    found += key
            return found

    @contextlib.contextmanager
    def reading_keys() -> Iterator[Keys]:
        """Read keys while entered."""
        yield _Console()

else:
    import termios
    import tty

    class _Terminal:
        def __init__(self, handle: int) -> None:
            self._handle = handle

        def pressed(self) -> str:
            if not select.select([self._handle], [], [], 0)[0]:
                return ""
            data = os.read(self._handle, 256)
            if not data:
                raise EOFError
            # An arrow or a function key is an escape and letters, none of which was meant.
            return "" if data.startswith(b"\x1b") else data.decode("ascii", "ignore")

    @contextlib.contextmanager
    def reading_keys() -> Iterator[Keys]:
        """Read keys while entered; whatever happens, the terminal is then as it was."""
        handle = sys.stdin.fileno()
        before = termios.tcgetattr(handle)
        try:
            tty.setcbreak(handle)
            yield _Terminal(handle)
        finally:
            termios.tcsetattr(handle, termios.TCSADRAIN, before)
