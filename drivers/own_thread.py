"""Calls into a library that knows no time-outs: one thread makes them all, and each has a deadline.

Some libraries want every call from the thread that started them, and hang when their driver does.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from physnet.errors import TransportError

from .transport import Deadline

T = TypeVar("T")


class OwnThread:
    """A thread that makes calls one after the other.

    A call that is not over by its deadline is given up, not stopped: nothing can stop it. The next one waits for it,
    and what it returns after all is undone. The thread ends with the process.

    Args:
        resource: What the calls are about, for messages.
    """

    def __init__(self, resource: str) -> None:
        self._resource = resource
        self._calls: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"calls for {resource}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it may still be in a call."""
        return self._thread.is_alive()

    def run(
        self, call: Callable[[], T], deadline: Deadline, doing: str, *, undo: Callable[[T], object] | None = None
    ) -> T:
        """Make a call, and return what it returns.

        Args:
            call: What to call.
            deadline: By when it must be over.
            doing: What it does, for the message.
            undo: Called with the result when nobody waited for it: what gives a late result back.

        Raises:
            TransportError: It was not over by the deadline.
            BaseException: What the call raised.
        """
        one = _Call(call, undo)
        self._calls.put(one)
        try:
            one.over.wait(deadline.remaining)
        except BaseException:  # Ctrl-C: the caller never sees the result
            if not one.give_up() and undo is not None and one.error is None:
                self._calls.put(_Call(lambda: undo(one.value()), None))
            raise
        if one.give_up():
            raise TransportError(
                f"{doing} was not over by the deadline",
                kind="timeout",
                resource=self._resource,
                advice="Its driver may hang: unplug and plug it again, or start the program anew.",
            )
        return one.value()

    def close(self, deadline: Deadline) -> bool:
        """Let the thread end after the calls that it has; never raises. Return whether it did by the deadline."""
        self._calls.put(None)
        self._thread.join(deadline.remaining)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (one := self._calls.get()) is not None:
            one.make()


class _Call(Generic[T]):
    """One call: made by one thread, waited for by another."""

    def __init__(self, call: Callable[[], T], undo: Callable[[T], object] | None) -> None:
        self.over = threading.Event()
        self.error: BaseException | None = None
        self._call, self._undo = call, undo
        self._found: list[T] = []
        self._given_up = False
        self._lock = threading.Lock()

    def make(self) -> None:
        """Make it."""
        with self._lock:
            if self._given_up:
                return  # before it began
        try:
            self._found.append(self._call())
        except BaseException as error:
            self.error = error
        with self._lock:
            late = self._given_up
            self.over.set()
        if late and self._undo is not None and self._found:
            with contextlib.suppress(Exception):  # nobody is left to be told
                self._undo(self._found[0])

    def give_up(self) -> bool:
        """Stop waiting for it; return False when it is over already."""
        with self._lock:
            self._given_up = not self.over.is_set()
            return self._given_up

    def value(self) -> T:
        """Return what it returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self._found[0]
