"""What of a run's rows counts: a run that was killed and resumed has done some steps more than once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import Column, Rows, blank

Values = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """The rows of a run that led to its present state.

    Args:
        steps, epochs, attempts, sentinels: By column, in order.
        superseded_steps: Rows of steps that were lost.
        superseded_passes: Their passes.
    """

    steps: Values
    epochs: Values
    attempts: Values
    sentinels: Values
    superseded_steps: int
    superseded_passes: int


def current(tables: Mapping[str, Rows], columns: Mapping[str, Sequence[Column]]) -> History:
    """Leave out what was lost: rows from the step on at which a later attempt began.

    Args:
        tables: The sound rows of each table, of any schema.
        columns: Columns of every table of the present schema. What an older one lacks is filled: attempt 0, and NaN.
    """
    values = {name: _filled(tables.get(name), columns[name]) for name in columns}
    began = dict(zip(values["attempts"]["attempt"].tolist(), values["attempts"]["step"].tolist(), strict=True))
    steps = values["steps"]
    # a step belongs to an attempt that began at or before it; what was kept after an epoch or at a look, after it
    kept_steps = _kept(steps["step"] + 1, steps["attempt"], began)
    kept = {name: _kept(values[name]["step"], values[name]["attempt"], began) for name in ("epochs", "sentinels")}
    return History(
        steps=_chosen(steps, kept_steps),
        epochs=_chosen(values["epochs"], kept["epochs"]),
        attempts=values["attempts"],
        sentinels=_chosen(values["sentinels"], kept["sentinels"]),
        superseded_steps=int(np.count_nonzero(~kept_steps)),
        superseded_passes=int(steps["passes"][~kept_steps].sum()),
    )


def _kept(done: NDArray[Any], attempt: NDArray[Any], began: Mapping[int, int]) -> NDArray[np.bool_]:
    """Tell which rows, each written when `done` steps were done, no later attempt took back."""
    kept = np.ones(len(done), np.bool_)
    for later, first in began.items():
        kept &= (attempt >= later) | (done <= first)
    return kept


def _chosen(values: Values, rows: NDArray[np.bool_]) -> Values:
    return {name: array[rows] for name, array in values.items()}


def _filled(rows: Rows | None, columns: Sequence[Column]) -> Values:
    if rows is None:
        return {name: blank(columns, 0)[name] for name in blank(columns, 0).dtype.names or ()}
    count = len(rows.places)
    missing = blank(columns, count)
    return {
        column.name: rows.values.get(
            column.name, np.zeros(count, np.int64) if column.name == "attempt" else missing[column.name]
        )
        for column in columns
    }
