"""What is put into a session file after it was laid out, and what must agree with it: systems, responses, results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from ..records import ResponseStatistics, RunPlan, RunResult, Tensors
from ..weights import sha256
from . import contents
from .attributes import attach
from .layout import dump, fixed, key, now, ordered, text


def write_systems(file: h5py.File, systems: Mapping[str, Mapping[str, Any]]) -> None:
    """Put what systems say of themselves, now that they are open, in the place of their specs. It changes structure.

    Raises:
        SessionError: A spec holds what JSON can't.
    """
    for name, spec in systems.items():
        group = file["entry/systems"][key(name)]
        said = dump(f"the spec of system {name}", spec)
        del group["spec"]
        group["spec"] = said
        attach(group["spec"], {"media_type": "application/json"})
    contents.seal_description(file)


def write_responses(group: h5py.Group, statistics: ResponseStatistics) -> None:
    """Put what a layer's physics answered into its `response` group. It may change the structure."""
    for name in ("mean", "deviation", "minimum", "maximum", "histogram", "edges"):
        _put(group, name, np.asarray(getattr(statistics, name)))
        group[name].attrs["units"] = "1" if name == "histogram" else statistics.unit
    for name in ("rows", "dead_channels", "clipped_rows"):
        group.attrs[name] = int(getattr(statistics, name))
    contents.seal_responses(group)


def write_end(entry: h5py.Group, status: str, message: str, *, ended: bool = True) -> None:
    """Say how the run ended, in place; or, where it has not, that it goes on."""
    entry["end_time"][()] = text(now() if ended else "", 40)
    entry["result/message"][()] = text(message)
    entry["result/status"][()] = text(status, 16)
    contents.seal_result(entry)


def write_result(entry: h5py.Group, result: RunResult, tensors: Tensors | None) -> None:
    """Put the result and the weights kept into their datasets. In place, unless a purpose or a length is new.

    Its hash is stored by `write_end`, which comes after it.
    """
    group = entry["result"]
    for name in ("test_accuracy", "validation_accuracy", "seconds", "physical_passes", "epochs", "steps", "kept_epoch"):
        group[name][()] = getattr(result, name)
    for name in ("layer_accuracy", "confusion"):
        _put(group, name, np.asarray(getattr(result, name)))
    for purpose, count in result.passes.items():
        _put(group["passes"], key(purpose), np.asarray(count, dtype=np.int64))
    group["weights_sha256"][()] = text(result.weights_sha256, 64)
    baselines = dump("baselines", result.baselines).encode()
    if len(baselines) > group["baselines"].dtype.itemsize:
        del group["baselines"]
        fixed(group, "baselines", len(baselines), "{}")
    group["baselines"][()] = baselines
    if tensors is not None:
        for name, value in tensors.items():
            entry["weights"][key(name)][...] = value
            entry["weights"][key(name)].attrs.modify("written", 1)
        entry["weights"].attrs.modify("sha256", np.array(sha256(tensors).encode(), dtype="S64"))


def mismatch(planned: Tensors, tensors: Tensors) -> str:
    """Say in what way `tensors` are not the ones that were planned; empty when they are."""
    if odd := sorted(set(planned) ^ set(tensors)):
        return f"the weights kept must be the tensors planned: {odd} is in only one of the two"
    for name in planned:
        expected, found = np.asarray(planned[name]), np.asarray(tensors[name])
        if (expected.shape, expected.dtype) != (found.shape, found.dtype):
            return f"tensor {name} must be {expected.dtype} {expected.shape}, got {found.dtype} {found.shape}"
    return ""


def other_plan(entry: h5py.Group, plan: RunPlan) -> str:
    """Say in what way a file was not laid out for a plan; empty where it was."""
    layers = tuple(str(group.attrs["name"]) for group in ordered(entry["layers"]))
    if layers != plan.layers:
        return f"its layers are {', '.join(layers)}, not {', '.join(plan.layers)}"
    metrics = json.loads(entry["steps"].attrs["metrics"])
    if list(metrics) != list(plan.metrics):
        return f"its metrics are {', '.join(metrics)}, not {', '.join(plan.metrics)}"
    stored = {str(dataset.attrs["name"]): dataset for dataset in entry["weights"].values()}
    if odd := sorted(set(stored) ^ set(plan.tensors)):
        return f"tensor {odd[0]} is in only one of the two"
    for name, dataset in stored.items():
        tensor = np.asarray(plan.tensors[name])
        if (dataset.shape, dataset.dtype) != (tensor.shape, tensor.dtype):
            return f"tensor {name} was {dataset.dtype} {dataset.shape}, and is {tensor.dtype} {tensor.shape}"
    return ""


def _put(group: h5py.Group, name: str, value: Any) -> None:
    if name in group and group[name].shape == value.shape:
        group[name][...] = value
        return
    units = dict(group[name].attrs) if name in group else {}
    if name in group:
        del group[name]
    group[name] = value
    group[name].attrs.update(units)
