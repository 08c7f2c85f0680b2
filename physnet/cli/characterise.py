"""`physnet characterise`, and `physnet train --characterise`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import registry
from ..assembly import build_network, build_rule, load_samples
from ..characterisation import DEFAULT, Characterisation, characterise, save
from ..characterisation.figure import write_figure
from ..contracts import PhysicalSystem
from ..errors import ExperimentError, InputError
from ..experiment import Experiment, load_experiment
from ..experiment.check import IMPAIRMENTS_FILLED
from ..experiment.load import shipped
from ..experiment.overrides import BadOverride, apply
from ..experiment.problems import problems_of
from ..interrupts import StopRequest
from ..network import Network
from ..port import Port
from ..session import Run, Session, open_run
from ..trainer import Trainer

_OPTIONAL = frozenset({"seed", "name", "device"})


def characterise_target(arguments: argparse.Namespace) -> int:
    """Measure a system, or every system of an experiment or a run; each is made safe before the next."""
    target, passes = arguments.target, DEFAULT if arguments.passes is None else arguments.passes
    if arguments.seed is not None and arguments.seed < 0:
        raise InputError(f"--seed must be >= 0, got {arguments.seed}.")
    folder, owner, found = Path(), "", []
    if _is_system(target):
        seed = arguments.seed or 0
        systems = {"": _system(target, arguments.overrides)}
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


def _is_system(target: str) -> bool:
    if registry.is_file(target) or target in registry.names("systems"):
        return True
    if re.fullmatch(r"[\w-]+", target) and target not in shipped() and not Path(target).exists():
        raise ExperimentError(
            f"{target!r} is neither a system nor a shipped experiment. Systems: "
            f"{', '.join(registry.names('systems'))}; experiments: {', '.join(shipped())}. A system of your own is "
            "given as 'path/to/bench.py:name'."
        )
    return False


def _system(target: str, overrides: list[str]) -> PhysicalSystem:
    """Make a system from its name and the options on the command line."""
    options: dict[str, Any] = {}
    for override in overrides:
        try:
            apply(options, override)
        except BadOverride as error:
            raise ExperimentError(f"--set {override}: {error}") from error
    impairments = options.pop("impairments", None)
    found = registry.find("systems", target)
    if registry.is_ready(found):
        if options:
            raise ExperimentError(f"{target} is a system already made, without options, got {', '.join(options)}.")
        system: PhysicalSystem = found
    else:
        arguments = _arguments(found, options, target, optional=_OPTIONAL)
        try:
            system = found(**arguments)
        except OSError as error:
            raise ExperimentError(f"{target} can't be made: {error}.") from error
    if not isinstance(system, PhysicalSystem):
        raise ExperimentError(f"{target} must be a PhysicalSystem, got {type(system).__name__}. See physnet.system.")
    if impairments is not None:
        if not isinstance(impairments, dict):
            raise ExperimentError("--set impairments must be a table, for example impairments.noise=0.02.")
        factory = registry.find("impairments", "impaired")
        system = factory(system, **_arguments(factory, impairments, "impairments", exclude=IMPAIRMENTS_FILLED))
    return system


def _arguments(
    factory: registry.Factory,
    options: Mapping[str, Any],
    name: str,
    *,
    optional: frozenset[str] = frozenset(),
    exclude: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    model = registry.options_model(factory, optional=optional, exclude=exclude)
    try:
        return registry.arguments(model, options)
    except ValidationError as error:
        problems = problems_of(error, model, dict(options))
        lines = "\n".join(f"{name}: {problem.text} Set it with --set." for problem in problems)
        raise ExperimentError(lines) from error
