"""Where the time of a run goes beside measuring: keeping the record, and waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Stopwatch:
    """Adds up what was spent on logging and on waiting, until it is asked.

    Sections may be nested: the inner one's time is not counted twice. Any thread may open them.
    """

    def __init__(self) -> None:
        self._spent = {"log": 0.0, "idle": 0.0}
        self._lock = threading.Lock()
        self._inner = threading.local()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Count what is done here as `log` or `idle`."""
        began, before = time.perf_counter(), getattr(self._inner, "spent", 0.0)
        self._inner.spent = 0.0
        try:
            yield
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self._spent[name] += took - self._inner.spent
            self._inner.spent = before + took

    @property
    def total(self) -> float:
        """All that was counted since it was last asked, in s."""
        return sum(self._spent.values())

    def take(self) -> tuple[float, float]:
        """Return the seconds of logging and of waiting since the last call."""
        with self._lock:
            spent = self._spent["log"], self._spent["idle"]
            self._spent = {"log": 0.0, "idle": 0.0}
        return spent

    def logged(self, function: Callable[..., None]) -> Callable[..., None]:
        """Return a function whose time counts as logging."""

        def timed(*values: Any) -> None:
            with self.section("log"):
                function(*values)

        return timed
