"""Looking on until the run ends or the user has seen enough: on a screen with keys, or as lines in a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from rich.console import Console
from rich.live import Live

from .client import Connection, Ended
from .keys import Keys
from .protocol import Action, Moment
from .view import QUESTIONS, View, epoch_line

Outcome = Literal["finished", "left", "gone"]
"""The run ended; the user left; the run's process went away without a word."""

_TURN = 0.1  # seconds that a key may wait
_ACTIONS: dict[str, Action] = {"p": "pause", "c": "continue", "s": "finish", "x": "interrupt"}


class Screen:
    """The view on a terminal.

    Args:
        connection: To the run.
        console: The terminal.
        keys: Where keys come from.
        check: Called often; raises to leave.
        listening: Whether there is a keyboard.
    """

    def __init__(
        self,
        connection: Connection,
        console: Console,
        keys: Keys,
        *,
        check: Callable[[], None] = lambda: None,
        listening: bool = True,
    ) -> None:
        self._connection, self._console, self._keys = connection, console, keys
        self._check, self._listening = check, listening
        self.moment = Moment()
        """The last that was seen of the run."""
        self._question: Action | None = None
        self._asked: Action | None = None

    def show(self) -> Outcome:
        """Show the run until it ends or the user leaves."""
        with Live(console=self._console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            size = None
            while True:
                try:
                    came = self._connection.receive(_TURN)
                except Ended:
                    return "finished" if self.moment.state == "finished" else "gone"
                self._check()
                if came is not None:
                    self.moment, self._asked = came, None
                pressed = self._keys.pressed()
                try:
                    if any(self._left(key) for key in pressed):
                        return "left"
                except Ended:
                    return "gone"
                if came is not None or pressed or size != self._console.size:
                    size = self._console.size
                    live.update(self._view(), refresh=True)

    def _view(self) -> View:
        return View(moment=self.moment, keys=self._listening, question=self._question, asked=self._asked, full=True)

    def _left(self, key: str) -> bool:
        """Obey a key, and say whether it was the last."""
        key = key.lower()
        if self._question is not None:
            if key == "y":
                self._ask(self._question)
            if key in "ynq":
                self._question = None
            return False
        action = _ACTIONS.get(key)
        if action in QUESTIONS:
            self._question = action
        elif action is not None:
            self._ask(action)
        return key == "q"

    def _ask(self, action: Action) -> None:
        self._connection.ask(action)
        self._asked = action


def follow(connection: Connection, say: Callable[[str], None], *, check: Callable[[], None]) -> tuple[Outcome, Moment]:
    """Say a line per epoch until the run ends: for a log, where nothing can be drawn over.

    Args:
        connection: To the run.
        say: Takes the lines.
        check: Called often; raises to leave.

    Returns:
        What ended it, and the last moment.
    """
    moment, epoch, state = Moment(), -1, "running"
    while True:
        check()
        try:
            came = connection.receive(_TURN)
        except Ended:
            return ("finished" if moment.state == "finished" else "gone"), moment
        if came is None:
            continue
        moment = came
        if moment.epoch != epoch and moment.epoch:
            say(epoch_line(moment))
        if moment.state != state and moment.state == "paused":
            say(f"paused, outputs safe: {moment.reason}")
        epoch, state = moment.epoch, moment.state
