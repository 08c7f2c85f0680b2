"""Tables of a bench file that simulated instruments read: options of a factory, and plans of faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ValidationError

from physnet import registry
from physnet.errors import ExperimentError
from physnet.experiment.problems import problems_of
from physnet.seeding import derive_seed

from .faults import FaultPlan

_FAULTS = frozenset({"rates", "script", "seed", "delay", "pause", "refuse_for", "refusals"})
_SOCKET = re.compile(r"TCPIP\d*::(127\.0\.0\.1|localhost)::(\d{1,5})::SOCKET", re.IGNORECASE)


def checked_options(
    factory: Callable[..., Any], options: Mapping[str, Any], *, where: str, exclude: Collection[str] = ()
) -> dict[str, Any]:
    """Return plain options as the factory takes them.

    Args:
        factory: A class or a function.
        options: Plain values.
        where: What messages call them.
        exclude: Parameters that the program fills in.

    Raises:
        ExperimentError: One is unknown, missing, or out of its range; all of them are told.
    """
    model = registry.options_model(factory, exclude=exclude)
    try:
        return registry.arguments(model, options)
    except ValidationError as error:
        problems = problems_of(error, model, options, where=tuple(where.split(".")))
        raise ExperimentError("\n".join(problem.text for problem in problems)) from error


def fault_plans(table: Mapping[str, Any], roles: Collection[str], *, seed: int) -> dict[str, FaultPlan]:
    """Return a plan for each role.

    What the table says holds for every role; in a table of its own a role may have other settings::

        [simulation.faults]
        rates = { delay = 0.01, dropped = 0.001 }     # of each exchange
        delay = 0.2                                   # s
        [simulation.faults.detector]
        script = [[12, "truncated"], [3, "missed_trigger"]]

    Args:
        table: `simulation.faults`.
        roles: All roles of the bench.
        seed: Of the simulation: each role draws from it apart from the others.

    Raises:
        ExperimentError: A key is unknown, or a script is none.
        SpecError: A kind is unknown, or a number out of its range.
    """
    shared = {name: value for name, value in table.items() if name not in roles}
    return {role: _plan({**shared, **_table(table, role)}, role, seed) for role in roles}


def socket_port(resource: str, role: str) -> int:
    """Return the port of a resource that is a socket of this computer; 0 for any free one.

    Raises:
        ExperimentError: It is none.
    """
    found = _SOCKET.fullmatch(resource.strip())
    if not found or int(found[2]) > 65535:
        raise ExperimentError(
            f"simulation.resources.{role} must be such as 'TCPIP::127.0.0.1::15025::SOCKET', got {resource!r}: "
            "simulated instruments are served on this computer only."
        )
    return int(found[2])


def _table(table: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    found = table.get(role, {})
    if not isinstance(found, Mapping):
        raise ExperimentError(f"simulation.faults.{role} must be a table, got {found!r}.")
    return found


def _plan(options: Mapping[str, Any], role: str, seed: int) -> FaultPlan:
    if unknown := sorted(options.keys() - _FAULTS):
        raise ExperimentError(
            f"simulation.faults must hold {', '.join(sorted(_FAULTS))}, or a table of a role, got {', '.join(unknown)}."
        )
    script = options.get("script", ())
    pairs = list(script.items()) if isinstance(script, Mapping) else list(script)
    try:
        numbered = [(int(number), kind) for number, kind in pairs]
    except (TypeError, ValueError) as error:
        raise ExperimentError(
            f"simulation.faults.script must be pairs such as [12, 'truncated'], got {script!r}."
        ) from error
    given = {"seed": derive_seed(seed, f"faults of {role}"), **options, "script": numbered}
    try:
        return FaultPlan(**given)
    except TypeError as error:
        raise ExperimentError(f"simulation.faults must hold numbers and tables of them ({error}).") from error
