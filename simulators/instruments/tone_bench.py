"""The simulated instruments of a bench of tones: what plays, what listens, and a medium between them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from physnet.errors import ExperimentError

from .acoustic_medium import AcousticMedium
from .device import ScpiDevice
from .faults import FaultPlan
from .generator import Generator
from .medium import Medium, Wire
from .options import checked_options, socket_port
from .oscilloscope import Oscilloscope
from .red_pitaya import LINE, SimulatedRedPitaya
from .rig import Rig
from .server import InstrumentServer, ServerOptions

_FILLED = ("rig", "role", "seed", "faults", "now")
_MEDIA: Mapping[str, Callable[..., Medium]] = {"acoustic": AcousticMedium, "wire": Wire}


@dataclass(frozen=True, kw_only=True)
class Place:
    """An instrument's place on the bench.

    Args:
        rig: Its cables.
        role: `source` or `detector`.
        section: Its table in the bench file.
        options: Its options as a simulated instrument.
        seed: Of noise and jitter.
        faults: What goes wrong.
    """

    rig: Rig
    role: str
    section: Mapping[str, Any]
    options: Mapping[str, Any]
    seed: int
    faults: FaultPlan

    def checked(self, kind: Callable[..., Any]) -> dict[str, Any]:
        """Return its options as its class takes them.

        Raises:
            ExperimentError: One is wrong.
        """
        where = f"simulation.instruments.{self.role}"
        return checked_options(kind, self.options, where=where, exclude=_FILLED)


@dataclass(frozen=True)
class Served:
    """An instrument, and how its port behaves."""

    device: ScpiDevice
    options: ServerOptions = field(default_factory=ServerOptions)


def make_generator(place: Place) -> Served:
    """A 33500B; what its channels see is what the bench file says, unless an option `load` says otherwise."""
    options = {**_connected(place.section), **place.checked(Generator)}
    return Served(Generator(place.rig, role=place.role, **options))


def make_oscilloscope(place: Place) -> Served:
    """An InfiniiVision."""
    options = place.checked(Oscilloscope)
    return Served(Oscilloscope(place.rig, role=place.role, seed=place.seed, faults=place.faults, **options))


def make_red_pitaya(place: Place) -> Served:
    """A Red Pitaya, generator and digitiser in one."""
    options = place.checked(SimulatedRedPitaya)
    return Served(SimulatedRedPitaya(place.rig, seed=place.seed, faults=place.faults, **options), LINE)


INSTRUMENTS: Mapping[str, Callable[[Place], Served]] = {
    "keysight_33500b": make_generator,
    "keysight_infiniivision": make_oscilloscope,
    "red_pitaya": make_red_pitaya,
}
"""What makes the simulated instrument behind the driver of this name."""


class SimulatedToneBench:
    """Serves a source and a detector with a medium between them.

    Args:
        source: Table `source` of a bench file.
        detector: Table `detector`; of type `source` where one device is both.
        medium: Table `simulation.medium`: `type` (`acoustic`, `wire`), and its options.
        resources: Where each role is served; port 0 for any free one.
        instruments: Further options of the simulated instruments, by role.
        seed: Of noise and jitter.
        faults: What goes wrong, by role; triggers are lost on their way by the plan of the detector.

    Raises:
        ExperimentError: A name or an option is wrong.
        SpecError: Medium and instruments don't fit.
    """

    def __init__(
        self,
        *,
        source: Mapping[str, Any],
        detector: Mapping[str, Any],
        medium: Mapping[str, Any],
        resources: Mapping[str, str],
        instruments: Mapping[str, Mapping[str, Any]] | None = None,
        seed: int = 0,
        faults: Mapping[str, FaultPlan] | None = None,
    ) -> None:
        sections = {"source": source}
        if detector.get("type") != "source":
            sections["detector"] = detector
        plays, listens = tuple(source.get("channels", (1,))), tuple(detector.get("channels", (1,)))
        self.rig = Rig(_make_medium(medium, len(plays), len(listens)), sources=plays, detectors=listens)
        """Cables, medium, and the log of what happened on them."""
        own, plans = instruments or {}, faults or {}
        self._servers: dict[str, InstrumentServer] = {}
        for role, section in sections.items():
            kind = str(section.get("type", ""))
            if kind not in INSTRUMENTS:
                raise ExperimentError(
                    f"{role}.type must be one of {', '.join(INSTRUMENTS)} for a bench of tones to be simulated, got "
                    f"{kind!r}: there is no simulated instrument for it."
                )
            if role not in resources:
                raise ExperimentError(f"simulation.resources must say where the {role} is served, and does not.")
            plan = plans.get(role, FaultPlan())
            place = Place(rig=self.rig, role=role, section=section, options=own.get(role, {}), seed=seed, faults=plan)
            served = INSTRUMENTS[kind](place)
            port = socket_port(resources[role], role)
            self._servers[role] = InstrumentServer(served.device, port=port, faults=plan, options=served.options)
        if unknown := sorted(own.keys() - sections.keys()):
            raise ExperimentError(f"simulation.instruments must hold {', '.join(sections)}, got {', '.join(unknown)}.")

    @property
    def resources(self) -> dict[str, str]:
        """Where each role is served, once started: what their drivers open."""
        return {role: server.resource for role, server in self._servers.items()}

    @property
    def devices(self) -> dict[str, ScpiDevice]:
        """The instruments by role."""
        return {role: server.device for role, server in self._servers.items()}

    @property
    def exchanges(self) -> dict[str, int]:
        """Exchanges so far, by role."""
        return {role: server.exchanges for role, server in self._servers.items()}

    def start(self) -> None:
        """Begin to answer.

        Raises:
            InputError: A port is taken.
        """
        with contextlib.ExitStack() as stack:
            for server in self._servers.values():
                server.start()
                stack.callback(server.stop)
            self._open = stack.pop_all()

    def stop(self) -> None:
        """Stop answering.

        Raises:
            Exception: What went wrong within an instrument while it ran.
        """
        self._open.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.stop()


def _make_medium(table: Mapping[str, Any], sources: int, detectors: int) -> Medium:
    kind = str(table.get("type", ""))
    if kind not in _MEDIA:
        raise ExperimentError(f"simulation.medium.type must be one of {', '.join(_MEDIA)}, got {kind!r}.")
    options = {name: value for name, value in table.items() if name != "type"}
    exclude = ("sources", "detectors")
    given = checked_options(_MEDIA[kind], options, where="simulation.medium", exclude=exclude)
    if kind == "acoustic":
        given |= {"sources": sources, "detectors": detectors}
    return _MEDIA[kind](**given)


def _connected(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the generator's channels see, and the model that has them."""
    channels = tuple(section.get("channels", (1,)))
    given = section.get("load", ())
    loads = dict(zip(channels, (math.inf if load == "high" else float(load) for load in given), strict=False))
    count = 2 if max(channels, default=1) > 1 else 1
    return {
        "load": tuple(loads.get(channel, 50.0) for channel in range(1, count + 1)),
        "model": "33522B" if count > 1 else "33521B",
        **({"points": section["points"]} if "points" in section else {}),
    }
