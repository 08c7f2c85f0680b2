"""`physnet tune`: options of rules, chosen on validation samples."""

from __future__ import annotations

import argparse
import json

from ..comparison.tuned import as_options, report, told
from ..comparison.tuning import Trial, Tuning
from ..controls.store import plain
from ..experiment import load_experiment
from ..interrupts import StopRequest
from .compare import checked_jobs, folder_of, going_on, keep, names_of, say

FILE = "options.toml"


def tune(arguments: argparse.Namespace) -> int:
    """Try options until each rule had its trials, and write the best."""
    from .train import choose_device

    shared = [override for override in arguments.overrides if not override.startswith("rules.")]
    folder = folder_of(arguments, load_experiment(arguments.experiment, overrides=shared), "tune")
    tuning = Tuning(
        arguments.experiment,
        names_of(arguments.rules),
        folder,
        trials=arguments.trials,
        seed=arguments.seed,
        repeats=arguments.repeats,
        sampler=arguments.sampler,
        overrides=arguments.overrides,
        budget=arguments.budget_passes,
        every=arguments.validate_every,
    )
    jobs = checked_jobs(arguments.jobs, measured=tuning.measured)

    def tell(name: str, trial: Trial) -> None:
        keep(folder / FILE, as_options(tuning))
        say(told(name, trial))

    with going_on("tune"), StopRequest() as stop:
        say(f"tune: {arguments.trials} trials of each of {len(tuning.experiments)} rules")
        tuning.go(jobs=jobs, device=choose_device(arguments.device), interrupted=stop.check, tell=tell)
    print(report(tuning))
    print(f"options       {folder / FILE}")
    if arguments.json:
        best = {name: tuning.best(name) for name in tuning.experiments}
        values = {
            name: {"options": dict(one.options), "validation_accuracy": one.accuracy, "trial": one.number}
            for name, one in best.items()
            if one is not None
        }
        print(json.dumps(plain({"rules": values, "trials": tuning.trials, "options": str(folder / FILE)})))
    return 0
