"""Digital stand-ins for systems, fitted to the raw data of a run."""

from .fit import Twin, TwinReport, fit_pairs, fit_twin
from .model import KINDS
from .pairs import LEAST, Pairs, deal_out, load_pairs
from .storage import file_name, load_twin, save_twin
from .system import TwinSystem

__all__ = [
    "KINDS",
    "LEAST",
    "Pairs",
    "Twin",
    "TwinReport",
    "TwinSystem",
    "deal_out",
    "file_name",
    "fit_pairs",
    "fit_twin",
    "load_pairs",
    "load_twin",
    "save_twin",
]
