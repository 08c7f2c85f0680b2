"""`physnet compare`: which rule trains a system best."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..comparison.as_plain import as_plain
from ..comparison.contestants import contestants, read_options
from ..comparison.figure import write_figure
from ..comparison.report import report
from ..comparison.rules import RuleComparison
from ..comparison.store import Outcome
from ..comparison.tasks import BASELINES, CHEAP, Task
from ..controls.store import plain
from ..errors import InputError, PhysnetError
from ..experiment import Experiment
from ..interrupts import StopRequest
from ..printable import printable
from ..session.disk import make_folder, replace, write_whole

FIGURE, REPORT = "comparison.png", "comparison.txt"


def compare(arguments: argparse.Namespace) -> int:
    """Train with each rule what was not trained yet, and say which is best."""
    from .train import choose_device

    options = read_options(Path(arguments.options)) if arguments.options else None
    experiments = contestants(
        arguments.experiment, names_of(arguments.rules), overrides=overrides_of(arguments), options=options
    )
    comparison = RuleComparison(
        experiments,
        folder_of(arguments, next(iter(experiments.values())), "compare"),
        seeds=arguments.seeds,
        budget=arguments.budget_passes,
        every=arguments.validate_every,
        target=None if arguments.target is None else arguments.target / 100,
        options=options,
        baselines=baselines_of(arguments.baselines),
    )
    jobs = checked_jobs(arguments.jobs, measured=comparison.measured)
    with going_on("compare"), StopRequest() as stop:
        if comparison.todo:
            say(f"compare: {len(comparison.todo)} trainings to do, about {comparison.passes_to_do} training passes")
        comparison.go(jobs=jobs, device=choose_device(arguments.device), interrupted=stop.check, tell=tell)
    findings = comparison.findings()
    text = report(comparison, findings)
    print(text)
    keep(comparison.folder / REPORT, f"{text}\n")
    print(f"figure        {write_figure(comparison, findings, comparison.folder / FIGURE)}")
    print(f"trainings     {comparison.store.folder}")
    if arguments.json:
        print(json.dumps(plain(as_plain(comparison, findings))))
    return 0


def names_of(text: str) -> list[str]:
    """Split a list of names at its commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def baselines_of(text: str | None) -> tuple[str, ...]:
    """Return the baselines that were asked for: the cheap ones unless told otherwise, `all`, or `none`."""
    if text is None:
        return CHEAP
    return {"all": tuple(BASELINES), "none": ()}.get(text, tuple(names_of(text)))


def overrides_of(arguments: argparse.Namespace) -> list[str]:
    """Return what `--set` and `--seed` change in an experiment."""
    overrides: list[str] = list(arguments.overrides)
    if arguments.seed is not None:
        if arguments.seed < 0:
            raise InputError(f"--seed must be >= 0, got {arguments.seed}.")
        overrides.append(f"seed={arguments.seed}")
    return overrides


def folder_of(arguments: argparse.Namespace, experiment: Experiment, what: str) -> Path:
    """Return the folder that was asked for; else one beside the runs, named after the experiment."""
    if arguments.output is not None:
        return Path(arguments.output)
    stem = Path(experiment.source).stem or "default"
    return Path(experiment.output.folder) / f"{what}-{stem}"


def checked_jobs(jobs: int, *, measured: bool) -> int:
    """Return how many trainings go on at once.

    Raises:
        InputError: It is below 1.
    """
    if jobs < 1:
        raise InputError(f"--jobs must be >= 1, got {jobs}.")
    if jobs > 1 and measured:
        say("a system is measured: one training at a time, in this process")
        return 1
    return jobs


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Say, when a command is stopped, that the same words go on with it.

    Args:
        what: The command.
    """
    try:
        yield
    except PhysnetError as error:
        error.add_note(f"To go on where it was, say the same again: physnet {what} ...")
        raise


def tell(task: Task, outcome: Outcome, left: int) -> None:
    """Say what came of a training."""
    accuracy = outcome.test_accuracy if task.test else outcome.validation_accuracy
    said = f"diverged: {outcome.diverged}" if outcome.diverged else f"{outcome.all_passes} passes"
    say(f"{task.name}, seed {task.seed}: {accuracy:.2%}, {said}, {outcome.seconds:.1f} s; {left} left")


def keep(path: Path, text: str) -> None:
    """Write a small file whole.

    Raises:
        InputError: It can't be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        make_folder(path.parent)
        write_whole(part, text.encode())
        replace(part, path)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error}. Choose another folder with --output.") from error


def say(text: str) -> None:
    """Tell a person how it goes."""
    if sys.stderr is not None:
        print(printable(text), file=sys.stderr)
