"""`physnet controls RUN`, and what `train --controls` and `show` share with it."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from ..controls import FILE, Study, Training
from ..controls.figure import write_figure
from ..controls.report import report
from ..errors import InputError, PhysnetError
from ..interrupts import StopRequest
from ..printable import printable
from ..session import Run, open_run

FIGURE = "controls.png"


def controls(arguments: argparse.Namespace) -> int:
    """Run what is missing of a run's controls, and say what they came to."""
    from .runs import newest_run
    from .train import choose_device

    study = Study(open_run(newest_run(Path(arguments.run))), repeats=arguments.repeats)
    values = run_study(study, device=choose_device(arguments.device))
    if arguments.figure:
        print(f"figure        {draw(study, study.run.folder / 'figures')}")
    if arguments.json:
        print(json.dumps(values))
    return 0


def run_study(study: Study, *, device: str) -> dict[str, Any]:
    """Do what is missing of a study, print its report, and return it as plain values.

    Raises:
        PhysnetError: As `Study.go`; a note says how to go on.
    """
    if study.todo:
        _say(f"controls: {len(study.todo)} trainings to do, about {study.passes_to_do} physical passes")
    stop = StopRequest()
    try:
        with stop:
            study.go(device=device, interrupted=stop.check, tell=_tell)
    except PhysnetError as error:
        error.add_note(f"To go on with the controls: physnet controls {shlex.quote(str(study.run.folder))}")
        raise
    findings = study.findings()
    print(report(study, findings))
    return study.as_json(findings)


def draw(study: Study, folder: Path) -> Path:
    """Draw what is there of a study."""
    return write_figure(study, study.findings(), folder / FIGURE)


def shown(run: Run) -> Study | None:
    """Return the study that a run has, to show it; None where there is none, or nothing to compare yet."""
    if not (run.folder / FILE).exists():
        return None
    try:
        study = Study(run)
        study.findings()
    except InputError as error:  # the run itself can still be shown
        _say(f"controls are not shown: {error}")
        return None
    return study


def _tell(training: Training) -> None:
    _say(
        f"{training.control}, seed {training.seed}: {training.test_accuracy:.2%}, {training.passes} passes, "
        f"{training.seconds:.1f} s"
    )


def _say(text: str) -> None:
    if sys.stderr is not None:
        print(printable(text), file=sys.stderr)
