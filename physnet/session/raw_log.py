"""What a session asks of whoever keeps raw data beside it."""

from __future__ import annotations

from typing import Protocol


class RawLog(Protocol):
    """Whoever keeps raw drives and responses beside the session."""

    def flush(self, *, patient: bool = True) -> None:
        """Return when all that was handed over is written.

        Args:
            patient: Whether to wait for room on a full disk, which is for the run's own thread. Otherwise any thread
                may call.
        """
        ...

    def end(self) -> None:
        """Write what is left. What remains to be done needs nobody, until `close`."""
        ...

    def close(self) -> None:
        """Write what is left, and close."""
        ...
