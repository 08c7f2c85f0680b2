"""Ctrl-C, SIGTERM and SIGHUP, taken between two rows of work instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from .errors import Stopped

# A terminal that is closed ends a run like SIGTERM, where the system has that signal.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class StopRequest:
    """While entered, the first Ctrl-C, SIGTERM or SIGHUP is remembered; a second one interrupts at once.

    Only the main thread can take signals: elsewhere this does nothing, and `check` never raises.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._previous: dict[int, Any] = {}

    def check(self) -> None:
        """Raise if a stop was asked for. It only looks: any thread may call it.

        Raises:
            Stopped: With the signal's number.
        """
        if self._asked is not None:
            raise Stopped(self._asked)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
                    self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None:
            raise Stopped(number)
        self._asked = number


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Let nothing interrupt a safe-state sequence: Ctrl-C, SIGTERM and SIGHUP take effect when it is over.

    Only the main thread can take signals: elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    for number in previous:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        for late in dict.fromkeys(came):
            signal.raise_signal(late)
