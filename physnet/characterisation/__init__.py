"""What a system does before any training: noise, linearity, mixing, dimensions, memory, drift, saturation."""

from __future__ import annotations

from .measure import characterise
from .plan import DEFAULT, FEWEST
from .quantities import ALPHA, CONFIDENCE, Characterisation, Quantity, Trace
from .storage import load, save

__all__ = [
    "ALPHA",
    "CONFIDENCE",
    "DEFAULT",
    "FEWEST",
    "Characterisation",
    "Quantity",
    "Trace",
    "characterise",
    "load",
    "save",
]
