"""`physnet watch`: look at a run while it goes on, pause it, end it."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ..errors import FaultError, SessionError, Stopped
from ..interrupts import StopRequest
from ..live.client import Connection, Ended, find_live, quoted
from ..live.keys import NoKeys, reading_keys
from ..live.protocol import Address, Moment, as_json
from ..live.view import View, plain, status_of
from ..live.watching import Outcome, Screen, follow


def watch(arguments: argparse.Namespace) -> int:
    """Show a run that goes on."""
    path = Path(arguments.runs)
    if arguments.list:
        return _list(path)
    run, others = _newest(path)
    with run.connection as connection:
        if others and not arguments.json:
            print(
                f"this is the newest run that goes on, {run.folder.name}. All: physnet watch {quoted(path)} --list",
                file=sys.stderr,
            )
        if arguments.once or arguments.json:
            moment = connection.receive(0) or Moment()
            if arguments.json:
                print(as_json(moment))
            else:
                Console(file=sys.stdout).print(View(moment=moment))
            return 0
        outcome, moment = _show(connection)
    return _farewell(run, outcome, moment)


@dataclass(frozen=True, kw_only=True)
class _Run:
    folder: Path
    address: Address
    connection: Connection


def _newest(path: Path) -> tuple[_Run, int]:
    """Connect to the newest run that goes on; also return how many others say they do."""
    if not path.exists():
        raise SessionError(f"{path} must be a run's folder or a folder of runs, and there is no such folder.")
    found, gone = find_live(path), []
    for number, (folder, address) in enumerate(found):
        try:
            return _Run(folder=folder, address=address, connection=Connection(folder, address)), len(found) - number - 1
        except Ended:
            gone.append(folder)
            if folder is not found[-1][0]:
                print(f"the process of the run in {quoted(folder)} has gone without a word", file=sys.stderr)
    if gone:
        error = SessionError(f"the process of the run in {gone[0]} has gone without a word: no run goes on in {path}.")
        error.add_note(f"What it recorded: physnet show {quoted(gone[0])}")
        error.add_note(f"Go on from there: physnet resume {quoted(gone[0])}")
        raise error
    error = SessionError(f"no run goes on in {path}. A run can be watched from `physnet train` on, until it ends.")
    error.add_note(f"What a run did: physnet show {quoted(path)}")
    raise error


def _list(path: Path) -> int:
    rows = []
    for folder, address in find_live(path):
        try:
            with Connection(folder, address) as connection:
                moment = connection.receive(0) or Moment()
                rows.append((moment, folder, address))
        except Ended:
            continue
        except SessionError as error:  # on another machine, busy, another version
            print(f"physnet: {error}", file=sys.stderr)
    if not rows:
        _newest(path)[0].connection.close()
    for moment, folder, address in rows:
        print(
            f"{quoted(folder)}  {status_of(moment)}  epoch {moment.epoch}/{moment.epochs}  process {address.pid}  "
            f"{plain(moment.title)}"
        )
    return 0


def _show(connection: Connection) -> tuple[Outcome, Moment]:
    console = Console(file=sys.stdout)
    moment = Moment()
    with StopRequest() as stop:
        try:
            if not console.is_terminal:
                return follow(connection, lambda line: print(line, flush=True), check=stop.check)
            listening = sys.stdin is not None and sys.stdin.isatty()
            with reading_keys() if listening else contextlib.nullcontext(NoKeys()) as keys:
                screen = Screen(connection, console, keys, check=stop.check, listening=listening)
                try:
                    outcome = screen.show()
                finally:
                    moment = screen.moment
            return outcome, moment
        except (EOFError, KeyboardInterrupt):
            return "left", moment
        except Stopped as stopped:
            if stopped.signal_number != signal.SIGINT:
                raise
            return "left", moment


def _farewell(run: _Run, outcome: Outcome, moment: Moment) -> int:
    """Leave the last view on the terminal, and say what to do next."""
    name = quoted(run.folder)
    if sys.stdout.isatty() and moment.layers:
        Console(file=sys.stdout).print(View(moment=moment))
    if outcome == "gone" and Address.read(run.folder) == run.address:
        error = FaultError(f"the process of the run in {run.folder} has gone without a word.")
        error.add_note(f"What it recorded: physnet show {name}")
        error.add_note(f"Go on from there: physnet resume {name}")
        raise error
    if outcome == "left":
        if moment.state == "paused" or moment.asked == "pause":
            print(f"The run stays paused until `physnet watch {name}` lets it continue.")
        else:
            print(f"The run goes on. Again: physnet watch {name}")
        return 0
    ended = f"{moment.status}: {plain(moment.message)}" if moment.status else "the run has ended"
    print(f"{ended}\nlook at it: physnet show {name} --plot")
    if moment.status in ("interrupted", "terminated", "fault"):
        print(f"go on:      physnet resume {name}")
    return 0
