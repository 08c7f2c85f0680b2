"""Systems that a command names: registered, or in a file, with options from the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .. import registry
from ..contracts import PhysicalSystem
from ..errors import ExperimentError
from ..experiment.check import IMPAIRMENTS_FILLED
from ..experiment.load import shipped
from ..experiment.overrides import BadOverride, apply
from ..experiment.problems import problems_of

_OPTIONAL = frozenset({"seed", "name", "device"})


def is_system(target: str) -> bool:
    """Whether a word is a system, registered or in a file of its own, rather than an experiment or a run.

    Raises:
        ExperimentError: It is neither.
    """
    if registry.is_file(target) or target in registry.names("systems"):
        return True
    if re.fullmatch(r"[\w-]+", target) and target not in shipped() and not Path(target).exists():
        raise ExperimentError(
            f"{target!r} is neither a system nor a shipped experiment. Systems: "
            f"{', '.join(registry.names('systems'))}; experiments: {', '.join(shipped())}. A system of your own is "
            "given as 'path/to/bench.py:name'."
        )
    return False


def make_system(target: str, overrides: list[str], *, example: bool = False) -> PhysicalSystem:
    """Make a system from its name and the options on the command line.

    Args:
        target: A registered name, or `bench.py:name`.
        overrides: Each `KEY=VALUE`.
        example: Whether what is not given comes from the class's own `example`, where it has one.

    Raises:
        ExperimentError: There is no such system, or it takes no such options.
    """
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
        if example:
            options = {**getattr(found, "example", {}), **options}
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
