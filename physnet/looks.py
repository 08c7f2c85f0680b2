"""What a run asks of its systems beside training and tests: who they are, what they answer at first, what drifts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .errors import MeasurementError, ResponseError
from .feeding import learning_rows
from .passes import Purpose
from .records import ResponseStatistics
from .seeding import stream
from .sentinels import Sentinels
from .standardisation import fit_standardisation

if TYPE_CHECKING:
    from .trainer import Trainer


class Looks:
    """Looks at the systems of a run, and has its record keep what was seen.

    Args:
        trainer: The run.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        rows = trainer.options.sentinels
        if rows == "auto":
            rows = 8 if any(port.spec.kind == "measured" for port in trainer.network.ports) else 0
        self.sentinels = Sentinels(trainer.network, rows=rows, seed=trainer.seed)
        self.statistics: list[ResponseStatistics] = []
        """What each layer's physics answered to the standardisation sample."""

    def describe_systems(self) -> None:
        """Keep what systems found out since they were opened, where any looks for something."""
        trainer = self._trainer
        specs = [port.spec for port in trainer.network.ports]
        if trainer.recorder and any(spec.found for spec in specs):
            trainer.recorder.describe([spec.plain() for spec in specs])

    def standardise(self) -> None:
        """Fit the standardisation on training rows, and tell which response channels are dead.

        Raises:
            DriveError, ResponseError: See `Port.measure`; also where a system can't measure yet.
        """
        trainer, samples = self._trainer, len(self._trainer.data.train.y)
        hypotheses = len(trainer.rule.training_rows(trainer.network, trainer.batch(np.arange(2), 0))) // 2
        count = min(max(2, trainer.options.standardise_rows // hypotheses), samples)
        sample = stream(trainer.seed, "standardisation").permutation(samples)[:count]
        rows = learning_rows(trainer.network, trainer.rule, trainer.batch(sample, 0))
        try:
            with trainer.charged(Purpose.STANDARDISE):
                self.statistics = fit_standardisation(trainer.network, *rows)
        except MeasurementError as error:
            # Nothing has been trained: to the user this is a system that does not work yet, not a run that broke.
            raise ResponseError(f"before the first step, {error}") from error
        if trainer.recorder:
            with trainer.stopwatch.section("log"):
                trainer.recorder.responses(*self.statistics)
            for statistics in self.statistics:
                if statistics.dead_channels:
                    name = trainer.network.layers[statistics.layer].name
                    trainer.event("warning", f"{name}: {statistics.dead_channels} response channels are dead")

    def at_sentinels(self, *, attempt: int = 0, accept_change: bool = True) -> None:
        """Measure the sentinels of every system.

        Args:
            attempt: How many times the run was resumed, where this is the first look since; 0 elsewhere.
            accept_change: Whether the run goes on although the answers are not what they were before it was resumed.

        Raises:
            ResponseError: They are not.
            MeasurementError: See `Port.measure`.
        """
        trainer = self._trainer
        with trainer.charged(Purpose.SENTINEL):
            records = self.sentinels.look(epoch=trainer.epochs_done, step=trainer.steps_done, look=attempt)
        for record in records:
            if trainer.recorder:
                trainer.recorder.sentinel(record)
        for text in self.sentinels.changed(records, trainer.options.sentinel_tolerance) if attempt else ():
            if not accept_change:
                raise ResponseError(
                    f"{text} Bring the bench back to what it was, or accept the change with --accept-changes."
                )
            trainer.event("warning", f"{text} Accepted.")

    def at_placed_rows(self) -> None:
        """Tell what the dark and reference rows since the last time say of each system."""
        for port in self._trainer.network.ports:
            if told := port.placed.tell():
                self._trainer.event("info", told)
