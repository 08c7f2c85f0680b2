"""`physnet show`, `evaluate` and `predict`: what is done with a run that exists."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..assembly import Frame, build_network, build_rule, check_data, load_dataset, load_samples
from ..characterisation import load
from ..characterisation.figure import write_figure as draw_characterisation
from ..controls.report import report
from ..data import load_features
from ..errors import DataError, InputError, SessionError
from ..evaluation import classify, evaluate
from ..experiment import Experiment
from ..interrupts import StopRequest
from ..live_weights import live_tensors, load_tensors
from ..network import Network
from ..passes import Purpose
from ..printable import printable
from ..rules.base import Learner, LocalRule
from ..seeding import derive_seed
from ..session import Run, open_run
from ..session.figures import write_figures
from ..session.show import summary
from .controls import draw, shown
from .train import choose_device


def show(arguments: argparse.Namespace) -> int:
    """Print a run, and write its figures if asked to."""
    run = open_run(newest_run(Path(arguments.run)))
    print(summary(run))
    study = shown(run)
    if study is not None:
        print(f"\n{printable(report(study, study.findings()))}")
    if arguments.plot or arguments.figures:
        folder = Path(arguments.figures) if arguments.figures else run.folder / "figures"
        figures = [*write_figures(run, folder), *_characterisations(run, folder)]
        for path in [*figures, *([draw(study, folder)] if study else [])]:
            print(f"figure        {path}")
    return 0


def _characterisations(run: Run, folder: Path) -> Iterator[Path]:
    """Draw what characterising the run's systems found, as far as it can be read."""
    for file in run.characterisation_files:
        try:
            yield draw_characterisation(load(file, run=run.identifier), folder / f"{file.stem}.png")
        except (SessionError, LookupError, ValueError, TypeError, ArithmeticError) as error:  # `summary` has told
            print(printable(f"figure        none of {file.name}: {error}"), file=sys.stderr)


def evaluate_run(arguments: argparse.Namespace) -> int:
    """Measure a trained network on labelled samples."""
    run = open_run(newest_run(Path(arguments.run)))
    with _trained(run, arguments.device) as trained:
        features, labels = _labelled(trained, arguments.dataset)
        result = evaluate(
            trained.network,
            trained.rule,
            trained.learners,
            _tensor(trained, features),
            torch.from_numpy(labels).to(trained.network.device),
            purpose=Purpose.VALIDATE if arguments.dataset == "validation" else Purpose.TEST,
            classes=len(trained.frame.classes),
            batch=trained.experiment.training.evaluation_batch,
        )
        passes = trained.network.count.passes
    print(f"accuracy on {arguments.dataset}: {result.accuracy:.2%} of {len(labels)} samples, {passes} physical passes")
    print(f"weights: {trained.source}, sha256 {trained.sha256[:12]}")
    if arguments.json:
        values = {"accuracy": result.accuracy, "layer_accuracy": result.layer_accuracy, "samples": len(labels)}
        print(
            json.dumps({**values, "physical_passes": passes, "dataset": arguments.dataset, "session": str(run.folder)})
        )
    return 0


def predict(arguments: argparse.Namespace) -> int:
    """Classify the samples of a file and print CSV."""
    run = open_run(newest_run(Path(arguments.run)))
    with _trained(run, arguments.device) as trained:
        features = _unlabelled(trained, Path(arguments.file))
        answers = classify(
            trained.network,
            trained.rule,
            trained.learners,
            _tensor(trained, features),
            purpose=Purpose.PREDICT,
            classes=len(trained.frame.classes),
            batch=trained.experiment.training.evaluation_batch,
        )
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("row", "predicted"))
    table.writerows((row, trained.frame.classes[answer]) for row, answer in enumerate(answers[-1].tolist()))
    return 0


def newest_run(path: Path) -> Path:
    """Return a run's folder: `path` itself, or the newest run in it."""
    if not path.is_dir() or (path / "session.h5").exists():
        return path
    runs = [file.parent for file in path.glob("*/session.h5") if not file.parent.name.startswith(".")]
    if not runs:
        return path
    found = max(runs, key=lambda folder: ((folder / "session.h5").stat().st_mtime_ns, folder.name))
    if len(runs) > 1:
        print(printable(f"{path} holds {len(runs)} runs; this is the newest, {found.name}"), file=sys.stderr)
    return found


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """A network with the weights of a run, its systems open."""

    experiment: Experiment
    frame: Frame
    network: Network
    rule: LocalRule
    learners: tuple[Learner, ...]
    columns: tuple[str, ...]
    checksum: str
    source: str
    sha256: str


@contextmanager
def _trained(run: Run, device: str) -> Iterator[_Trained]:
    try:
        experiment = Experiment.from_dict(run.configuration)
        frame = Frame.from_dict(run.data["frame"])
    except KeyError as error:
        raise SessionError(f"{run.folder} lacks {error} in its description. Another program wrote it.") from error
    weights = run.weights()
    rule = build_rule(experiment)
    network = build_network(experiment, frame, rule, device=choose_device(device))
    learners = tuple(
        rule.learner(layer, classes=len(frame.classes), seed=derive_seed(experiment.seed, "rule", number))
        for number, layer in enumerate(network)
    )
    load_tensors(live_tensors(network, learners), weights.tensors)
    stop = StopRequest()
    for port in network.ports:
        port.interrupted = stop.check
    with stop, network:
        yield _Trained(
            experiment=experiment,
            frame=frame,
            network=network,
            rule=rule,
            learners=learners,
            columns=tuple(run.data.get("columns", ())),
            checksum=str(run.data.get("checksum", "")),
            source=weights.source,
            sha256=weights.sha256,
        )


def _labelled(trained: _Trained, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return scaled features and class numbers of a split or a file."""
    if name in ("train", "validation", "test"):
        samples = load_samples(trained.experiment)
        check_data(samples.dataset, trained.checksum)
        part = getattr(samples.splits, name)
        if not len(part):
            raise DataError(f"split '{name}' of this run must hold samples, and it is empty. Evaluate another.")
        return part.x, part.y
    if not Path(name).exists():
        raise InputError(f"dataset must be test, validation, train or a file, got {name!r}, and there is no such file.")
    section = trained.experiment.data
    as_table = section.model_copy(update={"name": "table", "path": str(Path(name).absolute())})
    if section.name != "table":
        as_table = as_table.model_copy(update={"label": "label" if Path(name).suffix.lower() == ".csv" else None})
    dataset = load_dataset(trained.experiment.model_copy(update={"data": as_table}))
    known = {label: number for number, label in enumerate(trained.frame.classes)}
    unknown = [label for label in dataset.classes if label not in known]
    if unknown:
        raise DataError(
            f"{name}: classes must be among those of training ({', '.join(known)}), "
            f"got {', '.join(map(repr, unknown))}."
        )
    labels = np.array([known[label] for label in dataset.classes], np.int64)[dataset.y]
    return trained.frame.scaling(_sized(trained, dataset.x, name)), labels


def _unlabelled(trained: _Trained, path: Path) -> NDArray[np.float32]:
    section = trained.experiment.data
    named = section.features if section.name == "table" else None
    if path.suffix.lower() == ".csv" and trained.columns:
        named = trained.columns
    features, _ = load_features(path, features=named)
    return trained.frame.scaling(_sized(trained, features, str(path)))


def _sized(trained: _Trained, features: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    if features.shape[1] != trained.frame.features:
        raise DataError(
            f"{name} must have {trained.frame.features} features a sample, as in training, got {features.shape[1]}. "
            "Give the same columns in the same order, without the label."
        )
    return features


def _tensor(trained: _Trained, features: NDArray[np.float32]) -> torch.Tensor:
    weight = trained.network.layers[0].weight_FO
    return torch.from_numpy(np.ascontiguousarray(features)).to(weight.device, weight.dtype)
