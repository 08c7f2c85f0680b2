"""Runs as pages: one self-contained HTML file that answers what people ask afterwards."""

from .page import compare, report, write

__all__ = ["compare", "report", "write"]
