"""Everything that can be said against an experiment before anything is opened."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from .. import registry
from ..errors import ExperimentError, InputError
from .lines import KeyPath
from .problems import Problem, dotted, nearest_name, plain, problems_of
from .schema import ExperimentFile

SYSTEM_FILLED = frozenset({"drives", "seed", "name", "device"})
"""Parameters of a system that the program fills in unless the file sets them."""
IMPAIRMENTS_FILLED = frozenset({"system", "seed"})
"""Parameters of the impairments that only the program sets."""

Table = dict[str, Any]


class Check:
    """One look through an experiment: what is wrong, and the experiment with every default filled in.

    Args:
        table: The file's values, plain. Not changed.
        base: Folder that relative paths start from.
        entries: Where registered names come from.
        encoders: Encoder classes by name.
    """

    def __init__(
        self,
        table: Table,
        *,
        base: Path,
        entries: registry.Entries,
        encoders: Mapping[str, registry.Factory],
    ) -> None:
        self._base, self._entries, self._encoders = base, entries, encoders
        self.table: Table = json.loads(json.dumps(table))
        self.problems: list[Problem] = []
        try:
            ExperimentFile.model_validate_json(json.dumps(table), strict=True)
        except ValidationError as error:
            self.problems += problems_of(error, ExperimentFile, table)
        # what follows looks at values that may have failed above: it skips what has the wrong type
        data, training = _table(self.table, "data"), _table(self.table, "training")
        systems, rule = _table(self.table, "systems"), _table(self.table, "rule")
        found = self.table.get("layers")
        layers = (
            [(i, layer) for i, layer in enumerate(found) if isinstance(layer, dict)] if isinstance(found, list) else []
        )

        self.problems += _data_problems(data)
        if "patience" in training and data.get("validation_fraction") == 0:
            self._say(
                ("training", "patience"),
                "looks at validation samples, and data.validation_fraction is 0. Raise that.",
            )
        for name, system in systems.items():
            if isinstance(system, dict):
                self._system(("systems", name), system)
        for i, layer in layers:
            self._layer(("layers", i), layer, systems)
        used = [layer.get("system") for _, layer in layers]
        # a misspelt use says enough by itself
        if found and all(name in systems for name in used):
            for name in systems:
                if name not in used:
                    self._say(("systems", name), "is used by no layer. Name it as the system of one, or remove it.")
        self._rule(("rule",), rule)

    def _say(self, path: KeyPath, text: str, *, cause: Exception | None = None) -> None:
        self.problems.append(Problem(path=path, text=f"{dotted(path)} {text}", cause=cause))

    def _blame(self, path: KeyPath, error: InputError) -> None:
        self.problems.append(Problem(path=path, text=f"{dotted(path)}: {' '.join(str(error).split())}", cause=error))

    def _find(self, group: registry.Group, name: Any, path: KeyPath) -> Any:
        if not isinstance(name, str) or not name:
            return None
        try:
            return registry.find(group, name, base=self._base, entries=self._entries)
        except ExperimentError as error:
            self._blame(path, error)
            return None

    def _options(
        self,
        factory: registry.Factory,
        table: Table,
        path: KeyPath,
        *,
        named: KeyPath,
        own: Collection[str] = (),
        exclude: Collection[str] = (),
        optional: Collection[str] = (),
        make: bool = False,
    ) -> None:
        """Check the options in `table`, all but its `own` keys, and add the defaults.

        With `make`, one is made to hear what it says of its options together: for what touches nothing.
        """
        try:
            model: type[BaseModel] = registry.options_model(factory, exclude=exclude, optional=optional)
        except ExperimentError as error:
            self._blame(named, error)
            return
        options = {key: value for key, value in table.items() if key not in own}
        try:
            arguments = registry.arguments(model, options)
            if make:
                factory(**arguments)
        except ValidationError as error:
            self.problems += problems_of(error, model, options, where=path, also_valid=own)
            return
        except InputError as error:
            self._blame(path, error)
            return
        table.update(registry.defaults(model, options, skip=optional))

    def _system(self, path: KeyPath, system: Table) -> None:
        own = ("type", "impairments")
        named = (*path, "type")
        factory = self._find("systems", system.get("type"), named)
        if factory is not None and registry.is_ready(factory):
            for key in system:
                if key not in own:
                    self._say(
                        (*path, key),
                        f"can't be set: {system['type']} is a system already made, without options.",
                    )
        elif factory is not None:
            self._options(factory, system, path, named=named, own=own, optional=SYSTEM_FILLED)
        impairments, where = system.get("impairments"), (*path, "impairments")
        if isinstance(impairments, dict) and registry.names("impairments", entries=self._entries):
            impaired = self._find("impairments", "impaired", where)
            if impaired is not None:
                self._options(impaired, impairments, where, named=where, exclude=IMPAIRMENTS_FILLED)

    def _layer(self, path: KeyPath, layer: Table, systems: Table) -> None:
        system = layer.get("system")
        if isinstance(system, str) and system and systems and system not in systems:
            self._say(
                (*path, "system"),
                f"must name a section of systems, got {system!r}.{nearest_name(system, systems)} "
                f"Sections: {', '.join(systems)}.",
            )
        if "before_width" in layer and layer.get("before", "none") == "none":
            self._say((*path, "before_width"), "has no effect while before is 'none'. Set before, or remove it.")
        encoder, options = layer.get("encoder", "auto"), layer.get("encoder_options", {})
        where = (*path, "encoder")
        if encoder == "auto" and "auto" not in self._encoders:
            if options and isinstance(options, dict):
                self._say((*path, "encoder_options"), "needs an encoder by name, and encoder is 'auto'.")
        elif isinstance(encoder, str) and encoder not in self._encoders:
            valid = ["auto", *self._encoders]
            self._say(
                where,
                f"must be a known encoder, got {encoder!r}.{nearest_name(encoder, valid)} "
                f"Valid names: {', '.join(valid)}.",
            )
        elif isinstance(encoder, str) and isinstance(options, dict):
            filled = layer.setdefault("encoder_options", options)
            self._options(self._encoders[encoder], filled, (*path, "encoder_options"), named=where, make=True)

    def _rule(self, path: KeyPath, rule: Table) -> None:
        named = (*path, "name")
        factory = self._find("rules", rule.get("name"), named)
        if factory is not None:
            self._options(factory, rule, path, named=named, own=("name",), make=True)


def _table(table: Table, key: str) -> Table:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _data_problems(data: Table) -> Iterator[Problem]:
    """What the keys of `[data]` say against each other."""

    def problem(key: str, text: str) -> Problem:
        return Problem(path=("data", key), text=f"data.{key} {text}")

    name, table_only = data.get("name"), ("path", "features", "label", "group")
    if name == "table":
        if "path" not in data:
            yield problem("path", "is missing: data.name is 'table'. Name a CSV, NPZ or HDF5 file.")
        elif str(data["path"]).lower().endswith(".csv") and "label" not in data:
            yield problem("label", "is missing: name the column of the CSV file that holds the class.")
        if data.get("split") == "group" and "group" not in data:
            yield problem("group", "is missing: data.split is 'group'. Name the column that holds the groups.")
    elif name in ("digits", "mnist", "sign", "vowel-audio", "vowels"):
        for key in table_only:
            if key in data:
                yield problem(key, f"is for data.name = 'table' only, got {plain(data[key])} with {plain(name)}.")
        if data.get("split") == "group" and name not in ("vowel-audio", "vowels"):
            yield problem(
                "split",
                f"must be 'row' for {plain(name)}, got 'group': only 'vowel-audio', 'vowels' and 'table' have groups.",
            )
