"""A comparison of rules: which trainings there are to do, and what they came to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..assembly import Samples, load_samples
from ..errors import InputError
from ..experiment import Experiment
from ..fingerprint import code_of
from .carrying import Tell, carry_out
from .contestants import Options
from .digital import RATES, hidden_width, multiply_adds
from .end_to_end import plain_network, why_not
from .judging import Ranking, Trainings, rank, same_rows
from .preparing import Prepared, common_distance, prepare
from .store import Outcome, Store
from .tasks import BASELINES, CHEAP, THROUGH, Kind, Task

_THROUGH: tuple[Kind, ...] = ("backpropagation", "physics_aware", "in_silico")
_ALIKE = 1.1
"""Widths of digital networks whose ratio is below this are trained once, at the larger."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the trainings done so far came to.

    Args:
        ranking: Which rule is best.
        rules: Outcomes by rule and seed.
        baselines: Outcomes by baseline and seed.
        target: Validation accuracy whose passes are told, 0 to 1.
        missing: How many trainings are still to do.
        notes: What a reader must know.
        physics: Kinds of the systems.
    """

    ranking: Ranking
    rules: Trainings
    baselines: Trainings
    target: float
    missing: int
    notes: tuple[str, ...]
    physics: str


class RuleComparison:
    """Rules and baselines, each trained with several seeds, pair by pair on the same split and the same systems.

    Args:
        experiments: The experiment of each rule, by name; from `contestants`.
        folder: Where trainings are kept; need not exist.
        seeds: How many, from the experiment's own on.
        budget: Training passes of each rule; the experiment's `budget_passes` when None, and where that is None, too,
            every rule trains for the experiment's epochs.
        every: Training passes between two validations; see `common_distance`.
        target: Validation accuracy whose passes are to be told, 0 to 1; None takes 95 % of the best mean reached.
        options: Where the rules' options came from, for the notes.
        baselines: Names of `BASELINES` that are to stand beside the rules. What can't be trained on this network is
            left out, and the notes say why.

    Raises:
        PhysnetError: As `prepare`; or there is no such baseline.
    """

    def __init__(
        self,
        experiments: Mapping[str, Experiment],
        folder: Path,
        *,
        seeds: int,
        budget: int | None = None,
        every: int | None = None,
        target: float | None = None,
        options: Options | None = None,
        baselines: Sequence[str] = CHEAP,
    ) -> None:
        if unknown := [name for name in baselines if name not in BASELINES]:
            raise InputError(f"baselines must be among {', '.join(BASELINES)}, got {', '.join(unknown)}.")
        if seeds < 1:
            raise InputError(f"seeds must be >= 1, got {seeds}.")
        if budget is not None and budget < 1:
            raise InputError(f"budget_passes must be >= 1, got {budget}.")
        if target is not None and not 0 < target <= 1:
            raise InputError(f"target must be above 0 and at most 100 %, got {100 * target:g} %.")
        self.experiments, self.folder, self._target = dict(experiments), folder, target
        self._options = options or Options()
        self.first = next(iter(self.experiments.values()))
        self.budget = self.first.training.budget_passes if budget is None else budget
        self.seeds = tuple(range(self.first.seed, self.first.seed + seeds))
        self.store = Store(folder)
        samples = load_samples(self.first)
        self.prepared = {name: _prepare(name, one, samples, self.budget) for name, one in experiments.items()}
        self.every = common_distance(self.prepared, budget=self.budget, every=every)
        self.confidence = self.first.controls.confidence
        self.equals: dict[str, tuple[str, ...]] = {}
        self._chosen = tuple(name for name in BASELINES if name in baselines)
        self._networks = self._digital_networks(samples) if "digital_network" in self._chosen else {}
        self._plain = plain_network(self.first)
        reasons = {name: why_not(name, self._plain, samples) for name in self._chosen if name in THROUGH}
        self.left_out = {name: reason for name, reason in reasons.items() if reason}
        """Baselines that can't be trained on this network, and why."""
        checksum = samples.dataset.checksum
        self.tasks: dict[str, dict[int, Task]] = {
            name: {seed: self._rule(name, seed, checksum) for seed in self.seeds} for name in self.experiments
        }
        self.baselines: dict[str, dict[int, Task]] = {}
        for seed in self.seeds:
            for task in self._baselines(seed, samples, checksum):
                self.baselines.setdefault(task.name, {})[seed] = task

    @property
    def measured(self) -> bool:
        """Whether a system is a real one: then one training is done at a time."""
        return any(one.measured for one in self.prepared.values())

    @property
    def todo(self) -> tuple[Task, ...]:
        """Trainings that are not done: seed by seed, so that pairs are complete early."""
        columns = [*self.tasks.values(), *self.baselines.values()]
        return tuple(column[seed] for seed in self.seeds for column in columns if self.store.get(column[seed]) is None)

    @property
    def passes_to_do(self) -> int:
        """About how many rows the physics has still to answer to learn; standardisation, validation and test aside."""
        todo = self.todo
        names = [task.name for task in todo if task.kind == "rule"]
        passes = sum(self.prepared[name].presented * self.prepared[name].passes_per_sample for name in names)
        one = next(iter(self.prepared.values()))
        through = [task for task in todo if task.kind in ("backpropagation", "physics_aware")]
        tried = len(RATES) if self.first.data.validation_fraction > 0 else 1
        return passes + sum(task.epochs * one.samples * one.depth * tried for task in through)

    def go(
        self,
        *,
        jobs: int = 1,
        device: str = "cpu",
        interrupted: Callable[[], None] | None = None,
        tell: Tell | None = None,
    ) -> None:
        """Do what is not done yet, and keep each training as soon as it is.

        Args:
            jobs: Trainings at once; measured systems are taken one at a time, whatever is asked for.
            device: torch device of the digital part.
            interrupted: Called between steps; raises to end.
            tell: Hears of each training.

        Raises:
            PhysnetError: As `Trainer.run`. What was done is kept; call again to go on.
        """
        jobs = 1 if self.measured else jobs
        carry_out(self.todo, self.store, jobs=jobs, device=device, interrupted=interrupted, tell=tell)

    def findings(self) -> Findings:
        """Judge what is done.

        Raises:
            InputError: Nothing is done yet.
        """
        rules, baselines = self._done(self.tasks), self._done(self.baselines)
        every = [one for found in rules.values() for one in found.values()]
        if not every:
            raise InputError(f"{self.folder} holds no training of these rules yet.")
        same = same_rows(list(next(found for found in rules.values() if found).values()))
        ranking = rank(rules, baselines, confidence=self.confidence, same_test=same)
        missing = len(self.todo)
        return Findings(
            ranking=ranking,
            rules=rules,
            baselines=baselines,
            target=self._target or _usual_target(rules),
            missing=missing,
            notes=tuple(self._notes(rules, missing=missing, same=same)),
            physics=" and ".join(sorted({kind for one in every for kind in one.physics})),
        )

    def _rule(self, name: str, seed: int, checksum: str) -> Task:
        experiment = self.experiments[name].model_copy(update={"seed": seed})
        return Task(
            kind="rule",
            name=name,
            experiment=experiment.as_dict(),
            passes_per_sample=self.prepared[name].passes_per_sample,
            budget=self.budget,
            every=self.every,
            checksum=checksum,
        )

    def _baselines(self, seed: int, samples: Samples, checksum: str) -> Iterator[Task]:
        # Labels are never presented to a linear read-out: a network without slots for them, where a rule has one.
        plain = next((name for name, one in self.prepared.items() if not one.labelled), next(iter(self.prepared)))
        chosen = self.prepared[plain]
        features, classes = samples.frame.features, len(samples.frame.classes)
        common = Task(
            kind="raw_logistic_regression",
            name="raw_logistic_regression",
            experiment=self.experiments[plain].model_copy(update={"seed": seed}).as_dict(),
            work=features * classes,
            checksum=checksum,
        )
        if "raw_logistic_regression" in self._chosen:
            yield common
        if "linear_readout" in self._chosen:
            yield dataclasses.replace(common, kind="linear_readout", name="linear_readout", work=chosen.readout_work)
        epochs = max(math.ceil(one.presented / one.samples) for one in self.prepared.values())
        for name, width in self._networks.items():
            hidden = (width,) * chosen.depth
            yield dataclasses.replace(
                common,
                kind="digital_network",
                name=name,
                hidden=hidden,
                epochs=epochs,
                work=multiply_adds([features, *hidden, classes]),
            )
        experiment = self._plain.model_copy(update={"seed": seed}).as_dict()
        for kind in _THROUGH:
            if kind in self._chosen and kind not in self.left_out:
                yield dataclasses.replace(
                    common, kind=kind, name=kind, experiment=experiment, epochs=epochs, every=self.every, work=None
                )

    def _digital_networks(self, samples: Samples) -> dict[str, int]:
        """Return the width of each digital network, by name: one for all rules that do about as much to classify."""
        features, classes = samples.frame.features, len(samples.frame.classes)
        widths = {
            name: hidden_width(one.inference_work, features=features, classes=classes, depth=one.depth)
            for name, one in self.prepared.items()
            if one.inference_work is not None
        }
        kept: dict[int, list[str]] = {}
        for name in sorted(widths, key=lambda name: -widths[name]):
            alike = next((width for width in kept if width <= _ALIKE * widths[name]), widths[name])
            kept.setdefault(alike, []).append(name)
        self.equals = {f"digital_network_{width}": tuple(names) for width, names in kept.items()}
        return {f"digital_network_{width}": width for width in kept}

    def _done(self, tasks: Mapping[str, Mapping[int, Task]]) -> dict[str, dict[int, Outcome]]:
        found: dict[str, dict[int, Outcome]] = {}
        for name, column in tasks.items():
            outcomes = {seed: self.store.get(task) for seed, task in column.items()}
            done = {seed: outcome for seed, outcome in outcomes.items() if outcome is not None}
            if done:
                found[name] = done
        return found

    def _notes(self, rules: Trainings, *, missing: int, same: bool) -> Iterator[str]:
        if missing:
            yield f"{missing} trainings are not done: this is a look on the way"
        every = [one for found in rules.values() for one in found.values()]
        for name, found in rules.items():
            ended = {seed: one for seed, one in found.items() if one.diverged}
            if ended:
                seed, one = next(iter(ended.items()))
                yield f"{name} diverged with {len(ended)} of {len(found)} seeds (seed {seed}: {one.diverged})"
        yield from self._about_options(every)
        if same:
            yield "all seeds were tested on the same rows: the most that drawing these can add is in the intervals"
        drives = {name: one.drives for name, one in self.prepared.items()}
        if len(set(drives.values())) > 1:
            told = ", ".join(f"{name} {'/'.join(map(str, found))}" for name, found in drives.items())
            yield (
                f"the rules drive different numbers of channels ({told}): labels and signs take channels of their own, "
                "and a medium whose number of drives is left open is then another one"
            )
        for name, reason in self.left_out.items():
            yield f"{name} left out: {reason}"
        yield from self._about_twins()
        for name, names in self.equals.items():
            yield f"{name}: as many multiply-adds per inference as {', '.join(names)}"
        uncounted = [name for name, one in self.prepared.items() if one.inference_work is None]
        if uncounted:
            yield f"nobody counted the multiply-adds of {', '.join(uncounted)}"
        now = code_of(self.first)["physnet"]
        if any(one.made_by.get("code") != now for one in every):
            yield "some trainings were done by another version of physnet: use a new folder to have all done again"
        if self.first.training.patience is not None or self.first.training.budget_minutes is not None:
            yield "patience and budget_minutes are not used: each rule trains to the end of its passes"

    def _about_twins(self) -> Iterator[str]:
        for name, found in self._done(self.baselines).items():
            worst: dict[str, float] = {}
            for outcome in found.values():
                for twin in outcome.about.get("twins", ()):
                    worst[twin["system"]] = max(worst.get(twin["system"], 0.0), twin["held_out_error"])
            if worst:
                told = ", ".join(f"{system} {error:.2g}" for system, error in worst.items())
                yield f"{name}: error of the twins, 0 for exact and 1 for no better than the mean response: {told}"
            if any(outcome.about.get("validated_on") == "twins" for outcome in found.values()):
                yield f"{name}: its validation accuracy is what the twins reach, its test accuracy what the systems do"

    def _about_options(self, every: Sequence[Outcome]) -> Iterator[str]:
        tuning = self._options.tuning
        untuned = [name for name in self.experiments if name not in self._options.rules]
        if untuned:
            yield (
                f"options of {', '.join(untuned)} are defaults, or the experiment's: tune all rules alike "
                "(physnet tune) before a difference is put down to the rules"
            )
        kept = tuning.get("test_sha256")
        if kept and any(one.test_sha256 != kept for one in every):
            yield (
                "the options were tuned with other test rows kept aside than those tested here, and may have been "
                "chosen by some of them: set data.split_seed to the same value in both"
            )


def _prepare(name: str, experiment: Experiment, samples: Samples, budget: int | None) -> Prepared:
    try:
        return prepare(experiment, samples, budget=budget)
    except InputError as error:
        error.add_note(f"This is what the rule {name} says to this network.")
        raise


def _usual_target(rules: Trainings) -> float:
    """Return 95 % of the best mean validation accuracy that a rule reached, in whole percents; NaN without any."""
    means = []
    for found in rules.values():
        reached = [one.validation_accuracy for one in found.values() if math.isfinite(one.validation_accuracy)]
        means += [sum(reached) / len(reached)] if reached else []
    return math.floor(95 * max(means)) / 100 if means else math.nan
