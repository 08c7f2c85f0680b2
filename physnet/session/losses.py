"""What is missing in the rows of a session, told by the numbers of its steps and epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import histories, layout
from .checkpoint import Checkpoint
from .left import Left, numbers
from .remains import Remains


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is missing, in words.

    Args:
        found: What was seen in the tables.
        lost: What was lost now.
        missing: What was lost before.
    """

    found: tuple[str, ...]
    lost: tuple[str, ...]
    missing: tuple[str, ...]


def told(left: Remains, checkpoints: Sequence[Checkpoint]) -> Told:
    """Say what is missing.

    Args:
        left: What is left.
        checkpoints: The sound ones: how far the run had come.
    """
    found: list[str] = []
    lost: list[str] = []
    missing: list[str] = []
    tables = {name: rows.as_rows() for name, rows in left.tables.items()}
    history = histories.current(tables, layout.columns_of(left.metrics, len(left.about.layers)))
    steps, epochs = left.tables["steps"], left.tables["epochs"]
    result = left.end.result
    reached = {
        "step": max(
            [result.steps if result else 0, *(one.step for one in checkpoints), *history.epochs["step"].tolist()]
        ),
        "epoch": max([result.epochs if result else 0, *(one.epoch + one.complete for one in checkpoints)]),
    }
    for what, rows, values in (("step", steps, history.steps["step"]), ("epoch", epochs, history.epochs["epoch"])):
        have = set(values.tolist())
        torn = [number for _, number in rows.torn if number is not None]
        total = max([reached[what], *(number + 1 for number in (*have, *torn))])
        gone = sorted(set(range(min(total, 1 << 24))) - have)
        shift = what == "epoch"  # counted from 1 for people, as progress does
        more = rows.unknown and not result
        if gone:
            of = f"of {'at least ' * bool(more)}{total}"
            line = f"{what}{'s' * (len(gone) > 1)} {numbers([one + shift for one in gone])} {of}"
            (lost if rows.torn or rows.unknown or f"all {what}s" in left.lost else missing).append(line)
        if more:
            places = f"{rows.unknown} place{'s' * (rows.unknown > 1)}"
            lost.append(f"whatever {what}s were at {places} of which nothing is left")
        if nameless := sum(number is None for _, number in rows.torn):
            lost.append(f"{nameless} rows of {what}s whose number can't be read")
        again = sum(number in have for number in torn)
        if again:
            lost.append(f"{again} rows of {what}s that had been done again")
    for name, rows in left.tables.items():
        found += _seen(name, rows)
        if name not in ("steps", "epochs") and rows.torn:
            lost.append(f"{len(rows.torn)} of {len(rows.torn) + len(rows.rows)} {name}")
    if history.superseded_steps:
        missing.append(
            f"{history.superseded_steps} steps were lost in an earlier attempt and done again: kept, not shown"
        )
    return Told(found=tuple(found), lost=tuple(lost), missing=tuple(missing))


def _seen(name: str, rows: Left) -> list[str]:
    found = []
    if rows.torn:
        places = numbers([place for place, _ in rows.torn])
        found.append(f"{len(rows.torn)} torn row{'s' * (len(rows.torn) > 1)} of {name}: at place {places}")
    if rows.unknown:
        found.append(f"nothing is left of {rows.unknown} place{'s' * (rows.unknown > 1)} for {name}")
    return found
