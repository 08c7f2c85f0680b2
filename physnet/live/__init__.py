"""A run seen while it goes on: the feed in its process, and the viewer in another terminal.

The two meet on a local socket. Whoever looks on never opens the file that the run is writing.
"""

from __future__ import annotations

from .client import Connection, find_live
from .feed import LiveFeed
from .protocol import Address, Moment

__all__ = ["Address", "Connection", "LiveFeed", "Moment", "find_live"]
