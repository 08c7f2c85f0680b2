"""What keeping the record of a run costs: `python benchmarks/session.py [log] [raw] [million]`.

- `log`: the default experiment with everything logged but raw data, against the same run without any record.
- `raw`: MNIST through two scattering layers of 1 000 responses (float32), 10 000 samples, 3 epochs, with every drive
  and response kept, against the same run without any record.
- `million`: a million steps written one by one: time and memory while writing, size, and time to open.

Runs with and without a record take turns, with the same seed and so the same numbers, and which of the two comes first
changes; a ratio is that of two runs beside each other. Wall time means little on a machine that does other things too.
So each pair also tells the processor time of the whole process, all threads, and what the recorder itself took of the
run's thread, as a share of the run without it: making the folder, the steps' `log_seconds`, and the end.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import physnet  # before torch, for its way of waiting
from physnet.assembly import build_network, build_rule, load_samples, plan_of, training_options
from physnet.experiment import Experiment
from physnet.recording import RawRecording
from physnet.records import PassCount, StepRecord
from physnet.session import Session
from physnet.trainer import Trainer

RAW = ("data.train_limit=10000", "data.test_limit=2000", "training.epochs=3", "session.raw=all")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run took.

    Args:
        seconds: Wall time, without building the network and reading the data, in s.
        processor: Processor time of all threads meanwhile, in s.
        own: Time that the recorder took of the run's thread, in s.
        weights: Hash of the final weights.
        megabytes: Length of what it left on the disk.
    """

    seconds: float
    processor: float
    own: float
    weights: str
    megabytes: float


def run(experiment: Experiment, folder: Path | None) -> Cost:
    """Train, with a record in a folder or without."""
    samples, rule = load_samples(experiment), build_rule(experiment)
    network = build_network(experiment, samples.frame, rule)
    trainer = Trainer(
        network,
        rule,
        samples.splits,
        classes=len(samples.frame.classes),
        options=training_options(experiment),
        seed=experiment.seed,
    )
    began, processor, own = time.perf_counter(), time.process_time(), 0.0
    with ExitStack() as stack:
        if folder is not None:
            session = stack.enter_context(Session.create(folder, plan_of(experiment, samples, trainer)))
            trainer.recorder = session
            if experiment.session.raw != "none":
                names = [section.system for section in experiment.layers]
                ports = {name: layer.port for name, layer in zip(names, network, strict=True)}
                share = experiment.session.raw
                session.raw = RawRecording(folder, ports, share=share, trainer=trainer, run=session.run)
            own = time.perf_counter() - began
        stack.enter_context(network)
        result = trainer.run()
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    if folder is not None:
        own += float(physnet.open_run(folder).steps["log_seconds"].sum()) + trainer.stopwatch.take()[0]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6 if folder else 0.0
    return Cost(seconds=seconds, processor=processor, own=own, weights=result.weights_sha256, megabytes=size)


def compare(name: str, experiment: Experiment, pairs: int, parent: Path) -> None:
    """Print what a record costs, as a share of the run without one."""
    run(experiment, None)  # compiles what is to be compiled
    wall, processor, own, without = [], [], [], []
    for number in range(pairs):
        folders = [None, parent / f"{name}-{number}"]
        first, second = (run(experiment, folder) for folder in (folders if number % 2 == 0 else folders[::-1]))
        bare, kept = (first, second) if number % 2 == 0 else (second, first)
        assert bare.weights == kept.weights, "the record must not change the numbers"
        wall.append(100 * (kept.seconds / bare.seconds - 1))
        processor.append(100 * (kept.processor / bare.processor - 1))
        own.append(100 * kept.own / bare.seconds)
        without.append(bare.seconds)
        megabytes = kept.megabytes
        shutil.rmtree(parent / f"{name}-{number}")
    costs = " | ".join(quartiles(values) for values in (wall, processor, own))
    print(f"| {name} | {statistics.median(without):.2f} | {costs} | {megabytes:.1f} | {pairs} |", flush=True)


def quartiles(values: list[float]) -> str:
    """Return the median and, in brackets, the quartiles."""
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:+.1f} ({low:+.1f} to {high:+.1f})"


def million(parent: Path, steps: int) -> None:
    """Print what many steps cost while they are written, and when they are opened."""
    experiment = physnet.load_experiment("digits-scattering")
    samples, rule = load_samples(experiment), build_rule(experiment)
    network = build_network(experiment, samples.frame, rule)
    trainer = Trainer(network, rule, samples.splits, classes=len(samples.frame.classes))
    folder = parent / "million"
    metrics = {name: (0.5,) * len(network) for name in rule.metrics}
    print("| steps | us a step | peak memory / MB | session.h5 / MB | open / s |\n|---|---|---|---|---|")
    session = Session.create(folder, plan_of(experiment, samples, trainer))
    began, last, done = time.perf_counter(), 0.0, 0
    for number in range(steps):
        count = PassCount(passes=128, seconds=0.01)
        session.step(StepRecord(step=number, epoch=0, time=1.0 * number, metrics=metrics, count=count, seconds=0.02))
        if number + 1 in (steps // 100, steps // 10, steps // 2, steps):
            now = time.perf_counter() - began
            size = (folder / "session.h5").stat().st_size / 1e6
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            each = 1e6 * (now - last) / (number + 1 - done)
            print(f"| {number + 1} | {each:.0f} | {peak:.0f} | {size:.1f} | |", flush=True)
            last, done = now, number + 1
    session.close()
    began = time.perf_counter()
    found = physnet.open_run(folder)
    assert len(found.steps["step"]) == steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"| {steps} | (read) | {peak:.0f} | | {time.perf_counter() - began:.1f} |")


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["log", "raw", "million"], metavar="log|raw|million")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the runs go; a temporary folder when left out")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()} {platform.machine()}, {time.strftime('%Y-%m-%d')}, {load()}\n")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        parent = Path(name)
        if {"log", "raw"} & set(arguments.parts):
            print("| run | without record / s | wall time / % | processor / % | recorder / % | folder / MB | pairs |")
            print("|---|---|---|---|---|---|---|")
        if "log" in arguments.parts:
            compare("default, all but raw", physnet.load_experiment(), arguments.pairs, parent)
        if "raw" in arguments.parts:
            experiment = physnet.load_experiment("mnist-scattering", overrides=RAW)
            compare("1 000 responses, every row raw", experiment, arguments.pairs, parent)
        if "million" in arguments.parts:
            print()
            million(parent, arguments.steps)
    print(f"\n{load()}")


def load() -> str:
    """Say what the machine has to do."""
    return f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"


if __name__ == "__main__":
    main()
