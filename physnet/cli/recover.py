"""`physnet recover`."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SessionError
from ..printable import printable
from ..resumption import start_of
from ..session import open_run
from ..session.recover import Report, recover, where
from .runs import newest_run

_LABEL = 14


@dataclass(frozen=True, kw_only=True)
class Onward:
    """Whether a run can be gone on with.

    Args:
        step: From which step; None where it can't.
        why: Why not.
    """

    step: int | None
    why: str = ""


def recover_run(arguments: argparse.Namespace) -> int:
    """Repair a run's folder, and say what was found, done and lost."""
    report = recover(newest_run(Path(arguments.run)), dry_run=arguments.dry_run)
    onward = _onward(report)
    for line in _lines(report, onward):
        print(line)
    if arguments.json:
        print(json.dumps(_plain(report, onward)))
    return 0


def _onward(report: Report) -> Onward:
    if report.unborn:
        return Onward(step=None, why="it had not begun")
    if report.dry and not report.sound:
        able = [one for one in report.checkpoints if one.state]
        return Onward(step=able[-1].step) if able else Onward(step=None, why="that is known when it is repaired")
    run = open_run(report.folder)
    if run.status == "done":
        return Onward(step=None, why="it is done")
    if not run.metrics:
        return Onward(step=None, why="which metrics it recorded is lost")
    try:
        return Onward(step=start_of(run).step)
    except SessionError as error:
        return Onward(step=None, why=str(error))


def _lines(report: Report, onward: Onward) -> list[str]:
    name = shlex.quote(str(report.folder))
    lines = [f"{'run':<{_LABEL}}{report.folder}"]
    if report.unborn:
        lines += _listed("found", ["it was killed while its folder was made: nothing had been recorded"])
    elif report.sound:
        lines += _listed("found", ["sound, nothing to do"])
    lines += _listed("found" if not report.sound and not report.unborn else "", report.found)
    lines += _listed("would do" if report.dry else "repaired", report.repaired)
    lines += _listed("lost", report.lost or ([] if report.sound else ["nothing"]))
    lines += _listed("note", report.missing)
    lines += _listed("would keep" if report.dry else "kept", [str(path) for path in report.kept])
    if report.unborn:
        return [*lines, f"{'next':<{_LABEL}}start it again: physnet train"]
    epochs = [where(one) for one in report.checkpoints]
    lines += _listed("checkpoints", [f"{len(epochs)} sound: {'; '.join(epochs)}" if epochs else "none that is sound"])
    after = [f"repair it: physnet recover {name}"] if report.dry and not report.sound else []
    if onward.step is not None:
        after.append(f"go on from step {onward.step}: physnet resume {name}")
    elif onward.why:
        lines += _listed("to go on", [f"not possible: {onward.why}"] if onward.why != "it is done" else [])
    return [*lines, *_listed("next", [*after, f"look at it: physnet show {name}"])]


def _listed(label: str, texts: Sequence[str]) -> list[str]:
    return [f"{label if not n else '':<{_LABEL}}{printable(text)}" for n, text in enumerate(texts)]


def _plain(report: Report, onward: Onward) -> dict[str, Any]:
    return {
        "session": str(report.folder),
        "sound": report.sound,
        "dry_run": report.dry,
        "found": report.found,
        "repaired": report.repaired,
        "lost": report.lost,
        "notes": report.missing,
        "kept": [str(path) for path in report.kept],
        "checkpoints": [
            {"file": one.path.name, "epoch": one.epoch, "step": one.step, "complete": one.complete}
            for one in report.checkpoints
        ],
        "resume_step": onward.step,
        "resume_not": onward.why,
    }
