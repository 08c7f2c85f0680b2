"""`physnet characterise`, and `physnet train --characterise`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from ..assembly import build_network, build_rule, load_samples
from ..characterisation import DEFAULT, Characterisation, characterise, save
from ..characterisation.figure import write_figure
from ..errors import InputError
from ..experiment import Experiment, load_experiment
from ..interrupts import StopRequest
from ..network import Network
from ..port import Port
from ..session import Run, Session, open_run
from ..trainer import Trainer
from .systems import is_system, make_system


def characterise_target(arguments: argparse.Namespace) -> int:
    """Measure a system, or every system of an experiment or a run; each is made safe before the next."""
    target, passes = arguments.target, DEFAULT if arguments.passes is None else arguments.passes
    if arguments.seed is not None and arguments.seed < 0:
        raise InputError(f"--seed must be >= 0, got {arguments.seed}.")
    folder, owner, found = Path(), "", []
    if is_system(target):
        seed = arguments.seed or 0
        systems = {"": make_system(target, arguments.overrides)}
    else:
        if Path(target).is_dir():
            run = _of_run(Path(target), arguments.overrides)
            experiment, folder = Experiment.from_dict(run.configuration), run.folder
            owner = run.identifier if arguments.output is None else ""
        else:
            experiment = load_experiment(target, overrides=arguments.overrides)
        seed = experiment.seed if arguments.seed is None else arguments.seed
        network = build_network(experiment, load_samples(experiment).frame, build_rule(experiment))
        systems = {name: port.system for name, port in systems_of(experiment, network).items()}
    folder = folder if arguments.output is None else Path(arguments.output)
    with StopRequest() as stop:
        for number, (name, system) in enumerate(systems.items()):
            # Entered through a port, which tells a cable that is not plugged in from a mistake.
            with Port(system):
                one = characterise(
                    system, passes=passes, seed=seed, number=number, name=name or None, interrupted=stop.check
                )
            found.append((one, _keep(one, folder, plot=arguments.plot, run=owner)))
    if arguments.json:
        print(json.dumps({"systems": [{**one.as_dict(), "file": str(path)} for one, path in found]}))
    return 0


def characterise_network(
    experiment: Experiment, network: Network, trainer: Trainer, session: Session, *, check: Callable[[], None]
) -> None:
    """Measure every system of a run before its first step, into the run's folder; the passes count as the run's.

    Args:
        experiment: The experiment.
        network: Its network, entered.
        trainer: Counts the passes.
        session: The run's session.
        check: Called between batches; raises to stop.
    """
    for number, (name, port) in enumerate(systems_of(experiment, network).items()):
        one = characterise(
            port.system,
            seed=experiment.seed,
            number=number,
            retries=experiment.training.retries,
            name=name,
            interrupted=check,
        )
        trainer.passes["calibrate"] += one.count.passes
        _keep(one, session.folder, plot=True, run=session.run)


def systems_of(experiment: Experiment, network: Network) -> dict[str, Port]:
    """Return the port of each system that a layer uses, by its name in the experiment."""
    return {section.system: layer.port for section, layer in zip(experiment.layers, network, strict=True)}


def _of_run(path: Path, overrides: list[str]) -> Run:
    """Return the run, in whose folder what is found belongs."""
    from .runs import newest_run

    run = open_run(newest_run(path))
    if overrides:
        raise InputError(f"--set must be left out for the run {run.folder}: its systems are as they were recorded.")
    return run


def _keep(one: Characterisation, folder: Path, *, plot: bool, run: str) -> Path:
    path = save(one, folder, run=run)
    print(one.summary())
    print(f"file     {path}")
    if plot:
        print(f"figure   {write_figure(one, path.with_suffix('.png'))}")
    return path
