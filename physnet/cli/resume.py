"""`physnet resume`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import torch

from ..assembly import check_data, load_samples, plan_of
from ..errors import InputError, SessionError
from ..resumption import changed_experiment, differences, other_instruments, start_of
from ..session import Run, Session, open_run
from ..session.environment import describe
from .characterise import systems_of
from .runs import newest_run
from .train import Prepared, choose_device, finish


def resume(arguments: argparse.Namespace) -> int:
    """Go on with a run that was killed, stopped, or ended by a fault."""
    run = open_run(newest_run(Path(arguments.run)))
    if run.status == "done":
        raise InputError(
            f"run {run.folder} must have ended early to be gone on with, and it is done: its test split was measured. "
            "Train anew for longer: physnet train --set training.epochs=N"
        )
    experiment = changed_experiment(run, arguments.overrides)
    start = start_of(run)
    device = choose_device(arguments.device)
    if threads := run.environment.get("threads"):
        torch.set_num_threads(int(threads))  # another number of threads adds up in another order
    samples = load_samples(experiment)
    check_data(samples.dataset, str(run.data.get("checksum", "")))
    prepared = Prepared.of(experiment, device, samples=samples)
    trainer, plan = prepared.trainer, plan_of(experiment, samples, prepared.trainer)
    changes = [str(change) for change in differences(run, experiment, plan, describe())]
    if changes and not arguments.accept_changes:
        listed = "\n".join(f"- {change}" for change in changes)
        raise SessionError(
            f"run {run.folder} must be gone on with as it was begun, and these differ:\n{listed}\n"
            "Bring them back, or accept and record them with --accept-changes."
        )
    for problem in start.problems:
        print(f"not used: {problem}", file=sys.stderr)
    with prepared.stop, Session.resume(run.folder, plan, step=start.step, changes="; ".join(changes)) as session:
        if start.snapshot is not None:
            trainer.restore(
                start.snapshot,
                attempt=session.attempt,
                repeated=start.repeated,
                accept_change=arguments.accept_changes,
            )
        where = f"step {start.step}" if start.snapshot is not None else "the beginning: it ended before a checkpoint"
        session.event("info", f"resumed from {where}")
        for change in changes:
            session.event("warning", f"accepted: {change}")
        print(f"resuming {shlex.quote(str(run.folder))} from {where}", file=sys.stderr)
        result = prepared.follow(session, opened=lambda: _same_instruments(run, prepared, session, arguments))
    return finish(prepared, result, run.folder, device=device, controls=False, as_json_too=arguments.json)


def _same_instruments(run: Run, prepared: Prepared, session: Session, arguments: argparse.Namespace) -> None:
    """Refuse other instruments than those that the run was begun with; who they are is known once they are open."""
    ports = systems_of(prepared.experiment, prepared.network)
    changes = [str(change) for change in other_instruments(run, {name: port.spec for name, port in ports.items()})]
    if changes and not arguments.accept_changes:
        listed = "\n".join(f"- {change}" for change in changes)
        raise SessionError(
            f"run {run.folder} must be gone on with on the instruments that it was begun on, and these differ:\n"
            f"{listed}\nBring them back, or accept and record them with --accept-changes."
        )
    for change in changes:
        session.event("warning", f"accepted: {change}")
