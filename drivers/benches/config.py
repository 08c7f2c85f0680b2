"""The file that describes a bench, checked whole before anything is opened.

A bench of `tones` has a source, a detector and a codec between them; one of `patterns` has a board that holds bits and
a network analyser.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from physnet.errors import ExperimentError
from physnet.experiment.lines import key_lines, nearest
from physnet.experiment.problems import Problem, problems_of

from .sections import (
    AnalyserSection,
    AveragingSection,
    BoardSection,
    CalibrationSection,
    ChunkSection,
    DetectorSection,
    LimitsSection,
    Name,
    OpenSection,
    SafetySection,
    Section,
    SimulationSection,
    SourceSection,
)
from .tone_options import ToneOptions

_LARGEST = 1 << 20  # bytes


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
        codec: How drives become tones.
        averaging: Repetitions.
        limits: What the device bears.
        calibration: What is measured when it is opened.
        chunk: How much is played at one trigger.
        safety: Order of the safe sequence.
        simulation: What is served without a bench.
    """

    kind: Literal["tones"]
    source: SourceSection
    detector: DetectorSection
    codec: ToneOptions
    averaging: AveragingSection = Field(default_factory=AveragingSection)
    calibration: CalibrationSection = Field(default_factory=CalibrationSection)
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
        if isinstance(section, dict) and isinstance(kind, type) and issubclass(kind, OpenSection):
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
