"""A run as tables for analysis: pandas and xarray, imported when they are asked for.

Axis letters: n rows, k layers.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import layout

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from .reader import Run

TableName = Literal["steps", "epochs", "events", "attempts", "sentinels"]
_INDEX = {"steps": "step", "epochs": "epoch"}
_AXES: dict[TableName, str] = {"steps": "step", "epochs": "epoch", "sentinels": "sentinel"}
_ABOUT = {
    "status": "status",
    "created": "created",
    "ended": "ended",
    "physnet_version": "version",
    "physics": "kinds",
    "title": "title",
}


def columns_of(run: Run, name: TableName) -> Mapping[str, NDArray[Any]]:
    """Return a table of a run by column: shape `(n,)`, or `(n, k)` where each layer has its own value.

    A table that an older physnet did not write has no columns.
    """
    if name == "events":
        return {
            "time": np.array([event.time for event in run.events], dtype=np.float64),
            "level": np.array([event.level for event in run.events], dtype=object),
            "message": np.array([event.message for event in run.events], dtype=object),
        }
    found: Mapping[str, NDArray[Any]] = getattr(run, name, {})
    return {column: _spelled(values) for column, values in found.items()}


def units_of(run: Run, name: TableName) -> dict[str, str]:
    """Return the unit of each column of a table, as a UDUNITS string; empty for text."""
    return {column.name: column.units for column in layout.columns_of(run.metrics, len(run.layers))[name]}


def frame(run: Run, name: TableName = "steps") -> pd.DataFrame:
    """Return a table of a run as a pandas DataFrame.

    Steps are indexed by step, epochs by epoch. What each layer has a value of becomes one column a layer, for example
    `loss/layer0`. Times are UTC. Units are in `frame.attrs["units"]`, by column.

    Args:
        run: The run.
        name: `steps`, `epochs`, `events`, `attempts` or `sentinels`.

    Returns:
        The table; without columns where an older physnet did not record it.

    Raises:
        InputError: pandas is not installed, or there is no such table.
    """
    if name not in get_args(TableName):
        raise InputError(f"a table of a run must be one of {', '.join(get_args(TableName))}, got {name!r}.")
    pandas = _import("pandas")
    data: dict[str, Any] = {}
    units: dict[str, str] = {}
    known = units_of(run, name)
    for column, values in columns_of(run, name).items():
        if values.ndim == 2:
            parts = {f"{column}/{layer}": values[:, number] for number, layer in enumerate(run.layers)}
        elif column == "time":
            parts = {column: pandas.to_datetime(values, unit="s", utc=True)}
        else:
            parts = {column: values}
        data |= parts
        units |= dict.fromkeys(parts, "UTC" if column == "time" else known.get(column, "1"))
    made = pandas.DataFrame(data)
    if _INDEX.get(name) in made:
        made = made.set_index(_INDEX[name])
    made.attrs = {"units": units, "title": run.title, "physics": run.kinds, "status": run.status}
    return made


def dataset(run: Run) -> xr.Dataset:
    """Return a run as an xarray Dataset: dimensions `step`, `epoch`, `layer`, `sentinel`, `true` and `predicted`.

    Per-layer metrics have the dimensions `(step, layer)`. What steps and epochs both have is told apart by a prefix:
    `seconds` is that of a step, `epoch_seconds` that of an epoch; `step_epoch` is the epoch that a step belongs to.
    Each variable has the attribute `units`.

    Args:
        run: The run.

    Raises:
        InputError: xarray is not installed.
    """
    xarray = _import("xarray")
    coordinates: dict[str, Any] = {"layer": ("layer", np.array(run.layers, dtype=object))}
    variables: dict[str, Any] = {}
    for name, axis in _AXES.items():
        if name == "sentinels" and not len(run.sentinels["system"]):
            continue
        known = units_of(run, name)
        for column, values in columns_of(run, name).items():
            if column == axis:
                coordinates[axis] = (axis, values, {"units": "1"})
                continue
            axes = (axis, "layer") if values.ndim == 2 else (axis,)
            label = _label(name, column)
            if column == "time":
                variables[label] = (axes, (values * 1e9).astype("datetime64[ns]"))  # NaN becomes NaT
            else:
                variables[label] = (axes, values, {"units": known.get(column, "1")})
    if run.result is not None and run.result.confusion.size and run.result.confusion.min() >= 0:
        classes = np.array(run.classes, dtype=object)
        coordinates |= {"true": ("true", classes), "predicted": ("predicted", classes)}
        variables["confusion"] = (("true", "predicted"), run.result.confusion, {"units": "1"})
    attributes = {key: str(getattr(run, name)) for key, name in _ABOUT.items()}
    made: xr.Dataset = xarray.Dataset(variables, coordinates, {**attributes, "seed": str(run.seed)})
    return made


def _label(table: TableName, column: str) -> str:
    if table == "steps":
        return "step_epoch" if column == "epoch" else column  # `epoch` is a dimension
    return column if "accuracy" in column else f"{_AXES[table]}_{column}"


def _spelled(values: NDArray[Any]) -> NDArray[Any]:
    """Text as `str` objects, everything else as it is."""
    if values.dtype.kind not in "SO":
        return values
    return np.array([v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values], dtype=object)


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name} must be installed for this, and it is not. Install it: pip install 'physnet[analysis]'"
        ) from error
