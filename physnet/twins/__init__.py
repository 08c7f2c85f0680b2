"""Digital stand-ins for systems, fitted to the raw data of a run."""

from .fit import Twin, TwinReport, fit_twin
from .model import KINDS
from .pairs import Pairs, load_pairs
from .storage import file_name, load_twin, save_twin
from .system import TwinSystem

__all__ = [
    "KINDS",
    "Pairs",
    "Twin",
    "TwinReport",
    "TwinSystem",
    "file_name",
    "fit_twin",
    "load_pairs",
    "load_twin",
    "save_twin",
]
