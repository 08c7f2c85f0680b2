"""Raw drives and responses of a run: from its ports into its folder, with patience for a full disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from .errors import StorageError
from .exchange import Exchange
from .port import Port
from .raw import RawWriter
from .trainer import Trainer


class RawRecording:
    """Keeps what the systems of a network were driven with and answered. A `physnet.session.RawLog`.

    The time it takes counts as logging. On a full disk the run waits, outputs safe, as for its session.

    Args:
        folder: The run's folder.
        ports: The port of each system, by its name in the run.
        share: Part of the rows to keep, above 0 and at most 1, or `all`.
        trainer: The run's trainer.
        attempt: How many times the run was resumed.
        run: What tells the run from every other.
    """

    def __init__(
        self,
        folder: Path,
        ports: Mapping[str, Port],
        *,
        share: float | Literal["all"],
        trainer: Trainer,
        attempt: int = 0,
        run: str = "",
    ) -> None:
        self._trainer, self._ports = trainer, tuple(ports.values())
        self._writer = RawWriter(
            folder,
            {name: port.spec for name, port in ports.items()},
            share=1.0 if share == "all" else share,
            seed=trainer.seed,
            on_wait=trainer.note,
            reopen=attempt > 0,
            run=run,
        )
        self._writer.attempt = attempt
        self._ended = False
        for name, port in ports.items():
            port.on_exchange = trainer.stopwatch.logged(self._patient(self._writer.observer(name)))

    def flush(self, *, patient: bool = True) -> None:
        """Return when every row is on the disk.

        Args:
            patient: Whether to wait for room on a full disk, which is for the run's own thread.

        Raises:
            StorageError: The disk refused; for good, when patient.
        """
        try:
            self._writer.flush()
        except StorageError as error:
            if not patient:
                raise
            self._wait(error)

    def end(self) -> None:
        """Write what is left, and take no more. What remains to be done needs nobody, until `close`.

        Raises:
            StorageError: The disk refused; it says how many rows are lost.
        """
        if self._ended:
            return
        self._ended = True
        for port in self._ports:
            port.on_exchange = None
        try:
            self._writer.end()
        finally:
            if self._writer.waits:
                waited = f"measuring waited {self._writer.waited:.1f} s for the disk, {self._writer.waits} times"
                self._trainer.event("info", f"raw data: {waited}")

    def close(self) -> None:
        """Write what is left, and close.

        Raises:
            StorageError: The disk refused; it says how many rows are lost.
        """
        try:
            self.end()
        finally:
            self._writer.close()

    def _patient(self, observe: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
        def call(exchange: Exchange) -> None:
            try:
                observe(exchange)
            except StorageError as error:
                self._wait(error)  # the rows are in the queue: they are written once there is room

        return call

    def _wait(self, error: StorageError) -> None:
        if "disk is full" not in str(error) or not self._trainer.pauses.for_room(str(error), self._has_room):
            raise error

    def _has_room(self) -> bool:
        try:
            self._writer.retry()
        except StorageError:
            return False
        return True
