"""Calls with deadlines, made by a thread of their own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from physnet.drivers.own_thread import OwnThread
from physnet.drivers.transport import Deadline
from physnet.errors import TransportError
from tests.drivers.loopback import until


@pytest.fixture
def thread() -> Iterator[OwnThread]:
    one = OwnThread("a device")
    yield one
    assert one.close(Deadline.after(5))


def test_a_call_returns_what_it_returns_and_raises_what_it_raises(thread: OwnThread) -> None:
    def fail() -> None:
        raise OSError("the driver says no")

    soon = Deadline.after(5)
    names = {thread.run(lambda: threading.current_thread().name, soon, "asking") for _ in range(3)}
    assert len(names) == 1 and names != {threading.current_thread().name}
    with pytest.raises(OSError, match="says no"):
        thread.run(fail, soon, "failing")
    assert thread.run(lambda: 7, soon, "going on") == 7


def test_a_late_call_is_a_timeout_and_its_result_is_undone(thread: OwnThread) -> None:
    gate, undone = threading.Event(), list[str]()

    def slow() -> str:
        gate.wait(10)
        return "a stream"

    with pytest.raises(TransportError, match="opening was not over") as caught:
        thread.run(slow, Deadline.after(0.02), "opening", undo=undone.append)
    assert caught.value.kind == "timeout"
    with pytest.raises(TransportError):  # the thread is busy still
        thread.run(lambda: undone.append("never made"), Deadline.after(0.02), "the next")
    assert thread.alive and not undone
    gate.set()
    until(lambda: undone)
    assert thread.run(lambda: 1, Deadline.after(5), "going on") == 1
    assert undone == ["a stream"]


def test_ctrl_c_while_waiting_undoes_what_comes(thread: OwnThread) -> None:
    undone = list[str]()
    main = threading.main_thread().ident
    assert main is not None

    def interrupting() -> str:
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)
        gate.wait(10)
        return "a stream"

    gate = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        thread.run(interrupting, Deadline.after(5), "opening", undo=undone.append)
    gate.set()
    until(lambda: undone)
    assert undone == ["a stream"]


def test_a_thread_that_hangs_is_left_to_itself() -> None:
    gate = threading.Event()
    thread = OwnThread("a device")
    with pytest.raises(TransportError):
        thread.run(lambda: gate.wait(10), Deadline.after(0.02), "hanging")
    assert not thread.close(Deadline.after(0.02))
    gate.set()
    until(lambda: not thread.alive)
