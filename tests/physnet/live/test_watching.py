"""The screen and its keys, with the keyboard scripted and the run faked."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console

from physnet.live import Connection, LiveFeed, Moment
from physnet.live.keys import NoKeys, reading_keys
from physnet.live.watching import Screen, follow

Seen = Callable[[Connection, Callable[[Moment], bool]], Moment]
Trainer = Any


class Script:
    """Presses keys, one after the other, each when its moment has come."""

    def __init__(self, steps: list[tuple[Callable[[], bool], str]]) -> None:
        self._steps = steps

    def pressed(self) -> str:
        if self._steps and self._steps[0][0]():
            return self._steps.pop(0)[1]
        return ""


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=24, color_system=None)


def test_keys_pause_and_continue_and_leave(feed: LiveFeed, trainer: Trainer, connection: Connection) -> None:
    feed.on_start(trainer)
    keys = Script(
        [
            (lambda: True, "p"),
            (lambda: bool(feed.hold(trainer)), "?C"),
            (lambda: not feed.hold(trainer) and screen.moment.state == "running", "q"),
        ]
    )
    console = terminal()
    screen = Screen(connection, console, keys)
    assert screen.show() == "left"
    assert screen.moment.state == "running"
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "pausing after this batch" in text
    assert text.rindex("\x1b[?1049l") > text.index("\x1b[?1049h")  # the terminal has its own screen back


@pytest.mark.parametrize(("key", "action"), [("s", "finish"), ("x", "interrupt")])
def test_ending_a_run_takes_a_yes(
    feed: LiveFeed, trainer: Trainer, connection: Connection, key: str, action: str
) -> None:
    feed.on_start(trainer)
    screen = Screen(
        connection,
        terminal(),
        Script(
            [
                (lambda: True, key + "n"),
                (lambda: True, key + "z" + "p" + "y"),
                (lambda: screen.moment.asked == action, "q"),
            ]
        ),
    )
    assert screen.show() == "left"
    assert screen.moment.asked == action
    feed._finish = feed._interrupt = False
    assert not feed.hold(trainer)  # a key pressed while the question stood was no answer, and no order either


def test_the_screen_ends_with_the_run(feed: LiveFeed, trainer: Trainer, connection: Connection) -> None:
    class End:
        def pressed(self) -> str:
            trainer.end(feed)
            return ""

    screen = Screen(connection, terminal(), End())
    assert screen.show() == "finished"
    assert screen.moment.status == "done"


def test_a_run_that_goes_away_without_a_word_is_told(feed: LiveFeed, connection: Connection) -> None:
    connection._socket.shutdown(2)
    assert Screen(connection, terminal(), NoKeys()).show() == "gone"


def test_without_a_terminal_there_is_a_line_per_epoch(feed: LiveFeed, trainer: Trainer, connection: Connection) -> None:
    feed.on_start(trainer)
    lines: list[str] = []
    script: Iterator[Callable[[], None]] = iter(
        [
            lambda: trainer.epoch(feed, 0.75),
            lambda: feed.on_pause(trainer, "lunch"),
            lambda: feed.on_continue(trainer),
            lambda: trainer.epoch(feed),
            lambda: trainer.end(feed),
        ]
    )
    waiting = [0]

    def check() -> None:
        if len(lines) >= waiting[0]:
            step = next(script, None)
            if step is not None:
                step()
            waiting[0] += 1

    # what is not said (that it went on) is not waited for
    def say(line: str) -> None:
        lines.append(line)
        if "paused" in line:
            next(script)()

    outcome, moment = follow(connection, say, check=check)
    assert outcome == "finished"
    assert moment.test_accuracy == 0.9
    assert lines[0].startswith("epoch 1/4: validation 75.00 %")
    assert lines[1] == "paused, outputs safe: lunch"
    assert lines[2].startswith("epoch 2/4")


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_the_keyboard_is_given_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    import pty
    import select
    import termios

    near, far = pty.openpty()
    with os.fdopen(far) as stream, contextlib.closing(os.fdopen(near, "wb", buffering=0)) as hand:
        monkeypatch.setattr(sys, "stdin", stream)
        before = termios.tcgetattr(far)
        with pytest.raises(ZeroDivisionError), reading_keys() as keys:
            assert keys.pressed() == ""
            assert termios.tcgetattr(far) != before
            hand.write(b"pS")
            select.select([far], [], [], 10)
            assert keys.pressed() == "pS"
            hand.write(b"\x1b[A")
            select.select([far], [], [], 10)
            assert keys.pressed() == ""
            raise ZeroDivisionError
        assert termios.tcgetattr(far) == before
