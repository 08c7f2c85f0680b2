"""`physnet train`."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from ..assembly import Samples, build_network, build_rule, load_samples, plan_of, training_options
from ..baselines import raw_logistic_regression
from ..controls import Study, plan
from ..errors import FaultError, InputError, SessionError, Stopped
from ..experiment import Experiment, load_experiment
from ..interrupts import StopRequest
from ..live import LiveFeed
from ..network import Network
from ..progress import ProgressBar
from ..recording import RawRecording
from ..records import RunPlan, RunResult
from ..session import Session, new_run_folder, open_run
from ..trainer import Trainer
from .characterise import characterise_network
from .controls import draw, run_study
from .dry_run import dry_run


def choose_device(name: str) -> str:
    """Return a torch device for `auto`, `cpu` or `cuda`.

    Raises:
        InputError: `cuda` was asked for and there is none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' must be available to be used, and torch finds none. Use --device cpu.")
    return name


def train(arguments: argparse.Namespace) -> int:
    """Train, record, and say how it went."""
    experiment = load_experiment(arguments.experiment, overrides=overrides_of(arguments))
    if arguments.dry_run:
        return dry_run(experiment)
    device = choose_device(arguments.device)
    if arguments.controls:
        plan(experiment)  # what is wrong with the controls is told before the hours of training, not after
    run = Prepared.of(experiment, device)
    # The folder first: a bench is not switched on for a run that can't be recorded.
    with run.stop, _session(experiment, plan_of(experiment, run.samples, run.trainer)) as session:
        try:
            result = run.follow(session, characterise=arguments.characterise)
        except InputError:
            # Nothing was trained: what is wrong is what was asked for, and an empty run would only be in the way.
            # What a characterisation measured is kept.
            if run.trainer.steps_done == 0 and not run.trainer.passes["calibrate"]:
                session.close()
                shutil.rmtree(session.folder, ignore_errors=True)
            raise
    return finish(run, result, session.folder, device=device, controls=arguments.controls, as_json_too=arguments.json)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything a run needs but its session, nothing opened."""

    experiment: Experiment
    samples: Samples
    network: Network
    trainer: Trainer
    bar: ProgressBar
    feed: LiveFeed
    stop: StopRequest
    baselines: dict[str, float]

    @classmethod
    def of(cls, experiment: Experiment, device: str, *, samples: Samples | None = None) -> Self:
        """Make it from an experiment.

        Raises:
            PhysnetError: The data, a system or the rule can't be had.
        """
        samples = samples or load_samples(experiment)
        rule = build_rule(experiment)
        network = build_network(experiment, samples.frame, rule, device=device)
        baselines = {"raw_logistic_regression": raw_logistic_regression(samples.splits)}
        title = experiment.title or experiment.source
        bar, stop, feed = ProgressBar(), StopRequest(), LiveFeed(title=title)
        trainer = Trainer(
            network,
            rule,
            samples.splits,
            classes=len(samples.frame.classes),
            options=training_options(experiment),
            seed=experiment.seed,
            callbacks=[bar, feed],
        )
        made = cls(
            experiment=experiment,
            samples=samples,
            network=network,
            trainer=trainer,
            bar=bar,
            feed=feed,
            stop=stop,
            baselines=baselines,
        )
        trainer.interrupt_with(made.check)
        return made

    def follow(
        self, session: Session, *, characterise: bool = False, opened: Callable[[], None] = lambda: None
    ) -> RunResult:
        """Train to the end, and keep the record.

        Args:
            session: The record.
            characterise: Whether to characterise the systems first.
            opened: Called once the systems are open, before anything is played.

        Raises:
            PhysnetError: As `Trainer.run`.
        """
        trainer = self.trainer
        trainer.recorder, session.wait_for_room = session, trainer.pauses.for_room
        try:
            with self.feed.serve(session.folder, trainer), self.network:
                opened()
                if self.feed.problem:
                    trainer.event("warning", self.feed.problem)
                if characterise:
                    characterise_network(self.experiment, self.network, trainer, session, check=self.check)
                self._keep_raw(session)
                return trainer.run(baselines=self.baselines)
        except (FaultError, Stopped) as error:
            folder = shlex.quote(str(session.folder))
            error.add_note(f"What it recorded: physnet show {folder}")
            error.add_note(f"To go on with it: physnet resume {folder}")
            raise
        finally:
            self.bar.close()

    def check(self) -> None:
        """Raise if a stop was asked for, by a signal or by a viewer. Any thread may call it.

        Raises:
            Stopped: It was.
        """
        self.stop.check()
        self.feed.check()

    def _keep_raw(self, session: Session) -> None:
        share = self.experiment.session.raw
        if share == "none":
            return
        names = [section.system for section in self.experiment.layers]
        ports = {name: layer.port for name, layer in zip(names, self.network, strict=True)}
        session.raw = RawRecording(
            session.folder, ports, share=share, trainer=self.trainer, attempt=session.attempt, run=session.run
        )


def finish(run: Prepared, result: RunResult, folder: Path, *, device: str, controls: bool, as_json_too: bool) -> int:
    """Say how a run went, and run its controls if asked to."""
    print(_report(result, folder, network_kinds(run.trainer)))
    values = as_json(result, folder)
    if controls:
        study = Study(open_run(folder))
        values["controls"] = run_study(study, device=device)
        print(f"figure               {draw(study, folder / 'figures')}")
    if as_json_too:
        print(json.dumps(values))
    return 0


def as_json(result: RunResult, folder: Path) -> dict[str, Any]:
    """Return a result as plain values; what was not measured is null."""
    return {
        "test_accuracy": _number(result.test_accuracy),
        "validation_accuracy": _number(result.validation_accuracy),
        "physical_passes": result.physical_passes,
        "seconds": round(result.seconds, 3),
        "session": str(folder),
        "weights_sha256": result.weights_sha256,
        "status": result.status,
        "epochs": result.epochs,
        "passes": dict(result.passes),
        "baselines": {name: _number(value) for name, value in result.baselines.items()},
    }


def network_kinds(trainer: Trainer) -> str:
    """Return the kinds of the systems used, for a person: `simulated`, or `measured and simulated`."""
    return " and ".join(sorted({layer.port.spec.kind for layer in trainer.network}))


def _report(result: RunResult, folder: Path, kinds: str) -> str:
    lines = [f"{result.message}: {result.epochs} epochs, {result.steps} steps, {result.seconds:.1f} s"]
    if not math.isnan(result.test_accuracy):
        layers = ", ".join(f"{accuracy:.2%}" for accuracy in result.layer_accuracy)
        lines.append(f"test accuracy        {result.test_accuracy:.2%}   (each layer alone: {layers}; {kinds} physics)")
    if not math.isnan(result.validation_accuracy):
        lines.append(
            f"validation accuracy  {result.validation_accuracy:.2%}   (weights of epoch {result.kept_epoch + 1})"
        )
    for name, accuracy in result.baselines.items():
        if not math.isnan(accuracy):
            lines.append(f"without any physics  {accuracy:.2%}   ({name.replace('_', ' ')}, same split)")
    spent = ", ".join(f"{name} {count}" for name, count in result.passes.items() if count)
    lines.append(f"physical passes      {result.physical_passes}   ({spent})")
    lines.append(f"session              {folder}")
    lines.append(f"look at it           physnet show {shlex.quote(str(folder))} --plot")
    return "\n".join(lines)


def _session(experiment: Experiment, plan: RunPlan) -> Session:
    parent = Path(experiment.output.folder)
    if experiment.output.name:
        return Session.create(parent / experiment.output.name, plan)
    for _ in range(100):
        folder = new_run_folder(parent, Path(experiment.source).stem or "run")
        try:
            return Session.create(folder, plan)
        except SessionError:
            # Another run that began in the same second may have taken the name in between.
            if not folder.exists():
                raise
    raise SessionError(f"a new folder can't be made in {parent}: every name is taken at once. Set output.name.")


def overrides_of(arguments: argparse.Namespace) -> list[str]:
    """Return what `--set`, `--seed` and `--output` change in an experiment."""
    overrides = list(arguments.overrides)
    if arguments.seed is not None:
        if arguments.seed < 0:
            raise InputError(f"--seed must be >= 0, got {arguments.seed}.")
        overrides.append(f"seed={arguments.seed}")
    if arguments.output is not None:
        overrides.append(f"output.folder={json.dumps(arguments.output)}")
    return overrides


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
