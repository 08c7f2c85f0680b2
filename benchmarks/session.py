"""What keeping the record of a run costs: `python benchmarks/session.py [log] [raw] [million]`.

- `log`: the default experiment with everything logged but raw data, against the same run without any record.
- `raw`: MNIST through two scattering layers of 1 000 responses (float32), 10 000 samples, 3 epochs, with every drive
  and response kept, against the same run without any record.
- `million`: a million steps written one by one: time and memory while writing, size, and time to open.

Runs with and without a record take turns, with the same seed and so the same numbers; a ratio is that of two runs
beside each other. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import physnet  # before torch, for its way of waiting
from physnet.assembly import build_network, build_rule, load_samples, plan_of, training_options
from physnet.experiment import Experiment
from physnet.recording import RawRecording
from physnet.records import PassCount, StepRecord
from physnet.session import Session
from physnet.trainer import Trainer

RAW = ("data.train_limit=10000", "data.test_limit=2000", "training.epochs=3", "session.raw=all")


def run(experiment: Experiment, folder: Path | None) -> tuple[float, str, float]:
    """Train, with a record in a folder or without; return seconds, hash of the weights, and MB on the disk."""
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
    began = time.perf_counter()
    with ExitStack() as stack:
        if folder is not None:
            session = stack.enter_context(Session.create(folder, plan_of(experiment, samples, trainer)))
            trainer.recorder = session
            if experiment.session.raw != "none":
                names = [section.system for section in experiment.layers]
                ports = {name: layer.port for name, layer in zip(names, network, strict=True)}
                session.raw = RawRecording(folder, ports, share=experiment.session.raw, trainer=trainer)
        stack.enter_context(network)
        result = trainer.run()
    seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6 if folder else 0.0
    return seconds, result.weights_sha256, size


def compare(name: str, experiment: Experiment, repeats: int, parent: Path) -> None:
    """Print what a record costs, as a share of the run without one."""
    run(experiment, None)  # compiles what is to be compiled
    ratios, without = [], []
    for number in range(repeats):
        one, first, _ = run(experiment, None)
        other, second, size = run(experiment, parent / f"{name}-{number}")
        assert first == second, "the record must not change the numbers"
        ratios.append(other / one)
        without.append(one)
    cost = [100 * (ratio - 1) for ratio in ratios]
    print(
        f"| {name} | {statistics.median(without):.2f} | {statistics.median(cost):+.1f} | {min(cost):+.1f} to "
        f"{max(cost):+.1f} | {size:.1f} | {repeats} |",
        flush=True,
    )


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
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the runs go; a temporary folder when left out")
    arguments = parser.parse_args()
    print(f"physnet {platform.python_version()} {platform.machine()}, {time.strftime('%Y-%m-%d')}\n")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        parent = Path(name)
        if {"log", "raw"} & set(arguments.parts):
            print("| run | without record / s | cost / %, median | range | folder / MB | pairs |")
            print("|---|---|---|---|---|---|")
        if "log" in arguments.parts:
            compare("default, all but raw", physnet.load_experiment(), arguments.repeats, parent)
        if "raw" in arguments.parts:
            experiment = physnet.load_experiment("mnist-scattering", overrides=RAW)
            compare("1 000 responses, every row raw", experiment, arguments.repeats, parent)
        if "million" in arguments.parts:
            print()
            million(parent, arguments.steps)


if __name__ == "__main__":
    main()
