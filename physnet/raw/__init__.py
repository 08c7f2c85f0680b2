"""Raw drives and responses of a run: written while it happens, readable however it ends."""

from .layout import FOLDER
from .reader import RawData, RawIndex, RawSystem, open_raw
from .rows import RawRows
from .writer import RawWriter

__all__ = ["FOLDER", "RawData", "RawIndex", "RawRows", "RawSystem", "RawWriter", "open_raw"]
