"""A bench file's instruments, simulated: what `physnet simulate` serves, and tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from physnet.errors import ExperimentError

from .faults import FaultPlan
from .options import fault_plans
from .rig import Rig
from .tone_bench import SimulatedToneBench

_ROLES = {"tones": ("source", "detector"), "patterns": ("board", "analyser")}
_KEYS = ("resources", "seed", "medium", "faults", "instruments")
_FREE = {"board": "socket://127.0.0.1:0"}
_ANY_PORT = "TCPIP::127.0.0.1::0::SOCKET"


class SimulatedBench(Protocol):
    """Instruments that are served together."""

    @property
    def resources(self) -> Mapping[str, str]:
        """Where each role is served."""
        ...

    @property
    def exchanges(self) -> dict[str, int]:
        """Exchanges so far, by role."""
        ...

    def start(self) -> None:
        """Begin to answer."""
        ...

    def stop(self) -> None:
        """Stop answering."""
        ...


class Simulation:
    """Serves the instruments of a bench, from entering to leaving.

    Args:
        table: A bench file as it was parsed. Its keys about instruments and `simulation` are looked at, nothing else.
        resources: Where each role is served, instead of where the file says: a mapping, or `ephemeral` for any free
            ports.
        base: Folder that relative paths start from.

    Raises:
        ExperimentError: Something in the file is wrong.
        SpecError: An option is out of its range, or medium and instruments don't fit.
        InputError: A line can't be served here.
    """

    def __init__(
        self,
        table: Mapping[str, Any],
        *,
        resources: Mapping[str, str] | Literal["ephemeral"] | None = None,
        base: Path | None = None,
    ) -> None:
        kind = table.get("kind")
        if kind not in _ROLES:
            raise ExperimentError(f"kind of a bench must be one of {', '.join(_ROLES)}, got {kind!r}.")
        roles = _ROLES[kind]
        simulation = _table(table, "simulation")
        if unknown := sorted(simulation.keys() - set(_KEYS)):
            raise ExperimentError(f"simulation must hold {', '.join(_KEYS)}, got {', '.join(unknown)}.")
        seed = simulation.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ExperimentError(f"simulation.seed must be a whole number >= 0, got {seed!r}.")
        if resources == "ephemeral":
            resources = {role: _FREE.get(role, _ANY_PORT) for role in roles}
        self._plans = fault_plans(_table(simulation, "faults"), roles, seed=seed)
        given: dict[str, Any] = {role: _table(table, role) for role in roles}
        given["medium"] = _table(simulation, "medium")
        given["resources"] = _table(simulation, "resources") if resources is None else resources
        instruments = _table(simulation, "instruments")
        given["instruments"] = {role: _table(instruments, role) for role in instruments}
        self._bench: SimulatedBench
        if kind == "tones":
            self._bench = SimulatedToneBench(**given, seed=seed, faults=self._plans)
        else:
            from .pattern_bench import SimulatedPatternBench  # a bench of tones needs no serial lines

            self._bench = SimulatedPatternBench(**given, seed=seed, faults=self._plans, base=base)

    @property
    def bench(self) -> SimulatedBench:
        """The instruments."""
        return self._bench

    @property
    def rig(self) -> Rig:
        """Cables and log of a bench of tones.

        Raises:
            ExperimentError: It is a bench of patterns.
        """
        if not isinstance(self._bench, SimulatedToneBench):
            raise ExperimentError("a bench of patterns has no rig: see the board's own record.")
        return self._bench.rig

    @property
    def resources(self) -> dict[str, str]:
        """Where each role is served, once entered: what drivers open."""
        return dict(self._bench.resources)

    @property
    def plans(self) -> Mapping[str, FaultPlan]:
        """What goes wrong, by role; it may be changed while it happens."""
        return self._plans

    @property
    def exchanges(self) -> dict[str, int]:
        """Messages that were answered and frames that were sent to a board so far, by role."""
        return self._bench.exchanges

    @property
    def faults(self) -> dict[str, dict[str, int]]:
        """How many faults there were, by role and kind."""
        return {role: {kind.value: count for kind, count in plan.counts.items()} for role, plan in self._plans.items()}

    def __enter__(self) -> Self:
        self._bench.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._bench.stop()


def _table(table: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = table.get(name, {})
    if not isinstance(found, Mapping):
        raise ExperimentError(f"{name} must be a table, got {found!r}.")
    return found
