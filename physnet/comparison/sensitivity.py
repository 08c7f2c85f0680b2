"""What rules bear: accuracy against one thing about the system that is changed, the rest staying as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..assembly import load_samples
from ..controls.statistics import Comparison, compare
from ..errors import InputError
from ..experiment import Experiment, load_experiment
from .carrying import Tell, carry_out
from .changes import Value, overrides_for
from .contestants import Options, contestants
from .judging import same_rows
from .preparing import Prepared, common_distance, prepare
from .store import Outcome, Store
from .tasks import Task

Cell = tuple[str, Value]
"""A rule and a value."""


@dataclass(frozen=True, kw_only=True)
class Bearing:
    """What the trainings done so far came to.

    Args:
        outcomes: By rule and value, then by seed.
        changes: By rule and value: that value's accuracy minus the first value's, in pairs; intervals hold for all
            values of a rule at once.
        missing: How many trainings are still to do.
        notes: What a reader must know.
        physics: Kinds of the systems.
    """

    outcomes: Mapping[Cell, Mapping[int, Outcome]]
    changes: Mapping[Cell, Comparison]
    missing: int
    notes: tuple[str, ...]
    physics: str


class Sensitivity:
    """Rules, each trained with every value of one setting and with several seeds, in pairs over the values.

    A rule that can't train with some value is left out there, and the reason is told.

    Args:
        source: Path of an experiment file, name of a shipped one, or None for the default.
        names: Names of the rules, as of `contestants`.
        folder: Where trainings are kept.
        of: What is changed; see `overrides_for`.
        values: To what.
        seeds: How many, from the experiment's own on.
        overrides: As of `contestants`.
        options: Options of the rules.
        budget: Training passes of each training; None for the experiment's budget, or its epochs.
        every: Training passes between two validations; see `common_distance`.

    Raises:
        PhysnetError: No rule can be trained with any value.
    """

    def __init__(
        self,
        source: str | Path | None,
        names: Sequence[str],
        folder: Path,
        *,
        of: str,
        values: Sequence[Value],
        seeds: int,
        overrides: Sequence[str] = (),
        options: Options | None = None,
        budget: int | None = None,
        every: int | None = None,
    ) -> None:
        if seeds < 1:
            raise InputError(f"seeds must be >= 1, got {seeds}.")
        shared = [override for override in overrides if not override.startswith("rules.")]
        base = load_experiment(source, overrides=shared)
        self.first, self.folder, self.of, self.values = base, folder, of, tuple(values)
        self.budget = base.training.budget_passes if budget is None else budget
        self.seeds = tuple(range(base.seed, base.seed + seeds))
        self.store = Store(folder)
        found: dict[Cell, Experiment] = {}
        for value in self.values:
            changed = [*overrides, *overrides_for(base, of, value)]
            made = contestants(source, names, overrides=changed, options=options)
            found |= {(name, value): experiment for name, experiment in made.items()}
        self.names = tuple(dict.fromkeys(name for name, _ in found))
        self.left_out: dict[Cell, str] = {}
        prepared = self._prepare(found)
        self.measured = any(one.measured for one in prepared.values())
        distances = {f"{name} {value}": one for (name, value), one in prepared.items()}
        self.every = common_distance(distances, budget=self.budget, every=every)
        self.confidence = base.controls.confidence
        self.tasks = {
            cell: {seed: self._task(cell, found[cell], one, seed) for seed in self.seeds}
            for cell, one in prepared.items()
        }

    @property
    def todo(self) -> tuple[Task, ...]:
        """Trainings that are not done: seed by seed, so that pairs are complete early."""
        columns = self.tasks.values()
        return tuple(column[seed] for seed in self.seeds for column in columns if self.store.get(column[seed]) is None)

    def go(
        self,
        *,
        jobs: int = 1,
        device: str = "cpu",
        interrupted: Callable[[], None] | None = None,
        tell: Tell | None = None,
    ) -> None:
        """Do what is not done yet, and keep each training as soon as it is. See `RuleComparison.go`."""
        jobs = 1 if self.measured else jobs
        carry_out(self.todo, self.store, jobs=jobs, device=device, interrupted=interrupted, tell=tell)

    def bearing(self) -> Bearing:
        """Say what the trainings done so far came to.

        Raises:
            InputError: Nothing is done yet.
        """
        outcomes: dict[Cell, dict[int, Outcome]] = {}
        for cell, column in self.tasks.items():
            done = {seed: self.store.get(task) for seed, task in column.items()}
            outcomes[cell] = {seed: one for seed, one in done.items() if one is not None}
        every = [one for found in outcomes.values() for one in found.values()]
        if not every:
            raise InputError(f"{self.folder} holds no training of these rules yet.")
        return Bearing(
            outcomes=outcomes,
            changes=dict(self._changes(outcomes)),
            missing=len(self.todo),
            notes=tuple(self._notes(outcomes)),
            physics=" and ".join(sorted({kind for one in every for kind in one.physics})),
        )

    def _prepare(self, found: Mapping[Cell, Experiment]) -> dict[Cell, Prepared]:
        samples, prepared = load_samples(self.first), {}
        refused: InputError | None = None
        for cell, experiment in found.items():
            try:
                prepared[cell] = prepare(experiment, samples, budget=self.budget)
            except InputError as error:
                self.left_out[cell], refused = str(error), refused or error
        if not prepared and refused is not None:
            raise refused
        self._checksum = samples.dataset.checksum
        return prepared

    def _task(self, cell: Cell, experiment: Experiment, one: Prepared, seed: int) -> Task:
        return Task(
            kind="rule",
            name=f"{cell[0]} {self.of}={cell[1]}",
            experiment=experiment.model_copy(update={"seed": seed}).as_dict(),
            passes_per_sample=one.passes_per_sample,
            budget=self.budget,
            every=self.every,
            checksum=self._checksum,
        )

    def _changes(self, outcomes: Mapping[Cell, Mapping[int, Outcome]]) -> Iterator[tuple[Cell, Comparison]]:
        for name in self.names:
            values = [value for value in self.values if outcomes.get((name, value))]
            for value in values[1:]:
                pair = _paired(outcomes[name, value], outcomes[name, values[0]])
                if pair is None:
                    continue
                rows = list(outcomes[name, value].values())
                yield (
                    (name, value),
                    compare(
                        str(values[0]),
                        *pair,
                        train_rows=min(one.train_rows for one in rows),
                        test_rows=max(one.test_rows for one in rows),
                        margin=0.0,
                        confidence=1 - (1 - self.confidence) / (len(values) - 1),
                        same_test=same_rows(rows),
                    ),
                )

    def _notes(self, outcomes: Mapping[Cell, Mapping[int, Outcome]]) -> Iterator[str]:
        if self.todo:
            yield f"{len(self.todo)} trainings are not done: this is a look on the way"
        reasons: dict[tuple[str, str], list[str]] = {}
        for (name, value), reason in self.left_out.items():
            reasons.setdefault((name, reason), []).append(str(value))
        for (name, reason), values in reasons.items():
            yield f"without {name} at {', '.join(values)}: {reason}"
        for (name, value), found in outcomes.items():
            ended = [one for one in found.values() if one.diverged]
            if ended:
                yield f"{name} at {value} diverged with {len(ended)} of {len(found)} seeds ({ended[0].diverged})"
        every = [one for found in outcomes.values() for one in found.values()]
        if same_rows(every):
            yield "all seeds were tested on the same rows: the most that drawing these can add is in the intervals"


def _paired(first: Mapping[int, Outcome], second: Mapping[int, Outcome]) -> tuple[list[float], list[float]] | None:
    """Return the accuracies of the seeds that both were tested with; None without any."""
    seeds = [
        seed
        for seed in first
        if seed in second and math.isfinite(first[seed].test_accuracy) and math.isfinite(second[seed].test_accuracy)
    ]
    if not seeds:
        return None
    return [first[seed].test_accuracy for seed in seeds], [second[seed].test_accuracy for seed in seeds]


def as_plain(sensitivity: Sensitivity, bearing: Bearing) -> dict[str, Any]:
    """Return everything a program may want to know, as plain values."""
    rows = []
    for (name, value), found in bearing.outcomes.items():
        change = bearing.changes.get((name, value))
        row: dict[str, Any] = {
            "rule": name,
            "value": value,
            "test_accuracy": [one.test_accuracy for one in found.values()],
            "seeds": list(found),
            "training_passes": [one.training_passes for one in found.values()],
        }
        if change is not None:
            row |= {"change": change.difference, "interval": [change.low, change.high]}
        rows.append(row)
    return {
        "of": sensitivity.of,
        "values": list(sensitivity.values),
        "rows": rows,
        "missing": bearing.missing,
        "physics": bearing.physics,
        "notes": list(bearing.notes),
        "folder": str(sensitivity.folder),
    }
