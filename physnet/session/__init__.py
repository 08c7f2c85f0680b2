"""The record of a run: written while it happens, readable however it ends."""

from .comparison import compare_runs
from .names import new_run_folder
from .reader import Run, open_run
from .writer import Session

__all__ = ["Run", "Session", "compare_runs", "new_run_folder", "open_run"]
