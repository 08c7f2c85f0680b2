"""Which rules are compared, and with which options: one experiment for each."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import registry
from ..assembly import build_rule
from ..errors import ExperimentError, InputError
from ..experiment import Experiment, load_experiment
from ..experiment.overrides import BadOverride, apply
from ..rules.base import Placement

_OWN = "rules."
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LARGEST_FILE = 1 << 24  # bytes; beyond it, it is some other kind of file


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of rules, from a file.

    Args:
        rules: Options by the rule's name in the comparison; `name` among them where that is not the rule's own.
        tuning: How they were found; empty where nobody says.
    """

    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tuning: Mapping[str, Any] = field(default_factory=dict)


def read_options(path: Path) -> Options:
    """Read options that `physnet tune` wrote, or a person: a TOML file with a table `[rules.NAME]` for each rule.

    Raises:
        ExperimentError: There is no such file, or it is something else.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(_LARGEST_FILE + 1)
        if len(raw) > _LARGEST_FILE:
            raise ValueError(f"it is larger than {_LARGEST_FILE >> 20} MiB")
        table = tomllib.loads(raw.decode())
    except (OSError, ValueError, RecursionError) as error:
        raise ExperimentError(f"options must be read from a TOML file, got {path}: {error}.") from error
    unknown = sorted(set(table) - {"rules", "tuning", "trials"})
    rules, tuning = table.get("rules", {}), table.get("tuning", {})
    if unknown or not rules or not isinstance(rules, dict) or not isinstance(tuning, dict):
        found = f"{unknown[0]!r}" if unknown else "none"
        raise ExperimentError(f"{path} must hold tables [rules.NAME] with the options of each rule, got {found}.")
    for name, options in rules.items():
        if not isinstance(options, dict):
            raise ExperimentError(f"{path}: rules.{name} must be a table of options, got {options!r}.")
    return Options(rules=rules, tuning=tuning)


def contestants(
    source: str | Path | None,
    names: Sequence[str],
    *,
    overrides: Sequence[str] = (),
    options: Options | None = None,
) -> dict[str, Experiment]:
    """Return the experiment of each rule: the same but for the rule.

    A rule's options are its defaults; over them those that the experiment's own `[rule]` table gives this rule; over
    them those of `options`; over them overrides of the form `rules.NAME.key=value`. The option `name` lets a rule take
    part under another name, and so several times.

    Args:
        source: Path of an experiment file, name of a shipped one, or None for the default.
        names: Names of the rules; `all` alone for every rule that is installed. Those that train weights before the
            physics are then left out where a layer has none.
        overrides: As of `load_experiment`, and those of rules.
        options: From a file.

    Returns:
        A checked experiment by name, in the order of `names`.

    Raises:
        InputError: A name is none, is there twice, or options are given for a rule that does not take part.
        ExperimentError: As `load_experiment`.
    """
    everything = list(names) == ["all"]
    names = registry.names("rules") if everything else tuple(names)
    if not names or len(set(names)) < len(names) or not all(map(_NAME.fullmatch, names)):
        raise InputError(
            f"rules must be different names of letters, digits, _ and -, got {', '.join(names) or 'none'}. "
            f"Valid names: {', '.join(registry.names('rules'))}."
        )
    shared = [override for override in overrides if not override.startswith(_OWN)]
    given = given_options(overrides, names)
    base = load_experiment(source, overrides=shared)
    found = {}
    for name in names:
        table = {**(options.rules.get(name, {}) if options else {}), **given.get(name, {})}
        rule = table.pop("name", name)
        own = base.rule.options if rule == base.rule.name else {}
        one = load_experiment(source, overrides=[*shared, f"rule={as_toml({'name': rule, **own, **table})}"])
        if not everything or _has_what_is_trained(one):
            found[name] = one
    return found


def _has_what_is_trained(experiment: Experiment) -> bool:
    """Whether no layer lacks a map before the physics that the rule trains."""
    before = Placement.BEFORE in build_rule(experiment).placements
    return not before or all(layer.before != "none" for layer in experiment.layers)


def as_toml(value: Any) -> str:
    """Return a plain value as TOML has it on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {as_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def given_options(overrides: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what overrides of the form `rules.NAME.key=value` give each rule; others are left alone.

    Raises:
        ExperimentError: One is of another form, or its rule does not take part.
    """
    table: dict[str, Any] = {"rules": {name: {} for name in names}}
    for override in overrides:
        if not override.startswith(_OWN):
            continue
        try:
            paths = apply(table, override)
        except BadOverride as error:
            raise ExperimentError(f"--set {override}: {error}") from error
        for path in paths:
            if len(path) < 3 or path[1] not in names:
                raise ExperimentError(
                    f"--set {override} must be of the form rules.NAME.key=value, with a rule that takes part: "
                    f"{', '.join(names)}."
                )
    rules: dict[str, dict[str, Any]] = table["rules"]
    return rules
