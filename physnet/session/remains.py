"""What is left of a session: each part verified, the rows one by one, and the description from whatever tells it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import SessionError
from ..records import Tensors
from . import contents, layout, table
from .contents import Description, Named
from .left import Left, examined
from .parts import End, Parts
from .safety import FAILURES, Source, plain_json
from .table import Column

LOST = "lost"
"""In the place of a hash: an earlier recovery told that this part was lost."""
UNKNOWN = "not known"
"""A system of which nothing is left."""
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, eq=False)
class Remains:
    """What is left of a session.

    Args:
        about: Its description.
        start_time: ISO 8601 time.
        texts: JSON of configuration, environment and data; None for those lost.
        metrics: Unit of each metric, by name.
        systems: Spec of each system, by name.
        tables: By name.
        responses: Statistics that are left.
        end: How it ended; status `killed` where that is not known.
        running: Whether it says that it still goes on.
        weights: Final weights and their hash.
        tensors: What tensors it had, as arrays of that shape.
        history: What earlier recoveries did, JSON.
        lost: Parts that are gone or damaged, in words.
        assumed: What had to be taken from elsewhere, in words.
    """

    about: Description
    start_time: str
    texts: Mapping[str, str | None]
    metrics: Mapping[str, str]
    systems: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, Left]
    responses: tuple[Any, ...]
    end: End
    running: bool
    weights: tuple[Tensors, str] | None
    tensors: Tensors
    history: str
    lost: tuple[str, ...]
    assumed: tuple[str, ...]

    @property
    def columns(self) -> dict[str, tuple[Column, ...]]:
        """Columns of its tables, in its own schema."""
        return layout.columns_of(self.metrics, len(self.about.layers), self.about.schema)


def remains(source: Source, spare: Tensors | None = None) -> Remains:
    """Find out what is left of a session.

    Args:
        source: The file.
        spare: Tensors of its newest checkpoint, which tell what weights it had where the file does not.

    Raises:
        SessionError: A newer physnet wrote it.
        ValueError: What the run was is gone.
    """
    return _Salvage(source, spare or {}).all()


class _Salvage(Parts):
    """Reads the parts of a damaged session, without the demand that its description is whole."""

    def __init__(self, source: Source, spare: Tensors) -> None:
        self.assumed: list[str] = []
        try:
            super().__init__(source)
            self.whole = True
        except FAILURES:
            self.whole = False
            self._source, self.damaged = source, []
            self._describe_again(spare)

    def all(self) -> Remains:
        if self.about.schema > layout.SCHEMA:
            raise SessionError(
                f"schema {self.about.schema}, written by physnet {self.about.version}; this one reads up to "
                f"{layout.SCHEMA}. Update physnet."
            )
        columns = layout.columns_of(self.metrics, len(self.about.layers), self.about.schema)
        tables = {name: self._left(name, columns[name]) for name in columns}
        texts = {name: self._sound(name, self._whole_text, name) for name in contents.TEXTS}
        end, responses, weights = self.end(), self.responses(), self.weights()
        lost = [part for part in self.damaged if part not in texts or not self._known_lost(part)]
        if absent := [one.name for one in self.about.layers if self._gone(f"layers/{one.key}/response")]:
            lost += [f"responses of {name}" for name in absent if f"responses of {name}" not in lost]
        return Remains(
            about=self.about,
            start_time=_clean(self._maybe(self._source.text, self._entry, "start_time") or self.about.created),
            texts=texts,
            metrics=self.metrics,
            systems=self.systems,
            tables=tables,
            responses=responses,
            end=end,
            running=self._maybe(self._source.text, self._entry, "result/status") == "running",
            weights=weights,
            tensors=self._tensors,
            history=str(self._maybe(self._source.attribute, self._entry, "recovered") or "[]"),
            lost=tuple(lost),
            assumed=tuple(self.assumed),
        )

    @property
    def _tensors(self) -> dict[str, NDArray[Any]]:
        return {name: np.zeros(shape, kind) for _, name, kind, shape in self.about.tensors}

    def _maybe(self, read: Callable[..., Value], *arguments: Any) -> Value | None:
        try:
            return read(*arguments)
        except FAILURES:
            return None

    def _gone(self, path: str) -> bool:
        return self._maybe(self._source.group, self._entry, path) is None

    def _known_lost(self, name: str) -> bool:
        dataset = self._maybe(self._source.dataset, self._entry, name)
        return dataset is not None and self._maybe(self._source.attribute, dataset, contents.HASH) == LOST

    def _whole_text(self, name: str) -> str:
        self._text(name)  # verified, and an object
        text = self._source.text(self._entry, name)
        if "\0" in text:
            raise ValueError("text with what no text has")
        return text

    def _check(self, obj: Any, found: str) -> None:
        if not self._source.has(obj, contents.HASH) and not getattr(obj, "whole", True):
            self.assumed.append(f"{getattr(obj, 'name', '')} is not verified: its hash is gone")
            return
        super()._check(obj, found)

    def _describe_again(self, spare: Tensors) -> None:
        """Put the description together from what is left of it, and from what else tells the same."""
        source, file = self._source, self._source.file
        schema = int(source.attribute(file, "physnet_schema"))
        if schema < 2:
            raise ValueError("a session of schema 1 has no copy of what is damaged in it")
        self._entry = entry = source.group(file, "entry")
        self.about = Description(
            run=str(source.attribute(file, "run")),
            schema=schema,
            version=_clean(self._maybe(source.attribute, file, "physnet_version") or ""),
            created=_clean(self._maybe(source.attribute, file, "created") or ""),
            title="",
            seed="",
            classes=(),
            layers=(),
            systems=(),
            metrics="{}",
            tensors=(),
        )
        asked = self._maybe(self._text, "configuration") or {}
        data = self._maybe(self._text, "data") or {}
        frame = data.get("frame") if isinstance(data.get("frame"), dict) else {}
        self.metrics = self._metrics()
        systems = self._listed("systems", "kind")
        layers = self._layers(asked)
        for name in [one.about for one in layers]:
            if name not in [one.name for one in systems]:
                systems.append(Named(key=layout.key(name), name=name, index=len(systems), about="not stated"))
                self.assumed.append(f"what system {name} was is lost: its kind is not stated")
        self.systems = {}
        for n, one in enumerate(systems):
            spec = self._maybe(plain_json, _clean(one.spec))
            self.systems[one.name] = spec if isinstance(spec, dict) else {"kind": one.about}
            if not isinstance(spec, dict) or _clean(one.spec) != one.spec:
                systems[n] = replace(one, spec=json.dumps(self.systems[one.name]))
        classes = self._maybe(source.texts, entry, "classes") or tuple(map(str, (frame or {}).get("classes", [])))
        seed = self._maybe(source.text, entry, "seed") or str(asked.get("seed", ""))
        if not layers or not classes or not seed.lstrip("-").isdigit():
            raise ValueError("what the run was is gone: its configuration, layers, classes or seed")
        self.about = replace(
            self.about,
            title=_clean(self._maybe(source.text, entry, "title") or asked.get("title", "")),
            seed=seed,
            classes=tuple(map(_clean, classes)),
            layers=tuple(layers),
            systems=tuple(systems),
            metrics=json.dumps(self.metrics, ensure_ascii=False),
            tensors=self._told_tensors(spare),
        )

    def _metrics(self) -> dict[str, str]:
        source = self._source
        steps = self._maybe(source.group, self._entry, "steps")
        if steps is None:
            self.assumed.append("which metrics it recorded is lost")
            return {}
        told = self._maybe(plain_json, str(self._maybe(source.attribute, steps, "metrics")))
        if isinstance(told, dict):
            return {str(name): str(unit) for name, unit in told.items()}
        columns = self._maybe(plain_json, str(self._maybe(source.attribute, steps, "columns"))) or []
        fixed = {column.name for column in layout.step_columns({}, 1)}
        metrics = {}
        for name in columns if isinstance(columns, list) else []:
            if name not in fixed:
                column = self._maybe(source.dataset, steps, name)
                unit = None if column is None else self._maybe(source.attribute, column, "units")
                metrics[str(name)] = _clean(unit or "1")
                if not unit:
                    self.assumed.append(f"the unit of {name} is lost")
        return metrics

    def _listed(self, path: str, about: str) -> list[Named]:
        """Return the layers or systems that are left."""
        source, found = self._source, []
        parent = self._maybe(source.group, self._entry, path)
        for key in source.names(parent) if parent is not None else []:
            with contextlib.suppress(*FAILURES):
                group = source.group(parent, key)
                name, index = _clean(source.attribute(group, "name")), int(source.attribute(group, "index"))
                spec = self._maybe(source.text, group, "spec") if about == "kind" else ""
                told = _clean(source.attribute(group, about))
                spec = spec if spec is not None else json.dumps({"kind": told})
                found.append(Named(key=layout.key(name), name=name, index=index, about=told, spec=spec))
        return sorted(found, key=lambda one: one.index)

    def _layers(self, asked: Mapping[str, Any]) -> list[Named]:
        left = {one.index: one for one in self._listed("layers", "system")}
        sections = asked.get("layers")
        sections = sections if isinstance(sections, list) else []
        widths = [
            node.shape[1]
            for name in self.metrics
            if (node := self._maybe(self._source.dataset, self._entry, f"steps/{name}")) is not None
            and len(node.shape) == 2
        ]
        count = max([*widths, len(left)]) or len(sections)
        known = list(asked.get("systems", {})) or [one.name for one in self._listed("systems", "kind")]
        for index in range(count):
            if index in left:
                continue
            section = sections[index] if index < len(sections) and isinstance(sections[index], dict) else {}
            system = str(section.get("system", known[0] if len(known) == 1 else UNKNOWN))
            left[index] = Named(key=f"layer{index}", name=f"layer{index}", index=index, about=system)
            told = "its system is not known" if system == UNKNOWN else "it is as the configuration says"
            self.assumed.append(f"what the session said of layer{index} is lost: {told}")
        return [left[index] for index in sorted(left)]

    def _told_tensors(self, spare: Tensors) -> tuple[tuple[str, str, str, tuple[int, ...]], ...]:
        source, told = self._source, {}
        parent = self._maybe(source.group, self._entry, "weights")
        for key in source.names(parent) if parent is not None else []:
            with contextlib.suppress(*FAILURES):
                node = source.dataset(parent, key)
                kind = "|b1" if node.dtype.kind == "b" else node.dtype.str
                told[str(source.attribute(node, "name"))] = (kind, tuple(node.shape))
        missing = {name: tensor for name, tensor in spare.items() if name not in told}
        if missing:
            self.assumed.append(f"which weights it had is from its newest checkpoint ({len(missing)} tensors)")
        for name, tensor in missing.items():
            told[name] = ("|b1" if tensor.dtype.kind == "b" else tensor.dtype.str, tensor.shape)
        return tuple((layout.key(name), name, kind, shape) for name, (kind, shape) in sorted(told.items()))

    def _left(self, name: str, columns: Sequence[Column]) -> Left:
        group = self._maybe(self._source.group, self._entry, name)
        if group is None:
            self.damaged.append(f"all {name}")
            return Left(rows=table.blank(columns, 0), places=np.zeros(0, np.int64), torn=(), unknown=0, room=0)
        return examined(self._source, group, columns)


def _clean(text: object) -> str:
    """Return text that HDF5 can hold, from a file in which it may be damaged."""
    return str(text).encode("utf-8", "replace").decode().replace("\0", " ")
