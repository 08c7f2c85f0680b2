"""Boards over a serial line: a framed protocol, its drivers, and reference firmware."""

from .dac_adc import DacAdcBoard
from .link import BoardLink
from .metasurface import MetasurfaceBoard

__all__ = ["BoardLink", "DacAdcBoard", "MetasurfaceBoard"]
