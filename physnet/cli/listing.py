"""`physnet list`."""

from __future__ import annotations

import argparse

from .. import registry
from ..data import DATASETS
from ..encoders import ENCODERS
from ..errors import ExperimentError
from ..experiment.load import DEFAULT, load_experiment, shipped


def list_names(arguments: argparse.Namespace) -> int:
    """Print the names an experiment can use, each with a line about it."""
    rows = _rows(arguments.kind)
    width = max((len(name) for name, _ in rows), default=0)
    for name, about in rows:
        print(f"{name:<{width}}  {about}".rstrip())
    return 0


def _rows(kind: str) -> list[tuple[str, str]]:
    match kind:
        case "datasets":
            table = ("table", "Your own CSV, NPZ or HDF5 file.")
            return [*((name, registry.summary(loader)) for name, loader in DATASETS.items()), table]
        case "encoders":
            return [
                (name, f"{registry.summary(encoder)} Survives: {encoder.survives}.")
                for name, encoder in ENCODERS.items()
            ]
        case "experiments":
            return [(name, load_experiment(name).title + " (the default)" * (name == DEFAULT)) for name in shipped()]
        case "rules" | "instruments":
            return [_registered(kind, name) for name in registry.names(kind)]
        case _:
            own = ("FILE.py:NAME", "Your own system: a PhysicalSystem, or what makes one, in a Python file.")
            return [*(_registered("systems", name) for name in registry.names("systems")), own]


def _registered(group: registry.Group, name: str) -> tuple[str, str]:
    try:
        return name, registry.summary(registry.find(group, name))
    except ExperimentError as error:
        return name, f"(broken: {error})"
