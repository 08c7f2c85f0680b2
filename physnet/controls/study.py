"""A run's controls: which trainings there are to do, and what they came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..assembly import check_data, load_samples
from ..errors import InputError, SessionError
from ..experiment import Experiment
from ..session import Run
from .kinds import CONTROLS, NETWORK, PHYSICAL, Plan, plan
from .statistics import POWER, Verdict, judge
from .store import ControlsFile, Training, plain
from .training import rows_of, train_one


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the trainings done so far came to.

    Args:
        verdict: The verdict.
        trainings: Trainings by name, the network's first; in the order of seeds.
        missing: How many are still to do.
        notes: What a reader of the verdict must know: what was left out, and what was assumed.
        kinds: Kinds of the systems: `simulated`, or `measured and simulated`.
    """

    verdict: Verdict
    trainings: dict[str, list[Training]]
    missing: int
    notes: tuple[str, ...]
    kinds: str


class Study:
    """The network and its controls, each with several seeds, kept in the folder of the run that they belong to.

    The run is the network's first training: it is not done again.

    Args:
        run: A run that was done.
        repeats: Seeds; as declared in the experiment when None. Another number is told beside the verdict.

    Raises:
        SessionError: The run was not done, or lacks its test accuracy.
        ExperimentError: No control applies.
    """

    def __init__(self, run: Run, *, repeats: int | None = None) -> None:
        if run.result is None or run.status != "done" or not 0 <= run.result.test_accuracy <= 1:
            raise SessionError(
                f"run {run.folder} must be done and tested to be compared with controls, and it is {run.status}. Train "
                "it to its end first."
            )
        if repeats is not None and repeats < 1:
            raise InputError(f"repeats must be >= 1, got {repeats}.")
        self.run, self.result = run, run.result
        self.experiment = Experiment.from_dict(run.configuration)
        self.plan: Plan = plan(self.experiment)
        self.settings = self.experiment.controls
        self.repeats = self.settings.repeats if repeats is None else repeats
        self.seeds = tuple(range(self.experiment.seed, self.experiment.seed + self.repeats))
        self.file = ControlsFile(run.folder, owner=self.result.weights_sha256)
        self.checksum = str(run.data.get("checksum", ""))

    @property
    def names(self) -> tuple[str, ...]:
        """The network, then its controls."""
        return (NETWORK, *self.plan.run)

    @property
    def todo(self) -> tuple[tuple[str, int], ...]:
        """Name and seed of each training that is not done: seed by seed, so that pairs are complete early."""
        return tuple((name, seed) for seed in self.seeds for name in self.names if (name, seed) not in self.file)

    @property
    def passes_to_do(self) -> int:
        """About how many rows the physics has still to answer, from what the run took."""
        each = {name: self.result.physical_passes for name in PHYSICAL}
        rows = self.run.data.get("rows", {})
        each["linear_readout"] = int(rows.get("train", 0)) + int(rows.get("test", 0))
        layers = len(self.experiment.layers)
        each["one_layer_less"] = self.result.physical_passes * (layers - 1) // layers
        return sum(each.get(name, 0) for name, seed in self.todo if (name, seed) != (NETWORK, self.experiment.seed))

    def go(
        self,
        *,
        device: str = "cpu",
        interrupted: Callable[[], None] | None = None,
        tell: Callable[[Training], None] = lambda training: None,
    ) -> None:
        """Do what is not done yet. Each training is kept before the next begins.

        Args:
            device: torch device of the digital part.
            interrupted: Called between steps; raises `Stopped` to end.
            tell: Called after each training.

        Raises:
            PhysnetError: As `Trainer.run`. What was done is kept; call again to go on.
        """
        for seed in self.seeds:
            left = [name for name, other in self.todo if other == seed]
            if not left:
                continue
            experiment = self.experiment.model_copy(update={"seed": seed})
            samples = load_samples(experiment)
            check_data(samples.dataset, self.checksum)
            for name in left:
                if (name, seed) == (NETWORK, self.experiment.seed):
                    training = Training(
                        control=NETWORK,
                        seed=seed,
                        test_accuracy=self.result.test_accuracy,
                        passes=self.result.physical_passes,
                        seconds=self.result.seconds,
                        **rows_of(samples),
                    )
                else:
                    training = train_one(name, experiment, samples, device=device, interrupted=interrupted)
                self.file.add(training)
                tell(training)

    def findings(self) -> Findings:
        """Judge what is done.

        Raises:
            InputError: Nothing is there to compare yet.
        """
        trainings = {name: self.file.of(name, self.seeds) for name in self.names}
        done = {name: {one.seed: one.test_accuracy for one in found} for name, found in trainings.items() if found}
        network = done.pop(NETWORK, {})
        pairs = {name: found for name, found in done.items() if set(found) & set(network)}
        if not pairs:
            raise InputError(f"run {self.run.folder} has no controls yet. Run them: physnet controls {self.run.folder}")
        rows = trainings[NETWORK]
        verdict = judge(
            network,
            pairs,
            # The widest interval of the seeds, where a split by groups makes their numbers differ.
            train_rows=min(one.train_rows for one in rows),
            test_rows=max(one.test_rows for one in rows),
            margin=self.settings.margin,
            confidence=self.settings.confidence,
            same_test=self._same_test(rows),
        )
        return Findings(
            verdict=verdict,
            trainings={name: found for name, found in trainings.items() if found},
            missing=len(self.todo),
            notes=tuple(self._notes(trainings)),
            kinds=self.run.kinds,
        )

    def as_json(self, findings: Findings) -> dict[str, Any]:
        """Return everything a program may want to know, as plain values."""
        verdict = findings.verdict
        compared = {one.control: one for one in verdict.comparisons}
        table = {}
        for name, found in findings.trainings.items():
            table[name] = {
                "accuracies": {str(one.seed): one.test_accuracy for one in found},
                "physical_passes": sum(one.passes for one in found),
                "seconds": round(sum(one.seconds for one in found), 3),
            }
            if name in compared:
                row = compared[name]
                table[name] |= {
                    "about": CONTROLS[name],
                    "pairs": row.pairs,
                    "difference": row.difference,
                    "interval": [row.low, row.high],
                    "p_value": row.p_value,
                    "smallest_detectable_difference": row.detectable,
                }
        network = table.pop(NETWORK)
        values = {
            "verdict": verdict.outcome,
            "best_control": verdict.best,
            "not_beaten": list(verdict.not_beaten),
            "margin": self.settings.margin,
            "confidence": self.settings.confidence,
            "power": POWER,
            "smallest_detectable_difference": verdict.detectable,
            "repeats": self.repeats,
            "declared_repeats": self.settings.repeats,
            "missing": findings.missing,
            "physics": findings.kinds,
            "network": network,
            "controls": table,
            "left_out": dict(self.plan.left_out),
            "notes": list(findings.notes),
            "session": str(self.run.folder),
        }
        return dict(plain(values))

    @staticmethod
    def _same_test(rows: list[Training]) -> bool:
        return len(rows) > 1 and len({one.test_sha256 for one in rows}) == 1

    def _notes(self, trainings: dict[str, list[Training]]) -> Iterator[str]:
        if self.todo:
            yield f"{len(self.todo)} trainings are not done: this is a look on the way, not the verdict declared"
        if self.repeats != self.settings.repeats:
            yield (
                f"{self.repeats} repeats instead of the {self.settings.repeats} declared: choosing their number after "
                "a look at the result makes a verdict too sure of itself"
            )
        if self._same_test(trainings[NETWORK]):
            yield "all seeds were tested on the same rows: the most that drawing these can add is in the intervals"
        for name, reason in self.plan.left_out.items():
            yield f"without {name}: {reason}"
        assumed = [text for found in trainings.values() for one in found for text in one.assumed]
        yield from dict.fromkeys(assumed)
