"""`physnet view`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..assembly import build_network, build_rule, load_samples
from ..contracts import PhysicalSystem
from ..errors import InputError
from ..experiment import load_experiment
from ..interrupts import StopRequest
from .characterise import systems_of
from .systems import is_system, make_system


def view_target(arguments: argparse.Namespace) -> int:
    """Write figures and a movie of one system."""
    from ..viewing.view import view  # here, since it waits for matplotlib

    if arguments.seed is not None and arguments.seed < 0:
        raise InputError(f"--seed must be >= 0, got {arguments.seed}.")
    system, name, seed = _chosen(arguments)
    with StopRequest() as stop:
        seen = view(
            system,
            Path(arguments.output),
            name=name,
            drive=arguments.drive,
            seed=seed,
            movie=arguments.movie,
            permitted=arguments.yes,
            interrupted=stop.check,
        )
    print(f"{seen.name} ({seen.kind.upper()}): {seen.passes} passes")
    for what, path in seen.files.items():
        print(f"{what:<10}{path}")
    if seen.deviation is not None:
        how = f"within {seen.deviation:.1g} of it" if seen.deviation else "to the last digit"
        print(f"The response that follows from the field shown is the measured one, {how}.")
    for note in seen.notes:
        print(note)
    if arguments.json:
        print(json.dumps(seen.as_dict()))
    return 0


def _chosen(arguments: argparse.Namespace) -> tuple[PhysicalSystem, str | None, int]:
    """Return the system that was asked for, its name in the experiment, and the seed of its drives."""
    if is_system(arguments.target):
        if arguments.system is not None:
            raise InputError(f"--system must be left out for {arguments.target}, which is a system itself.")
        return make_system(arguments.target, arguments.overrides, example=True), None, arguments.seed or 0
    experiment = load_experiment(arguments.target, overrides=arguments.overrides)
    names = list(dict.fromkeys(layer.system for layer in experiment.layers))
    name = names[0] if arguments.system is None and len(names) == 1 else arguments.system
    if name not in names:
        got = "none" if name is None else repr(name)
        raise InputError(f"--system must be one of {', '.join(names)}, which the experiment's layers use, got {got}.")
    network = build_network(experiment, load_samples(experiment).frame, build_rule(experiment))
    seed = experiment.seed if arguments.seed is None else arguments.seed
    return systems_of(experiment, network)[name].system, name, seed
