"""The simulated instruments of a bench of patterns: a board, an analyser, and one medium behind both."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from physnet import registry
from physnet.contracts import PhysicalSystem
from physnet.errors import ExperimentError

from .board_making import make_metasurface_board
from .faults import FaultPlan
from .network_analyser import SimulatedNetworkAnalyser
from .options import checked_options, socket_port
from .pattern_network import PatternNetwork
from .serial_line import open_line
from .server import InstrumentServer
from .shared_system import SharedSystem

_BOARD, _ANALYSER = "metasurface_board", "rohde_schwarz_znb"
_SHARED = ("elements", "responses", "adc_bits", "unique_id")  # options of the driver that the board itself has as well


class SimulatedPatternBench:
    """Serves a board and an analyser that its trigger is connected to.

    The medium is any registered system with as many drives as the board has elements. Where its options don't say so,
    it has one response at each of the analyser's frequencies.

    Args:
        board: Table `board` of a bench file.
        analyser: Table `analyser`.
        medium: Table `simulation.medium`: `type`, and the options of the system.
        resources: Where `board` and `analyser` are served.
        instruments: Further options of the simulated instruments, by role.
        seed: Of noise, and of the medium where it takes one and has none.
        faults: What goes wrong, by role; triggers are lost on their way by the plan of `analyser`.
        base: Folder that relative paths start from.

    Raises:
        ExperimentError: A name or an option is wrong.
        SpecError: Medium and instruments don't fit.
        InputError: A line can't be served here.
    """

    def __init__(
        self,
        *,
        board: Mapping[str, Any],
        analyser: Mapping[str, Any],
        medium: Mapping[str, Any],
        resources: Mapping[str, str],
        instruments: Mapping[str, Mapping[str, Any]] | None = None,
        seed: int = 0,
        faults: Mapping[str, FaultPlan] | None = None,
        base: Path | None = None,
    ) -> None:
        plans, own = faults or {}, instruments or {}
        if unknown := sorted(own.keys() - {"board", "analyser"}):
            raise ExperimentError(f"simulation.instruments must hold board, analyser, got {', '.join(unknown)}.")
        _check_type("board", board, _BOARD)
        _check_type("analyser", analyser, _ANALYSER)
        frequencies = tuple(float(value) for value in analyser.get("frequencies", ()))
        self.system: PhysicalSystem = _make_system(medium, board, frequencies, seed=seed, base=base)
        """What is behind the instruments."""
        shared = self._shared = SharedSystem(self.system)
        sweeping = checked_options(
            SimulatedNetworkAnalyser,
            own.get("analyser", {}),
            where="simulation.instruments.analyser",
            exclude=("network", "latched", "seed", "faults", "now"),
        )
        self.analyser = SimulatedNetworkAnalyser(
            PatternNetwork(shared, frequencies=frequencies or None),
            latched=lambda: self.board.hardware.pattern,
            seed=seed,
            faults=plans.get("analyser"),
            **sweeping,
        )
        """Sweeps when the board says so."""
        port = socket_port(_resource(resources, "analyser"), "analyser")
        self._server = InstrumentServer(self.analyser, port=port, faults=plans.get("analyser"))
        self._open = contextlib.ExitStack()
        holding = checked_options(
            make_metasurface_board,
            {name: board[name] for name in _SHARED if name in board} | dict(own.get("board", {})),
            where="board",
            exclude=("system", "line", "trigger", "seed", "faults"),
        )
        with contextlib.ExitStack() as stack:
            line = open_line(_resource(resources, "board"), base=base)
            stack.callback(line.close)
            self.board = make_metasurface_board(
                shared, line, trigger=self.analyser.trigger, seed=seed, faults=plans.get("board"), **holding
            )
            """Holds the pattern."""
            stack.pop_all()

    @property
    def resources(self) -> dict[str, str]:
        """Where each role is served, once started: what their drivers open."""
        return {"board": self.board.port, "analyser": self._server.resource}

    @property
    def exchanges(self) -> dict[str, int]:
        """Exchanges so far, by role."""
        return {"board": self.board.exchanges, "analyser": self._server.exchanges}

    def start(self) -> None:
        """Begin to answer.

        Raises:
            InputError: A port is taken.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self.board.close)
            stack.enter_context(self.system)
            # What the medium computes once it computes now: a board waits for no first row.
            self._shared.respond(np.zeros((1, self.system.spec.drive.channels)))
            self._server.start()
            stack.callback(self._server.stop)
            self.board.start()
            self._open = stack.pop_all()

    def stop(self) -> None:
        """Stop answering, outputs safe."""
        self.board.close()  # first: its trigger leads to the analyser
        self._open.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.stop()


def _make_system(
    medium: Mapping[str, Any],
    board: Mapping[str, Any],
    frequencies: Sequence[float],
    *,
    seed: int,
    base: Path | None,
) -> PhysicalSystem:
    options = {key: value for key, value in medium.items() if key != "type"}
    found = registry.find("systems", str(medium.get("type", "")), base=base)
    if registry.is_ready(found):
        return found  # type: ignore[no-any-return]
    takes = inspect.signature(found).parameters
    usual: dict[str, Any] = {
        "drives": board.get("elements"),
        "frequencies": list(frequencies) or None,
        "transmitters": 1,
        "seed": seed,
    }
    given = {key: value for key, value in usual.items() if key in takes and value is not None} | options
    if "responses" in takes and "responses" not in given:
        given["responses"] = max(1, len(given.get("frequencies", frequencies))) * int(given.get("transmitters", 1))
    system: PhysicalSystem = found(**checked_options(found, given, where="simulation.medium"))
    return system


def _check_type(role: str, table: Mapping[str, Any], known: str) -> None:
    if table.get("type", known if role == "board" else None) != known:
        raise ExperimentError(
            f"{role}.type must be {known!r} for a bench of patterns to be simulated, got {table.get('type')!r}: there "
            "is no simulated instrument for another one."
        )


def _resource(resources: Mapping[str, str], role: str) -> str:
    if role not in resources:
        raise ExperimentError(f"simulation.resources must say where the {role} is served, and does not.")
    return resources[role]
