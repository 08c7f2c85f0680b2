"""What the feed and the viewer say to each other: lines of JSON over a socket of this machine.

The viewer begins with `{"physnet": 1, "token": ...}`; the token is in the run's folder, so whoever may read the folder
may look on. The feed then sends `{"moment": {...}}` a few times a second, always whole, and takes `{"do": "pause"}`
and the other actions. Either side may add fields; a change of what a field means is a new version.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

VERSION = 1
FILE = "live.json"
"""Name of the file, in a run's folder, that says where its feed listens."""
LONGEST_ORDER = 4096
"""Bytes of a line to the feed."""
LONGEST_MOMENT = 4 << 20
"""Bytes of a line to the viewer."""
POINTS = 200
"""Most points of a curve."""
EVENTS = 50
"""Most events told at a time: the last ones."""

Action = Literal["pause", "continue", "finish", "interrupt"]
State = Literal["starting", "running", "paused", "finished"]
ACTIONS: tuple[str, ...] = get_args(Action)


class ProtocolError(ValueError):
    """The other side does not speak this protocol."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A quantity over the run.

    Args:
        latest: Its last value; None before the first.
        points: From the beginning of the run to now, averaged so that there are never more than `POINTS`.
    """

    latest: float | None = None
    points: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Event:
    """A line of text that the run kept.

    Args:
        time: POSIX time, in s.
        level: `info`, `warning` or `fault`.
        message: What happened.
    """

    time: float
    level: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A run at one moment.

    Args:
        title: One line.
        folder: The run's folder.
        pid: Process of the run.
        seed: The run's seed.
        kinds: Kind of each layer's system, bottom up.
        layers: Name of each layer, bottom up.
        state: What the run is doing. `starting`: before its first step.
        asked: What a viewer asked for and the run has not come to yet.
        reason: Why it is paused.
        status: How it ended; empty while it goes on.
        message: Why it ended.
        test_accuracy: 0 to 1; None where it was not measured.
        epoch: Epochs done.
        epochs: Epochs planned.
        step: Steps done.
        steps: Steps planned.
        metrics: For each metric of the rule, a curve per layer.
        validation: Validation accuracy, 0 to 1.
        best: The best of it; None before the first validation.
        best_epoch: After which epoch that was, from 1.
        layer_validation: Each layer's own read-out at the last validation.
        passes: Passes by purpose, up to the last step.
        physical_passes: All passes up to now.
        passes_per_second: Over the last seconds; None where nothing is known yet.
        seconds: Since the run began, in s.
        seconds_left: Until the last step, or the budget, in s; None where nothing is known yet.
        retries, invalid, clipped_drive, clipped_response, parameter_writes, cache_hits: See
            `physnet.records.PassCount`.
        warnings: Warnings so far.
        faults: Faults so far.
        events: The last events, oldest first.
    """

    title: str = ""
    folder: str = ""
    pid: int = 0
    seed: int = 0
    kinds: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    state: State = "starting"
    asked: Action | Literal[""] = ""
    reason: str = ""
    status: str = ""
    message: str = ""
    test_accuracy: float | None = None
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    metrics: Mapping[str, tuple[Curve, ...]] = field(default_factory=dict)
    validation: Curve = field(default_factory=Curve)
    best: float | None = None
    best_epoch: int = 0
    layer_validation: tuple[float | None, ...] = ()
    passes: Mapping[str, int] = field(default_factory=dict)
    physical_passes: int = 0
    passes_per_second: float | None = None
    seconds: float = 0.0
    seconds_left: float | None = None
    retries: int = 0
    invalid: int = 0
    clipped_drive: int = 0
    clipped_response: int = 0
    parameter_writes: int = 0
    cache_hits: int = 0
    warnings: int = 0
    faults: int = 0
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a run's feed listens.

    Args:
        version: Of the protocol.
        machine: Name of the computer.
        port: TCP port on 127.0.0.1.
        token: What a viewer must know to be answered.
        pid: Process of the run.
        started: POSIX time at which the feed began, in s.
        title: One line about the run.
    """

    version: int
    machine: str
    port: int
    token: str
    pid: int
    started: float
    title: str = ""

    def write(self, folder: Path) -> None:
        """Write it into a run's folder, at once and for this user's eyes only.

        Raises:
            OSError: The disk refused.
        """
        part = folder / f".{FILE}.part"
        part.unlink(missing_ok=True)
        # Made with these rights: the token is at no moment readable for others.
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(_ADDRESS.dump_json(self))
        os.replace(part, folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> Address | None:
        """Read it from a run's folder; None where there is none that can be read."""
        # Someone else may have made the folder: a link could lead elsewhere, and a pipe would make us wait for ever.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            if (folder / FILE).is_symlink():  # where there is no such flag
                return None
            with open(os.open(folder / FILE, flags), "rb") as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    return None
                return _ADDRESS.validate_json(stream.read(LONGEST_ORDER))
        except (OSError, ValidationError):
            return None


_MOMENT = TypeAdapter(Moment)
_ADDRESS = TypeAdapter(Address)


def greeting(token: str) -> bytes:
    """Return the viewer's first line."""
    return _line({"physnet": VERSION, "token": token})


def read_greeting(line: bytes) -> tuple[int, str]:
    """Return version and token of the viewer's first line.

    Raises:
        ProtocolError: It is none.
    """
    said = _object(line)
    version, token = said.get("physnet"), said.get("token")
    if not isinstance(version, int) or not isinstance(token, str):
        raise ProtocolError("not a greeting")
    return version, token


def order(action: Action) -> bytes:
    """Return the line that asks for an action."""
    return _line({"do": action})


def read_order(line: bytes) -> Action:
    """Return the action that a line asks for.

    Raises:
        ProtocolError: It asks for none.
    """
    action = _object(line).get("do")
    if action not in ACTIONS:
        raise ProtocolError("not an order")
    found: Action = action
    return found


def refusal(text: str) -> bytes:
    """Return the line that tells a viewer why it is not served."""
    return _line({"error": text})


def moment_line(moment: Moment) -> bytes:
    """Return a moment as a line. What is no finite number becomes null."""
    return b'{"moment":' + _MOMENT.dump_json(moment) + b"}\n"


def read_moment(line: bytes) -> Moment:
    """Return the moment of a line.

    Raises:
        ProtocolError: It holds none, or says why there is none.
    """
    said = _object(line)
    if isinstance(said.get("error"), str):
        raise ProtocolError(said["error"])
    try:
        return _MOMENT.validate_python(said.get("moment"))
    except ValidationError as error:
        raise ProtocolError("not a moment") from error


def as_json(moment: Moment) -> str:
    """Return a moment as one JSON object."""
    return _MOMENT.dump_json(moment).decode()


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("not JSON") from error
    if not isinstance(said, dict):
        raise ProtocolError("not an object")
    return said
