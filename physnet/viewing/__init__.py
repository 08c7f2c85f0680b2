"""Figures and movies of a system: where things are, what the field does, and what comes back.

A simulator says what there is to see (`Viewable`) in plain numbers with units; `physnet.viewing.view` plays a few rows
and draws. Only that part needs matplotlib, and is not imported here.
"""

from .contract import Viewable, Wrapper, field_of
from .picture import Axis, Curve, Field, Geometry, Image, Panel, Points

__all__ = [
    "Axis",
    "Curve",
    "Field",
    "Geometry",
    "Image",
    "Panel",
    "Points",
    "Viewable",
    "Wrapper",
    "field_of",
]
