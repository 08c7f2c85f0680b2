"""Faults of systems, put into a run's record without filling it."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .trainer import Trainer

# Events of one text, and of all, that faults may fill a session with.
_SAME, _ALL = 3, 100


class FaultNotes:
    """Keeps what went wrong, though a retry may mend it.

    Args:
        trainer: The run whose record it goes into.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._times: dict[str, int] = {}
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._told: dict[str, dict[str, int]] = {}

    def add(self, text: str) -> None:
        """Note a fault, from any thread: it is told by `tell`."""
        self._waiting.put(text)

    def tell(self) -> None:
        """Put what was noted into the record; the same text at most a few times."""
        while not self._waiting.empty():
            text = self._waiting.get()
            self._times[text] = self._times.get(text, 0) + 1
            if self._times[text] <= _SAME and sum(self._times.values()) <= _ALL:
                self._trainer.event("warning", text)

    def tell_kinds(self) -> None:
        """Put the faults of each system, by kind, into the record when there are new ones."""
        for port in self._trainer.network.ports:
            faults = dict(port.spec.found.get("faults", {}))
            if faults != self._told.setdefault(port.spec.name, {}):
                self._told[port.spec.name] = faults
                listed = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items()))
                self._trainer.event("warning", f"{port.spec.name}: faults so far: {listed}")
