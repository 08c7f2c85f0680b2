"""The file that describes a bench, checked whole before anything is opened.

A bench of `tones` has a source, a detector and a codec between them; one of `patterns` has a board that holds bits and
a network analyser. The tables `source`, `detector`, `board` and `analyser` hold, beside the keys named here, the
options of the driver that `type` names.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from physnet.errors import ExperimentError
from physnet.experiment.lines import key_lines, nearest
from physnet.experiment.problems import Problem, problems_of

_LARGEST = 1 << 20  # bytes
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(min_length=1)]
Limit = Annotated[tuple[Positive, ...], Field(min_length=1)]


class Section(BaseModel):
    """A table of the file: frozen, and no key but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Open(Section):
    """A table whose other keys are options of the driver that it names."""

    options: dict[str, Any] = Field(default_factory=dict)


class SourceSection(_Open):
    """What plays.

    Args:
        type: A name registered under `physnet.instruments`.
        resource: VISA name of its line.
        channels: Channels that play.
        load: Impedance that each channel sees in Ohm; `high` for an open line.
        options: Options of the driver.
    """

    type: Name
    resource: Name
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    load: Annotated[tuple[Positive | Literal["high"], ...], Field(min_length=1)]

    @property
    def ohms(self) -> tuple[float, ...]:
        """The loads as numbers."""
        return tuple(math.inf if value == "high" else float(value) for value in self.load)

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if len(self.load) != len(self.channels):
            raise ValueError(
                f"load must have one value per channel, got {len(self.load)} for {len(self.channels)} channels."
            )
        return self


class DetectorSection(_Open):
    """What listens.

    Args:
        type: A name registered under `physnet.instruments`; `source` for a device that is both.
        resource: VISA name of its line; left out for `source`.
        channels: Channels that listen.
        full_scale: Largest voltage of each channel in V.
        sample_rate: In Hz; a whole multiple of the source's.
        coupling: Of the inputs.
        options: Options of the driver.
    """

    type: Name
    resource: str = ""
    channels: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    full_scale: Limit
    sample_rate: Positive
    coupling: Literal["DC", "AC"] = "DC"

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if len(self.full_scale) != len(self.channels):
            raise ValueError(
                f"full_scale must have one value per channel, got {len(self.full_scale)} for {len(self.channels)} "
                "channels."
            )
        if (self.type == "source") == bool(self.resource):
            raise ValueError("resource must be given, unless type is 'source': a device that is both.")
        return self


class BoardSection(_Open):
    """What holds the pattern and gives the triggers.

    Args:
        type: A name registered under `physnet.systems` whose system is a board on a serial port.
        port: Its port.
        options: Options of the driver.
    """

    type: Name = "metasurface_board"
    port: Name


class AnalyserSection(_Open):
    """What sweeps.

    Args:
        type: A name registered under `physnet.instruments`.
        resource: VISA name of its line.
        frequencies: In Hz, in rising order.
        parameter: Scattering parameter.
        power: In dBm.
        bandwidth: Resolution bandwidth in Hz.
        options: Options of the driver.
    """

    type: Name
    resource: Name
    frequencies: Annotated[tuple[Positive, ...], Field(min_length=1)]
    parameter: Annotated[str, Field(pattern=r"S[1-4][1-4]")] = "S21"
    power: float = -10.0
    bandwidth: Positive = 1e3

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if any(b <= a for a, b in zip(self.frequencies, self.frequencies[1:], strict=False)):
            raise ValueError("frequencies must rise from each to the next.")
        return self


class AveragingSection(Section):
    """Repetitions of each row.

    Args:
        shots: How often a row is played; the shots are not passes.
        mode: `coherent`: traces are averaged, then demodulated; needs a trigger without jitter to speak of.
            `incoherent`: responses are averaged; the energy of the noise stays.
    """

    shots: Count = 1
    mode: Literal["coherent", "incoherent"] = "coherent"


class LimitsSection(Section):
    """What the device behind the source bears, per channel; left out: no limit but the source's own.

    Args:
        peak: V.
        rms: V, over a row.
        slew: V/s.
        duty: Part of a row's time above a hundredth of the peak, 0 to 1.
    """

    peak: Limit
    rms: Limit | None = None
    slew: Limit | None = None
    duty: Limit | None = None


class ChunkSection(Section):
    """How much is played at one trigger.

    Args:
        seconds: Longest burst in s: a stop takes effect after it.
        rows: Most rows of a burst.
        margin: Time that a capture may take beyond its burst in s, before it counts as lost.
        dark: Play a row of silence in each burst: what it receives is taken from energies, and is the noise that a
            weak signal is told by.
        low_signal: A row is flagged when its response is below so many times the dark row's.
    """

    seconds: Positive = 2.0
    rows: Count = 256
    margin: Positive = 2.0
    dark: bool = True
    low_signal: NotNegative = 3.0


class SafetySection(Section):
    """What is made safe, in which order.

    Args:
        sequence: Roles in their order; those left out follow.
    """

    sequence: tuple[Literal["source", "detector", "board", "analyser"], ...] = ()


class SimulationSection(Section):
    """What `physnet simulate` serves in the place of the instruments.

    Args:
        resources: Where each role is served.
        seed: Of noise, jitter and faults.
        medium: The medium, and its options.
        faults: Rates or a script of faults.
        instruments: Options of the simulated instruments, by role.
    """

    resources: dict[str, str] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0)] = 0
    medium: dict[str, Any] = Field(default_factory=dict)
    faults: dict[str, Any] = Field(default_factory=dict)
    instruments: dict[str, dict[str, Any]] = Field(default_factory=dict)


class _Bench(Section):
    name: Name
    description: str = ""
    stateful: bool = False
    chunk: ChunkSection = Field(default_factory=ChunkSection)
    safety: SafetySection = Field(default_factory=SafetySection)
    simulation: SimulationSection = Field(default_factory=SimulationSection)


class ToneBenchFile(_Bench):
    """A source, a detector, and a codec of tones.

    Args:
        name: Name of the bench.
        description: A line for people.
        stateful: The medium remembers earlier rows for longer than the guard.
        source: What plays.
        detector: What listens.
        codec: Options of `ToneCodec`.
        averaging: Repetitions.
        limits: What the device bears.
        chunk: How much is played at one trigger.
        safety: Order of the safe sequence.
        simulation: What is served without a bench.
    """

    kind: Literal["tones"]
    source: SourceSection
    detector: DetectorSection
    codec: dict[str, Any]
    averaging: AveragingSection = Field(default_factory=AveragingSection)
    limits: LimitsSection


class PatternBenchFile(_Bench):
    """A board that holds bits, and a network analyser.

    Args:
        name: Name of the bench.
        description: A line for people.
        stateful: The medium remembers earlier rows.
        board: What holds the pattern.
        analyser: What sweeps.
        response: The complex scattering parameter, or its modulus.
        chunk: How much is played at once.
        safety: Order of the safe sequence.
        simulation: What is served without a bench.
    """

    kind: Literal["patterns"]
    board: BoardSection
    analyser: AnalyserSection
    response: Literal["complex", "modulus"] = "complex"


BenchFile = ToneBenchFile | PatternBenchFile
_FILES: Mapping[str, type[ToneBenchFile] | type[PatternBenchFile]] = {
    "tones": ToneBenchFile,
    "patterns": PatternBenchFile,
}


def load_bench(path: str | Path) -> BenchFile:
    """Read a bench file.

    Raises:
        ExperimentError: It can't be read, is not TOML, or something in it is wrong; each mistake has a line.
    """
    return bench_from(_read(Path(path)), shown=str(path))


def bench_from(text: str, *, shown: str = "bench.toml") -> BenchFile:
    """Check the text of a bench file.

    Raises:
        ExperimentError: See `load_bench`.
    """
    try:
        # Dates become text: what takes text is content, and what doesn't says so.
        table = json.loads(json.dumps(tomllib.loads(text), default=str, allow_nan=False))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        raise ExperimentError(f"{shown}: is not TOML that a bench can be made of: {error}.") from error
    model = _FILES.get(table.get("kind")) if isinstance(table.get("kind"), str) else None
    if model is None:
        raise ExperimentError(f"{shown}: kind must be 'tones' or 'patterns', got {table.get('kind')!r}.")
    try:
        return model.model_validate_json(json.dumps(_gathered(table, model)), strict=True)
    except ValidationError as error:
        raise ExperimentError(_listed(problems_of(error, model, table), text, shown)) from error


def _gathered(table: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Put the keys that are a driver's own under `options`. Here, for pydantic takes lists for tuples in JSON only."""
    gathered = dict(table)
    for name, field in model.model_fields.items():
        section, kind = table.get(name), field.annotation
        if isinstance(section, dict) and isinstance(kind, type) and issubclass(kind, _Open):
            own = {key: value for key, value in section.items() if key != "options" and key in kind.model_fields}
            gathered[name] = {**own, "options": {key: value for key, value in section.items() if key not in own}}
    return gathered


def plain(file: BenchFile) -> dict[str, Any]:
    """Return all that decides what is measured, as plain values: what is simulated, and where, is left out."""
    values: dict[str, Any] = TypeAdapter(dict[str, Any]).validate_json(file.model_dump_json(exclude={"simulation"}))
    return values


def digest(file: BenchFile) -> str:
    """Return the SHA-256 of `plain`, which tells one setting of a bench from another."""
    return hashlib.sha256(json.dumps(plain(file), sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ExperimentError(f"{path} must be a bench file that can be read: {error}.") from error
    if len(raw) > _LARGEST:
        raise ExperimentError(f"{path} must be a bench file, and it is larger than {_LARGEST >> 20} MiB.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExperimentError(f"{path} must be encoded in UTF-8 ({error}). Save it as UTF-8.") from error


def _listed(problems: list[Problem], text: str, shown: str) -> str:
    lines = key_lines(text)
    ranked = sorted(((nearest(problem.path, lines) or 0, problem.text) for problem in problems), key=lambda p: p[0])
    return "\n".join(f"{shown}:{line}: {words}" if line else f"{shown}: {words}" for line, words in ranked)
