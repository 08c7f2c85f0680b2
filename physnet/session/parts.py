"""The parts of a session file, each verified: what is damaged is left out and named, and the rest can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast, get_args

import numpy as np

from ..records import ResponseStatistics, RunResult, Status, Tensors
from ..weights import sha256
from . import contents, layout, table
from .contents import Description
from .safety import FAILURES, Source, plain_json
from .table import Column, Rows

Part = TypeVar("Part")
ENDINGS = tuple(status for status in get_args(Status) if status != "running")


@dataclass(frozen=True, kw_only=True)
class End:
    """How a run ended.

    Args:
        status: `killed` when no end was written, or it is damaged.
        message: Why it ended.
        time: ISO 8601 time with zone; empty where no end was written.
        result: None without one.
    """

    status: Status
    message: str
    time: str
    result: RunResult | None


class Parts:
    """Reads the parts of a session.

    Args:
        source: The file.

    Raises:
        Exception: One of `FAILURES`: the description is damaged, without which nothing can be read.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.damaged: list[str] = []
        """What was left out."""
        self.about: Description = contents.describe(source)
        self._entry = source.group(source.file, "entry")
        if self.about.schema > 1 and not contents.matches(source, self._entry, self.about.sha256):
            raise ValueError("what it says of the run does not match its hash")
        self.metrics: dict[str, str] = {str(k): str(v) for k, v in _object(self.about.metrics).items()}
        self.systems: dict[str, dict[str, Any]] = {one.name: _object(one.spec) for one in self.about.systems}
        names = [one.name for one in (*self.about.layers, *self.about.systems)]
        known = {one.about for one in self.about.layers} <= self.systems.keys()
        if not known or len(self.systems) < len(self.about.systems) or not self.about.layers or "" in names:
            raise ValueError("its layers and systems contradict each other")

    def texts(self) -> dict[str, dict[str, Any]]:
        """Return configuration, environment and data; empty where damaged."""
        return {name: self._sound(name, self._text, name) or {} for name in contents.TEXTS}

    def tables(self) -> dict[str, Rows]:
        """Return the sound rows of each table that the file's schema has; none where one is damaged as a whole."""
        found = {}
        columns = layout.columns_of(self.metrics, len(self.about.layers), self.about.schema)
        for name in columns:
            rows = self._sound(f"all {name}", self._table, name, columns[name])
            found[name] = table.empty(columns[name]) if rows is None else rows
        return found

    def end(self) -> End:
        """Return how the run ended."""
        end = self._sound("how the run ended", self._end)
        if end is None:
            return End(status="killed", message="how it ended is damaged in the file", time="", result=None)
        return end

    def responses(self) -> tuple[ResponseStatistics, ...]:
        """Return the response statistics of the layers that have some."""
        found = []
        for number, layer in enumerate(self.about.layers):
            one = self._sound(f"responses of {layer.name}", self._response, number, layer.key)
            if one is not None and one.rows >= 0:
                found.append(one)
        return tuple(found)

    def weights(self) -> tuple[Tensors, str] | None:
        """Return the final weights and their hash; None where they were not written, or are damaged."""
        found = self._sound("final weights", self._weights)
        return found if found is not None and found[1] else None

    def _sound(self, name: str, read: Callable[..., Part], *arguments: Any) -> Part | None:
        try:
            return read(*arguments)
        except FAILURES:
            self.damaged.append(name)
            return None

    def _check(self, obj: Any, found: str) -> None:
        # Schema 1 had no hashes.
        if self.about.schema > 1 and not contents.matches(self._source, obj, found):
            raise ValueError("it does not match its hash")

    def _text(self, name: str) -> dict[str, Any]:
        text = self._source.text(self._entry, name)
        found = hashlib.sha256(contents.encoded(text)).hexdigest()
        self._check(self._source.dataset(self._entry, name), found)
        return _object(text)

    def _table(self, name: str, columns: Sequence[Column]) -> Rows:
        return table.read(self._source.group(self._entry, name), columns, self._source)

    def _end(self) -> End:
        values = contents.result(self._source, self._entry)
        self._check(self._source.group(self._entry, "result"), contents.hashed(values))
        status = values["status"]
        if status not in (*ENDINGS, "running"):
            raise ValueError(f"status {status!r} is none of {ENDINGS}")
        ending = cast(Status, "killed" if status == "running" else status)
        message = "no end was written" if status == "running" else values["message"]
        end = End(status=ending, message=message, time=values["end_time"], result=None)
        if status == "running" or values["physical_passes"] < 0:
            return end
        return replace(end, result=self._result(ending, values))

    def _result(self, status: Status, values: Mapping[str, Any]) -> RunResult:
        classes, accuracies = len(self.about.classes), values["layer_accuracy"]
        confusion = np.asarray(values["confusion"])
        if confusion.shape != (classes, classes) or confusion.dtype.kind != "i" or accuracies.ndim != 1:
            raise ValueError("its accuracies are not of these classes and layers")
        counts = {name.removeprefix("passes/"): int(count) for name, count in values.items() if "passes/" in name}
        names = (*layout.PURPOSES, *sorted(set(counts) - set(layout.PURPOSES)))
        return RunResult(
            status=status,
            layer_accuracy=tuple(map(float, accuracies)),
            confusion=confusion,
            passes={name: counts[name] for name in names if counts.get(name, -1) >= 0},
            weights_sha256=values["weights_sha256"],
            baselines={str(name): float(value) for name, value in _object(values["baselines"]).items()},
            message=values["message"],
            test_accuracy=float(values["test_accuracy"]),
            validation_accuracy=float(values["validation_accuracy"]),
            seconds=float(values["seconds"]),
            physical_passes=int(values["physical_passes"]),
            epochs=int(values["epochs"]),
            steps=int(values["steps"]),
            kept_epoch=int(values["kept_epoch"]),
        )

    def _response(self, number: int, key: str) -> ResponseStatistics | None:
        group = self._source.group(self._entry, f"layers/{key}/response")
        if self.about.schema == 1 and int(self._source.attribute(group, "rows")) < 0:
            return None  # schema 1 had nothing else then
        values = contents.responses(self._source, group)
        self._check(group, contents.hashed(values))
        channels = len(values["mean"])
        if any(values[name].shape != (channels,) for name in ("deviation", "minimum", "maximum")):
            raise ValueError("its channels differ")
        if len(values["edges"]) != len(values["histogram"]) + 1 or values["histogram"].ndim != 1:
            raise ValueError("its bins differ")
        return ResponseStatistics(layer=number, **values)

    def _weights(self) -> tuple[Tensors, str]:
        group = self._source.group(self._entry, "weights")
        stored = str(self._source.attribute(group, "sha256"))
        keys = [key for key, *_ in self.about.tensors]
        if not stored or not all(self._source.attribute(self._source.dataset(group, key), "written") for key in keys):
            return {}, ""
        tensors = {name: self._source.array(group, key) for key, name, *_ in self.about.tensors}
        if sha256(tensors) != stored:
            raise ValueError("they do not match their hash")
        return tensors, stored


def _object(text: str) -> dict[str, Any]:
    value = plain_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"it must hold a JSON object, got {type(value).__name__}")
    return value
