"""Options of rules, chosen on validation samples: as many trials for each rule, and none that sees a test sample."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..assembly import Samples, load_samples
from ..controls.training import rows_of
from ..errors import InputError
from ..experiment import Experiment
from ..seeding import derive_seed
from .contestants import Options, contestants, given_options
from .preparing import common_distance, prepare
from .spaces import Range, Space, space_of
from .store import Outcome, Store
from .tasks import Task
from .workers import Workers

Sampler = Literal["tpe", "random"]


@dataclass(kw_only=True)
class Trial:
    """Options that were tried.

    Args:
        number: From 0; the first has the options as they were before.
        options: All options of the rule.
        tuned: Those that were looked for.
        accuracies: Best validation accuracy of each seed, 0 to 1; 0 where training diverged before its first.
        wanted: Seeds that are still missing.
        ticket: What the sampler knows it by.
    """

    number: int
    options: Mapping[str, Any]
    tuned: Mapping[str, Any]
    accuracies: dict[int, float] = field(default_factory=dict)
    wanted: set[int] = field(default_factory=set)
    ticket: Any = None

    @property
    def accuracy(self) -> float:
        """Mean validation accuracy."""
        return sum(self.accuracies.values()) / len(self.accuracies)


Tell = Callable[[str, Trial], None]
"""Called with a rule's name and a trial that was just done."""


class Tuning:
    """A search for the options of several rules, each with the same number of trials.

    A rule's trials follow each other, since each is drawn from what the earlier ones gave; rules go on beside each
    other. The draws depend on seed and outcomes alone, so that a search that was stopped comes to the same trials again
    and finds them done.

    Args:
        source: Path of an experiment file, name of a shipped one, or None for the default.
        names: Names of the rules, as of `contestants`.
        folder: Where trainings are kept.
        trials: Trials of each rule.
        seed: Seed of the search; the experiment has its own.
        repeats: Seeds of each trial, from the experiment's on; their mean counts.
        sampler: `tpe` draws where options were good, after ten at random; `random` draws anywhere.
        overrides: As of `contestants`. Options of rules set there are kept as they are.
        budget: Training passes of each trial; None for the experiment's budget, or its epochs.
        every: Training passes between two validations; see `common_distance`.

    Raises:
        PhysnetError: As `prepare`; Optuna is not installed; or there are no validation samples.
    """

    def __init__(
        self,
        source: str | Path | None,
        names: Sequence[str],
        folder: Path,
        *,
        trials: int,
        seed: int = 0,
        repeats: int = 1,
        sampler: Sampler = "tpe",
        overrides: Sequence[str] = (),
        budget: int | None = None,
        every: int | None = None,
    ) -> None:
        for name, value, least in (("trials", trials, 1), ("repeats", repeats, 1), ("seed", seed, 0)):
            if value < least:
                raise InputError(f"{name} must be >= {least}, got {value}.")
        self._optuna = _optuna()
        self.experiments = contestants(source, names, overrides=overrides)
        self.first = next(iter(self.experiments.values()))
        self.trials, self.seed, self.repeats, self.sampler = trials, seed, repeats, sampler
        self.budget = self.first.training.budget_passes if budget is None else budget
        self.store = Store(folder)
        self._source, self._overrides = source, tuple(overrides)
        self._samples = {
            number: load_samples(self.first.model_copy(update={"seed": number}))
            for number in range(self.first.seed, self.first.seed + repeats)
        }
        if not all(len(samples.splits.validation) for samples in self._samples.values()):
            raise InputError(
                "tune chooses on validation samples, and there are none. Raise data.validation_fraction above 0."
            )
        given = given_options(overrides, tuple(self.experiments))
        self.spaces = {
            name: space_of(one.rule.name, fixed=frozenset(given[name])) for name, one in self.experiments.items()
        }
        prepared = {name: prepare(one, self._one_sample, budget=self.budget) for name, one in self.experiments.items()}
        self.measured = any(one.measured for one in prepared.values())
        self.every = common_distance(prepared, budget=self.budget, every=every)
        self._studies = {name: self._study(name) for name in self.experiments}
        self.done: dict[str, list[Trial]] = {name: [] for name in self.experiments}

    @property
    def test_sha256(self) -> str:
        """Hash of the test rows that were kept aside; empty where seeds have different ones."""
        found = {str(rows_of(samples)["test_sha256"]) for samples in self._samples.values()}
        return found.pop() if len(found) == 1 else ""

    def best(self, name: str) -> Trial | None:
        """Return the trial with the best mean validation accuracy, the first of equals; None before any is done."""
        return max(self.done[name], key=lambda trial: trial.accuracy, default=None)

    def go(
        self,
        *,
        jobs: int = 1,
        device: str = "cpu",
        interrupted: Callable[[], None] | None = None,
        tell: Tell | None = None,
    ) -> None:
        """Do every trial that is not done yet.

        Args:
            jobs: Trainings at once: of different rules, or of one trial's seeds.
            device: torch device of the digital part.
            interrupted: Called all the time; raises to end.
            tell: Hears of each trial.

        Raises:
            PhysnetError: What ended a training. What was done is kept; a new search of the same kind finds it.
        """
        waiting: dict[str, list[tuple[str, Trial, int]]] = {}
        with Workers(1 if self.measured else jobs, device=device) as workers:

            def begin(name: str) -> None:
                """Start trials of a rule until one has something to train."""
                while len(self.done[name]) < self.trials:
                    trial = self._ask(name)
                    missing = []
                    for task in self._tasks(name, trial):
                        outcome = self.store.get(task)
                        if outcome is None:
                            missing.append(task)
                        else:
                            self._note(trial, task.seed, outcome)
                    for task in missing:
                        if task.digest not in waiting:
                            workers.submit(task)
                        waiting.setdefault(task.digest, []).append((name, trial, task.seed))
                    if missing:
                        return
                    self._finish(name, trial, tell)

            for name in self.experiments:
                begin(name)
            while workers.busy:
                task, outcome = workers.next(interrupted or (lambda: None))
                self.store.add(task, outcome)
                for name, trial, seed in waiting.pop(task.digest):
                    self._note(trial, seed, outcome)
                    if not trial.wanted:
                        self._finish(name, trial, tell)
                        begin(name)

    @property
    def _one_sample(self) -> Samples:
        return self._samples[self.first.seed]

    def _study(self, name: str) -> Any:
        optuna, seed = self._optuna, derive_seed(self.seed, f"tune {name}")
        sampler = (
            optuna.samplers.TPESampler(seed=seed) if self.sampler == "tpe" else optuna.samplers.RandomSampler(seed=seed)
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        before = self.experiments[name].rule.options
        # What is there already is a trial like any other, so that tuning can only help on the validation samples.
        study.enqueue_trial(
            {
                option: before[option]
                for option, one in self.spaces[name].items()
                if option in before and one.holds(before[option])
            }
        )
        return study

    def _ask(self, name: str) -> Trial:
        ticket = self._studies[name].ask()
        tuned = dict(suggested(ticket, self.spaces[name]))
        before = self.experiments[name].rule.options
        if not self.done[name]:
            # An option outside its space could not be enqueued; the first trial keeps it all the same.
            tuned |= {option: before[option] for option in tuned if option in before}
        return Trial(number=len(self.done[name]), options={**before, **tuned}, tuned=tuned, ticket=ticket)

    def _tasks(self, name: str, trial: Trial) -> Iterator[Task]:
        own: Experiment = self.experiments[name]
        options = Options(rules={name: {"name": own.rule.name, **trial.options}})
        experiment = contestants(self._source, [name], overrides=self._shared(name), options=options)[name]
        passes = prepare(experiment, self._one_sample, budget=self.budget).passes_per_sample
        trial.wanted = set(self._samples)
        for seed, samples in self._samples.items():
            yield Task(
                kind="rule",
                name=name,
                experiment=experiment.model_copy(update={"seed": seed}).as_dict(),
                passes_per_sample=passes,
                budget=self.budget,
                every=self.every,
                test=False,
                checksum=samples.dataset.checksum,
            )

    def _shared(self, name: str) -> list[str]:
        """Return the overrides but those of other rules, which don't take part where one is made by itself."""
        own = (f"rules.{name}.", f'rules."{name}".')
        return [one for one in self._overrides if not one.startswith("rules.") or one.startswith(own)]

    @staticmethod
    def _note(trial: Trial, seed: int, outcome: Outcome) -> None:
        accuracy = outcome.validation_accuracy
        trial.accuracies[seed] = accuracy if math.isfinite(accuracy) else 0.0
        trial.wanted.discard(seed)

    def _finish(self, name: str, trial: Trial, tell: Tell | None) -> None:
        self._studies[name].tell(trial.ticket, trial.accuracy)
        self.done[name].append(trial)
        if tell is not None:
            tell(name, trial)


def suggested(ticket: Any, space: Space) -> Iterator[tuple[str, Any]]:
    """Yield what the sampler suggests for each option of a space."""
    for option, one in space.items():
        if not isinstance(one, Range):
            yield option, ticket.suggest_categorical(option, list(one.values))
        elif one.whole:
            yield option, ticket.suggest_int(option, int(one.low), int(one.high), log=one.log)
        else:
            yield option, ticket.suggest_float(option, one.low, one.high, log=one.log)


def _optuna() -> Any:
    """Import Optuna, and have it say nothing of its own.

    Raises:
        InputError: It is not installed.
    """
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise InputError("tune needs Optuna, which is not installed. Run: pip install 'physnet[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
