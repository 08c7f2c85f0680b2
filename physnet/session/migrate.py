"""Sessions of older schemas: what each lacked, and what stands for it in a file of the present one.

`physnet recover` makes such a session anew. Schema 1 had no `attempts` and `sentinels`: they are empty; no `attempt` in
`epochs`: it is 0, for nothing could be resumed; no `digital_seconds`, `log_seconds`, `idle_seconds`, `joules`: they are
NaN; no `run`: one is made up; and no hashes. Its checkpoints hold weights only: no run can go on from them.

Schemas 1 and 2 had no `parameter_writes` and `cache_hits`: they are 0, for no rule could write and nothing was cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from . import table
from .table import Column

ABSENT = frozenset({"attempt", "parameter_writes", "cache_hits"})
"""Columns that older schemas lack because there was nothing to count: 0, and not unknown."""


def upgraded(rows: NDArray[Any] | None, columns: Sequence[Column]) -> NDArray[Any]:
    """Return the rows of a table with the columns of the present schema.

    Args:
        rows: Packed rows of any schema; None for a table that it did not have.
        columns: Columns of the present schema.

    Returns:
        Packed rows. What was not recorded is NaN in numbers, and -1 in counts but those of `ABSENT`, which are 0.
    """
    made = table.blank(columns, 0 if rows is None else len(rows))
    had = () if rows is None else rows.dtype.names or ()
    for column in columns:
        if rows is not None and column.name in had:
            made[column.name] = rows[column.name]
        elif column.name in ABSENT:
            made[column.name] = 0
    return made
