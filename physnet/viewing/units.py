"""Numbers with SI prefixes, so that an axis of 25 micrometres does not read 2.5e-05."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .picture import Axis

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_PLAIN = frozenset({"m", "s", "Hz", "V", "A", "W", "J", "Pa", "K", "ohm", "F"})
_RAISED = {"Pa2 s": "Pa² s", "m/s": "m/s", "W/m2": "W/m²", "1/m2": "m⁻²", "1/m": "m⁻¹"}


def prefix(unit: str, largest: float) -> tuple[float, str]:
    """Return what to multiply values with, and the unit they have then.

    Args:
        unit: SI unit.
        largest: Largest size of a value.
    """
    if not 0 < largest < math.inf:
        return 1.0, _named(unit)
    exponent = 3 * math.floor(math.log10(largest * 1.0001) / 3)
    if unit in _PLAIN:
        exponent = max(min(exponent, 12), -15)
        return 10.0**-exponent, _PREFIXES[exponent] + unit
    if 0.02 <= largest < 1e4:
        return 1.0, _named(unit)
    text = f"10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return 10.0**-exponent, text if unit == "1" else f"{text} {_named(unit)}"


def label(axis: Axis, unit: str) -> str:
    """Return `name / unit`."""
    return axis.name if unit in ("1", "") else f"{axis.name} / {unit}"


def largest(values: Any) -> float:
    """Return the largest finite size."""
    size = np.abs(np.asarray(values))
    size = size[np.isfinite(size)]
    return float(size.max()) if size.size else 0.0


def _named(unit: str) -> str:
    return _RAISED.get(unit, unit)
