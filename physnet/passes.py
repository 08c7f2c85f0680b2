"""Pass numbers: the name of every row that is ever presented to a system.

A number is made of what the row is for, the epoch, the step, the layer and the row within them, so it is known before
anything is measured and does not depend on chunks, order or retries. Validation and test never share a number with
training.
"""

from __future__ import annotations

import enum

import numpy as np

from .contracts import Passes
from .errors import InputError


class Purpose(enum.IntEnum):
    """What a row is presented for. The numbers are part of the session format: never reuse one."""

    STANDARDISE = 0
    TRAIN = 1
    VALIDATE = 2
    TEST = 3
    PREDICT = 4
    CONTROL = 5
    CALIBRATE = 6
    SENTINEL = 7
    DARK = 8
    REFERENCE = 9


PLACED = (Purpose.DARK, Purpose.REFERENCE)
"""What a port plays of its own among the rows it is asked for."""

# Bits per field, most significant first: 4 + 14 + 18 + 6 + 21 = 63, so that a number is a non-negative int64.
_FIELDS = (("purpose", 4), ("epoch", 14), ("step", 18), ("layer", 6), ("row", 21))
MOST_EPOCHS = 1 << dict(_FIELDS)["epoch"]
"""Epochs that pass numbers can tell apart."""
# In the number of a control or of a placed row, the lower four of the layer's six bits tell the layer; the upper two,
# what was presented.
_FOLDED = 4
DEEPEST = 1 << _FOLDED
"""Layers of a network that numbers of controls and of placed rows can tell apart."""


def pass_numbers(
    purpose: Purpose, *, epoch: int = 0, step: int = 0, layer: int = 0, first_row: int = 0, rows: int
) -> Passes:
    """Allot the numbers of `rows` rows in a row.

    Args:
        purpose: What the rows are presented for.
        epoch: 0 to 16 383.
        step: Step within the epoch, 0 to 262 143.
        layer: 0 to 63.
        first_row: Row within the step and layer at which to start; grows when a rule presents more than once.
        rows: How many; the last row stays below 2 097 152.

    Returns:
        Shape `(rows,)`, `int64`, each different.

    Raises:
        InputError: A field is out of its range.
    """
    values = {"purpose": int(purpose), "epoch": epoch, "step": step, "layer": layer, "row": first_row}
    base = 0
    for name, bits in _FIELDS:
        last = values[name] + (rows - 1 if name == "row" and rows else 0)
        if not 0 <= values[name] <= last < 1 << bits:
            raise InputError(
                f"{name} of a pass number must be 0 to {(1 << bits) - 1}, got {values[name]} to {last}. "
                f"That is the most that a run can number: make the {name}s fewer."
            )
        base = base << bits | values[name]
    return np.arange(base, base + rows, dtype=np.int64)


def purpose_of(passes: Passes) -> Passes:
    """Return what each pass number was allotted for, as a number of `Purpose`."""
    return passes >> sum(bits for name, bits in _FIELDS if name != "purpose")


def fields_of(passes: Passes) -> dict[str, Passes]:
    """Return what pass numbers are made of: `purpose`, `epoch`, `step`, `layer` and `row`, each of shape `(n,)`.

    The step is counted within its epoch. In the number of a control or of a placed row, the layer also says what was
    presented (see `as_control`, `as_placed`).
    """
    found, rest = {}, passes
    for name, bits in reversed(_FIELDS):
        found[name] = rest & ((1 << bits) - 1)
        rest = rest >> bits
    return dict(reversed(found.items()))


def as_control(passes: Passes) -> Passes:
    """Return the numbers of a control's passes, each different from the others and from all of the run's.

    What a row is presented for moves into the upper two bits of the layer, so that a control's test shares no noise
    with its training either.

    Args:
        passes: Shape `(n,)`, of the purposes standardise, train, validate or test.

    Raises:
        InputError: Another purpose, or a layer above the 16th.
    """
    return _folded(passes, Purpose.CONTROL, "a control's passes", "Leave controls out for a deeper network.")


def may_be_placed_among(passes: Passes) -> bool:
    """Whether a port may place rows of its own among these: where a network standardises, trains, validates or tests.

    Elsewhere the order itself may be what is asked for, or the rows are such rows themselves.
    """
    return bool(passes.size) and int(purpose_of(passes).max()) <= Purpose.TEST


def as_placed(passes: Passes, purpose: Purpose) -> Passes:
    """Return the numbers of rows that a port places among those of a presentation, each different from all others.

    Args:
        passes: Shape `(n,)`: the first few of the presentation, as many as are placed.
        purpose: One of `PLACED`.

    Raises:
        InputError: The presentation is for another purpose, or of a layer above the 16th.
    """
    what = "passes among which dark or reference rows are placed"
    return _folded(passes, purpose, what, "Leave those rows out for a deeper network.")


def _folded(passes: Passes, into: Purpose, what: str, way_out: str) -> Passes:
    """Return numbers of another purpose that keep what the rows are presented for in the upper bits of the layer."""
    bits = dict(_FIELDS)
    top = bits["row"] + _FOLDED
    shift = sum(bits.values()) - bits["purpose"]
    purpose, rest = passes >> shift, passes & ((1 << shift) - 1)
    if passes.size and (int(purpose.max()) > Purpose.TEST or int((rest >> top & 3).max()) > 0):
        raise InputError(
            f"{what} must be for standardising, training, validation or test, in at most {DEEPEST} layers, got "
            f"number {int(passes.max())}. {way_out}"
        )
    return np.int64(into) << shift | purpose << top | rest


def presented_for(passes: Passes) -> Passes:
    """Return what each row is presented for, as a number of `Purpose`.

    A control's is what it does in its own run, a placed row's what it was placed among.
    """
    purpose, layer = purpose_of(passes), fields_of(passes)["layer"]
    return np.where(np.isin(purpose, (Purpose.CONTROL, *PLACED)), layer >> _FOLDED, purpose)
