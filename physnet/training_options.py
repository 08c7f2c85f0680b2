"""How a run is trained, and how it looks after itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from .errors import InputError
from .passes import MOST_EPOCHS

Schedule = Literal["simultaneous", "greedy", "pipelined"]
"""In which order layers learn."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How long and in what portions to train.

    Args:
        schedule: `simultaneous`: every layer learns from every minibatch, one minibatch after the other. `pipelined`:
            the same numbers, with each layer one minibatch behind the layer below it, so that separate systems measure
            at the same time. `greedy`: one layer after the other, each until `epochs` are over or `patience` is.
        epochs: Times through the training split; of each layer in the greedy schedule.
        batch_size: Samples of a minibatch, or `all`.
        validate_every: Epochs between two validations.
        patience: Stop when the validation accuracy has not improved for this many validations; the greedy schedule
            goes on with the next layer. None: never.
        budget_passes: Stop before a step that would take the passes of standardisation, training and validation beyond
            this. The test that ends every run is not part of it, nor are steps that were lost and done again.
        budget_minutes: Stop after the step that passes this time, in min; that of a resumed run goes on counting.
        standardise_rows: Rows measured per layer to fit the standardisation, at most 1 024; at least 2 samples are.
        evaluation_batch: Samples classified at once.
        checkpoint_seconds: Longest time between two checkpoints, in s: what a kill can cost.
        checkpoint_share: A checkpoint is made after every epoch besides, as long as all of them take no more than this
            part of the run's time, above 0 and at most 1.
        sentinels: Drives that each system answers before step 0 and after every epoch, to tell drift, and again before
            a resumed run goes on. `auto`: 8 where systems are measured, none where they are simulated.
        sentinel_tolerance: Largest change of the answers with which a run is resumed, as a fraction of how much they
            differ from each other.
        wait_for_room: Longest wait for room on a full disk, in s.

    Raises:
        InputError: A value is out of its range.
    """

    schedule: Schedule = "simultaneous"
    epochs: int = 20
    batch_size: int | Literal["all"] = 128
    validate_every: int = 1
    patience: int | None = None
    budget_passes: int | None = None
    budget_minutes: float | None = None
    standardise_rows: int = 1024
    evaluation_batch: int = 2000
    checkpoint_seconds: float = 30.0
    checkpoint_share: float = 1.0
    sentinels: int | Literal["auto"] = "auto"
    sentinel_tolerance: float = 0.2
    wait_for_room: float = 600.0

    def __post_init__(self) -> None:
        if self.schedule not in get_args(Schedule):
            raise InputError(f"schedule must be one of {', '.join(get_args(Schedule))}, got {self.schedule!r}.")
        limits: dict[str, tuple[float | None, float]] = {
            "epochs": (self.epochs, MOST_EPOCHS),
            "batch_size": (None if self.batch_size == "all" else self.batch_size, math.inf),
            "validate_every": (self.validate_every, math.inf),
            "patience": (self.patience, math.inf),
            "budget_passes": (self.budget_passes, math.inf),
            "standardise_rows": (self.standardise_rows, 1024),
            "evaluation_batch": (self.evaluation_batch, math.inf),
        }
        for name, (value, high) in limits.items():
            if value is not None and not 1 <= value <= high:
                upper = "" if math.isinf(high) else f" and at most {high:g}"
                raise InputError(f"{name} must be at least 1{upper}, got {value}.")
        for name in ("budget_minutes", "checkpoint_seconds", "sentinel_tolerance"):
            amount = getattr(self, name)
            if amount is not None and not amount > 0:
                raise InputError(f"{name} must be > 0, got {amount}.")
        if not 0 < self.checkpoint_share <= 1:
            raise InputError(f"checkpoint_share must be above 0 and at most 1, got {self.checkpoint_share}.")
        if not self.wait_for_room >= 0:
            raise InputError(f"wait_for_room must be >= 0 s, got {self.wait_for_room} s.")
        if self.sentinels != "auto" and not 0 <= self.sentinels <= 1024:
            raise InputError(f"sentinels must be 'auto' or 0 to 1024, got {self.sentinels}.")
