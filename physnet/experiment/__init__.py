"""Experiment files: read, checked as a whole before anything is opened, and kept in a session."""

from __future__ import annotations

from .load import load_experiment
from .schema import Experiment

__all__ = ["Experiment", "load_experiment"]
