"""Something that is written to the disk while the run goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Writing:
    """Calls a function in a thread of its own, and keeps what went wrong for whoever waits for it.

    Args:
        write: Writes. Nothing that it reads may change meanwhile.
    """

    def __init__(self, write: Callable[[], None]) -> None:
        self.write = write
        self.error: Exception | None = None
        self._began, self._took = time.perf_counter(), -1.0
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it was written, or could not be."""
        return self._took >= 0

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far, in s."""
        return self._took if self.done else time.perf_counter() - self._began

    def wait(self) -> None:
        """Return when it is done."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self.write()
        except Exception as error:  # whatever it is, who waits has to hear of it
            self.error = error
        finally:
            self._took = time.perf_counter() - self._began
