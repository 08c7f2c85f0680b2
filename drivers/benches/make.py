"""From a bench file to the bench: instruments by their registered names, on real lines or on simulated ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from physnet import registry
from physnet.errors import ExperimentError, InputError
from physnet.experiment.problems import problems_of

from ..boards.serial_board import SerialBoard
from ..resources import transport_for
from ..roles import Instrument
from ..transport import Transport
from .bench import Bench
from .board_role import BoardInstrument
from .config import BenchFile, PatternBenchFile, ToneBenchFile, load_bench
from .locks import BenchLock
from .patterns import PatternBench
from .rack import Rack
from .tones import ToneBench

Wrap = Callable[[str, Transport], Transport]
_ROLES = {"source": ("load", "fire"), "detector": ("recording", "fetch"), "analyser": ("sweep_time", "fetch")}
_FILLED = frozenset({"resource", "transport", "check"})


def make_bench(*, file: Path, simulated: bool = False, name: str = "") -> Bench:
    """A bench of instruments, as a bench file describes it.

    Nothing is opened: `with` does that.

    Args:
        file: The bench file.
        simulated: Use the lines of the file's `simulation.resources`, which `physnet simulate` serves: the session then
            says that nothing was measured.
        name: Name in the spec; the bench's own when empty.

    Raises:
        ExperimentError: The file is wrong, or names a driver that is not installed.
        SpecError: What it describes contradicts itself.
    """
    return build(load_bench(file), simulated=simulated, name=name)


def build(
    file: BenchFile,
    *,
    simulated: bool = False,
    name: str = "",
    resources: Mapping[str, str] | None = None,
    wrap: Wrap | None = None,
) -> Bench:
    """Make a bench of a file that was read.

    Args:
        file: From `load_bench`.
        simulated: See `make_bench`.
        name: See `make_bench`.
        resources: Lines by role, in the place of those of the file.
        wrap: Given the role and the transport of each line that takes one, returns what to use: to look on.

    Raises:
        ExperimentError, SpecError: See `make_bench`.
    """
    lines = _Lines(file, simulated=simulated, resources=resources, wrap=wrap)
    if isinstance(file, PatternBenchFile):
        return _patterns(file, lines, simulated=simulated, name=name or file.name)
    return _tones(file, lines, simulated=simulated, name=name or file.name)


class _Lines:
    """Where the instruments of a file are reached."""

    def __init__(
        self, file: BenchFile, *, simulated: bool, resources: Mapping[str, str] | None, wrap: Wrap | None
    ) -> None:
        self._file, self._simulated, self._wrap = file, simulated, wrap
        self._resources = resources if resources is not None else file.simulation.resources if simulated else {}
        self.used: list[str] = []

    def of(self, role: str, real: str) -> str:
        """Return the name of a role's line."""
        if role in self._resources:
            name = self._resources[role]
        elif self._simulated:
            raise ExperimentError(
                f"simulation.resources of bench {self._file.name} must say where its {role} is served, and does not. "
                "Name it, such as 'TCPIP::127.0.0.1::15025::SOCKET', and start: physnet simulate BENCH.toml"
            )
        else:
            name = real
        self.used.append(name)
        return name

    def instrument(self, role: str, kind: str, real: str, options: Mapping[str, Any]) -> Any:
        """Make an instrument that is registered under a name."""
        factory = registry.find("instruments", kind)
        model = registry.options_model(factory, exclude=_FILLED)
        try:
            given = registry.arguments(model, options)
        except ValidationError as error:
            found = problems_of(error, model, options, where=(role,))
            raise ExperimentError("\n".join(problem.text for problem in found)) from error
        resource = self.of(role, real)
        if self._wrap is not None and "transport" in inspect.signature(factory).parameters:
            line = transport_for(resource, backend=str(given.get("backend", "")))
            given["transport"] = self._wrap(role, line)
        return factory(resource=resource, **given)


def _tones(file: ToneBenchFile, lines: _Lines, *, simulated: bool, name: str) -> Bench:
    source = lines.instrument("source", file.source.type, file.source.resource, file.source.options)
    _must_be(source, "source", file.source.type)
    instruments: dict[str, Instrument] = {"source": source}
    if file.detector.type == "source":
        detector = source
    else:
        detector = lines.instrument("detector", file.detector.type, file.detector.resource, file.detector.options)
        instruments["detector"] = detector
    _must_be(detector, "detector", file.detector.type)
    rack = _rack(file, instruments, lines, simulated=simulated, name=name)
    return ToneBench(file, source=source, detector=detector, rack=rack, simulated=simulated, name=name)


def _patterns(file: PatternBenchFile, lines: _Lines, *, simulated: bool, name: str) -> Bench:
    factory = registry.find("systems", file.board.type)
    port = lines.of("board", file.board.port)
    model = registry.options_model(factory, exclude={"port", "simulated", "name"})
    try:
        given = registry.arguments(model, file.board.options)
    except ValidationError as error:
        found = problems_of(error, model, file.board.options, where=("board",))
        raise ExperimentError("\n".join(problem.text for problem in found)) from error
    board = factory(port=port, simulated=simulated, name=f"{name} board", **given)
    if not isinstance(board, SerialBoard):
        raise ExperimentError(f"board.type must be a board on a serial port, got {file.board.type!r}.")
    section = file.analyser
    analyser = lines.instrument("analyser", section.type, section.resource, section.options)
    _must_be(analyser, "analyser", section.type)
    instruments = {"board": BoardInstrument(board, port=port, simulated=simulated), "analyser": analyser}
    rack = _rack(file, instruments, lines, simulated=simulated, name=name)
    settle = float(given.get("settle", 0.0))
    return PatternBench(file, board=board, analyser=analyser, rack=rack, simulated=simulated, settle=settle, name=name)


def _rack(file: BenchFile, instruments: Mapping[str, Instrument], lines: _Lines, *, simulated: bool, name: str) -> Rack:
    sequence = [role for role in file.safety.sequence if role != "detector" or role in instruments]
    lock = BenchLock(name, lines.used)
    return Rack(name, instruments, sequence=sequence, simulated=simulated, lock=lock)


def _must_be(instrument: Any, role: str, kind: str) -> None:
    # By the class: a property of a driver may refuse to answer before it is open.
    if not all(hasattr(type(instrument), name) for name in _ROLES[role]):
        raise InputError(f"{role}.type must be an instrument that is a {role}, got {kind!r}. physnet list instruments")
