"""`physnet sensitivity`: accuracy against noise, bits, drift, dead channels, nonlinearity, or any other setting."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..comparison.changes import parse_values
from ..comparison.contestants import read_options
from ..comparison.sensitivity import Sensitivity, as_plain
from ..comparison.sensitivity_report import report, write_figure
from ..controls.store import plain
from ..experiment import load_experiment
from ..interrupts import StopRequest
from .compare import checked_jobs, folder_of, going_on, keep, names_of, overrides_of, say, tell


def sensitivity(arguments: argparse.Namespace) -> int:
    """Train what was not trained yet, and say what each rule bears."""
    from .train import choose_device

    overrides, values = overrides_of(arguments), parse_values(arguments.values)
    shared = [override for override in overrides if not override.startswith("rules.")]
    folder = folder_of(arguments, load_experiment(arguments.experiment, overrides=shared), "sensitivity")
    study = Sensitivity(
        arguments.experiment,
        names_of(arguments.rules),
        folder,
        of=arguments.of,
        values=values,
        seeds=arguments.seeds,
        overrides=overrides,
        options=read_options(Path(arguments.options)) if arguments.options else None,
        budget=arguments.budget_passes,
        every=arguments.validate_every,
    )
    jobs = checked_jobs(arguments.jobs, measured=study.measured)
    with going_on("sensitivity"), StopRequest() as stop:
        if study.todo:
            say(f"sensitivity: {len(study.todo)} trainings to do")
        study.go(jobs=jobs, device=choose_device(arguments.device), interrupted=stop.check, tell=tell)
    bearing = study.bearing()
    text = report(study, bearing)
    name = "sensitivity-" + "".join(letter if letter.isalnum() else "-" for letter in arguments.of)
    print(text)
    keep(folder / f"{name}.txt", f"{text}\n")
    print(f"figure        {write_figure(study, bearing, folder / f'{name}.png')}")
    print(f"trainings     {study.store.folder}")
    if arguments.json:
        print(json.dumps(plain(as_plain(study, bearing))))
    return 0
